//! Supervision by sound: who hears whom in which tenth of a second, and what the API, the events and the audit
//! trail say of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::store::{AuditEntry, Store};

use crate::desk::Sse;
use crate::lab::{CallSpec, Lab, PATIENCE, PlacedCall, Recording, Tone, is_unbroken};
use crate::service::{Service, wait_for};
use crate::{KNOWN_CALLER, SAKURA, ms};

const WINDOW: Duration = Duration::from_millis(100);
/// What a change may take on the way to an ear before its tenth of a second counts: jitter buffers, the event.
const SETTLE: Duration = Duration::from_millis(300);

/// One service, and the administrator's view of what happens.
struct Scene<'a> {
    lab: &'a Lab,
    service: Service,
    events: Sse,
}

impl<'a> Scene<'a> {
    async fn open(lab: &'a Lab) -> Scene<'a> {
        let service = Service::start(lab).await;
        let events = service.follow("admin", None).await;
        Scene { lab, service, events }
    }

    async fn saw(&mut self, kind: &str) -> Value {
        wait_for(&mut self.events, kind).await
    }

    /// A caller talks with this operator; returns the call as the carrier and as the service know it.
    async fn talks(&mut self, operator: &str, from: &str) -> (PlacedCall<'a>, String) {
        for phone in ["1001", "1002", "1003"] {
            self.lab.phone(phone).rings_for_ever().await;
        }
        self.lab.phone(operator).answers_after(ms(100)).await;
        let call = self.lab.place_call(CallSpec::new(from, SAKURA)).await;
        let answered = self.saw("call.answered").await;
        assert_eq!(answered["data"]["operator"], operator);
        (call, answered["call"].as_str().unwrap().to_owned())
    }

    async fn supervise(&self, who: &str, body: Value) -> (StatusCode, Value) {
        self.service.ask(who, Method::POST, "/v1/supervisions", Some(body)).await
    }

    /// Begins, and returns once the supervisor hears.
    async fn hears(&mut self, who: &str, body: Value) -> Value {
        let (status, view) = self.supervise(who, body).await;
        assert_eq!(status, StatusCode::CREATED, "{view}");
        loop {
            let event = self.events.next().await.expect("the stream goes on");
            let kind = event["kind"].as_str().unwrap();
            assert_ne!(kind, "supervision.stopped", "{event}");
            if kind.starts_with("supervision.")
                && event["data"]["id"] == view["id"]
                && event["data"]["state"] == "live"
            {
                return event["data"].clone();
            }
        }
    }

    /// Switches; returns when it was asked for and when it was proven.
    async fn switches(&mut self, who: &str, id: &Value, mode: &str) -> (SystemTime, SystemTime) {
        let asked = SystemTime::now();
        let path = format!("/v1/supervisions/{}", id.as_str().unwrap());
        let (status, view) = self.service.ask(who, Method::PATCH, &path, Some(json!({ "mode": mode }))).await;
        assert_eq!(status, StatusCode::OK, "{view}");
        loop {
            let event = self.saw("supervision.switched").await;
            if (&event["data"]["mode"], &event["data"]["state"]) == (&json!(mode), &json!("live")) {
                break;
            }
        }
        (asked, SystemTime::now())
    }

    async fn stops(&mut self, who: &str, id: &Value) -> Value {
        let path = format!("/v1/supervisions/{}", id.as_str().unwrap());
        let (status, answer) = self.service.ask(who, Method::DELETE, &path, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
        self.saw("supervision.stopped").await
    }

    /// The audit trail, oldest first, once it has an entry of `action`.
    async fn audited(&self, action: &str) -> Vec<AuditEntry> {
        self.audited_times(action, 1).await
    }

    /// The audit trail once it has so many entries of `action`: it is written behind what operators wait for.
    async fn audited_times(&self, action: &str, times: usize) -> Vec<AuditEntry> {
        let store = Store::open(&self.service.config.store.path).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut entries = store.audit("", 500).await.unwrap();
            entries.reverse();
            if entries.iter().filter(|entry| entry.action == action).count() >= times {
                store.close().await;
                return entries;
            }
            assert!(Instant::now() < deadline, "no {action} in {entries:?}");
            tokio::time::sleep(ms(20)).await;
        }
    }
}

/// The tones of each tenth of a second between two instants.
fn between(recording: &Recording, from: SystemTime, to: SystemTime) -> Vec<BTreeSet<Tone>> {
    let windows = recording.windows(WINDOW);
    let at = |index: usize| recording.started + WINDOW * u32::try_from(index).unwrap();
    let inside = windows.into_iter().enumerate().filter(|(i, _)| at(*i) >= from && at(*i) + WINDOW <= to);
    inside.map(|(_, tones)| tones).collect()
}

#[track_caller]
fn always(recording: &Recording, tone: Tone, from: SystemTime, to: SystemTime) {
    // A recording's clock and the machine's may differ by a window or two at both ends.
    let heard = between(recording, from + SETTLE, to - SETTLE);
    assert!(heard.len() >= 5, "too little was recorded: {}", heard.len());
    let sounds = heard.iter().map(|tones| tones.contains(&tone));
    assert!(is_unbroken(sounds), "{tone:?} is missing in {heard:?}");
}

#[track_caller]
fn never(recording: &Recording, tone: Tone, from: SystemTime, to: SystemTime) {
    let heard = between(recording, from, to);
    assert!(heard.len() >= 5, "too little was recorded: {}", heard.len());
    assert!(heard.iter().all(|tones| !tones.contains(&tone)), "{tone:?} is in {heard:?}");
}

/// Sound needs time to be recorded: this is no wait for an event.
async fn a_while() {
    tokio::time::sleep(ms(2_000)).await;
}

#[tokio::test]
async fn listen_whisper_and_barge_are_heard_by_whom_they_should_be() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    let begun = SystemTime::now();
    lab.phone("2001").answers_after(ms(100)).await;
    let body = json!({ "operator": "1001", "mode": "listen", "reason": "新人研修" });
    let session = scene.hears("2001", body).await;
    assert_eq!((&session["operator"], &session["call"]), (&json!("1001"), &json!(id)));
    assert_eq!(session["account"], "株式会社さくら商事");
    let listening = SystemTime::now();
    a_while().await;
    let (to_whisper, whispering) = scene.switches("2001", &session["id"], "whisper").await;
    a_while().await;
    let (to_barge, barging) = scene.switches("2001", &session["id"], "barge").await;
    a_while().await;
    let (to_listen, listening_again) = scene.switches("2001", &session["id"], "listen").await;
    a_while().await;
    let stopped = SystemTime::now();
    assert_eq!(scene.stops("2001", &session["id"]).await["data"]["ending"], "stopped");
    lab.phone("2001").goes_idle().await;
    call.hang_up().await;

    let caller = call.heard().await;
    let operator = lab.phone("1001").heard().await;
    let supervisor = lab.phone("2001").heard().await;
    // The caller: not before the barge was asked for, and not after it was over; not in one tenth of a second.
    never(&caller, Tone::SUPERVISOR, begun, to_barge);
    always(&caller, Tone::SUPERVISOR, barging, to_listen);
    never(&caller, Tone::SUPERVISOR, listening_again + SETTLE, stopped);
    always(&caller, Tone::OPERATOR, begun, stopped);
    // The operator hears the whisper and the barge, and not that somebody listens.
    never(&operator, Tone::SUPERVISOR, begun, to_whisper);
    always(&operator, Tone::SUPERVISOR, whispering, to_barge);
    always(&operator, Tone::SUPERVISOR, barging, to_listen);
    never(&operator, Tone::SUPERVISOR, listening_again + SETTLE, stopped);
    always(&operator, Tone::CALLER, begun, stopped);
    // The supervisor hears both all the time, with short gaps where the mode is switched.
    for tone in [Tone::CALLER, Tone::OPERATOR] {
        always(&supervisor, tone, listening, to_whisper);
        always(&supervisor, tone, whispering, to_barge);
        always(&supervisor, tone, barging, to_listen);
        let gap = supervisor.longest_gap(tone).unwrap();
        println!("{tone:?}: the longest gap over three switches was {gap:?}");
        assert!(gap <= ms(300), "{tone:?} was missing for {gap:?}");
    }

    let trail: Vec<_> = scene.audited("supervision.stopped").await;
    let told: Vec<_> = trail
        .iter()
        .filter(|entry| entry.action.starts_with("supervision."))
        .map(|entry| {
            format!("{} {} {}", entry.action, entry.subject, entry.details["mode"].as_str().unwrap())
        })
        .collect();
    let expected = [
        "supervision.requested 1001 listen",
        "supervision.started 1001 listen",
        "supervision.switched 1001 whisper",
        "supervision.switched 1001 barge",
        "supervision.switched 1001 listen",
        "supervision.stopped 1001 listen",
    ];
    assert_eq!(told, expected);
    assert!(trail.iter().all(|entry| entry.actor_name == "伊藤" && entry.details["reason"] == "新人研修"));
    scene.service.stop().await;
}

#[tokio::test]
async fn extensions_that_look_alike_are_told_apart() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    // 100 and 10010 talk on lines of their own, and began before 1001 does.
    let mut calls = Vec::new();
    for (phone, number) in [("100", "1002"), ("10010", "1003")] {
        lab.phone(number).answers_after(ms(100)).await;
        let call = lab.phone(phone).dials(number).await;
        call.answered().await;
        calls.push(call);
    }
    lab.phone("1001").answers_after(ms(100)).await;
    let inbound = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert_eq!(scene.saw("call.answered").await["data"]["operator"], "1001");
    lab.phone("2001").answers_after(ms(100)).await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "barge" })).await;
    let from = SystemTime::now();
    a_while().await;
    let to = SystemTime::now();
    scene.stops("2001", &session["id"]).await;
    for call in &calls {
        call.hang_up().await;
    }
    inbound.hang_up().await;

    let supervisor = lab.phone("2001").heard().await;
    always(&supervisor, Tone::OPERATOR, from, to);
    always(&supervisor, Tone::CALLER, from, to);
    for wrong in [Tone::LOOK_ALIKE_100, Tone::LOOK_ALIKE_10010] {
        assert!(!supervisor.ever_hears(wrong), "{:?}", supervisor.per_second());
    }
    for other in ["1002", "1003"] {
        assert!(!lab.phone(other).heard().await.ever_hears(Tone::SUPERVISOR), "{other}");
    }
    scene.service.stop().await;
}

#[tokio::test]
async fn with_follow_a_supervisor_hears_three_calls_in_a_row() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    lab.phone("2001").answers_after(ms(100)).await;
    // Nobody calls yet: without follow that is refused, with follow it is awaited.
    let (status, problem) = scene.supervise("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("call-conflict")), "{problem}");
    let body = json!({ "operator": "1001", "mode": "listen", "follow": true });
    let (status, session) = scene.supervise("2001", body).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    assert_eq!(scene.saw("supervision.started").await["data"]["state"], "waiting");

    let mut spans = Vec::new();
    for from in ["09012345678", "09087654321", "0312345678"] {
        let (call, id) = scene.talks("1001", from).await;
        let live = scene.saw("supervision.switched").await;
        assert_eq!((&live["data"]["state"], &live["call"]), (&json!("live"), &json!(id)));
        let heard_from = SystemTime::now();
        a_while().await;
        spans.push((heard_from, SystemTime::now()));
        call.hang_up().await;
        assert_eq!(scene.saw("supervision.switched").await["data"]["state"], "waiting");
        assert_eq!(lab.phone("2001").times_rung(), 1, "the phone was called again");
    }
    // A call of another operator is none of hers.
    let (call, _) = scene.talks("1002", "0311112222").await;
    let pause = SystemTime::now();
    a_while().await;
    let still = SystemTime::now();
    call.hang_up().await;
    scene.saw("call.ended").await;
    assert_eq!(scene.stops("2001", &session["id"]).await["data"]["ending"], "stopped");
    let supervisor = lab.phone("2001").heard().await;
    for (from, to) in spans {
        always(&supervisor, Tone::OPERATOR, from, to);
        always(&supervisor, Tone::CALLER, from, to);
    }
    never(&supervisor, Tone::OPERATOR, pause, still);
    scene.service.stop().await;
}

#[tokio::test]
async fn two_supervisors_whisper_each_on_her_own() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
    for phone in ["2001", "2002"] {
        lab.phone(phone).answers_after(ms(100)).await;
    }
    let first = scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
    let second = json!({ "operator": "1001", "mode": "whisper", "extension": "2002" });
    let second = scene.hears("admin", second).await;
    lab.phone("2002").says(Tone::SPARE_1).await;
    let from = SystemTime::now();
    a_while().await;
    let to = SystemTime::now();
    let (_, list) = scene.service.ask("admin", Method::GET, "/v1/supervisions", None).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    scene.stops("2001", &first["id"]).await;
    let only = SystemTime::now() + SETTLE;
    a_while().await;
    let until = SystemTime::now();
    scene.stops("admin", &second["id"]).await;
    call.hang_up().await;

    let (caller, operator) = (call.heard().await, lab.phone("1001").heard().await);
    always(&operator, Tone::SUPERVISOR, from, to);
    always(&operator, Tone::SPARE_1, from, to);
    always(&operator, Tone::SPARE_1, only, until);
    never(&operator, Tone::SUPERVISOR, only, until);
    for tone in [Tone::SUPERVISOR, Tone::SPARE_1] {
        assert!(!caller.ever_hears(tone), "{tone:?} {:?}", caller.per_second());
    }
    // One does not hear the other: a whisper goes to the operator alone.
    assert!(!lab.phone("2001").heard().await.ever_hears(Tone::SPARE_1));
    scene.service.stop().await;
}

#[tokio::test]
async fn a_supervisor_takes_the_call_over_and_the_operator_may_listen_on() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    let session = scene.hears("2001", json!({ "call": id, "mode": "listen" })).await;
    let path = format!("/v1/supervisions/{}", session["id"].as_str().unwrap());
    let body = json!({ "mode": "take_over" });
    let (status, view) = scene.service.ask("2001", Method::PATCH, &path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "took_over");
    lab.phone("1001").goes_idle().await;
    let (_, view) = scene.service.ask("admin", Method::GET, &format!("/v1/calls/{id}"), None).await;
    assert_eq!((&view["operator"], &view["state"]), (&json!("2001"), &json!("answered")), "{view}");
    let taken = SystemTime::now();
    a_while().await;
    // The operator who was released may listen, and nothing more.
    let body = |mode: &str| json!({ "call": id, "mode": mode });
    let (status, _) = scene.supervise("1001", body("whisper")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let again = scene.hears("1001", body("listen")).await;
    let listening = SystemTime::now();
    a_while().await;
    let until = SystemTime::now();
    scene.stops("1001", &again["id"]).await;
    lab.phone("2001").hangs_up().await;
    call.ended().await;
    let ended = scene.saw("call.ended").await;
    assert_eq!(ended["data"]["operators"], json!(["1001", "2001"]));

    let caller = call.heard().await;
    always(&caller, Tone::SUPERVISOR, taken, until);
    never(&caller, Tone::OPERATOR, taken + SETTLE, until);
    let operator = lab.phone("1001").heard().await;
    always(&operator, Tone::SUPERVISOR, listening, until);
    always(&operator, Tone::CALLER, listening, until);
    always(&lab.phone("2001").heard().await, Tone::CALLER, taken, until);
    scene.service.stop().await;
}

#[tokio::test]
async fn during_hold_the_supervisor_hears_what_the_operator_hears() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
    lab.phone("1001").holds().await;
    scene.saw("call.held").await;
    a_while().await;
    lab.phone("1001").resumes().await;
    scene.saw("call.resumed").await;
    let resumed = SystemTime::now() + SETTLE;
    a_while().await;
    let until = SystemTime::now();
    scene.stops("2001", &session["id"]).await;
    call.hang_up().await;
    let caller = call.heard().await;
    assert!(!caller.ever_hears(Tone::SUPERVISOR), "{:?}", caller.per_second());
    let supervisor = lab.phone("2001").heard().await;
    always(&supervisor, Tone::CALLER, resumed, until);
    // Her telephone hears nothing while it holds, and records nothing: only the end of it can be placed.
    let operator = lab.phone("1001").heard().await;
    let windows = operator.windows(WINDOW);
    let whispered = windows.iter().rev().take(20).filter(|tones| tones.contains(&Tone::SUPERVISOR)).count();
    assert!(whispered >= 15, "{:?}", operator.per_second());
    scene.service.stop().await;
}

#[tokio::test]
async fn a_supervisor_of_another_team_is_refused_and_that_is_recorded() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    for (who, body) in [
        ("2002", json!({ "operator": "1001", "mode": "listen", "reason": "ちょっと" })),
        ("2002", json!({ "call": id, "mode": "barge" })),
        ("1002", json!({ "operator": "1001", "mode": "listen" })),
        ("1001", json!({ "operator": "1001", "mode": "listen", "extension": "2001" })),
    ] {
        let (status, problem) = scene.supervise(who, body).await;
        assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("not-permitted")), "{problem}");
    }
    for phone in ["2001", "2002"] {
        assert_eq!(lab.phone(phone).times_rung(), 0);
    }
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        let refused: Vec<_> = refused_of(&scene.audited("supervision.refused").await);
        if refused.len() == 4 {
            break refused;
        }
        assert!(Instant::now() < deadline, "{refused:?}");
    };
    let names: Vec<_> =
        refused.iter().map(|entry| (entry.actor_name.as_str(), entry.subject.as_str())).collect();
    assert_eq!(names, [("渡辺", "1001"), ("渡辺", "1001"), ("鈴木", "1001"), ("佐藤", "1001")]);
    assert_eq!(refused[0].details["reason"], "ちょっと");
    assert_eq!(refused[0].call.map(|call| call.to_string()), Some(id));
    // Nobody else may end or even see what her supervisor does.
    lab.phone("2001").answers_after(ms(100)).await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    let path = format!("/v1/supervisions/{}", session["id"].as_str().unwrap());
    for who in ["2002", "1001"] {
        let (status, _) = scene.service.ask(who, Method::DELETE, &path, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{who}");
    }
    scene.stops("2001", &session["id"]).await;
    call.hang_up().await;
    scene.service.stop().await;
}

fn refused_of(trail: &[AuditEntry]) -> Vec<AuditEntry> {
    trail.iter().filter(|entry| entry.action == "supervision.refused").cloned().collect()
}

#[tokio::test]
async fn an_account_that_is_never_monitored_is_not() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (_, accounts) = scene.service.ask("admin", Method::GET, "/v1/accounts", None).await;
    let sakura =
        accounts["items"].as_array().unwrap().iter().find(|a| a["name"] == "株式会社さくら商事").unwrap();
    let path = format!("/v1/accounts/{}", sakura["id"].as_str().unwrap());
    let change = json!({ "never_monitor": true });
    let (status, answer) = scene.service.ask("admin", Method::PATCH, &path, Some(change)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // A supervisor who follows the operator waits through such a call.
    lab.phone("2001").answers_after(ms(100)).await;
    let body = json!({ "operator": "1001", "mode": "listen", "follow": true });
    let (_, session) = scene.supervise("2001", body).await;
    scene.saw("supervision.started").await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    let (status, problem) =
        scene.supervise("admin", json!({ "call": id, "mode": "listen", "extension": "2002" })).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("never monitored"), "{problem}");
    a_while().await;
    call.hang_up().await;
    scene.stops("2001", &session["id"]).await;
    let supervisor = lab.phone("2001").heard().await;
    for tone in [Tone::CALLER, Tone::OPERATOR] {
        assert!(!supervisor.ever_hears(tone), "{:?}", supervisor.per_second());
    }
    scene.service.stop().await;
}

#[tokio::test]
async fn a_phone_that_is_not_answered_is_said_so() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").is_busy().await;
    scene.supervise("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "busy");
    lab.phone("2001").is_unreachable().await;
    scene.supervise("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "unreachable");
    // She hangs up, and the caller does.
    lab.phone("2001").answers_after(ms(100)).await;
    scene.hears("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    lab.phone("2001").hangs_up().await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "hung_up");
    scene.hears("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    call.hang_up().await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "call_ended");
    lab.phone("2001").goes_idle().await;
    scene.service.stop().await;
}

#[tokio::test]
async fn a_daemon_that_starts_again_finds_its_sessions() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "whisper", "follow": true })).await;
    let killed = SystemTime::now();
    scene.service.kill().await;
    scene.service.again().await;
    scene.events = scene.service.follow("admin", None).await;
    assert_eq!(scene.events.next().await.unwrap()["kind"], "stream.snapshot");
    let list = loop {
        let (_, list) = scene.service.ask("2001", Method::GET, "/v1/supervisions", None).await;
        if list["items"][0]["state"] == "live" {
            break list["items"][0].clone();
        }
        tokio::time::sleep(ms(20)).await;
    };
    let found = |key: &str| list[key].clone();
    assert_eq!(
        (found("id"), found("mode"), found("call")),
        (session["id"].clone(), json!("whisper"), json!(id))
    );
    assert_eq!((found("follow"), found("extension")), (json!(true), json!("2001")));
    a_while().await;
    let until = SystemTime::now();
    // It can be switched, follows into the next call, and ends, as if nothing had happened.
    scene.switches("2001", &session["id"], "listen").await;
    call.hang_up().await;
    assert_eq!(scene.saw("supervision.switched").await["data"]["state"], "waiting");
    let (call, _) = scene.talks("1001", "0311112222").await;
    assert_eq!(scene.saw("supervision.switched").await["data"]["state"], "live");
    scene.stops("2001", &session["id"]).await;
    call.hang_up().await;
    let supervisor = lab.phone("2001").heard().await;
    always(&supervisor, Tone::OPERATOR, killed, until);
    scene.service.stop().await;
}

#[tokio::test]
async fn an_operator_asks_for_help_by_desktop_and_by_telephone() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    let mut supervisor = scene.service.follow("2001", None).await;
    let mut other = scene.service.follow("2002", None).await;
    assert_eq!(supervisor.next().await.unwrap()["kind"], "stream.snapshot");
    assert_eq!(other.next().await.unwrap()["kind"], "stream.snapshot");
    let path = format!("/v1/calls/{id}/help");
    let asked = Instant::now();
    let (status, _) = scene.service.ask("1001", Method::POST, &path, None).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let help = wait_for(&mut supervisor, "help.requested").await;
    println!("help by desktop: seen after {:?}", asked.elapsed());
    assert_eq!((&help["call"], &help["data"]["operator"]), (&json!(id), &json!("1001")));
    assert_eq!(help["data"]["account"]["name"], "株式会社さくら商事");
    assert_eq!(help["data"]["customers"][0]["name"], "田中太郎");
    let (status, _) = scene.service.ask("1002", Method::POST, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // The same keys mean nothing when the caller presses them.
    call.send_dtmf("*9").await;
    lab.phone("1001").presses("*9").await;
    wait_for(&mut supervisor, "help.requested").await;
    call.hang_up().await;
    wait_for(&mut supervisor, "call.ended").await;
    let seen = scene.audited_times("help.requested", 2).await;
    assert_eq!(seen.iter().filter(|entry| entry.action == "help.requested").count(), 2);
    // It was nobody else's business.
    let (call, _) = scene.talks("1003", "0311112222").await;
    let next = loop {
        let event = other.next().await.unwrap();
        if event["call"] != json!(id) || event["kind"] == "help.requested" {
            break event;
        }
    };
    assert_ne!(next["kind"], "help.requested", "{next}");
    call.hang_up().await;
    scene.service.stop().await;
}

#[tokio::test]
async fn twenty_sessions_at_once_are_twenty_conversations() {
    const SESSIONS: u32 = 20;
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let mut calls = Vec::new();
    for n in 1..=SESSIONS {
        lab.phone(&format!("{}", 1100 + n)).answers_after(ms(100)).await;
        lab.phone(&format!("{}", 2100 + n)).answers_after(ms(100)).await;
        let from = format!("090111100{n:02}");
        calls.push(lab.place_call(CallSpec::new(&from, &format!("03555021{n:02}"))).await);
    }
    for _ in 0..SESSIONS {
        scene.saw("call.answered").await;
    }
    let mut sessions = Vec::new();
    for n in 1..=SESSIONS {
        let body = json!({
            "operator": (1100 + n).to_string(), "extension": (2100 + n).to_string(), "mode": "whisper",
        });
        let (status, session) = scene.supervise("admin", body).await;
        assert_eq!(status, StatusCode::CREATED, "{session}");
        sessions.push(session);
    }
    for _ in 0..SESSIONS {
        scene.saw("supervision.started").await;
    }
    let (_, list) = scene.service.ask("admin", Method::GET, "/v1/supervisions", None).await;
    let live = list["items"].as_array().unwrap().iter().filter(|item| item["state"] == "live").count();
    assert_eq!(live, SESSIONS as usize);
    let from = SystemTime::now();
    a_while().await;
    let to = SystemTime::now();
    for session in &sessions {
        scene.stops("admin", &session["id"]).await;
    }
    for call in &calls {
        call.hang_up().await;
    }
    for (n, call) in (1..=SESSIONS).zip(&calls) {
        let operator = lab.phone(&(1100 + n).to_string()).heard().await;
        let supervisor = lab.phone(&(2100 + n).to_string()).heard().await;
        always(&supervisor, Tone::OPERATOR, from, to);
        always(&supervisor, Tone::CALLER, from, to);
        always(&operator, Tone::SUPERVISOR, from, to);
        assert!(!call.heard().await.ever_hears(Tone::SUPERVISOR), "{n}");
    }
    scene.service.stop().await;
}

#[tokio::test]
async fn the_operator_is_told_as_the_policy_says() {
    let lab = Lab::start().await;
    for (notify, hears_tone, sees_event) in
        [("tone", true, false), ("desktop", false, true), ("silent", false, false)]
    {
        lab.reset().await;
        let service = Service::start_with(&lab, &[("SUPERVISION__NOTIFY", notify)]).await;
        let events = service.follow("admin", None).await;
        let mut scene = Scene { lab: &lab, service, events };
        let mut operator = scene.service.follow("1001", None).await;
        let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
        lab.phone("2001").answers_after(ms(100)).await;
        let session = scene.hears("2001", json!({ "operator": "1001", "mode": "listen" })).await;
        a_while().await;
        scene.switches("2001", &session["id"], "listen").await;
        scene.stops("2001", &session["id"]).await;
        call.hang_up().await;
        let mut seen = Vec::new();
        loop {
            let event = operator.next().await.unwrap();
            let kind = event["kind"].as_str().unwrap().to_owned();
            if kind == "call.ended" {
                break;
            }
            seen.extend(kind.starts_with("supervision.").then_some(kind));
        }
        assert_eq!(!seen.is_empty(), sees_event, "{notify}: {seen:?}");
        let caller = call.heard().await;
        assert!(!caller.ever_hears(Tone::PROMPT), "{notify}: {:?}", caller.per_second());
        let operator = lab.phone("1001").heard().await;
        assert_eq!(operator.ever_hears(Tone::PROMPT), hears_tone, "{notify}: {:?}", operator.per_second());
        scene.service.stop().await;
    }
}

#[tokio::test]
async fn a_consultation_is_heard_and_its_completion_ends_the_session() {
    const CONTACT: &str = "09011112222";
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    lab.phone(CONTACT).answers_after(ms(200)).await;
    scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
    let orders = lab.orders().await;
    orders.consult("1001", CONTACT).await;
    lab.phone(CONTACT).talks().await;
    let consulting = SystemTime::now();
    a_while().await;
    let completing = SystemTime::now();
    lab.phone("1001").hangs_up().await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "call_ended");
    lab.phone("2001").goes_idle().await;
    let together = SystemTime::now() + SETTLE;
    a_while().await;
    let until = SystemTime::now();
    call.hang_up().await;

    let supervisor = lab.phone("2001").heard().await;
    always(&supervisor, Tone::CONTACT, consulting, completing);
    always(&supervisor, Tone::OPERATOR, consulting, completing);
    never(&supervisor, Tone::CALLER, consulting + SETTLE, completing);
    // She hears the contact and the whisper; her telephone's recording is shorter than the time it took.
    let operator = lab.phone("1001").heard().await;
    let both = |tones: &&BTreeSet<Tone>| tones.contains(&Tone::CONTACT) && tones.contains(&Tone::SUPERVISOR);
    assert!(operator.windows(WINDOW).iter().filter(both).count() >= 10, "{:?}", operator.per_second());
    let (caller, contact) = (call.heard().await, lab.phone(CONTACT).heard().await);
    for recording in [&caller, &contact] {
        assert!(!recording.ever_hears(Tone::SUPERVISOR), "{:?}", recording.per_second());
    }
    // Spied on or not, the transfer connects the two.
    always(&caller, Tone::CONTACT, together, until);
    always(&contact, Tone::CALLER, together, until);
    scene.service.stop().await;
}

#[tokio::test]
async fn after_a_restart_of_the_pbx_no_session_is_left() {
    let mut lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(100)).await;
    lab.phone("2001").answers_after(ms(100)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    wait_for(&mut events, "call.answered").await;
    let body = json!({ "operator": "1001", "mode": "listen" });
    let (status, _) = service.ask("2001", Method::POST, "/v1/supervisions", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    wait_for(&mut events, "supervision.started").await;
    drop(call);
    lab.kill_pbx().await;
    lab.revive_pbx().await;
    assert_eq!(wait_for(&mut events, "supervision.stopped").await["data"]["ending"], "lost");
    let (_, list) = service.ask("admin", Method::GET, "/v1/supervisions", None).await;
    assert_eq!(list["items"], json!([]));
    service.stop().await;
}
