//! Contracts: each period of a month is judged by the figures of the same time.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall};
use toritsugi::contract::pbx::Gap;
use toritsugi::identity::Presentation;
use toritsugi::ids::RecordId;
use toritsugi::journal::JournalEntry;

use crate::support::gateway_rig::Rig;
use crate::support::ids::{call, pbx};

fn finished(n: u32, account: RecordId, offered: &str, outcome: Outcome) -> FinishedCall {
    let offered_at: Timestamp = offered.parse().unwrap();
    FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(account),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: None,
        presentation: Presentation::Withheld,
        dialled: None,
        diverted_by: None,
        offered_at,
        answered_at: (outcome == Outcome::Answered).then_some(offered_at),
        ended_at: offered_at,
        outcome,
        operators: Vec::new(),
        handled_by: None,
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    }
}

async fn set(rig: &Rig, account: RecordId, contract: Value) {
    let path = format!("/v1/accounts/{account}/contract");
    let (status, written) = rig.send("admin", Method::PUT, &path, &contract).await;
    assert_eq!(status, StatusCode::OK, "{written}");
    assert_eq!(rig.get("2001", &path).await.1, written);
}

/// The verdicts of the periods of the only contract.
async fn verdicts(rig: &Rig, month: &str) -> Vec<(String, Value)> {
    let (status, page) = rig.get("2001", &format!("/v1/contracts?month={month}")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let periods = page["items"][0]["periods"].as_array().unwrap();
    periods.iter().map(|one| (one["verdict"].as_str().unwrap().to_owned(), one["figure"].clone())).collect()
}

#[tokio::test]
async fn each_period_is_judged_by_the_figures_of_its_time() {
    let rig = Rig::start().await;
    let fields = json!({ "code": "S-1", "name": "さくら歯科" });
    let (_, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    let account = RecordId(made["id"].as_str().unwrap().parse().unwrap());
    let (answered, lost) = (Outcome::Answered, Outcome::Overflowed);
    for (n, (offered, outcome)) in (1..).zip([
        ("2025-10-01T00:00:00+09:00", answered),
        ("2025-10-01T23:59:59.999+09:00", lost),
        ("2025-10-02T00:00:00+09:00", answered),
        ("2025-10-31T23:59:59.999+09:00", answered),
        ("2025-11-01T00:00:00+09:00", lost),
    ]) {
        rig.app.store.record_call(&finished(n, account, offered, outcome)).await.unwrap();
    }
    while rig.app.store.build_stats(None).await.unwrap() > 0 {}
    set(&rig, account, json!({ "formula": "ar-open", "goal": 0.75 })).await;
    assert_eq!(verdicts(&rig, "2025-10").await, [("met".to_owned(), json!(0.75))]);
    assert_eq!(verdicts(&rig, "2025-11").await, [("missed".to_owned(), json!(0.0))]);
    assert_eq!(verdicts(&rig, "2025-09").await, [("no_calls".to_owned(), Value::Null)]);
    let (_, page) = rig.get("admin", "/v1/contracts?month=2025-10").await;
    let one = &page["items"][0];
    assert_eq!(
        (&one["periods"][0]["room"], &one["formula"]),
        (&json!(0), &json!("answered / (offered - closed - refused)"))
    );

    set(&rig, account, json!({ "formula": "AR-open", "goal": 0.75, "period": "day" })).await;
    let days = verdicts(&rig, "2025-10").await;
    let words: Vec<&str> = days.iter().map(|(verdict, _)| verdict.as_str()).collect();
    let (_, page) = rig.get("2001", "/v1/contracts?month=2025-10").await;
    assert_eq!(page["items"][0]["periods"][30]["name"], "2025-10-31");
    assert_eq!((days.len(), &words[..3], words[30]), (31, &["missed", "met", "no_calls"][..], "met"));

    // Ten hours of October are more than 1 % of it: nobody knows what happened then.
    set(&rig, account, json!({ "formula": "AR-open", "goal": 0.75 })).await;
    let gap = Gap {
        pbx: pbx(),
        from: "2025-10-10T00:00:00Z".parse().unwrap(),
        to: "2025-10-10T10:00:00Z".parse().unwrap(),
        cause: "link".into(),
        restarted: false,
    };
    rig.app.store.write_entry(&pbx(), &JournalEntry::Gap(Box::new(gap))).await.unwrap();
    assert_eq!(verdicts(&rig, "2025-10").await, [("pending".to_owned(), json!(0.75))]);
    // The present month is not over.
    let month =
        rig.app.clock.now().to_zoned(rig.app.directory.time_zone().clone()).strftime("%Y-%m").to_string();
    assert_eq!(verdicts(&rig, &month).await, [("pending".to_owned(), Value::Null)]);

    let path = format!("/v1/accounts/{account}/contract");
    for (contract, word) in [
        (json!({ "formula": "ASA", "goal": 0.9 }), "AR-open"),
        (json!({ "formula": "AR-open", "goal": 90 }), "0.9 for 90 %"),
        (json!({ "formula": "AR-open", "goal": 0.9, "within_s": 7 }), "within_s"),
    ] {
        let (status, problem) = rig.send("admin", Method::PUT, &path, &contract).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    assert_eq!(rig.get("2001", "/v1/contracts?month=10").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(
        rig.request("admin", Method::DELETE, &path).send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(rig.get("admin", &path).await.0, StatusCode::NOT_FOUND);
}
