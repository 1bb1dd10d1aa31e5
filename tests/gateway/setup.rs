//! How the installation is set up, teams, and what was changed of customers and contacts.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::command::{Answer, Command, CommandRequest};
use toritsugi::contract::operator::{PbxQueue, PbxQueueFinding};
use toritsugi::contract::setting::{Setting, SettingSource};
use toritsugi::gateway::{ReceiverSetup, Setup, Watched};
use toritsugi::ids::QueueName;
use toritsugi::store::retention::PurgeTarget;

use crate::support::gateway_rig::{Options, Rig, answer};

async fn with(setup: Setup) -> Rig {
    Rig::with(Options { setup: Arc::new(setup), ..Options::default() }).await
}

/// A record that an administrator makes.
async fn make(rig: &Rig, path: &str, fields: Value) -> Value {
    let (status, made) = rig.send("admin", Method::POST, path, &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made
}

#[tokio::test]
async fn settings_say_where_they_come_from() {
    let port = Setting {
        key: "pbx.port".into(),
        value: Some(5039.into()),
        default: Some(5038.into()),
        source: SettingSource::File,
        origin: Some("/etc/toritsugi/toritsugi.toml".into()),
        is_set: None,
    };
    let secret = Setting {
        key: "store.password".into(),
        value: None,
        default: None,
        source: SettingSource::Environment,
        origin: None,
        is_set: Some(true),
    };
    let rig = with(Setup { settings: vec![port, secret], ..Setup::default() }).await;
    let (_, settings) = rig.get("admin", "/v1/settings").await;
    assert_eq!(settings["items"][0]["source"], "file", "{settings}");
    assert_eq!(
        settings["items"][1],
        json!({"key": "store.password", "source": "environment", "is_set": true})
    );
}

#[tokio::test]
async fn a_receiver_gets_a_test_event_and_a_failed_one_again() {
    let crm =
        ReceiverSetup { name: "crm".into(), host: "crm.example.jp".into(), kinds: vec!["call.*".into()] };
    let rig = with(Setup { receivers: vec![crm], ..Setup::default() }).await;
    let (status, made) = rig.send("admin", Method::POST, "/v1/webhooks/crm/test", &Value::Null).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    let due = rig.app.store.due_deliveries("crm", rig.app.clock.now(), 10).await.unwrap();
    let body: Value = serde_json::from_str(&due[0].body).unwrap();
    assert_eq!((&body["kind"], &body["id"]), (&json!("webhook.test"), &made["event"]), "{body}");
    rig.app.store.fail_delivery(due[0].id, "status 503", None, 100).await.unwrap();
    let (_, receivers) = rig.get("admin", "/v1/webhooks").await;
    let shown = &receivers["items"][0];
    assert_eq!((&shown["failed"], &shown["last_error"]), (&json!(1), &json!("status 503")), "{receivers}");
    let path = format!("/v1/webhooks/deliveries/{}/retry", due[0].id);
    assert_eq!(rig.send("admin", Method::POST, &path, &Value::Null).await.0, StatusCode::ACCEPTED);
    assert_eq!(rig.get("admin", "/v1/webhooks").await.1["items"][0]["waiting"], 1);
    let (status, _) = rig.send("admin", Method::POST, "/v1/webhooks/other/test", &Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn retention_counts_what_goes_today() {
    let day = Duration::from_secs(86_400);
    let retention = vec![(PurgeTarget::Notices, Some(day * 7)), (PurgeTarget::Calls, None)];
    let rig = with(Setup { retention, ..Setup::default() }).await;
    let account = make(&rig, "/v1/accounts", json!({"code": "A1", "name": "x"})).await;
    make(&rig, "/v1/notices", json!({"account": account["id"], "text": "x"})).await;
    let due = async || rig.get("admin", "/v1/retention").await.1["items"][0]["due"].clone();
    assert_eq!(due().await, 0, "it is not over");
    rig.advance(day * 9);
    assert_eq!(due().await, 1);
    let (_, lines) = rig.get("admin", "/v1/retention").await;
    assert_eq!(lines["items"][1], json!({"what": "calls", "due": 0, "more": false}), "{lines}");
}

#[tokio::test]
async fn queues_are_as_the_pbx_lists_them() {
    let mut rig = Rig::start().await;
    let mut commands = rig.commands.take().unwrap();
    tokio::spawn(async move {
        while let Some(CommandRequest { command, reply, .. }) = commands.recv().await {
            assert!(matches!(command, Command::ListQueues), "{command:?}");
            let queue = PbxQueue {
                name: QueueName::parse("day").unwrap(),
                settings: Vec::new(),
                strategy: Some("rrmemory".into()),
                members: Vec::new(),
                findings: vec![PbxQueueFinding::NotConfigured, PbxQueueFinding::NoMembers],
                accounts: Vec::new(),
                accounts_count: 0,
                templates: Vec::new(),
            };
            drop(reply.send(Ok(Answer::Queues(Some(vec![queue])))));
        }
    });
    for (code, flow) in
        [("A1", json!({"queue": "day", "second_queue": "night"})), ("A2", json!({"queue": "day"}))]
    {
        let account = make(&rig, "/v1/accounts", json!({"code": code, "name": "x"})).await;
        let path = format!("/v1/accounts/{}/callflow", account["id"].as_str().unwrap());
        assert_eq!(rig.send("admin", Method::PUT, &path, &flow).await.0, StatusCode::OK);
    }
    let template = json!({"name": "x", "fields": {"queue": "day"}});
    let path = "/v1/callflow-templates/T1";
    assert_eq!(rig.send("admin", Method::PUT, path, &template).await.0, StatusCode::OK);
    let (status, queues) = rig.get("admin", "/v1/queues").await;
    assert_eq!((status, &queues["is_known"]), (StatusCode::OK, &json!(true)), "{queues}");
    assert_eq!(queues["items"][0]["findings"], json!(["not_configured", "no_members"]));
    // Who uses them; one that only a callflow names is missing at the PBX.
    let of = |n: usize| {
        let queue = &queues["items"][n];
        let codes = queue["accounts"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap());
        (
            queue["name"].as_str().unwrap(),
            codes.collect::<Vec<_>>(),
            &queue["accounts_count"],
            &queue["templates"],
        )
    };
    assert_eq!(of(0), ("day", vec!["A1", "A2"], &json!(2), &json!(["T1"])), "{queues}");
    assert_eq!(of(1), ("night", vec!["A1"], &json!(1), &json!([])), "{queues}");
    assert_eq!(queues["items"][1]["findings"], json!(["missing"]), "{queues}");
    assert_eq!(rig.get("2001", "/v1/queues").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn health_looks_at_disks_spools_and_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
    let good = dir.path().join("good.pem");
    std::fs::write(&good, made.cert.pem()).unwrap();
    let missing = dir.path().join("missing");
    let watched = Watched {
        disks: vec![dir.path().to_path_buf()],
        spools: vec![("fax", dir.path().to_path_buf()), ("voice", missing.clone())],
        certificates: vec![("pbx.tls.ca_file", good), ("mail.ca_file", missing)],
    };
    let rig = with(Setup { watched, ..Setup::default() }).await;
    let (_, health) = rig.get("admin", "/v1/health").await;
    let of = |what: &str| {
        let lines = health["items"].as_array().unwrap().iter().filter(|line| line["what"] == what);
        lines.map(|line| line["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("disk").len(), 1, "{health}");
    assert_eq!(of("spool"), ["ok", "failed"], "{health}");
    assert_eq!(of("certificate"), ["ok", "failed"], "{health}");
    assert!(health["at"].is_string());
}

#[tokio::test]
async fn a_team_is_renamed_and_keeps_its_people() {
    let rig = Rig::start().await;
    let (_, teams) = rig.get("admin", "/v1/teams").await;
    let team = &teams["items"][0];
    assert_eq!((&team["name"], team["members"].as_array().unwrap().len()), (&json!("A班"), 2), "{teams}");
    let path = format!("/v1/teams/{}", team["id"].as_str().unwrap());
    let rename = async |name: &str| rig.send("admin", Method::PATCH, &path, &json!({ "name": name })).await;
    let (status, renamed) = rename("昼の班").await;
    assert_eq!((status, &renamed["members"]), (StatusCode::OK, &team["members"]), "{renamed}");
    assert_eq!(rename("B班").await.0, StatusCode::CONFLICT, "another team has the name");
    assert_eq!(rename(" ").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, user) = rig.get("admin", &format!("/v1/users/{}", rig.user("1001"))).await;
    assert_eq!(user["team"], "昼の班");
    let (_, trail) = rig.get("admin", "/v1/audit?action=team.renamed").await;
    assert_eq!(trail["items"][0]["details"]["name"], json!({"before": "A班", "after": "昼の班"}));
}

#[tokio::test]
async fn a_customer_has_a_history_and_two_become_one() {
    let rig = Rig::start().await;
    let account = make(&rig, "/v1/accounts", json!({"code": "A1", "name": "x"})).await["id"].clone();
    let fields = json!({"account": account, "name": "田中", "numbers": ["090-1111-2222"], "flags": ["vip"]});
    let kept = make(&rig, "/v1/customers", fields).await;
    let path = format!("/v1/customers/{}", kept["id"].as_str().unwrap());
    rig.advance(Duration::from_secs(1));
    let (_, kept) = rig.send("1001", Method::PATCH, &path, &json!({"kana": "たなか"})).await;
    rig.send("1001", Method::PATCH, &path, &json!({"kana": "たなか"})).await;
    let (_, changes) = rig.get("1001", &format!("{path}/changes")).await;
    let shown: Vec<&str> = changes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["action"].as_str().unwrap())
        .collect();
    assert_eq!(shown, ["changed", "created"], "what changes nothing leaves no entry: {changes}");
    assert_eq!(changes["items"][0]["fields"], json!({"kana": {"before": "", "after": "たなか"}}));
    assert_eq!(changes["items"][0]["by_name"], "1001");

    let other =
        json!({"account": account, "name": "田中様", "numbers": ["090-3333-4444"], "company": "田中商店"});
    let other = make(&rig, "/v1/customers", other).await;
    let merge = format!("{path}/merge");
    let body = json!({"other": other["id"]});
    for wrong in [json!({"other": kept["id"]}), json!({"other": account})] {
        let (status, refused) = rig.send("admin", Method::POST, &merge, &wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    }
    let stale = rig.request("admin", Method::POST, &merge).header("if-match", "\"2020-01-01T00:00:00Z\"");
    assert_eq!(answer(stale.json(&body).send().await.unwrap()).await.0, StatusCode::CONFLICT);
    let (status, whole) = rig.send("admin", Method::POST, &merge, &body).await;
    assert_eq!(status, StatusCode::OK, "{whole}");
    assert_eq!((&whole["name"], &whole["company"]), (&json!("田中"), &json!("田中商店")));
    assert_eq!(whole["numbers"].as_array().unwrap().len(), 2);
    let gone = format!("/v1/customers/{}", other["id"].as_str().unwrap());
    assert_eq!(rig.get("admin", &gone).await.0, StatusCode::NOT_FOUND);
    // A merge is undone as a deletion is.
    let (_, listed) = rig.get("admin", "/v1/deletions").await;
    assert_eq!(
        (&listed["items"][0]["kind"], &listed["items"][0]["id"]),
        (&json!("merge"), &other["id"]),
        "{listed}"
    );
    let undo = format!("/v1/deletions/{}/undo", other["id"].as_str().unwrap());
    let (status, undone) = rig.send("admin", Method::POST, &undo, &json!(null)).await;
    assert_eq!((status, &undone["kind"]), (StatusCode::OK, &json!("merge")), "{undone}");
    let (_, back) = rig.get("admin", &gone).await;
    assert_eq!((&back["name"], &back["company"]), (&json!("田中様"), &json!("田中商店")), "{back}");
    let (_, as_it_was) = rig.get("admin", &path).await;
    assert_eq!(
        (&as_it_was["numbers"], &as_it_was["company"]),
        (&kept["numbers"], &Value::Null),
        "{as_it_was}"
    );
    assert_eq!(rig.send("admin", Method::POST, &merge, &body).await.0, StatusCode::OK);
    rig.advance(Duration::from_secs(1));
    rig.send("admin", Method::PATCH, &path, &json!({"kana": "たなべ"})).await;
    let (status, refused) = rig.send("admin", Method::POST, &undo, &json!(null)).await;
    assert_eq!((status, &refused["type"]), (StatusCode::CONFLICT, &json!("record-changed")), "{refused}");
    // Nothing of a customer but its id is in the audit trail.
    let (_, trail) = rig.get("admin", "/v1/audit?action=customer.").await;
    assert!(trail["items"].as_array().unwrap().len() >= 4 && !trail.to_string().contains("田中"), "{trail}");
}

#[tokio::test]
async fn a_contact_has_shifts_by_date_and_its_changes_are_in_the_audit_trail() {
    let rig = Rig::start().await;
    let account = make(&rig, "/v1/accounts", json!({"code": "A1", "name": "x"})).await["id"].clone();
    let fields = json!({"account": account, "name": "佐々木", "number": "090-1111-2222"});
    let contact = make(&rig, "/v1/contacts", fields).await;
    let path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
    let shift = json!({"from": "2026-12-31T09:00:00Z", "until": "2027-01-01T00:00:00Z"});
    let patch = json!({"on_call_shifts": [shift], "number": "090-3333-4444"});
    let (status, changed) = rig.send("admin", Method::PATCH, &path, &patch).await;
    assert_eq!(
        (status, &changed["on_call_shifts"][0]["from"]),
        (StatusCode::OK, &json!("2026-12-31T09:00:00.000Z")),
        "{changed}"
    );
    let wrong =
        json!({"on_call_shifts": [{"from": "2027-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}]});
    assert_eq!(rig.send("admin", Method::PATCH, &path, &wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, trail) = rig.get("admin", "/v1/audit?action=contact.changed").await;
    let numbers = &trail["items"][0]["details"]["changed"]["number"];
    assert_eq!(*numbers, json!({"before": "…2222", "after": "…4444"}), "{trail}");
}

#[tokio::test]
async fn a_creation_is_undone_only_while_nobody_changed_the_record() {
    let rig = Rig::start().await;
    let account = make(&rig, "/v1/accounts", json!({"code": "A1", "name": "x"})).await;
    let contact = make(&rig, "/v1/contacts", json!({"account": account["id"], "name": "x"})).await;
    let customer = make(&rig, "/v1/customers", json!({"account": account["id"], "name": "x"})).await;
    rig.advance(Duration::from_secs(1));
    for (kind, record) in [("contacts", contact), ("customers", customer), ("accounts", account)] {
        let path = format!("/v1/{kind}/{}", record["id"].as_str().unwrap());
        let remove = async |seen: &Value| {
            let seen = format!("\"{}\"", seen["changed_at"].as_str().unwrap());
            answer(rig.request("admin", Method::DELETE, &path).header("if-match", seen).send().await.unwrap())
                .await
        };
        let (_, changed) = rig.send("admin", Method::PATCH, &path, &json!({"kana": "x"})).await;
        let (status, refused) = remove(&record).await;
        assert_eq!((status, &refused["record"]), (StatusCode::CONFLICT, &changed), "{kind}: {refused}");
        assert_eq!(remove(&changed).await.0, StatusCode::NO_CONTENT, "{kind}");
        assert_eq!(rig.get("admin", &path).await.0, StatusCode::NOT_FOUND, "{kind}");
    }
}
