//! Many callers at once and few operators: every call is published completely, is counted once, and leaves nothing
//! behind.
use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};
use toritsugi::store::Store;
use toritsugi::store::history::HistoryFilter;

use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::{SAKURA, ms};

const CALLERS: usize = 30;

#[tokio::test]
async fn every_call_of_a_crowd_is_published_once_and_counted_as_the_far_end_counts_it() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).talks_briefly(ms(300), ms(1_000)).await;
    }
    let mut calls = Vec::new();
    for n in 0..CALLERS {
        let from = format!("0901000{n:04}");
        calls.push(lab.place_call(CallSpec::new(&from, SAKURA).gives_up_after(ms(6_000))).await);
    }
    let mut stories: HashMap<String, Vec<Value>> = HashMap::new();
    let mut ended = 0;
    while ended < CALLERS {
        let event = events.next().await.expect("an event");
        if let Some(call) = event["call"].as_str() {
            ended += usize::from(event["kind"] == "call.ended");
            stories.entry(call.to_owned()).or_default().push(event);
        }
    }

    assert_eq!(stories.len(), CALLERS);
    let mut answered = 0;
    for story in stories.values() {
        let kinds: Vec<&str> = story.iter().map(|event| event["kind"].as_str().unwrap()).collect();
        let times = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("call.offered", "call.ended"), "{kinds:?}");
        assert_eq!((times("call.offered"), times("call.ended")), (1, 1), "{kinds:?}");
        // Each pop that was opened was closed: by that operator's answer or by `call.rescinded`.
        assert_eq!(times("call.presented"), times("call.answered") + times("call.rescinded"), "{kinds:?}");
        let outcome = story[story.len() - 1]["data"]["outcome"].as_str().unwrap();
        assert!(matches!(outcome, "answered" | "abandoned"), "{outcome}");
        assert_eq!(outcome == "answered", times("call.answered") == 1, "{kinds:?}");
        answered += usize::from(outcome == "answered");
    }
    let at_the_far_end = calls.iter().filter(|call| call.is_answered()).count();
    assert_eq!(answered, at_the_far_end, "answered here and there");
    assert!(answered >= 3, "the three operators answered {answered} of {CALLERS}");

    let (_, now) = service.ask("admin", Method::GET, "/v1/calls", None).await;
    assert_eq!(now["items"], json!([]), "a call was left open");
    service.stop().await;
    let store = Store::open(&service.config.store.path).await.unwrap();
    let records = store.history(&HistoryFilter::default(), None, 200).await.unwrap();
    assert_eq!(records.len(), CALLERS, "every call is recorded once");
    let recorded = records.iter().filter(|record| record.answered_at.is_some()).count();
    assert_eq!(recorded, answered);
    store.close().await;
}
