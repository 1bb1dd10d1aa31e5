//! The audit trail over HTTP: who reads which part of it, in which order, and that it cannot be changed.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::store::AuditEntry;

use crate::support::gateway_rig::Rig;
use crate::support::ids::call;

const PATH: &str = "/v1/audit";

/// Entries one minute apart, as `who action subject`; the first is of call 1.
async fn fill(rig: &Rig, entries: &[(&str, &str, &str)]) {
    for (n, (who, action, subject)) in (0_i64..).zip(entries) {
        let entry = AuditEntry {
            at: Timestamp::from_second(1_700_000_000 + 60 * n).unwrap(),
            actor: Some(rig.user(who)),
            actor_name: (*who).to_owned(),
            action: (*action).to_owned(),
            subject: (*subject).to_owned(),
            call: (n == 0).then(|| call(1)),
            details: json!({ "mode": "listen" }),
        };
        rig.app.store.record_audit(&entry).await.unwrap();
    }
}

/// `who subject` of each entry.
async fn seen(rig: &Rig, who: &str, query: &str) -> Vec<String> {
    let (status, page) = rig.get(who, &format!("{PATH}{query}")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let entries = page["items"].as_array().unwrap();
    entries.iter().map(|e| format!("{} {}", e["actor_name"], e["subject"]).replace('"', "")).collect()
}

#[tokio::test]
async fn each_reads_what_concerns_them() {
    let rig = Rig::start().await;
    fill(
        &rig,
        &[
            ("2001", "supervision.started", "1001"),
            ("2002", "supervision.refused", "1001"),
            ("2002", "supervision.started", "1002"),
            ("admin", "user.revoked", "1001"),
        ],
    )
    .await;
    assert_eq!(seen(&rig, "admin", "").await, ["admin 1001", "2002 1002", "2002 1001", "2001 1001"]);
    // A supervisor reads the supervision of the own team and the own attempts, whomever they concern; nothing else.
    assert_eq!(seen(&rig, "2001", "").await, ["2002 1001", "2001 1001"]);
    assert_eq!(seen(&rig, "2002", "").await, ["2002 1002", "2002 1001"]);
    for who in ["1001", "crm"] {
        let (status, problem) = rig.get(who, PATH).await;
        assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("not-permitted")), "{who}");
    }
}

#[tokio::test]
async fn it_is_filtered_and_read_by_page() {
    let rig = Rig::start().await;
    fill(
        &rig,
        &[
            ("2001", "supervision.started", "1001"),
            ("2001", "supervision.stopped", "1001"),
            ("2002", "supervision.started", "1002"),
        ],
    )
    .await;
    let id = rig.user("2001").to_string();
    for (query, expected) in [
        (format!("?call={}", call(1)), vec!["2001 1001"]),
        ("?person=2001".into(), vec!["2001 1001", "2001 1001"]),
        (format!("?person={id}&action=supervision.stopped"), vec!["2001 1001"]),
        ("?person=1002".into(), vec!["2002 1002"]),
        ("?person=nobody".into(), vec![]),
        ("?from=2023-11-14T22:14:20Z&to=2023-11-14T22:15:20Z".into(), vec!["2001 1001"]),
    ] {
        assert_eq!(seen(&rig, "admin", &query).await, expected, "{query}");
    }
    let (_, first) = rig.get("admin", &format!("{PATH}?limit=2")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(first["items"][0]["at"], "2023-11-14T22:15:20.000Z");
    let (_, last) = rig.get("admin", &format!("{PATH}?limit=2&cursor={}", first["next"])).await;
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (1, &Value::Null));
    for query in ["?limit=0", "?limit=501", "?cursor=x", "?from=yesterday", "?call=1", "?persn=2001"] {
        let (status, problem) = rig.get("admin", &format!("{PATH}{query}")).await;
        assert_eq!((status, &problem["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-query")), "{query}");
    }
}

#[tokio::test]
async fn nobody_changes_it() {
    let rig = Rig::start().await;
    fill(&rig, &[("2001", "supervision.started", "1001")]).await;
    for path in [PATH.to_owned(), format!("{PATH}/1")] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let (status, _) = rig.send("admin", method.clone(), &path, &json!({})).await;
            let refused = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND];
            assert!(refused.contains(&status), "{method} {path}: {status}");
        }
    }
    assert_eq!(seen(&rig, "admin", "").await, ["2001 1001"]);
}
