//! What a person must see to: counts of messages and open phone tasks, over HTTP and in the snapshots of event streams.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::store::mail_servers::MAIL_SERVER;

use super::messages::{MESSAGES, Service};
use crate::support::gateway_rig::Options;

const ATTENTION: &str = "/v1/messages/attention";

impl Service {
    /// Saves a message of the account.
    async fn save(&self, fields: Value) -> Value {
        let mut message = json!({"account": self.account, "text": "x"});
        for (key, value) in fields.as_object().unwrap() {
            message[key] = value.clone();
        }
        let (status, saved) = self.rig.send("1001", Method::POST, MESSAGES, &message).await;
        assert_eq!(status, StatusCode::CREATED, "{saved}");
        saved
    }

    async fn snapshot(&self, who: &str) -> Value {
        let first = self.rig.follow(who, None).await.next().await.unwrap();
        assert_eq!(first["kind"], "stream.snapshot");
        first["data"].clone()
    }
}

#[tokio::test]
async fn a_snapshot_says_what_must_be_seen_to_and_which_calls_are_to_be_made() {
    let service = Service::with(Options::default()).await;
    service.rig.app.store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    let nothing = json!({"failed": 0, "unrouted": 0, "unanswered": 0, "complaints": 0});
    let before = service.snapshot("2001").await;
    assert_eq!((&before["messages"], &before["tasks"]), (&nothing, &json!([])));
    // The account has nobody with an address.
    let lost = service.save(json!({"mark": "complaint"})).await;
    assert_eq!(lost["delivery"]["reason"], "no_contact", "{lost}");
    assert!(lost["delivery"]["plan"].as_str().unwrap().starts_with("送信先がありません"), "{lost}");
    // One that is held, and a test, wait for nobody.
    service.save(json!({"hold_until": "2026-01-05T09:00:00Z"})).await;
    let test = json!({"account": service.account, "text": "x", "kind": "test"});
    assert_eq!(service.rig.send("admin", Method::POST, MESSAGES, &test).await.0, StatusCode::CREATED);
    let task = json!({"message": lost["id"], "number": "03-5550-1001"});
    let (status, task) = service.rig.send("2001", Method::POST, "/v1/tasks", &task).await;
    assert_eq!(status, StatusCode::CREATED, "{task}");

    let counts = json!({"failed": 0, "unrouted": 1, "unanswered": 0, "complaints": 1});
    for who in ["1001", "2001", "admin"] {
        let now = service.snapshot(who).await;
        assert_eq!((&now["messages"], &now["tasks"][0]), (&counts, &task), "{who}");
        let (_, asked) = service.rig.send(who, Method::GET, ATTENTION, &Value::Null).await;
        assert_eq!(asked, counts, "{who}");
    }
    let list = async |query: &str| {
        let path = format!("{MESSAGES}?{query}");
        let (status, page) = service.rig.send("2001", Method::GET, &path, &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["items"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list("delivery=none&mark=complaint").await, [lost["id"].clone()]);
    assert_eq!(list("delivery=sent").await, Vec::<Value>::new());
    assert_eq!(list("unanswered=true").await, Vec::<Value>::new());

    let path = format!("{MESSAGES}/{}", lost["id"].as_str().unwrap());
    let (status, _) = service.rig.send("1001", Method::PATCH, &path, &json!({"state": "acknowledged"})).await;
    assert_eq!(status, StatusCode::OK);
    let after = service.snapshot("2001").await;
    assert_eq!((&after["messages"], &after["tasks"]), (&nothing, &json!([])));
}
