//! Consultations before a transfer: who has the caller, and whose pop stays.

use super::*;
use crate::contract::call::CallState;

#[test]
fn a_consultation_keeps_its_operator_until_it_is_completed() {
    let mut rig = Rig::new();
    rig.sato_talks().notices();
    // Sato leaves for the contact; the caller hears music, alone in the bridge.
    rig.leaves(&SATO, 1).dials(&SATO, &CONTACT).rings(&CONTACT).answers(&CONTACT);
    rig.enters(&SATO, 2).enters(&CONTACT, 2);
    assert!(rig.notices().is_empty());
    rig.leaves(&SATO, 2).leaves(&CONTACT, 2).enters(&CONTACT, 1).hangs_up(&SATO, 16);
    assert_eq!(rig.notices(), ["updated"]);
    assert_eq!(rig.views.last().unwrap().state, CallState::Transferred);
    rig.hangs_up(&CONTACT, 16).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices().last().unwrap(), "ended Answered [1001]");
}

#[test]
fn a_colleague_who_is_consulted_gets_the_pop_and_then_the_caller() {
    let mut rig = Rig::new();
    rig.sato_talks().notices();
    rig.leaves(&SATO, 1).dials(&SATO, &SUZUKI).rings(&SUZUKI).answers(&SUZUKI);
    rig.enters(&SATO, 2).enters(&SUZUKI, 2);
    assert_eq!(rig.notices(), ["presented 1002"]);
    rig.leaves(&SATO, 2).leaves(&SUZUKI, 2).enters(&SUZUKI, 1).hangs_up(&SATO, 16);
    assert_eq!(rig.notices(), ["answered 1002"]);
    rig.hangs_up(&CALLER, 16).hangs_up(&SUZUKI, 16);
    assert_eq!(rig.notices().last().unwrap(), "ended Answered [1001, 1002]");
}

#[test]
fn a_colleague_who_was_consulted_in_vain_loses_the_pop() {
    let mut rig = Rig::new();
    rig.sato_talks().notices();
    rig.leaves(&SATO, 1).dials(&SATO, &SUZUKI).rings(&SUZUKI).answers(&SUZUKI);
    rig.enters(&SATO, 2).enters(&SUZUKI, 2).hangs_up(&SUZUKI, 16).leaves(&SATO, 2).enters(&SATO, 1);
    assert_eq!(rig.notices(), ["presented 1002", "rescinded 1002 Withdrawn"], "nobody took the caller");
}

/// The PBX holds back the end of the operator's channel until the colleague answers or the time is over.
#[test]
fn an_operator_who_hangs_up_in_a_consultation_is_free_at_once() {
    let mut rig = Rig::new();
    rig.sato_talks().pbx(Event::Held(SATO.channel(ChannelState::Up)));
    rig.leaves(&SATO, 1).enters(&SATO, 2).dials(&LOCAL_TWO, &SUZUKI).rings(&SUZUKI).notices();
    rig.far_end_hangs_up(&SATO).leaves(&SATO, 2);
    assert_eq!(rig.notices(), ["updated"]);
    let view = rig.views.last().unwrap();
    assert_eq!((view.state, &view.operator, view.presented_to.len()), (CallState::Presented, &None, 1));

    // The colleague does not answer, and the PBX calls the operator back.
    rig.dial_ends(&SUZUKI, DialStatus::Cancel).hangs_up(&SUZUKI, 0).hangs_up(&SATO, 16);
    assert_eq!(rig.notices(), ["rescinded 1002 Withdrawn"]);
    assert_eq!(rig.views.last().unwrap().state, CallState::Transferred);
    let recall = Ch { name: "PJSIP/1001-00000015", n: 15, linked: 1 };
    rig.pbx(Event::ChannelCreated(recall.channel(ChannelState::Down))).rings(&recall);
    assert_eq!(rig.notices(), ["presented 1001"]);
    rig.pbx(Event::ChannelState(recall.channel(ChannelState::Up))).enters(&recall, 1);
    assert_eq!(rig.notices(), ["answered 1001"]);
}

#[test]
fn a_colleague_gets_the_caller_of_an_operator_who_hung_up_while_it_rang() {
    let mut rig = Rig::new();
    rig.sato_talks();
    rig.leaves(&SATO, 1).enters(&SATO, 2).dials(&LOCAL_TWO, &SUZUKI).rings(&SUZUKI).far_end_hangs_up(&SATO);
    rig.leaves(&SATO, 2).notices();
    rig.answers(&SUZUKI);
    assert!(rig.notices().is_empty(), "picked up is not connected");
    rig.enters(&SUZUKI, 1).hangs_up(&SATO, 16);
    assert_eq!(rig.notices(), ["answered 1002"]);
}

/// Asterisk 16 merges the consultation's bridge into the caller's while the operator's channel is still in it.
#[test]
fn an_operator_who_completes_a_consultation_does_not_get_the_caller_again() {
    let mut rig = Rig::new();
    rig.sato_talks();
    rig.leaves(&SATO, 1).enters(&SATO, 2).dials(&LOCAL_TWO, &CONTACT).rings(&CONTACT).answers(&CONTACT);
    rig.enters(&CONTACT, 2).notices();
    rig.far_end_hangs_up(&SATO);
    rig.pbx(Event::BridgeMerged { from: bridge(2), to: bridge(1) });
    rig.leaves(&SATO, 1).hangs_up(&SATO, 16);
    assert_eq!(rig.notices(), ["updated"]);
    assert_eq!(rig.views.last().unwrap().state, CallState::Transferred);
}

#[test]
fn a_hang_up_in_a_consultation_survives_a_restart() {
    let mut rig = Rig::new();
    rig.sato_talks();
    rig.leaves(&SATO, 1).enters(&SATO, 2).dials(&LOCAL_TWO, &SUZUKI).rings(&SUZUKI).far_end_hangs_up(&SATO);
    rig.leaves(&SATO, 2).notices();
    rig.restarts();
    rig.dial_ends(&SUZUKI, DialStatus::Cancel);
    assert_eq!(rig.notices(), ["rescinded 1002 Withdrawn"]);
}

#[test]
fn a_normal_hang_up_frees_the_operator_when_the_phone_leaves_the_caller() {
    let mut rig = Rig::new();
    rig.sato_talks().notices();
    rig.far_end_hangs_up(&SATO);
    assert!(rig.notices().is_empty());
    rig.leaves(&SATO, 1);
    assert_eq!(rig.notices(), ["updated"]);
    rig.hangs_up(&SATO, 16).pbx_ends(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices(), ["ended Answered [1001]"]);
}
