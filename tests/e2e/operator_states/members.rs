//! Queue members on the PBX follow the operator states.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{CONTACT, LONG, SHORT, member_is, must_set, operator};
use crate::support::pbx_lab::{AsteriskVersion, CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::{KNOWN_CALLER, SAKURA, ms};

pub(super) async fn pause_by_hand(lab: &Lab, phone: &str, paused: bool) {
    let paused = if paused { "true" } else { "false" };
    let device = format!("PJSIP/{phone}");
    lab.pbx
        .must(&[("Action", "QueuePause"), ("Interface", &device), ("Paused", paused), ("Reason", "by hand")])
        .await;
}

#[tokio::test]
async fn manual_changes_of_members_are_corrected_and_other_members_are_left_alone() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, SHORT).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    // A supervisor's phone is in no queue: an operator seated there is added, and later removed.
    must_set(&service, "admin", "鈴木", json!({ "state": "ready", "extension": "2002" })).await;
    member_is(&lab, "operators", "2002", Some(("-", "dynamic"))).await;
    assert_eq!(operator(&service, "admin", "鈴木").await["phone"], "registered");

    pause_by_hand(&lab, "1001", true).await;
    member_is(&lab, "operators", "1001", Some(("-", "static"))).await;
    member_is(&lab, "operators-linear", "1001", Some(("-", "static"))).await;
    lab.pbx.must(&[("Action", "QueueRemove"), ("Queue", "operators"), ("Interface", "PJSIP/2002")]).await;
    member_is(&lab, "operators", "2002", Some(("-", "dynamic"))).await;
    // 1003 never logged in: the daemon leaves the pause of that phone alone.
    pause_by_hand(&lab, "1003", true).await;
    member_is(&lab, "operators", "1003", Some(("by hand", "static"))).await;

    must_set(&service, "1001", "佐藤", json!({ "state": "logged_out" })).await;
    must_set(&service, "1002", "鈴木", json!({ "state": "logged_out" })).await;
    member_is(&lab, "operators", "1001", Some(("logged_out", "static"))).await;
    member_is(&lab, "operators", "2002", None).await;
    service.stop().await;
}

#[tokio::test]
async fn an_operator_who_never_logs_in_gets_calls_as_before() {
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
async fn a_restarted_pbx_gets_its_members_again() {
    let mut lab = Lab::start_own(AsteriskVersion::Current).await;
    let mut service = Service::start_with(&lab, LONG).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "break" })).await;
    must_set(&service, "admin", "鈴木", json!({ "state": "ready", "extension": "2002" })).await;
    member_is(&lab, "operators", "2002", Some(("-", "dynamic"))).await;
    lab.kill_pbx().await;
    // A state that is set while the PBX is unreachable is valid.
    must_set(&service, "1002", "鈴木", json!({ "state": "not_ready", "reason": "meal" })).await;
    lab.revive_pbx().await;
    member_is(&lab, "operators", "2002", Some(("meal", "dynamic"))).await;
    member_is(&lab, "operators", "1001", Some(("break", "static"))).await;
    service.stop().await;
}

#[tokio::test]
async fn a_queue_that_the_pbx_does_not_have_keeps_no_pause_away_and_is_shown() {
    let lab = Lab::start().await;
    let settings: Vec<_> = SHORT
        .iter()
        .copied()
        .chain([("OPERATORS__QUEUES", "no-such-queue"), ("TRANSFER__QUEUES", "nor-this")])
        .collect();
    let mut service = Service::start_with(&lab, &settings).await;
    must_set(&service, "1001", "佐藤", json!({ "state": "not_ready", "reason": "break" })).await;
    for queue in ["operators", "operators-linear"] {
        member_is(&lab, queue, "1001", Some(("break", "static"))).await;
    }
    let shown = |faults: &Value, queue: &str, setting: &str| {
        let is_it = |fault: &Value| fault["queue"] == queue && fault["setting"] == setting;
        faults.as_array().is_some_and(|faults| faults.iter().any(is_it))
    };
    // The operator, the supervisor and the administrator see it, with queue and key.
    for who in ["1001", "2001", "admin"] {
        service
            .until(who, "/v1/operators", |_, list| {
                let items = list["items"].as_array().into_iter().flatten();
                let mut own = items.filter(|operator| operator["name"] == "佐藤");
                own.any(|operator| shown(&operator["queue_faults"], "no-such-queue", "operators.queues"))
            })
            .await;
    }
    let ready = service.until("admin", "/readyz", |_, ready| ready["queue_faults"].is_array()).await;
    assert!(shown(&ready["queue_faults"], "no-such-queue", "operators.queues"), "{ready}");
    assert!(shown(&ready["queue_faults"], "nor-this", "transfer.queues"), "{ready}");
    // A pause by hand is corrected, although the PBX refuses the other queue again and again.
    pause_by_hand(&lab, "1001", false).await;
    member_is(&lab, "operators", "1001", Some(("break", "static"))).await;
    // A caller is not sent to a queue that does not exist.
    must_set(&service, "1001", "佐藤", json!({ "state": "ready" })).await;
    let mut events = service.follow("admin", None).await;
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let answered = wait_for(&mut events, "call.answered").await;
    let path = format!("/v1/calls/{}/transfers", answered["call"].as_str().unwrap());
    let to = json!({ "mode": "blind", "to": "queue:nor-this" });
    let (status, problem) = service.ask("1001", Method::POST, &path, Some(to)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("transfer.queues"), "{problem}");
    // Back from a contact who is busy, with the operator's phone busy, the caller waits for the operator.
    let channel = call.at_pbx().await.header("Channel").unwrap().to_owned();
    let queue = [("Channel", channel.as_str()), ("Variable", "TORITSUGI_QUEUE"), ("Value", "")];
    lab.pbx.must(&[&[("Action", "Setvar")], queue.as_slice()].concat()).await;
    lab.phone(CONTACT).is_busy().await;
    lab.phone("1001").is_busy().await;
    service.nobody_presses_a_key().await;
    let to = json!({ "mode": "blind", "to": CONTACT });
    let (status, answer) = service.ask("1001", Method::POST, &path, Some(to)).await;
    assert!(status.is_success(), "{answer}");
    wait_for(&mut events, "call.transfer.returned").await;
    lab.phone("1001").answers_after(ms(200)).await;
    wait_for(&mut events, "call.answered").await;
    call.hang_up().await;
    wait_for(&mut events, "call.ended").await;
    service.stop().await;
}
