//! Rules of alarms, and what was raised.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::ids::RecordId;

use crate::support::gateway_rig::Rig;
use crate::support::ids::pbx;

fn rule() -> Value {
    json!({ "name": "待ち呼", "metric": "waiting", "above": 3.0 })
}

#[tokio::test]
async fn rules_are_written_and_what_they_raised_is_listed() {
    let rig = Rig::start().await;
    let (status, made) = rig.send("admin", Method::POST, "/v1/alarm-rules", &rule()).await;
    assert_eq!(
        (status, &made["for_s"], &made["clear_for_s"]),
        (StatusCode::CREATED, &json!(30), &json!(60)),
        "{made}"
    );
    assert_eq!((&made["raised"], &made["by_name"]), (&json!(false), &json!("admin")));
    let id = RecordId(made["id"].as_str().unwrap().parse().unwrap());
    let path = format!("/v1/alarm-rules/{id}");
    let store = &rig.app.store;
    let at = Timestamp::from_second(1_760_000_000).unwrap();
    assert!(store.raise_alarm(id, (&pbx(), 4.0, at), &[]).await.unwrap());
    let (status, changed) = rig
        .send("admin", Method::PUT, &path, &json!({ "name": "待ち呼", "metric": "waiting", "above": 5.0 }))
        .await;
    assert_eq!((status, &changed["raised"], &changed["above"]), (StatusCode::OK, &json!(true), &json!(5.0)));
    assert_eq!(rig.get("2001", "/v1/alarm-rules").await.1, json!({ "items": [changed] }));
    let (_, alarms) = rig.get("2001", "/v1/alarms").await;
    let alarm = &alarms["items"][0];
    assert_eq!(
        (&alarm["value"], &alarm["rule"], &alarm["cleared_at"]),
        (&json!(4.0), &made["id"], &Value::Null)
    );
    assert_eq!(rig.get("2001", "/v1/alarms?before=2020-01-01T00:00:00Z").await.1, json!({ "items": [] }));
    assert_eq!(rig.get("2001", "/v1/stats/live").await.1["alarms"][0]["name"], json!("待ち呼"));
    assert_eq!(rig.get("1001", "/v1/stats/live").await.1["alarms"], json!([]));
    assert_eq!(rig.send("admin", Method::DELETE, &path, &json!({})).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get("2001", "/v1/alarms").await.1, json!({ "items": [] }));
    assert_eq!(rig.send("admin", Method::PUT, &path, &rule()).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused_with_what_to_write() {
    let rig = Rig::start().await;
    for (body, words) in [
        (json!({ "name": "x", "metric": "waiting" }), "above, below: write one of them"),
        (json!({ "name": "x", "metric": "figure", "below": 0.9 }), "formula: the metric figure needs one"),
        (json!({ "name": "x", "metric": "room", "below": 3.0 }), "account: the metric room needs"),
        (json!({ "name": "", "metric": "waiting", "above": 3.0 }), "name: 1 to 60"),
        (json!({ "name": "x", "metric": "waiting", "above": 3.0, "to": ["a\r\nBcc: b@c"] }), "to[0]: "),
        (
            json!({ "name": "x", "metric": "waiting", "above": 3.0, "account": uuid::Uuid::nil() }),
            "account: there is no such account",
        ),
    ] {
        let (status, problem) = rig.send("admin", Method::POST, "/v1/alarm-rules", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
}
