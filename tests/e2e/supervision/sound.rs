//! Who hears whom in each mode.
use std::collections::BTreeSet;
use std::time::SystemTime;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::supervision_scene::{SETTLE, Scene, WINDOW, a_while, always, never};
use crate::support::pbx_lab::{CallSpec, Lab, Tone};
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
    // The caller hears no tenth of a second of the supervisor before the barge was requested or after it was over.
    never(&caller, Tone::SUPERVISOR, begun, to_barge);
    always(&caller, Tone::SUPERVISOR, barging, to_listen);
    never(&caller, Tone::SUPERVISOR, listening_again + SETTLE, stopped);
    always(&caller, Tone::OPERATOR, begun, stopped);
    // The operator hears the whisper and the barge, and nothing of the listening.
    never(&operator, Tone::SUPERVISOR, begun, to_whisper);
    always(&operator, Tone::SUPERVISOR, whispering, to_barge);
    always(&operator, Tone::SUPERVISOR, barging, to_listen);
    never(&operator, Tone::SUPERVISOR, listening_again + SETTLE, stopped);
    always(&operator, Tone::CALLER, begun, stopped);
    // The supervisor hears both parties all the time, with short gaps at mode switches.
    for tone in [Tone::CALLER, Tone::OPERATOR] {
        always(&supervisor, tone, listening, to_whisper);
        always(&supervisor, tone, whispering, to_barge);
        always(&supervisor, tone, barging, to_listen);
        let gap = supervisor.longest_gap(tone).unwrap();
        println!("{tone:?}: the longest gap over three switches was {gap:?}");
        assert!(gap <= ms(300), "{tone:?} was missing for {gap:?}");
    }

    let trail: Vec<_> = scene.audited("supervision.stopped").await;
    let entries: Vec<_> = trail
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
    assert_eq!(entries, expected);
    assert!(trail.iter().all(|entry| entry.actor_name == "伊藤" && entry.details["reason"] == "新人研修"));
    scene.service.stop().await;
}

#[tokio::test]
async fn extensions_that_look_alike_are_distinguished() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    // 100 and 10010 talk on lines of their own, and started before 1001.
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
async fn two_supervisors_whisper_independently() {
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
    // The supervisors do not hear each other: a whisper goes to the operator alone.
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
    // During hold the operator's telephone records nothing: only the end of its recording has a known time.
    let operator = lab.phone("1001").heard().await;
    let windows = operator.windows(WINDOW);
    let whispered = windows.iter().rev().take(20).filter(|tones| tones.contains(&Tone::SUPERVISOR)).count();
    assert!(whispered >= 15, "{:?}", operator.per_second());
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
async fn a_consultation_is_heard_and_its_completion_ends_the_session() {
    const CONTACT: &str = "09011112222";
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    lab.phone(CONTACT).answers_after(ms(200)).await;
    scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
    let orders = lab.product_actions().await;
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
    // The operator hears the contact and the whisper; the telephone's recording is shorter than the time that passed.
    let operator = lab.phone("1001").heard().await;
    let both = |tones: &&BTreeSet<Tone>| tones.contains(&Tone::CONTACT) && tones.contains(&Tone::SUPERVISOR);
    assert!(operator.windows(WINDOW).iter().filter(both).count() >= 10, "{:?}", operator.per_second());
    let (caller, contact) = (call.heard().await, lab.phone(CONTACT).heard().await);
    for recording in [&caller, &contact] {
        assert!(!recording.ever_hears(Tone::SUPERVISOR), "{:?}", recording.per_second());
    }
    // Supervised or not, the transfer connects the two.
    always(&caller, Tone::CONTACT, together, until);
    always(&contact, Tone::CALLER, together, until);
    scene.service.stop().await;
}
