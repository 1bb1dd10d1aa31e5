//! The life of a session: following an operator, a phone that is not answered, restarts of the daemon and of the PBX.
use std::time::SystemTime;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::supervision_scene::{Scene, a_while, always, never};
use crate::support::pbx_lab::{CallSpec, Lab, Tone};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

#[tokio::test]
async fn with_follow_a_supervisor_hears_three_calls_in_a_row() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    lab.phone("2001").answers_after(ms(100)).await;
    // The operator has no call yet: without `follow` the request is refused, with `follow` the session waits.
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
    // The session does not join a call of another operator.
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
async fn a_phone_that_is_not_answered_is_reported() {
    let lab = Lab::start().await;
    let mut scene = Scene::open(&lab).await;
    let (call, _) = scene.talks("1001", KNOWN_CALLER).await;
    lab.phone("2001").is_busy().await;
    scene.supervise("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "busy");
    lab.phone("2001").is_unreachable().await;
    scene.supervise("2001", json!({ "operator": "1001", "mode": "listen" })).await;
    assert_eq!(scene.saw("supervision.stopped").await["data"]["ending"], "unreachable");
    // The supervisor hangs up, then the caller.
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

/// The daemon dies while two supervisors hear 1001, one listening and one whispering; the next daemon recovers both
/// sessions unchanged.
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
    // Supervisor, operator, mode, reason and both times are unchanged.
    eventually(&format!("the supervisions are again {before}"), async || {
        let (_, after) = scene.service.ask("admin", Method::GET, "/v1/supervisions", None).await;
        if after == before { Ok(()) } else { Err(after.to_string()) }
    })
    .await;
    assert_eq!(before["items"][0]["mode"], "whisper");
    assert_eq!(before["items"][0]["supervisor_name"], "伊藤");
    assert_eq!(before["items"][0]["reason"], "新人研修");
    a_while().await;
    let until = SystemTime::now();
    // The sessions can be switched, follow into the next call, and end as usual.
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
