//! Supervision of calls that the daemon transfers: who hears whom before, during and after the transfer, under each
//! policy.
use std::time::SystemTime;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::supervision_scene::{SETTLE, Scene, a_while, always, never};
use crate::support::pbx_lab::{Lab, Tone};
use crate::{KNOWN_CALLER, ms};

const CONTACT: &str = "09011112222";
const HEAR_CALLER: [(&str, &str); 1] = [("SUPERVISION__AFTER_TRANSFER", "caller")];

/// A whispering supervisor hears the consultation, stays with the operator when the caller comes back, and is
/// disconnected when the contact has the caller.
#[tokio::test]
async fn a_consultation_is_heard_from_beginning_to_end() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    let begun = SystemTime::now();
    lab.phone("2001").answers_after(ms(100)).await;
    lab.phone(CONTACT).answers_after(ms(200)).await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
    let heard = SystemTime::now();
    a_while().await;
    let asked = SystemTime::now();
    let consultation = scene.transfer("1001", &id, "consult", CONTACT).await;
    scene.saw("call.transfer.consulting").await;
    scene.becomes(&session["id"], "live").await;
    let consulting = SystemTime::now();
    a_while().await;
    let cancelled = SystemTime::now();
    scene.command("1001", &consultation, "cancel").await;
    scene.saw("call.transfer.returned").await;
    lab.phone(CONTACT).goes_idle().await;
    let first_contact = lab.phone(CONTACT).heard().await;
    let again = SystemTime::now() + SETTLE;
    a_while().await;
    let asked_again = SystemTime::now();
    let consultation = scene.transfer("1001", &id, "consult", CONTACT).await;
    scene.saw("call.transfer.consulting").await;
    scene.becomes(&session["id"], "live").await;
    a_while().await;
    scene.command("1001", &consultation, "complete").await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "call_ended");
    lab.phone("2001").goes_idle().await;
    let together = SystemTime::now() + SETTLE;
    a_while().await;
    let until = SystemTime::now();
    call.hang_up().await;

    let supervisor = lab.phone("2001").heard().await;
    for (from, to) in [(heard, asked), (again, asked_again)] {
        always(&supervisor, Tone::CALLER, from, to);
        always(&supervisor, Tone::OPERATOR, from, to);
    }
    always(&supervisor, Tone::CONTACT, consulting, cancelled);
    always(&supervisor, Tone::OPERATOR, consulting, cancelled);
    never(&supervisor, Tone::CALLER, consulting + SETTLE, cancelled);
    let operator = lab.phone("1001").heard().await;
    for (from, to) in [(heard, asked), (consulting, cancelled), (again, asked_again)] {
        always(&operator, Tone::SUPERVISOR, from, to);
    }
    let (caller, contact) = (call.heard().await, lab.phone(CONTACT).heard().await);
    for recording in [&caller, &contact, &first_contact] {
        assert!(!recording.ever_hears(Tone::SUPERVISOR), "{:?}", recording.per_second());
    }
    always(&caller, Tone::OPERATOR, begun, asked);
    always(&caller, Tone::OPERATOR, again, asked_again);
    always(&caller, Tone::CONTACT, together, until);
    always(&contact, Tone::CALLER, together, until);
    scene.service.stop().await;
}

/// Under the policy `caller` the supervisor stays with the caller, and can only listen to an external party.
#[tokio::test]
async fn a_supervisor_who_stays_with_the_caller_hears_both_and_is_heard_by_nobody() {
    let lab = Lab::start().await;
    for mode in ["consult", "blind"] {
        lab.reset().await;
        let mut scene = Scene::open_with(&lab, &HEAR_CALLER).await;
        let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
        lab.phone("2001").answers_after(ms(100)).await;
        // A consulted contact talks at once; a contact of a blind transfer presses 1 first.
        match mode {
            "consult" => lab.phone(CONTACT).answers_after(ms(200)).await,
            _ => lab.phone(CONTACT).presses_after(ms(200), "1").await,
        }
        let session = scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
        let transfer = scene.transfer("1001", &id, mode, CONTACT).await;
        if mode == "consult" {
            scene.saw("call.transfer.consulting").await;
            scene.becomes(&session["id"], "live").await;
            scene.command("1001", &transfer, "complete").await;
        }
        let live = loop {
            let live = scene.becomes(&session["id"], "live").await;
            if live["mode"] == "listen" {
                break live;
            }
        };
        assert_eq!((&live["operator"], &live["call"]), (&json!("1001"), &json!(id)), "{mode}");
        let hearing = SystemTime::now();
        let path = format!("/v1/supervisions/{}", session["id"].as_str().unwrap());
        for wanted in ["whisper", "barge", "take_over"] {
            let body = json!({ "mode": wanted });
            let (status, problem) = scene.service.ask("2001", Method::PATCH, &path, Some(body)).await;
            assert_eq!(status, StatusCode::CONFLICT, "{problem}");
        }
        a_while().await;
        let until = SystemTime::now();
        call.hang_up().await;
        assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "call_ended", "{mode}");
        let supervisor = lab.phone("2001").heard().await;
        always(&supervisor, Tone::CALLER, hearing, until);
        always(&supervisor, Tone::CONTACT, hearing, until);
        never(&supervisor, Tone::OPERATOR, hearing + SETTLE, until);
        let (caller, contact) = (call.heard().await, lab.phone(CONTACT).heard().await);
        for recording in [&caller, &contact] {
            assert!(!recording.ever_hears(Tone::SUPERVISOR), "{mode}: {:?}", recording.per_second());
        }
        always(&caller, Tone::CONTACT, hearing, until);
        scene.service.stop().await;
    }
}

/// The supervisor keeps whispering to an operator of the own team, and does not hear one of another team.
#[tokio::test]
async fn a_supervisor_who_stays_with_the_caller_hears_no_other_team() {
    let lab = Lab::start().await;
    let mut scene = Scene::open_with(&lab, &HEAR_CALLER).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    for phone in ["1002", "1003"] {
        lab.phone(phone).answers_after(ms(200)).await;
    }
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
    scene.transfer("1001", &id, "blind", "1002").await;
    let live = scene.becomes(&session["id"], "live").await;
    assert_eq!((&live["operator"], &live["mode"]), (&json!("1002"), &json!("whisper")));
    let second = SystemTime::now();
    a_while().await;
    let passing = SystemTime::now();
    scene.transfer("1002", &id, "blind", "1003").await;
    scene.becomes(&session["id"], "paused").await;
    scene.saw("call.answered").await;
    let third = SystemTime::now();
    a_while().await;
    let until = SystemTime::now();
    let (_, list) = scene.service.ask("2001", Method::GET, "/v1/supervisions", None).await;
    assert_eq!(list["items"][0]["state"], "waiting", "{list}");
    call.hang_up().await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "call_ended");
    let supervisor = lab.phone("2001").heard().await;
    always(&supervisor, Tone::CALLER, second, passing);
    never(&supervisor, Tone::CALLER, third, until);
    never(&supervisor, Tone::OPERATOR, third, until);
    always(&lab.phone("1002").heard().await, Tone::SUPERVISOR, second, passing);
    assert!(!lab.phone("1003").heard().await.ever_hears(Tone::SUPERVISOR));
    let caller = call.heard().await;
    assert!(!caller.ever_hears(Tone::SUPERVISOR), "{:?}", caller.per_second());
    scene.service.stop().await;
}

/// Under the default policy the supervisor is with the operator again when no target took the caller, and is
/// disconnected when one did; under `end` the supervisor is disconnected at once.
#[tokio::test]
async fn a_blind_transfer_brings_the_supervisor_back_to_the_operator_or_ends_it() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    lab.phone(CONTACT).is_busy().await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "whisper" })).await;
    scene.transfer("1001", &id, "blind", CONTACT).await;
    scene.becomes(&session["id"], "live").await;
    let back = SystemTime::now();
    a_while().await;
    let passing = SystemTime::now();
    lab.phone("2001").channel().await;
    assert_eq!(lab.phone("2001").times_rung(), 1, "the phone was called again");
    lab.phone(CONTACT).presses_after(ms(200), "1").await;
    scene.transfer("1001", &id, "blind", CONTACT).await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "call_ended");
    a_while().await;
    call.hang_up().await;
    let (caller, contact) = (call.heard().await, lab.phone(CONTACT).heard().await);
    for recording in [&caller, &contact] {
        assert!(!recording.ever_hears(Tone::SUPERVISOR), "{:?}", recording.per_second());
    }
    always(&lab.phone("1001").heard().await, Tone::SUPERVISOR, back, passing);
    let supervisor = lab.phone("2001").heard().await;
    always(&supervisor, Tone::CALLER, back, passing);
    always(&supervisor, Tone::OPERATOR, back, passing);
    scene.service.stop().await;

    lab.reset().await;
    let mut scene = Scene::open_with(&lab, &[("SUPERVISION__AFTER_TRANSFER", "end")]).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    lab.phone(CONTACT).rings_for_ever().await;
    scene.hears("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    scene.transfer("1001", &id, "blind", CONTACT).await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "call_ended");
    lab.phone("2001").goes_idle().await;
    call.hang_up().await;
    scene.service.stop().await;
}
