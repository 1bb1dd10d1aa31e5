//! Tests of the lab itself, on which all other tests rely: calls ring where they should, sound reaches whom it
//! should, and a killed PBX comes back.
use std::time::Duration;

use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall, Tone};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

#[tokio::test]
async fn caller_and_operator_hear_each_other_and_nobody_else() {
    let lab = Lab::start().await;
    let call = talking(&lab, "1002").await;
    // The PBX of a busy machine records less than was said, by a second and more.
    tokio::time::sleep(ms(5_200)).await;
    call.hang_up().await;

    let caller = call.heard().await;
    let operator = lab.phone("1002").heard().await;
    assert!(caller.hears_throughout(Tone::OPERATOR, 1..3), "{:?}", caller.per_second());
    assert!(operator.hears_throughout(Tone::CALLER, 1..3), "{:?}", operator.per_second());
    for other in [Tone::SUPERVISOR, Tone::CONTACT, Tone::MUSIC] {
        assert!(!caller.ever_hears(other) && !operator.ever_hears(other), "{other:?}");
    }
}

#[tokio::test]
async fn each_tone_can_be_changed_while_talking() {
    let lab = Lab::start().await;
    let call = talking(&lab, "1001").await;
    call.says(Tone::SPARE_1).await;
    lab.phone("1001").says(Tone::SPARE_2).await;
    tokio::time::sleep(ms(2_200)).await;
    call.hang_up().await;
    assert!(call.heard().await.hears_throughout(Tone::SPARE_2, 1..2));
    assert!(lab.phone("1001").heard().await.hears_throughout(Tone::SPARE_1, 1..2));
}

#[tokio::test]
async fn a_held_caller_hears_music_and_not_the_operator() {
    let lab = Lab::start().await;
    let call = talking(&lab, "1001").await;
    tokio::time::sleep(ms(1_000)).await;
    let operator = lab.phone("1001");
    operator.holds().await;
    tokio::time::sleep(ms(2_000)).await;
    operator.resumes().await;
    tokio::time::sleep(ms(1_500)).await;
    call.hang_up().await;

    let heard = call.heard().await;
    assert!(heard.ever_hears(Tone::MUSIC), "{:?}", heard.per_second());
    let gap = heard.longest_gap(Tone::OPERATOR).expect("the operator was heard");
    assert!(gap > ms(1_500), "the operator was silent for {gap:?} only");
    let operator = operator.heard().await;
    assert!(!operator.ever_hears(Tone::MUSIC), "{:?}", operator.per_second());
}

#[tokio::test]
async fn telephones_do_what_they_are_set_to() {
    let lab = Lab::start().await;
    lab.phone("1001").is_busy().await;
    lab.phone("1002").refuses().await;
    lab.phone("1003").is_unreachable().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    // No telephone answers: the queue keeps trying.
    eventually("the second telephone rings again", async || match lab.phone("1002").times_rung() {
        0 | 1 => Err("one call at most".to_owned()),
        _ => Ok(()),
    })
    .await;
    assert!(!call.is_answered());
    lab.phone("1003").rings_for_ever().await;
    lab.phone("1003").answers().await;
    call.answered().await;
    lab.phone("1003").hangs_up().await;
    assert_eq!(call.ended().await, 16);
}

#[tokio::test]
async fn a_caller_gives_up_and_the_telephones_stop_ringing() {
    let lab = Lab::start().await;
    let spec = CallSpec::new(KNOWN_CALLER, SAKURA).gives_up_after(Duration::from_secs(2));
    let call = lab.place_call(spec).await;
    for operator in ["1001", "1002", "1003"] {
        lab.phone(operator).rings().await;
    }
    call.ended().await;
    for operator in ["1001", "1002", "1003"] {
        lab.phone(operator).goes_idle().await;
    }
    assert!(!call.is_answered());
}

#[tokio::test]
async fn keys_are_heard_by_the_pbx() {
    let lab = Lab::start().await;
    let call = talking(&lab, "1001").await;
    call.send_dtmf("17").await;
    lab.phone("1001").presses("3").await;
    call.hang_up().await;
}

#[tokio::test]
async fn simultaneous_calls_are_distinguished() {
    let lab = Lab::start().await;
    let first = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let second = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let (at_first, at_second) = (first.at_pbx().await, second.at_pbx().await);
    assert_ne!(at_first.header("Uniqueid"), at_second.header("Uniqueid"));
}

#[tokio::test]
async fn a_killed_pbx_comes_back_on_the_same_ports() {
    let mut lab = Lab::start().await;
    let before = lab.manager_access().port;
    lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    lab.phone("1001").rings().await;
    lab.kill_pbx().await;
    lab.revive_pbx().await;
    assert_eq!(lab.manager_access().port, before);
    assert!(lab.pbx.channels().await.is_empty());
    lab.reset().await;
    talking(&lab, "1001").await.hang_up().await;
}

/// A call that an operator has just answered.
async fn talking<'a>(lab: &'a Lab, operator: &str) -> PlacedCall<'a> {
    lab.phone(operator).answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.answered().await;
    lab.phone(operator).talks().await;
    call
}
