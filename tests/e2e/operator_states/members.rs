//! Queue members on the PBX follow the operator states.
use serde_json::json;

use super::{LONG, SHORT, member_is, must_set, operator};
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
