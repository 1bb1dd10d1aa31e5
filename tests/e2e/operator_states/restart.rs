//! Operator states over a restart of the daemon.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::members::pause_by_hand;
use super::{LONG, SHARED, finish, member_is, must_set, operator, until_state};
use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, ms};

#[tokio::test]
async fn the_daemons_end_changes_nobodys_state() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, LONG).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    must_set(
        &service,
        "admin",
        "鈴木",
        json!({ "state": "not_ready", "reason": "training", "extension": "2002" }),
    )
    .await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SHARED)).await;
    until_state(&mut events, "佐藤", "talking").await;
    member_is(&lab, "operators", "1001", Some(("talking", "static"))).await;
    member_is(&lab, "operators", "2002", Some(("training", "dynamic"))).await;
    service.stop().await;
    // While no daemon runs, the call ends and a member is paused by hand.
    call.hang_up().await;
    pause_by_hand(&lab, "2002", false).await;
    service.again().await;

    let mut events = service.follow("admin", None).await;
    let first = events.next().await.unwrap();
    let known = first["data"]["operators"].as_array().unwrap();
    let wraps_up = known.iter().find(|o| o["name"] == "佐藤").is_some_and(|o| o["state"] == "wrap_up");
    let view = if wraps_up {
        operator(&service, "admin", "佐藤").await
    } else {
        until_state(&mut events, "佐藤", "wrap_up").await
    };
    assert_eq!(view["extension"], "1001");
    member_is(&lab, "operators", "1001", Some(("wrap_up", "static"))).await;
    member_is(&lab, "operators", "2002", Some(("training", "dynamic"))).await;
    let other = operator(&service, "admin", "鈴木").await;
    assert_eq!(
        (&other["state"], &other["reason"], &other["extension"]),
        (&json!("not_ready"), &json!("training"), &json!("2002"))
    );
    assert_eq!(finish(&service, "1001", &view).await.0, StatusCode::OK);
    member_is(&lab, "operators", "1001", Some(("-", "static"))).await;
    service.stop().await;
}

#[tokio::test]
async fn a_restarted_daemon_publishes_nothing_of_operators_whose_state_is_unchanged() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, LONG).await;
    let mut events = service.follow("admin", None).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "training" })).await;
    until_state(&mut events, "佐藤", "not_ready").await;
    // Wait until the state of every phone is known and published.
    for name in ["佐藤", "鈴木", "高橋", "伊藤", "渡辺"] {
        eventually(&format!("the state of the phone of {name} is known"), async || {
            let person = operator(&service, "admin", name).await;
            if person["phone"] == "unknown" { Err(person.to_string()) } else { Ok(()) }
        })
        .await;
    }
    let (_, before) = service.ask("admin", Method::GET, "/v1/operators", None).await;
    let last = events_until_call(&lab, &mut events).await.pop().unwrap();
    for _ in 0..2 {
        service.stop().await;
        service.again().await;
        let mut events = service.follow("admin", last["id"].as_str()).await;
        assert_eq!(events.next().await.unwrap()["kind"], "stream.resumed");
        let received = events_until_call(&lab, &mut events).await;
        let of_operators: Vec<_> =
            received.iter().filter(|event| event["kind"] == "operator.state").collect();
        assert!(of_operators.is_empty(), "{of_operators:?}");
        // A new snapshot shows the same.
        let (_, after) = service.ask("admin", Method::GET, "/v1/operators", None).await;
        assert_eq!(after, before);
    }
    service.stop().await;
}

/// The events until a call, placed here, has ended.
async fn events_until_call(lab: &Lab, events: &mut Sse) -> Vec<Value> {
    // It rings at people who have not logged in: they have no state.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SHARED)).await;
    let mut received = Vec::new();
    while received.last().is_none_or(|event: &Value| event["kind"] != "call.offered") {
        received.push(events.next().await.expect("the stream goes on"));
    }
    call.hang_up().await;
    while received.last().is_none_or(|event| event["kind"] != "call.ended") {
        received.push(events.next().await.expect("the stream goes on"));
    }
    received
}
