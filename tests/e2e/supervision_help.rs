//! Help and take-over by sound: an operator asks for help, a supervisor joins, and may keep the caller and transfer the
//! caller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
use std::time::{Instant, SystemTime};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::supervision_scene::{SETTLE, Scene, a_while, always, never};
use crate::support::pbx_lab::{Lab, Tone};
use crate::support::service::wait_for;
use crate::{KNOWN_CALLER, ms};

const CONTACT: &str = "09011112222";

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
    let (status, _) = scene.service.ask("1002", Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = scene.service.ask("1001", Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let withdrawn = wait_for(&mut supervisor, "help.withdrawn").await;
    assert_eq!((&withdrawn["call"], &withdrawn["data"]["operator"]), (&json!(id), &json!("1001")));
    // The same keys mean nothing when the caller presses them.
    call.send_dtmf("*9").await;
    lab.phone("1001").presses("*9").await;
    wait_for(&mut supervisor, "help.requested").await;
    call.hang_up().await;
    wait_for(&mut supervisor, "call.ended").await;
    let seen = scene.audited_times("help.requested", 2).await;
    let times = |action: &str| seen.iter().filter(|entry| entry.action == action).count();
    assert_eq!((times("help.requested"), times("help.withdrawn")), (2, 1));
    // Nobody else received the request.
    let (call, _) = scene.talks("1003", "0311112222").await;
    let next = loop {
        let event = other.next().await.unwrap();
        let is_about_help = event["kind"].as_str().is_some_and(|kind| kind.starts_with("help."));
        if event["call"] != json!(id) || is_about_help {
            break event;
        }
    };
    assert!(!next["kind"].as_str().unwrap().starts_with("help."), "{next}");
    call.hang_up().await;
    scene.service.stop().await;
}

/// Help by feature code and by desktop, each within a second, answered in every mode.
#[tokio::test]
async fn a_request_for_help_is_answered_in_each_mode() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    for (mode, by_phone) in [("listen", true), ("whisper", false), ("barge", true), ("take_over", false)] {
        let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
        let begun = SystemTime::now();
        a_while().await;
        let mut supervisor = scene.service.follow("2001", None).await;
        assert_eq!(supervisor.next().await.unwrap()["kind"], "stream.snapshot");
        let asked = Instant::now();
        if by_phone {
            lab.phone("1001").presses("*9").await;
        } else {
            let path = format!("/v1/calls/{id}/help");
            let (status, _) = scene.service.ask("1001", Method::POST, &path, None).await;
            assert_eq!(status, StatusCode::ACCEPTED);
        }
        let help = wait_for(&mut supervisor, "help.requested").await;
        println!("help for {mode}: seen after {:?}", asked.elapsed());
        assert_eq!(
            (&help["call"], &help["data"]["account"]["name"]),
            (&json!(id), &json!("株式会社さくら商事"))
        );
        lab.phone("2001").answers_after(ms(100)).await;
        let coming = SystemTime::now();
        let body = json!({ "call": help["call"], "mode": mode });
        if mode == "take_over" {
            let (status, view) = scene.supervise("2001", body).await;
            assert_eq!(status, StatusCode::CREATED, "{view}");
            assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "took_over");
        } else {
            scene.hears("2001", body).await;
        }
        let there = SystemTime::now();
        a_while().await;
        let until = SystemTime::now();
        call.hang_up().await;
        scene.saw("call.ended").await;
        for phone in ["1001", "2001"] {
            lab.phone(phone).goes_idle().await;
        }
        let (caller, operator) = (call.heard().await, lab.phone("1001").heard().await);
        let supervisor = lab.phone("2001").heard().await;
        always(&supervisor, Tone::CALLER, there, until);
        match mode {
            "listen" => never(&operator, Tone::SUPERVISOR, begun, until),
            "take_over" => {
                always(&caller, Tone::SUPERVISOR, there, until);
                never(&caller, Tone::OPERATOR, there + SETTLE, until);
            }
            _ => always(&operator, Tone::SUPERVISOR, there, until),
        }
        match mode {
            "listen" | "whisper" => never(&caller, Tone::SUPERVISOR, begun, until),
            _ => {
                never(&caller, Tone::SUPERVISOR, begun, coming);
                always(&caller, Tone::SUPERVISOR, there, until);
            }
        }
    }
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
    // The released operator may listen, and nothing more.
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

/// A take-over without a supervision before it: the supervisor's phone rings, the supervisor answers and has the caller;
/// then consults a contact, takes the caller back, and transfers the caller.
#[tokio::test]
async fn a_caller_who_was_taken_over_can_be_passed_on() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    lab.phone(CONTACT).answers_after(ms(200)).await;
    let (status, view) = scene.supervise("2001", json!({ "operator": "1001", "mode": "take_over" })).await;
    assert_eq!(status, StatusCode::CREATED, "{view}");
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "took_over");
    lab.phone("1001").goes_idle().await;
    let taken_over_at = SystemTime::now();
    a_while().await;

    let asked = SystemTime::now();
    let consultation = scene.transfer("2001", &id, "consult", CONTACT).await;
    scene.saw("call.transfer.consulting").await;
    let consulting = SystemTime::now();
    a_while().await;
    let back = SystemTime::now();
    scene.command("2001", &consultation, "cancel").await;
    scene.saw("call.transfer.returned").await;
    lab.phone(CONTACT).goes_idle().await;
    let again = SystemTime::now();
    a_while().await;
    let passing = SystemTime::now();
    lab.phone(CONTACT).presses_after(ms(200), "1").await;
    scene.transfer("2001", &id, "blind", CONTACT).await;
    scene.saw("call.transfer.completed").await;
    lab.phone("2001").goes_idle().await;
    let passed = SystemTime::now();
    a_while().await;
    let until = SystemTime::now();
    call.hang_up().await;
    scene.saw("call.ended").await;

    let caller = call.heard().await;
    always(&caller, Tone::SUPERVISOR, taken_over_at, asked);
    always(&caller, Tone::MUSIC, consulting, back);
    never(&caller, Tone::SUPERVISOR, consulting + SETTLE, back);
    always(&caller, Tone::SUPERVISOR, again, passing);
    always(&caller, Tone::CONTACT, passed, until);
    never(&caller, Tone::SUPERVISOR, passed + SETTLE, until);
    never(&caller, Tone::OPERATOR, taken_over_at + SETTLE, until);
    always(&lab.phone("2001").heard().await, Tone::CONTACT, consulting, back);
    always(&lab.phone(CONTACT).heard().await, Tone::CALLER, passed, until);
    scene.service.stop().await;
}

/// When the contact does not answer, the caller comes back to the supervisor who took over, not to the operator.
#[tokio::test]
async fn a_caller_who_was_taken_over_comes_back_to_the_supervisor() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, id) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").answers_after(ms(100)).await;
    lab.phone(CONTACT).is_busy().await;
    let session = scene.hears("2001", json!({ "operator": "1001", "mode": "barge" })).await;
    let path = format!("/v1/supervisions/{}", session["id"].as_str().unwrap());
    let body = json!({ "mode": "take_over" });
    let (status, view) = scene.service.ask("2001", Method::PATCH, &path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "took_over");
    scene.transfer("2001", &id, "blind", CONTACT).await;
    assert_eq!(scene.saw("call.transfer.failed").await["data"]["outcome"], "busy");
    assert_eq!(scene.saw("call.answered").await["data"]["operator"], "2001");
    let returned = SystemTime::now();
    a_while().await;
    let until = SystemTime::now();
    call.hang_up().await;
    let caller = call.heard().await;
    always(&caller, Tone::SUPERVISOR, returned, until);
    assert_eq!(lab.phone("1001").times_rung(), 1);
    scene.service.stop().await;
}
