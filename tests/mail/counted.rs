//! The daemon is killed at any moment while it counts figures and closes bills: nothing is counted twice, nothing is left out,
//! and a bill is closed once.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::history::{CallSource, FinishedCall, Segment};
use toritsugi::identity::Presentation;
use toritsugi::ids::{CallId, ChannelId, Extension, PbxId, RecordId};
use toritsugi::store::Store;
use uuid::Uuid;

use super::house::House;
use crate::support::wait::{TEST_TIMEOUT, eventually_within};

const ACCOUNTS: usize = 6;
const CALLS: u32 = 600;
const KILLS: usize = 6;

/// A call in November 2025: each in another quarter of an hour, so that there is much to count.
fn call(n: u32, accounts: &[RecordId]) -> FinishedCall {
    let pbx = PbxId::parse("pbx").unwrap();
    let begin: Timestamp = "2025-11-02T00:00:00+09:00".parse().unwrap();
    let at = |ms: i64| {
        Timestamp::from_millisecond(begin.as_millisecond() + i64::from(n) * 3_600_000 + ms).unwrap()
    };
    let operator = Extension::parse("1001").unwrap();
    FinishedCall {
        id: CallId::derive(&pbx, &ChannelId::parse(&format!("{n}.1")).unwrap()),
        pbx,
        direction: Direction::Inbound,
        account: Some(accounts[n as usize % accounts.len()]),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some(format!("+819000{n:06}").into()),
        presentation: Presentation::Allowed,
        dialled: None,
        diverted_by: None,
        offered_at: at(0),
        answered_at: Some(at(4_000)),
        ended_at: at(34_000),
        outcome: Outcome::Answered,
        operators: vec![operator.clone()],
        handled_by: None,
        channels: Vec::new(),
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: vec![Segment {
            kind: "talking".into(),
            operator: Some(operator),
            target: None,
            from: at(4_000),
            until: Some(at(34_000)),
            result: None,
        }],
    }
}

async fn offered(house: &House) -> Value {
    house.get("/v1/stats?by=month&from=2025-11-01&to=2025-12-01").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_figures_are_counted_once_and_bills_closed_once() {
    let mut house = House::start(&[]).await;
    let mut accounts = Vec::new();
    for n in 0..ACCOUNTS {
        let fields = json!({"code": format!("K{n}"), "name": format!("株式会社第{n}")});
        let made = house.ask("admin", Method::POST, "/v1/accounts", fields).await;
        let account = made["id"].as_str().unwrap().to_owned();
        let plan =
            json!({"name": "標準", "base_yen": 3000, "include": 10, "extra": [{"from": 11, "yen": 100}]});
        house.ask("admin", Method::PUT, &format!("/v1/accounts/{account}/billing-plan"), plan).await;
        accounts.push(RecordId(Uuid::try_parse(&account).unwrap()));
    }
    house.kill().await;
    let mut recorded = 0;
    for kill in 0..KILLS {
        // A hundred calls are recorded, and the daemon is killed while it counts them and closes a bill.
        let store = Store::open(&house.directory.path().join("toritsugi.db")).await.unwrap();
        for _ in 0..CALLS / u32::try_from(KILLS).unwrap() {
            store.record_call(&call(recorded, &accounts)).await.unwrap();
            recorded += 1;
        }
        store.close().await;
        house.revive().await;
        let mut random = [0; 1];
        getrandom::fill(&mut random).unwrap();
        let delay = Duration::from_millis(u64::from(random[0]) * 6);
        if kill + 1 == KILLS {
            let path = format!("/v1/accounts/{}/bills/2025-11/close", accounts[0]);
            let (no_body, no_answer) = (json!({}), tokio::time::sleep(delay));
            let closing = house.try_ask("admin", Method::POST, &path, &no_body);
            tokio::select! {
                _ = closing => {}
                () = no_answer => {}
            }
        } else {
            tokio::time::sleep(delay).await;
        }
        house.kill().await;
    }
    house.revive().await;
    let all = eventually_within(TEST_TIMEOUT * 2, "all is counted", async || {
        let figures = offered(&house).await;
        if figures["pending"] == 0 { Ok(figures) } else { Err(figures["pending"].to_string()) }
    })
    .await;
    assert_eq!(all["total"]["counters"]["offered"], json!(CALLS), "{all}");
    let check = house.command().args(["stats", "check"]).output().await.unwrap();
    let text = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success() && text.contains("0 differ; 0 wait"), "{text}");
    // The bill whose closing was interrupted is closed as a whole or not at all, and closing it again changes nothing.
    for account in &accounts {
        let path = format!("/v1/accounts/{account}/bills/2025-11");
        let closed = house.ask("admin", Method::POST, &format!("{path}/close"), json!({})).await;
        assert_eq!(
            (&closed["counts"]["counted"], &closed["yen"]),
            (&json!(100), &json!(3_000 + 90 * 100)),
            "{closed}"
        );
        house.kill().await;
        house.revive().await;
        assert_eq!(house.ask("admin", Method::GET, &path, Value::Null).await, closed);
        assert_eq!(house.ask("admin", Method::POST, &format!("{path}/close"), json!({})).await, closed);
    }
}
