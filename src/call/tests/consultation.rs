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
    rig.dial_ends(&SUZUKI, DialStatus::Cancel).hangs_up(&SUZUKI, 0);
    assert_eq!(rig.notices(), ["rescinded 1002 Withdrawn"]);
    assert_eq!(rig.views.last().unwrap().state, CallState::Transferred);
    rig.is_dialled_by_nobody(&RECALL).rings(&RECALL);
    assert_eq!(rig.notices(), ["presented 1001"]);
    rig.pbx(Event::ChannelState(RECALL.channel(ChannelState::Up))).enters(&RECALL, 1);
    assert_eq!(rig.notices(), ["answered 1001"]);
    rig.hangs_up(&SATO, 16);
    assert!(rig.notices().is_empty());
    rig.hangs_up(&CALLER, 16).hangs_up(&RECALL, 16);
    assert_eq!(rig.notices(), ["ended Answered [1001, 1001]"]);
    assert!(rig.outbound.is_empty());
}

/// The channel with which the PBX calls Sato back: nothing connects it with the call until it enters the bridge.
const RECALL: Ch = Ch { name: "PJSIP/1001-00000015", n: 15, linked: 15 };

impl Rig {
    fn is_dialled_by_nobody(&mut self, ch: &Ch) -> &mut Self {
        self.pbx(Event::ChannelCreated(ch.channel(ChannelState::Down)));
        self.pbx(Event::DialBegan { by: None, to: ch.channel(ChannelState::Down), number: None })
    }

    /// Sato hangs up while Suzuki's phone rings, and Suzuki does not answer.
    fn sato_consulted_in_vain(&mut self) -> &mut Self {
        self.sato_talks().leaves(&SATO, 1).enters(&SATO, 2).dials(&LOCAL_TWO, &SUZUKI).rings(&SUZUKI);
        self.far_end_hangs_up(&SATO).leaves(&SATO, 2);
        self.dial_ends(&SUZUKI, DialStatus::Cancel).hangs_up(&SUZUKI, 0);
        self.notices();
        self
    }
}

#[test]
fn an_operator_who_does_not_answer_the_recall_is_called_back_again() {
    let mut rig = Rig::new();
    rig.sato_consulted_in_vain();
    for n in [15, 16] {
        let recall = Ch { n, linked: n, ..RECALL };
        rig.is_dialled_by_nobody(&recall).rings(&recall);
        assert_eq!(rig.notices(), ["presented 1001"]);
        rig.pbx_ends(&recall).hangs_up(&recall, 0);
        assert_eq!(rig.notices(), ["rescinded 1001 Withdrawn"]);
    }
    rig.hangs_up(&SATO, 16).pbx_ends(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices(), ["ended Answered [1001]"]);
}

#[test]
fn a_list_finds_the_recall_of_a_call_that_a_restart_interrupted() {
    let mut rig = Rig::new();
    rig.sato_consulted_in_vain();
    rig.restarts();
    rig.input(Input::ListBegan);
    for (ch, state, in_bridge) in [
        (&CALLER, ChannelState::Up, Some(bridge(1))),
        (&SATO, ChannelState::Up, None),
        (&RECALL, ChannelState::Ringing, None),
    ] {
        rig.pbx(Event::ChannelListed {
            channel: ch.channel(state),
            bridge: in_bridge,
            application: SmolStr::default(),
            arguments: SmolStr::default(),
        });
    }
    rig.input(Input::ListEnded);
    assert_eq!(rig.notices(), ["presented 1001"]);
    rig.pbx(Event::ChannelState(RECALL.channel(ChannelState::Up))).enters(&RECALL, 1);
    assert_eq!(rig.notices(), ["answered 1001"]);
}

/// A program that calls the phone, the phone that calls somebody, and another operator's phone are no recall.
#[test]
fn a_phone_that_is_dialled_for_another_reason_is_no_recall() {
    // The operator has hung up and is gone: nobody waits for that phone.
    let mut rig = Rig::new();
    rig.sato_consulted_in_vain().hangs_up(&SATO, 16).notices();
    rig.is_dialled_by_nobody(&RECALL).rings(&RECALL);
    assert!(rig.notices().is_empty());
    // Another phone.
    let mut rig = Rig::new();
    rig.sato_consulted_in_vain();
    let other = Ch { name: "PJSIP/1003-00000015", ..RECALL };
    rig.is_dialled_by_nobody(&other).rings(&other);
    assert!(rig.notices().is_empty());
    // The phone itself calls.
    let mut rig = Rig::new();
    rig.sato_consulted_in_vain();
    rig.pbx(Event::ChannelCreated(RECALL.channel(ChannelState::Ring)));
    rig.pbx(Event::ChannelState(RECALL.channel(ChannelState::Up)));
    assert!(rig.notices().is_empty());
    // A colleague has the caller by now.
    let mut rig = Rig::new();
    rig.sato_consulted_in_vain().dials(&CALLER, &CONTACT);
    let third = Ch { name: "PJSIP/1003-00000020", n: 20, linked: 1 };
    rig.dials(&CALLER, &third).rings(&third).answers(&third).enters(&third, 1).notices();
    rig.is_dialled_by_nobody(&RECALL).rings(&RECALL);
    assert!(rig.notices().is_empty());
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
