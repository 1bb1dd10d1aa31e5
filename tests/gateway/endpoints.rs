//! Endpoints of messages, mails that came back and templates of mails, over HTTP and without a mail server that answers.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::delivery::DeliveryInput;
use toritsugi::ids::RecordId;
use toritsugi::store::mail_servers::MAIL_SERVER;
use uuid::Uuid;

use super::messages::{MESSAGES, Service};
use crate::support::gateway_rig::Options;

async fn service() -> Service {
    let service = Service::with(Options::default()).await;
    service.rig.app.store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    service
}

impl Service {
    async fn done(&self, who: &str, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.rig.send(who, method, path, &body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// A message for the contact, which the mail server has taken; its id and that of its delivery.
    async fn sent(&self, text: &str) -> (Value, String) {
        let message = json!({"account": self.account, "contact": self.contact, "text": text});
        let message = self.done("1001", Method::POST, MESSAGES, message).await;
        let (store, now) = (&self.rig.app.store, self.rig.app.clock.now());
        let claim = RecordId(Uuid::now_v7());
        let later = now.checked_add(std::time::Duration::from_secs(60)).unwrap();
        let claimed = store.claim_message_deliveries(MAIL_SERVER, claim, (later, later), 8).await.unwrap();
        let delivery = claimed.into_iter().find(|one| one.message.0.to_string() == message["id"]).unwrap();
        store.settle_delivery(delivery.id, claim, DeliveryInput::Accepted, (now, 0)).await.unwrap();
        (message["id"].clone(), delivery.id.0.to_string())
    }

    async fn report(&self, delivery: &str, kind: &str, status: &str) -> Value {
        let report = json!({"delivery": delivery, "kind": kind, "status": status, "text": "said the server"});
        self.done("crm", Method::POST, "/v1/mail/bounces", report).await["items"][0].clone()
    }
}

#[tokio::test]
async fn a_message_goes_through_the_endpoints_until_one_keeps_it() {
    let service = service().await;
    let path = format!("/v1/contacts/{}", service.contact);
    service.done("admin", Method::PATCH, &path, json!({"email": "one@example.jp"})).await;
    for (address, priority) in [("three@example.jp", 2), ("two@example.jp", 1)] {
        let fields = json!({"account": service.account, "contact": service.contact, "address": address, "priority": priority});
        service.done("admin", Method::POST, "/v1/endpoints", fields).await;
    }
    let (message, first) = service.sent("一通目").await;
    let message = message.as_str().unwrap();
    assert_eq!(service.report(&first, "delayed", "4.4.1").await["outcome"], "noted");
    assert_eq!(service.report(&first, "failed", "5.1.1").await["outcome"], "applied");
    assert_eq!(service.report(&first, "failed", "5.1.1").await["outcome"], "duplicate");
    let deliveries =
        service.done("2001", Method::GET, &format!("/v1/deliveries?message={message}"), Value::Null).await;
    let seen: Vec<_> = deliveries["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|delivery| (delivery["address"].as_str().unwrap(), delivery["state"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("two@example.jp", "queued"), ("one@example.jp", "bounced")]);
    let shown = service.done("1001", Method::GET, &format!("{MESSAGES}/{message}"), Value::Null).await;
    assert_eq!((&shown["state"], &shown["delivery"]["state"]), (&json!("open"), &json!("queued")), "{shown}");
    // The next one begins at the second address.
    let (next, second) = service.sent("二通目").await;
    let path = format!("/v1/deliveries?message={}", next.as_str().unwrap());
    let delivery = service.done("2001", Method::GET, &path, Value::Null).await["items"][0].clone();
    assert_eq!((&delivery["id"], &delivery["address"]), (&json!(second), &json!("two@example.jp")));
    assert_eq!(service.report(&second, "delivered", "2.0.0").await["outcome"], "applied");
    let shown = service
        .done("1001", Method::GET, &format!("{MESSAGES}/{}", next.as_str().unwrap()), Value::Null)
        .await;
    assert_eq!(shown["delivery"]["state"], "delivered");
    // A full mailbox is left after the third time only.
    for n in 0..3 {
        let suspended = service.done("2001", Method::GET, "/v1/mail/suspended", Value::Null).await;
        assert_eq!(suspended["items"].as_array().unwrap().len(), 1, "{n}: {suspended}");
        let (_, delivery) = service.sent(&format!("満杯 {n}")).await;
        service.report(&delivery, "failed", "5.2.2").await;
    }
    let suspended = service.done("2001", Method::GET, "/v1/mail/suspended", Value::Null).await;
    assert_eq!(suspended["items"].as_array().unwrap().len(), 2, "{suspended}");
    let resume = async |address: &str| {
        service.done("2001", Method::POST, "/v1/mail/suspended/resume", json!({"address": address})).await["resumed"].clone()
    };
    assert_eq!([resume("one@example.jp").await, resume("one@example.jp").await], [json!(true), json!(false)]);
    let unknown = json!({"message_id": "<d.0@example.jp>", "kind": "failed"});
    let answer = service.done("crm", Method::POST, "/v1/mail/bounces", unknown).await;
    assert_eq!(answer["items"][0]["outcome"], "unmatched", "{answer}");
}

#[tokio::test]
async fn a_template_that_cannot_work_is_refused_with_its_line() {
    let service = service().await;
    let path = format!("/v1/accounts/{}/mail-templates", service.account);
    let write = async |name: &str, body: &str| {
        service.rig.send("admin", Method::PUT, &format!("{path}/{name}"), &json!({"body": body})).await
    };
    let (status, written) = write("subject", "【伝言】{{ m.caller }}{{ account.name }}").await;
    assert_eq!(
        (status, &written["preview"]),
        (StatusCode::OK, &json!("【伝言】ヤマモト様さくら商事")),
        "{written}"
    );
    for (name, body, words) in [
        ("text", "{{ opening }}\n{{ m.secret }}", "body: line 2: undefined value"),
        ("text", "{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}", "fuel"),
        ("html", "{% if m %}", "body: line 1:"),
        ("digest_text", "{{ name }}\n{{ m.text }}", "body: line 2: undefined value"),
        ("digest_subject", "{% if count %}{{ count }}{% endif %}", "it writes nothing"),
        ("sms_text", "{{ mark }}{{ secret }}", "line 1: undefined value"),
        ("text", "", "it writes nothing"),
        ("text", &"x".repeat(30_000), "longer than 20480 bytes"),
    ] {
        let (status, problem) = write(name, body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let (status, problem) = write("fax", "x").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    let own = async || {
        let listed = service.done("admin", Method::GET, &path, Value::Null).await;
        listed["items"].as_array().unwrap().iter().map(|one| one["is_own"] == true).collect::<Vec<_>>()
    };
    assert_eq!(own().await, [true, false, false, false, false, false, false, false]);
    service.done("admin", Method::DELETE, &format!("{path}/subject"), Value::Null).await;
    assert_eq!(own().await, [false; 8]);
    // What goes by SMS is one line.
    let (_, written) = write("sms_text", "{{ mark }}{{ m.caller }}\n{{ number }}").await;
    assert_eq!(written["preview"], "【至急】ヤマモト様 03-5550-1001");
}

#[tokio::test]
async fn a_template_is_tried_before_it_is_saved_and_each_of_its_versions_can_be_had_again() {
    let service = service().await;
    let path = format!("/v1/accounts/{}/mail-templates/text", service.account);
    let write = async |body: &str, dry_run: bool| {
        let body = json!({"body": body, "dry_run": dry_run});
        service.done("admin", Method::PUT, &path, body).await
    };
    let versions = async || {
        let listed = service.done("admin", Method::GET, &format!("{path}/versions"), Value::Null).await;
        let items = listed["items"].as_array().unwrap().clone();
        items.iter().map(|one| (one["version"].clone(), one["body"].clone())).collect::<Vec<_>>()
    };
    let tried = write("① {{ opening }} 髙", true).await;
    assert_eq!(tried["samples"].as_array().unwrap().len(), 9, "{tried}");
    assert_eq!(tried["samples"][0], tried["preview"]);
    let replaced = json!([{"character": "①", "by": "(1)"}, {"character": "髙", "by": "高"}]);
    assert_eq!(tried["replaced"], replaced);
    assert_eq!(versions().await, [], "nothing was written");
    for body in ["一 {{ opening }}", "二 {{ opening }}"] {
        assert_eq!(write(body, false).await["is_own"], true);
    }
    service.done("admin", Method::DELETE, &path, Value::Null).await;
    let known = versions().await;
    let expected = [
        (json!(3), Value::Null),
        (json!(2), json!("二 {{ opening }}")),
        (json!(1), json!("一 {{ opening }}")),
    ];
    assert_eq!(known, expected);
    write(known[2].1.as_str().unwrap(), false).await;
    assert_eq!(versions().await[0], (json!(4), json!("一 {{ opening }}")));
    let elsewhere = format!("/v1/accounts/{}/mail-templates/fax/versions", service.account);
    let (status, _) = service.rig.send("admin", Method::GET, &elsewhere, &Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_endpoint_that_cannot_receive_is_refused() {
    let service = service().await;
    for (change, words) in [
        (json!({"address": "a..b@example.jp"}), "address: a dot may stand"),
        (json!({"contact": Uuid::nil()}), "contact: the account has no such contact"),
        (json!({"account": Uuid::nil()}), "account: there is no such account"),
        (json!({"hours": {"weekly": []}}), "hours: name the spans"),
        (json!({"priority": 100}), "priority: from 0 to 99"),
        (json!({"kind": "pigeon"}), "unknown variant"),
    ] {
        let mut fields = json!({"account": service.account, "address": "a@example.jp"});
        for (key, value) in change.as_object().unwrap() {
            fields[key] = value.clone();
        }
        let (status, problem) = service.rig.send("admin", Method::POST, "/v1/endpoints", &fields).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    service.rig.app.store.set_mail_server(MAIL_SERVER, false).await.unwrap();
    let fields = json!({"account": service.account, "address": "a@example.jp"});
    let made = service.done("admin", Method::POST, "/v1/endpoints", fields).await;
    let path = format!("/v1/endpoints/{}/test", made["id"].as_str().unwrap());
    let (status, problem) = service.rig.send("admin", Method::POST, &path, &Value::Null).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("no-mail-server")));
}

#[tokio::test]
async fn a_supervisor_sends_a_message_elsewhere_cancels_what_waits_and_tries_the_server_again() {
    let service = service().await;
    let store = &service.rig.app.store;
    let path = format!("/v1/contacts/{}", service.contact);
    service.done("admin", Method::PATCH, &path, json!({"email": "one@example.jp"})).await;
    let message = json!({"account": service.account, "contact": service.contact, "text": "納期"});
    let message = service.done("1001", Method::POST, MESSAGES, message).await["id"].clone();
    let message = format!("{MESSAGES}/{}", message.as_str().unwrap());
    let resend = format!("{message}/resend");
    for wrong in [
        json!({}),
        json!({"address": "no address"}),
        json!({"address": "a@example.jp\r\nBcc: x@y.jp"}),
        json!({"endpoint": Uuid::from_u128(7)}),
        json!({"address": "a@example.jp", "endpoint": Uuid::from_u128(7)}),
    ] {
        let (status, problem) = service.rig.send("2001", Method::POST, &resend, &wrong).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid-body")),
            "{wrong}"
        );
    }
    let queued = service.done("2001", Method::POST, &resend, json!({"address": "other@example.jp"})).await;
    assert_eq!((&queued["address"], &queued["state"]), (&json!("other@example.jp"), &json!("queued")));
    let endpoint = json!({"account": service.account, "address": "desk@example.jp"});
    let endpoint = service.done("admin", Method::POST, "/v1/endpoints", endpoint).await["id"].clone();
    let queued = service.done("2001", Method::POST, &resend, json!({"endpoint": endpoint})).await;
    assert_eq!((&queued["address"], &queued["endpoint"]), (&json!("desk@example.jp"), &endpoint));
    // What waits for the contact's own address is cancelled; nothing else is left of the route, and the others go on.
    let listed = service.done("2001", Method::GET, "/v1/deliveries?state=queued", Value::Null).await;
    let first = listed["items"].as_array().unwrap().iter().find(|one| one["address"] == "one@example.jp");
    let over_mail = "/v1/deliveries?state=queued&server=main";
    assert_eq!(service.done("2001", Method::GET, over_mail, Value::Null).await, listed);
    assert_eq!(first.unwrap()["server"], "main");
    let over_chat = service.done("2001", Method::GET, "/v1/deliveries?server=slack", Value::Null).await;
    assert_eq!(over_chat["items"], json!([]));
    let (status, problem) =
        service.rig.send("2001", Method::GET, "/v1/deliveries?server=x", &Value::Null).await;
    assert_eq!((status, &problem["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-query")));
    let cancel = format!("/v1/deliveries/{}/cancel", first.unwrap()["id"].as_str().unwrap());
    assert_eq!(service.done("2001", Method::POST, &cancel, Value::Null).await["state"], "cancelled");
    let (status, problem) = service.rig.send("2001", Method::POST, &cancel, &Value::Null).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("delivery-not-waiting")));
    let unknown = format!("/v1/deliveries/{}/cancel", Uuid::from_u128(7));
    assert_eq!(service.rig.send("2001", Method::POST, &unknown, &Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(service.done("2001", Method::GET, &message, Value::Null).await["delivery"]["state"], "queued");
    let trail = service.done("admin", Method::GET, "/v1/audit?action=message.resent", Value::Null).await;
    assert!(trail["items"][1]["details"]["address"].as_str().unwrap().ends_with("…@example.jp"), "{trail}");

    let servers = service.done("2001", Method::GET, "/v1/mail/servers", Value::Null).await;
    assert_eq!(
        (&servers["items"][0]["name"], &servers["items"][0]["waiting"]),
        (&json!("main"), &json!(2)),
        "{servers}"
    );
    let pause = toritsugi::delivery::ServerPause::after(None, service.rig.app.clock.now(), "535 no".into());
    store.pause_mail_server(MAIL_SERVER, Some(&pause)).await.unwrap();
    let servers = service.done("2001", Method::GET, "/v1/mail/servers", Value::Null).await;
    assert_eq!(servers["items"][0]["why"], "535 no", "{servers}");
    assert_eq!(
        service.rig.send("2001", Method::POST, "/v1/mail/servers/main/resume", &Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    let servers = service.done("2001", Method::GET, "/v1/mail/servers", Value::Null).await;
    assert_eq!(servers["items"][0]["paused_since"], Value::Null, "{servers}");
    assert_eq!(
        service.rig.send("2001", Method::POST, "/v1/mail/servers/other/resume", &Value::Null).await.0,
        StatusCode::NOT_FOUND
    );
}
