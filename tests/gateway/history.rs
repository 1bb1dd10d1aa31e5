//! Finished calls: whose somebody may read, and what a caller who is in front of her changes about it.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use toritsugi::bus::Change;
use toritsugi::call::view::{Direction, Outcome};
use toritsugi::directory::card::{AccountView, CallerView, Card, HistoryView, MatchedBy};
use toritsugi::identity::Presentation;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::store::FinishedCall;
use uuid::Uuid;

use crate::rig::{Rig, call, pbx, ringing};

const KEY: &str = "+819012345678";

fn account(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

/// A call of this number to this account that somebody else had.
fn finished(rig: &Rig, n: u32, of: u128, key: &str) -> FinishedCall {
    let at = rig.app.clock.now();
    FinishedCall {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        account: Some(account(of)),
        matched_by: MatchedBy::Dialled,
        customer: None,
        caller: Some(key.into()),
        presentation: Presentation::Allowed,
        dialled: None,
        diverted_by: None,
        offered_at: at,
        answered_at: Some(at),
        ended_at: at,
        outcome: Outcome::Answered,
        operators: vec![Extension::parse("1002").unwrap()],
        channels: Vec::new(),
        inferred: false,
        segments: Vec::new(),
    }
}

/// The call `n` of [`KEY`] to account 1 rings at 1001.
fn rings(rig: &Rig, n: u32) {
    let mut draft = ringing(n, &["1001"], json!({}), rig.app.clock.now());
    let Change::Call(view) = &mut draft.change else { panic!("a call rings") };
    let caller = CallerView { number: Some("090-1234-5678".into()), ..CallerView::default() };
    let of =
        AccountView {
            id: Some(account(1)), name: "株式会社さくら商事".into(), ..AccountView::default()
        };
    let card = Card {
        dialled: None,
        diverted_by: None,
        caller,
        account: of,
        customers: Vec::new(),
        history: HistoryView::default(),
        link: None,
    };
    Arc::make_mut(view).card = Some(Arc::new(card));
    rig.publish(draft);
}

#[tokio::test]
async fn what_came_before_is_read_by_whoever_has_the_caller_in_front_of_her() {
    let rig = Rig::start().await;
    for (n, of, key) in [(1, 1, KEY), (2, 1, KEY), (3, 1, "+81312345678"), (4, 2, KEY)] {
        rig.app.store.record_call(&finished(&rig, n, of, key)).await.unwrap();
    }
    let path = |of: u128, caller: &str| format!("/v1/history?account={}&caller={caller}", account(of));
    let count = async |who: &str, path: String| -> usize {
        let (status, page) = rig.get(who, &path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["items"].as_array().unwrap().len()
    };
    let of_account_1 = || path(1, "090-1234-5678");
    assert_eq!(count("1001", of_account_1()).await, 0, "they were her colleague's");
    assert_eq!(count("1002", of_account_1()).await, 2);
    rings(&rig, 9);
    assert_eq!(count("1001", of_account_1()).await, 2, "the caller is in front of her");
    assert_eq!(count("1001", path(1, "%2B819012345678")).await, 2, "however it is written");
    for other in
        [path(2, "09012345678"), path(1, "0312345678"), format!("/v1/history?account={}", account(1))]
    {
        assert_eq!(count("1001", other.clone()).await, 0, "{other}");
    }
    rig.end(9);
    assert_eq!(count("1001", of_account_1()).await, 0);
}

#[tokio::test]
async fn a_number_alone_says_nothing() {
    let rig = Rig::start().await;
    for query in ["caller=09012345678", "account=x", "customer=x", "account=%7B%7D&caller=1"] {
        let (status, problem) = rig.get("admin", &format!("/v1/history?{query}")).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::BAD_REQUEST, &Value::from("invalid-query")),
            "{query}"
        );
    }
}
