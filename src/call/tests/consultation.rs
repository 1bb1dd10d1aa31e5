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
    assert_eq!(rig.notices(), ["presented 1002", "rescinded 1002 AnsweredElsewhere"]);
}
