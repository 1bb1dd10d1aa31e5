//! Digests and the week of an account's routes, over HTTP.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::store::mail_servers::MAIL_SERVER;

use super::messages::{MESSAGES, Service};
use crate::support::gateway_rig::Options;

const ROUTES: &str = r#"
format = 1
[[digest]]
name = "夕方"
at = ["18:00"]
to = ["account"]
if_empty = "skip"
[[route]]
name = "low"
when = { urgency = "low" }
digest = "夕方"
"#;

async fn service() -> Service {
    let service = Service::with(Options::default()).await;
    service.rig.app.store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    let path = format!("/v1/contacts/{}", service.contact);
    let fields = json!({"email": "one@example.jp", "on_call_order": 1});
    let (status, answer) = service.rig.send("admin", Method::PATCH, &path, &fields).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    service
}

impl Service {
    async fn save_routes(&self, whose: &str, body: &str) -> (StatusCode, Value) {
        self.rig.send("admin", Method::PUT, &format!("/v1/routes/{whose}"), &json!({"body": body})).await
    }

    async fn digests(&self) -> Value {
        let path = format!("/v1/accounts/{}/digests", self.account);
        let (status, listed) = self.rig.send("2001", Method::GET, &path, &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{listed}");
        listed
    }

    async fn run(&self, name: &str) -> (StatusCode, Value) {
        let path = format!("/v1/accounts/{}/digests/{name}/run", self.account);
        self.rig.send("admin", Method::POST, &path, &Value::Null).await
    }
}

#[tokio::test]
async fn a_digest_is_written_in_the_routes_and_made_at_once_by_an_administrator() {
    let service = service().await;
    let account = &service.account;
    let (status, problem) = service.save_routes("installation", ROUTES).await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("routes-invalid"))
    );
    assert!(problem["detail"].as_str().unwrap().contains("a digest is one account's"), "{problem}");
    let (status, saved) = service.save_routes(account, ROUTES).await;
    assert_eq!(status, StatusCode::OK, "{saved}");
    let listed = service.digests().await;
    assert_eq!((&listed["items"][0]["name"], &listed["runs"]), (&json!("夕方"), &json!([])));

    let (status, nothing) = service.run("夕方").await;
    assert_eq!((status, nothing), (StatusCode::OK, json!({})));
    let message = json!({"account": account, "text": "急ぎません", "urgency": "low"});
    let (_, saved) = service.rig.send("1001", Method::POST, MESSAGES, &message).await;
    assert_eq!(saved["delivery"]["state"], "held", "{saved}");
    assert_eq!(saved["delivery"]["next_at"], service.digests().await["items"][0]["next_at"]);
    let explain = json!({"account": account, "urgency": "low"});
    let (_, plan) = service.rig.send("1001", Method::POST, "/v1/routes/explain", &explain).await;
    assert!(plan["text"].as_str().unwrap().contains("まとめ報告「夕方」で "), "{plan}");
    assert_eq!(saved["delivery"]["plan"], plan["text"], "the answer that saved it says who gets it");
    let (status, made) = service.run("夕方").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let digest = made["message"].as_str().unwrap();
    let (_, shown) =
        service.rig.send("2001", Method::GET, &format!("{MESSAGES}/{digest}"), &Value::Null).await;
    assert_eq!(
        (&shown["kind"], &shown["delivery"]["state"]),
        (&json!("digest"), &json!("queued")),
        "{shown}"
    );
    let run = &service.digests().await["runs"][0];
    assert_eq!((&run["message"], &run["items"], &run["gaps"]), (&made["message"], &json!(1), &json!(0)));
    for unknown in ["朝", "%20", "夕方%2F"] {
        assert_eq!(service.run(unknown).await.0, StatusCode::NOT_FOUND, "{unknown}");
    }
    // Nobody takes a digest.
    let taken = json!({"account": account, "text": "x", "kind": "digest"});
    assert_eq!(
        service.rig.send("admin", Method::POST, MESSAGES, &taken).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn the_week_of_an_account_shows_the_hours_in_which_nobody_is_reached() {
    let service = service().await;
    let account = &service.account;
    let night = "format = 1\n[[route]]\nname = \"night\"\nwhen = { time = \"20:00-06:00\", urgency = \"urgent\" }\n\
        [[route.step]]\nto = [\"supervisors\"]\n[[route]]\nname = \"usual\"\n[[route.step]]\nto = [\"account\"]";
    let (status, saved) = service.save_routes(account, night).await;
    assert_eq!(status, StatusCode::OK, "{saved}");
    let path = format!("/v1/routes/week?account={account}");
    let (status, week) = service.rig.send("2001", Method::GET, &path, &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{week}");
    let hours = week["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 168);
    let reached = |hour: &Value, urgency: &str| {
        let plan = usize::try_from(hour[urgency].as_u64().unwrap()).unwrap();
        week["plans"][plan]["is_reached"].as_bool().unwrap()
    };
    assert!(hours.iter().all(|hour| reached(hour, "normal")));
    let holes = hours.iter().filter(|hour| !reached(hour, "urgent")).count();
    assert_eq!(holes, 7 * 10, "ten hours of each night");
}

#[tokio::test]
async fn characters_that_an_endpoint_does_not_have_are_known_before_the_message_is_saved() {
    let service = service().await;
    let replaced = async |charset: &str, text: &str| {
        let path = "/v1/endpoints";
        let fields = json!({"account": service.account, "contact": service.contact, "address": "fax@example.jp",
            "priority": 0, "charset": charset});
        let (status, endpoint) = service.rig.send("admin", Method::POST, path, &fields).await;
        assert_eq!(status, StatusCode::CREATED, "{endpoint}");
        let asked = json!({"account": service.account, "contact": service.contact, "text": text});
        let (status, plan) = service.rig.send("1001", Method::POST, "/v1/routes/explain", &asked).await;
        assert_eq!(status, StatusCode::OK, "{plan}");
        let path = format!("{path}/{}", endpoint["id"].as_str().unwrap());
        service.rig.send("admin", Method::DELETE, &path, &Value::Null).await;
        plan["replaced"].clone()
    };
    let expected = json!([{"character": "髙", "by": "高"}, {"character": "①", "by": "(1)"}]);
    assert_eq!(replaced("iso-2022-jp", "髙橋様\n①納期").await, expected);
    assert_eq!(replaced("iso-2022-jp", "高橋様、ｶﾞｽの件").await, json!([]));
    assert_eq!(replaced("utf-8", "髙橋様").await, json!([]), "it goes as it is");
}
