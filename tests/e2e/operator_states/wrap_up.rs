//! Wrap-up after a call: its length, its disposition, and the caller who comes back.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{CONTACT, LONG, SHARED, SHORT, finish, member_is, must_set, until_state};
use crate::support::client::Sse;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

#[tokio::test]
async fn the_queue_rings_only_who_is_ready_and_the_next_call_waits_for_the_work_after_this_one() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let mut events = service.follow("admin", None).await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    for name in ["鈴木", "高橋"] {
        must_set(&service, "admin", name, json!({ "state": "not_ready", "reason": "break" })).await;
    }
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    member_is(&lab, "operators", "1001", Some(("-", "static"))).await;
    for phone in ["1002", "1003"] {
        member_is(&lab, "operators", phone, Some(("break", "static"))).await;
    }

    let first = lab.place_call(CallSpec::new(KNOWN_CALLER, SHARED)).await;
    until_state(&mut events, "佐藤", "reserved").await;
    lab.phone("1001").answers().await;
    until_state(&mut events, "佐藤", "talking").await;
    member_is(&lab, "operators", "1001", Some(("talking", "static"))).await;
    assert_eq!((lab.phone("1002").times_rung(), lab.phone("1003").times_rung()), (0, 0));

    // Another caller waits, and does not ring at the operator before the wrap-up of the first call is over.
    lab.place_call(CallSpec::new("09087654321", SHARED)).await;
    wait_for(&mut events, "call.offered").await;
    first.hang_up().await;
    let mut seen = Vec::new();
    let presented = loop {
        let event = events.next().await.expect("an event");
        if event["kind"] == "operator.state" && event["data"]["name"] == "佐藤" {
            seen.push(event["data"].clone());
        }
        if event["kind"] == "call.presented" {
            break event;
        }
    };
    assert_eq!(presented["data"]["operator"], "1001");
    let states: Vec<_> = seen.iter().map(|view| view["state"].as_str().unwrap()).collect();
    assert_eq!(states[..2], ["wrap_up", "ready"], "{states:?}");
    assert_eq!((&seen[1]["by"]["actor"], &seen[1]["undisposed"]), (&json!("clock"), &seen[0]["call"]));
    notes_and_disposition_may_still_be_set(&service, &mut events, &seen[0]).await;
    // The history is written after the events; wait until it has the wrap-up of the first call.
    let path = format!("/v1/operators/{}/history", seen[0]["id"].as_str().unwrap());
    let history = eventually("the history has both times of being ready", async || {
        let (status, history) = service.ask("2001", Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::OK, "{history}");
        let is_ready = |item: &&Value| item["state"] == "ready";
        let count = history["items"].as_array().unwrap().iter().filter(is_ready).count();
        if count >= 2 { Ok(history) } else { Err(history.to_string()) }
    })
    .await;
    let seconds = history["seconds"]["wrap_up"].as_f64().unwrap();
    assert!((3.9..10.0).contains(&seconds), "{seconds} s of after-call work");
    assert_eq!(service.ask("2002", Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
    service.stop().await;
}

/// Each is published, and read with the call. `expired`: the state during the work whose time has ended.
async fn notes_and_disposition_may_still_be_set(service: &Service, events: &mut Sse, expired: &Value) {
    let (id, call) = (expired["id"].as_str().unwrap(), &expired["call"]);
    let notes = json!({ "call": call, "notes": "納期は12月3日\n折り返し希望" });
    let path = format!("/v1/operators/{id}/wrap-up/notes");
    assert_eq!(service.ask("1002", Method::POST, &path, Some(notes.clone())).await.0, StatusCode::NOT_FOUND);
    let (status, view) = service.ask("1001", Method::POST, &path, Some(notes)).await;
    assert_eq!((status, &view["undisposed_work"][0]["call"]), (StatusCode::OK, call));
    let event = wait_for(events, "call.disposed").await;
    assert_eq!((&event["call"], &event["data"]["operator"]), (call, &json!("1001")));
    assert_eq!(event["data"]["notes"], "納期は12月3日\n折り返し希望");
    assert!(event["data"].get("disposition").is_none(), "{event}");
    let late = json!({ "id": id, "wrap_up": { "call": call } });
    assert_eq!(finish(service, "1001", &late).await.0, StatusCode::OK);
    let event = wait_for(events, "call.disposed").await;
    assert_eq!((&event["data"]["disposition"], &event["data"]["name"]), (&json!("message"), &json!("佐藤")));
    let state = wait_for(events, "operator.state").await;
    assert!(state["data"].get("undisposed_work").is_none(), "after the event of the disposition: {state}");
    let path = format!("/v1/history/{}", call.as_str().unwrap());
    eventually("the history has what was recorded", async || {
        let (_, record) = service.ask("1001", Method::GET, &path, None).await;
        let one = &record["wrap_ups"][0];
        let recorded = (&one["name"], &one["disposition"], &one["notes"]);
        let wanted = (&json!("佐藤"), &json!("message"), &json!("折り返し希望"));
        if recorded == wanted { Ok(()) } else { Err(record.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn an_accounts_own_length_holds_and_the_work_ends_with_a_disposition() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let mut events = service.follow("1001", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    until_state(&mut events, "佐藤", "talking").await;
    call.hang_up().await;
    let view = until_state(&mut events, "佐藤", "wrap_up").await;
    assert_eq!(
        (&view["wrap_up"]["planned_s"], &view["wrap_up"]["account_name"]),
        (&json!(30), &json!("株式会社さくら商事"))
    );
    // No requested state skips the wrap-up.
    let pending = must_set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "meal" })).await;
    assert_eq!((&pending["state"], &pending["pending"]["state"]), (&json!("wrap_up"), &json!("not_ready")));
    let path = format!("/v1/operators/{}/wrap-up/extend", view["id"].as_str().unwrap());
    let more = |reason: &str| json!({ "call": view["call"], "seconds": 60, "reason": reason });
    assert_eq!(
        service.ask("1001", Method::POST, &path, Some(more(""))).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let (status, longer) = service.ask("1001", Method::POST, &path, Some(more("議事録"))).await;
    assert_eq!((status, &longer["wrap_up"]["extensions"][0]["reason"]), (StatusCode::OK, &json!("議事録")));
    let (status, after) = finish(&service, "1001", &longer).await;
    assert_eq!(
        (status, &after["state"], &after["reason"]),
        (StatusCode::OK, &json!("not_ready"), &json!("meal"))
    );
    member_is(&lab, "operators", "1001", Some(("meal", "static"))).await;
    service.stop().await;

    let store = toritsugi::store::Store::open(&service.config.store.path).await.unwrap();
    let call = toritsugi::ids::CallId::parse(view["call"].as_str().unwrap()).unwrap();
    let kept = store.wrap_ups(&[call]).await.unwrap();
    assert_eq!(kept.len(), 1);
    let finished = &kept[0].finished;
    assert_eq!(
        (finished.disposition.as_deref(), finished.notes.as_deref()),
        (Some("message"), Some("折り返し希望"))
    );
    assert_eq!(finished.work.extensions[0].seconds, 60);
    store.close().await;
}

#[tokio::test]
async fn an_operator_who_transferred_a_caller_gets_the_caller_back_first_and_then_has_wrap_up() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, LONG).await;
    let mut events = service.follow("1001", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    for name in ["鈴木", "高橋"] {
        must_set(&service, "admin", name, json!({ "state": "not_ready", "reason": "break" })).await;
    }
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    let caller = lab.place_call(CallSpec::new(KNOWN_CALLER, SHARED)).await;
    let talking = until_state(&mut events, "佐藤", "talking").await;
    lab.phone("1001").talks().await;
    lab.phone(CONTACT).rings_for_ever().await;
    let path = format!("/v1/calls/{}/transfers", talking["call"].as_str().unwrap());
    let (status, transfer) =
        service.ask("1001", Method::POST, &path, Some(json!({ "mode": "blind", "to": CONTACT }))).await;
    assert_eq!(status, StatusCode::CREATED, "{transfer}");
    let view = until_state(&mut events, "佐藤", "wrap_up").await;
    // The operator finishes the wrap-up at once; the caller may still come back.
    let (status, view) = finish(&service, "1001", &view).await;
    assert_eq!(
        (status, &view["state"], &view["call"]),
        (StatusCode::OK, &json!("reserved"), &talking["call"])
    );
    member_is(&lab, "operators", "1001", Some(("reserved", "static"))).await;
    lab.place_call(CallSpec::new("09087654321", SHARED)).await;
    // The contact does not answer: the same caller comes back, and the other caller still waits.
    let back = until_state(&mut events, "佐藤", "talking").await;
    assert_eq!(back["call"], talking["call"]);
    caller.hang_up().await;
    let again = until_state(&mut events, "佐藤", "wrap_up").await;
    assert_eq!(again["call"], talking["call"]);
    finish(&service, "1001", &again).await;
    let other = until_state(&mut events, "佐藤", "talking").await;
    assert_ne!(other["call"], talking["call"]);
    service.stop().await;
}
