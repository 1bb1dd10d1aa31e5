//! Operator states on a real PBX: the queue calls who is ready and nobody else, whatever happens to daemon and PBX.
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::desk::Sse;
use crate::lab::{AsteriskVersion, CallSpec, Lab, PATIENCE};
use crate::service::{Service, wait_for};
use crate::{KNOWN_CALLER, SAKURA, ms};

/// A number of the service that belongs to no account: its after-call work has the installation's length.
const SHARED: &str = "0355501000";
/// Where the queue's members are asked for between two looks.
const POLL: Duration = Duration::from_millis(50);
/// A contact who may be transferred to.
const CONTACT: &str = "09011112222";

/// Short after-call work, so that tests see it end by its time.
const SHORT: &[(&str, &str)] = &[("OPERATORS__WRAP_UP_SECONDS", "4"), ("OPERATORS__AUDIT_SECONDS", "2")];
/// Long after-call work, which only its disposition ends.
const LONG: &[(&str, &str)] = &[("OPERATORS__WRAP_UP_SECONDS", "600"), ("OPERATORS__AUDIT_SECONDS", "2")];

/// How somebody is, as `who` sees it.
async fn operator(service: &Service, who: &str, name: &str) -> Value {
    let (status, list) = service.ask(who, Method::GET, "/v1/operators", None).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let items = list["items"].as_array().unwrap();
    items.iter().find(|o| o["name"] == name).unwrap_or_else(|| panic!("{who} does not see {name}")).clone()
}

/// Sets a state as `who`, for `name`, from the version it has now.
async fn set(service: &Service, who: &str, name: &str, mut wanted: Value) -> (StatusCode, Value) {
    let present = operator(service, "admin", name).await;
    wanted["version"] = present["version"].clone();
    let path = format!("/v1/operators/{}/state", present["id"].as_str().unwrap());
    service.ask(who, Method::PUT, &path, Some(wanted)).await
}

async fn must_set(service: &Service, who: &str, name: &str, wanted: Value) -> Value {
    let (status, view) = set(service, who, name, wanted).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    view
}

async fn finish(service: &Service, who: &str, view: &Value) -> (StatusCode, Value) {
    let path = format!("/v1/operators/{}/wrap-up/finish", view["id"].as_str().unwrap());
    let body = json!({ "call": view["wrap_up"]["call"], "disposition": "message", "notes": "折り返し希望" });
    service.ask(who, Method::POST, &path, Some(body)).await
}

/// The next `operator.state` of this person in this state.
async fn until_state(events: &mut Sse, name: &str, state: &str) -> Value {
    loop {
        let event = wait_for(events, "operator.state").await;
        if event["data"]["name"] == name && event["data"]["state"] == state {
            return event["data"].clone();
        }
    }
}

/// A member of a queue as the PBX has it: why it is paused (`-`: it is not), and whether it was added.
async fn member(lab: &Lab, queue: &str, phone: &str) -> Option<(String, String)> {
    let status = lab.pbx.action(&[("Action", "QueueStatus"), ("Queue", queue)]).await;
    let device = format!("PJSIP/{phone}");
    let is_it = |e: &&crate::lab::Event| e.name() == "QueueMember" && e.has("Location", &device);
    let found = status.items.iter().find(is_it)?;
    let reason = if found.has("Paused", "1") { found.header("PausedReason").unwrap_or("") } else { "-" };
    Some((reason.to_owned(), found.header("Membership").unwrap_or("").to_owned()))
}

/// Waits until the PBX has the member so.
async fn member_is(lab: &Lab, queue: &str, phone: &str, wanted: Option<(&str, &str)>) {
    let wanted = wanted.map(|(reason, membership)| (reason.to_owned(), membership.to_owned()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let present = member(lab, queue, phone).await;
        if present == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{phone} in {queue} is {present:?} and not {wanted:?}");
        sleep(POLL).await;
    }
}

async fn pause_by_hand(lab: &Lab, phone: &str, paused: bool) {
    let paused = if paused { "true" } else { "false" };
    let device = format!("PJSIP/{phone}");
    lab.pbx
        .must(&[("Action", "QueuePause"), ("Interface", &device), ("Paused", paused), ("Reason", "by hand")])
        .await;
}

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

    // Somebody else waits, and is not offered to her before her work after the first call is over.
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
    // The disposition may still be given.
    let late = json!({ "id": seen[0]["id"], "wrap_up": { "call": seen[0]["call"] } });
    assert_eq!(finish(&service, "1001", &late).await.0, StatusCode::OK);
    // The history is written behind; what is known of the work after the first call is.
    let path = format!("/v1/operators/{}/history", seen[0]["id"].as_str().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let history = loop {
        let (status, history) = service.ask("2001", Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::OK, "{history}");
        if history["items"].as_array().unwrap().iter().filter(|i| i["state"] == "ready").count() >= 2 {
            break history;
        }
        assert!(Instant::now() < deadline, "{history}");
        sleep(POLL).await;
    };
    let seconds = history["seconds"]["wrap_up"].as_f64().unwrap();
    assert!((3.9..10.0).contains(&seconds), "{seconds} s of after-call work");
    assert_eq!(service.ask("2002", Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
    service.stop().await;
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
    // Nothing that is set skips it.
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
    let kept = store.wrap_ups(call).await.unwrap();
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
async fn what_somebody_changes_by_hand_is_put_right_and_strangers_are_left_alone() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    // A supervisor's phone is in no queue: whoever sits there is added, and removed again.
    must_set(&service, "1002", "鈴木", json!({ "state": "ready", "extension": "2002" })).await;
    member_is(&lab, "operators", "2002", Some(("-", "dynamic"))).await;
    assert_eq!(operator(&service, "admin", "鈴木").await["phone"], "registered");

    pause_by_hand(&lab, "1001", true).await;
    member_is(&lab, "operators", "1001", Some(("-", "static"))).await;
    member_is(&lab, "operators-linear", "1001", Some(("-", "static"))).await;
    lab.pbx.must(&[("Action", "QueueRemove"), ("Queue", "operators"), ("Interface", "PJSIP/2002")]).await;
    member_is(&lab, "operators", "2002", Some(("-", "dynamic"))).await;
    // 1003 never logged in: her pause is the PBX's affair.
    pause_by_hand(&lab, "1003", true).await;
    member_is(&lab, "operators", "1003", Some(("by hand", "static"))).await;

    must_set(&service, "1001", "佐藤", json!({ "state": "logged_out" })).await;
    must_set(&service, "1002", "鈴木", json!({ "state": "logged_out" })).await;
    member_is(&lab, "operators", "1001", Some(("logged_out", "static"))).await;
    member_is(&lab, "operators", "2002", None).await;
    service.stop().await;
}

#[tokio::test]
async fn whoever_never_logs_in_gets_her_calls_as_before() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    wait_for(&mut events, "call.answered").await;
    assert_eq!(operator(&service, "admin", "佐藤").await["state"], "logged_out");
    call.hang_up().await;
    wait_for(&mut events, "call.ended").await;
    member_is(&lab, "operators", "1001", Some(("-", "static"))).await;
    service.stop().await;
}

#[tokio::test]
async fn the_daemons_end_changes_nobodys_state() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, LONG).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    must_set(
        &service,
        "1002",
        "鈴木",
        json!({ "state": "not_ready", "reason": "training", "extension": "2002" }),
    )
    .await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SHARED)).await;
    until_state(&mut events, "佐藤", "talking").await;
    member_is(&lab, "operators", "1001", Some(("talking", "static"))).await;
    member_is(&lab, "operators", "2002", Some(("training", "dynamic"))).await;
    service.stop().await;
    // While nobody looks the call ends, and somebody is busy by hand.
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
async fn a_daemon_that_comes_back_tells_nothing_of_operators_who_are_as_they_were() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, LONG).await;
    let mut events = service.follow("admin", None).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "training" })).await;
    until_state(&mut events, "佐藤", "not_ready").await;
    // The PBX has said of every phone whether it is there, and the stream says so.
    let deadline = Instant::now() + PATIENCE;
    for name in ["佐藤", "鈴木", "高橋", "伊藤", "渡辺"] {
        while operator(&service, "admin", name).await["phone"] == "unknown" {
            assert!(Instant::now() < deadline, "nothing is known of the phone of {name}");
            sleep(POLL).await;
        }
    }
    let (_, before) = service.ask("admin", Method::GET, "/v1/operators", None).await;
    let last = events_until_call(&lab, &mut events).await.pop().unwrap();
    for _ in 0..2 {
        service.stop().await;
        service.again().await;
        let mut events = service.follow("admin", last["id"].as_str()).await;
        assert_eq!(events.next().await.unwrap()["kind"], "stream.resumed");
        let told = events_until_call(&lab, &mut events).await;
        let of_operators: Vec<_> = told.iter().filter(|event| event["kind"] == "operator.state").collect();
        assert!(of_operators.is_empty(), "{of_operators:?}");
        // Whoever begins anew knows the same.
        let (_, after) = service.ask("admin", Method::GET, "/v1/operators", None).await;
        assert_eq!(after, before);
    }
    service.stop().await;
}

/// What is told until a call comes, which then is over.
async fn events_until_call(lab: &Lab, events: &mut Sse) -> Vec<Value> {
    // It rings at people who have not logged in: their states are not kept.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SHARED)).await;
    let mut told = Vec::new();
    while told.last().is_none_or(|event: &Value| event["kind"] != "call.offered") {
        told.push(events.next().await.expect("the stream goes on"));
    }
    call.hang_up().await;
    while told.last().is_none_or(|event| event["kind"] != "call.ended") {
        told.push(events.next().await.expect("the stream goes on"));
    }
    told
}

#[tokio::test]
async fn a_pbx_that_is_started_anew_gets_its_members_again() {
    let mut lab = Lab::start_own(AsteriskVersion::Current).await;
    let mut service = Service::start_with(&lab, LONG).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "break" })).await;
    must_set(&service, "1002", "鈴木", json!({ "state": "ready", "extension": "2002" })).await;
    member_is(&lab, "operators", "2002", Some(("-", "dynamic"))).await;
    lab.kill_pbx().await;
    // A state that is set while the PBX is away is the daemon's own, and holds.
    must_set(&service, "1002", "鈴木", json!({ "state": "not_ready", "reason": "meal" })).await;
    lab.revive_pbx().await;
    member_is(&lab, "operators", "2002", Some(("meal", "dynamic"))).await;
    member_is(&lab, "operators", "1001", Some(("break", "static"))).await;
    service.stop().await;
}

#[tokio::test]
async fn who_passed_a_caller_on_gets_her_back_before_anybody_else_and_then_works_on_her() {
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
    // Her paperwork is done at once; the caller may still come back.
    let (status, view) = finish(&service, "1001", &view).await;
    assert_eq!(
        (status, &view["state"], &view["call"]),
        (StatusCode::OK, &json!("reserved"), &talking["call"])
    );
    member_is(&lab, "operators", "1001", Some(("reserved", "static"))).await;
    lab.place_call(CallSpec::new("09087654321", SHARED)).await;
    // The contact does not answer: the same caller is back, and the other one still waits.
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

#[tokio::test]
async fn two_desktops_of_one_person_tell_each_other() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let mut one = service.follow("1001", None).await;
    let mut two = service.follow("1001", None).await;
    loop {
        let view = wait_for(&mut two, "operator.state").await;
        if view["data"]["desktops"] == 2 {
            break;
        }
    }
    must_set(&service, "1001", "佐藤", json!({ "state": "ready", "desktop": "left" })).await;
    let (_, session) = service.ask("1001", Method::GET, "/v1/session", None).await;
    for events in [&mut one, &mut two] {
        let view = until_state(events, "佐藤", "ready").await;
        assert_eq!((&view["by"]["desktop"], &view["by"]["session"]), (&json!("left"), &session["session"]));
        assert_eq!(view["desktops"], 2);
    }
    // What the other desktop still shows is refused with what is so now.
    let id = session["user"].as_str().unwrap();
    let stale = json!({ "state": "logged_out", "version": 0 });
    let (status, problem) =
        service.ask("1001", Method::PUT, &format!("/v1/operators/{id}/state"), Some(stale)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("state-changed")));
    assert_eq!(problem["current"]["state"], "ready");
    drop(one);
    loop {
        let view = wait_for(&mut two, "operator.state").await;
        if view["data"]["desktops"] == 1 {
            break;
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_supervisor_sets_her_teams_states_and_they_see_by_whom() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    let mut events = service.follow("1001", None).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    must_set(&service, "2001", "佐藤", json!({ "state": "not_ready", "reason": "training" })).await;
    let view = until_state(&mut events, "佐藤", "not_ready").await;
    assert_eq!((&view["by"]["name"], &view["by"]["actor"]), (&json!("伊藤"), &json!("person")));
    member_is(&lab, "operators", "1001", Some(("training", "static"))).await;
    // Another team's supervisor and a colleague do not even see her.
    for who in ["2002", "1003"] {
        let (status, problem) = set(&service, who, "佐藤", json!({ "state": "ready" })).await;
        assert_eq!((status, &problem["type"]), (StatusCode::NOT_FOUND, &json!("unknown-operator")), "{who}");
    }
    let (status, _) = set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "昼寝" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, problem) =
        set(&service, "1002", "鈴木", json!({ "state": "ready", "extension": "1001" })).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("state-conflict")));
    let (_, options) = service.ask("1001", Method::GET, "/v1/operators/options", None).await;
    assert_eq!(options["not_ready_reasons"][0], json!({ "code": "break", "label": "休憩" }));
    let seat = options["seats"].as_array().unwrap().iter().find(|s| s["extension"] == "1001").unwrap();
    assert_eq!(seat["taken"], true);
    service.stop().await;
}
