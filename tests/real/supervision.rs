//! Supervision by sound: who hears whom in which tenth of a second, and what the API, the events and the audit
//! trail say of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use reqwest::{Method, StatusCode};
use serde_json::json;
use toritsugi::store::AuditEntry;

use crate::lab::{CallSpec, Lab, PATIENCE, Tone};
use crate::service::{Service, wait_for};
use crate::supervised::{SETTLE, Scene, WINDOW, a_while, always, never};
use crate::{KNOWN_CALLER, SAKURA, ms};

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
    lab.phone("2002").talks().await;
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
        let (status, list) = scene.service.ask(who, Method::GET, "/v1/supervisions", None).await;
        assert_eq!((status, &list["items"]), (StatusCode::OK, &json!([])), "{who}");
    }
    for who in ["2001", "admin"] {
        let (_, list) = scene.service.ask(who, Method::GET, "/v1/supervisions", None).await;
        assert_eq!(list["items"][0]["id"], session["id"], "{who}");
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
    scene.change_sakura(json!({ "never_monitor": true })).await;
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

/// The daemon dies while two supervisors hear 1001, one by listening and one by whispering; its successor knows both
/// as they were.
#[tokio::test]
async fn a_daemon_that_starts_again_finds_its_sessions() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    let begun = SystemTime::now();
    for phone in ["2001", "2002"] {
        lab.phone(phone).answers_after(ms(100)).await;
    }
    let body = json!({ "operator": "1001", "mode": "listen", "follow": true, "reason": "新人研修" });
    let session = scene.hears("2001", body).await;
    scene.switches("2001", &session["id"], "whisper").await;
    let body = json!({ "call": id, "mode": "listen", "extension": "2002", "reason": "品質確認" });
    let other = scene.hears("admin", body).await;
    lab.phone("2002").talks().await;
    lab.phone("2002").says(Tone::SPARE_1).await;
    let (_, before) = scene.service.ask("admin", Method::GET, "/v1/supervisions", None).await;
    scene.audited_times("supervision.switched", 1).await;
    scene.audited_times("supervision.started", 2).await;
    let killed = SystemTime::now();
    scene.service.kill().await;
    a_while().await;
    scene.service.again().await;
    scene.events = scene.service.follow("admin", None).await;
    assert_eq!(scene.events.next().await.unwrap()["kind"], "stream.snapshot");
    // Who, whom, how, why, since when and since when she hears: as before.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, after) = scene.service.ask("admin", Method::GET, "/v1/supervisions", None).await;
        if after == before {
            break;
        }
        assert!(Instant::now() < deadline, "{after}\n{before}");
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(before["items"][0]["mode"], "whisper");
    assert_eq!(before["items"][0]["supervisor_name"], "伊藤");
    assert_eq!(before["items"][0]["reason"], "新人研修");
    a_while().await;
    let until = SystemTime::now();
    // They can be switched, follow into the next call, and end, as if nothing had happened.
    scene.switches("2001", &session["id"], "listen").await;
    scene.stops("admin", &other["id"]).await;
    call.hang_up().await;
    scene.becomes(&session["id"], "waiting").await;
    let (next, _) = scene.talks("1001", "0311112222").await;
    scene.becomes(&session["id"], "live").await;
    scene.stops("2001", &session["id"]).await;
    next.hang_up().await;
    let found = scene.audited_times("supervision.found", 2).await;
    let found: Vec<_> = found.iter().filter(|entry| entry.action == "supervision.found").collect();
    assert!(found.iter().any(|entry| entry.actor_name == "伊藤" && entry.details["reason"] == "新人研修"));

    let (supervisor, silent) = (lab.phone("2001").heard().await, lab.phone("2002").heard().await);
    for recording in [&supervisor, &silent] {
        always(recording, Tone::OPERATOR, killed, until);
        always(recording, Tone::CALLER, killed, until);
    }
    let caller = call.heard().await;
    always(&caller, Tone::OPERATOR, begun, until);
    for tone in [Tone::SUPERVISOR, Tone::SPARE_1] {
        assert!(!caller.ever_hears(tone), "{:?}", caller.per_second());
    }
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
    // What the account says counts more than what the installation does.
    for (notify, of_account, hears_tone, sees_event) in [
        ("tone", None, true, false),
        ("desktop", None, false, true),
        ("silent", None, false, false),
        ("silent", Some("tone"), true, false),
        ("tone", Some("desktop"), false, true),
        ("desktop", Some("silent"), false, false),
    ] {
        lab.reset().await;
        let mut scene = Scene::open_with(&lab, &[("SUPERVISION__NOTIFY", notify)]).await;
        if let Some(of_account) = of_account {
            scene.change_sakura(json!({ "supervision_notify": of_account })).await;
        }
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
