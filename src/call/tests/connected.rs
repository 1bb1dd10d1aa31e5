//! Picked up and connected are two facts: an announcement to the operator, a key that the called party must press.

use super::*;
use crate::contract::call::CallState;

/// The operator's phone is picked up, and the PBX plays an announcement to the operator.
fn announcement() -> Rig {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).dials(&CALLER, &SUZUKI).rings(&SATO).rings(&SUZUKI);
    rig.notices();
    rig.answers(&SATO);
    rig
}

#[test]
fn a_phone_that_was_picked_up_has_not_answered_until_it_is_connected() {
    let mut rig = announcement();
    assert!(rig.notices().is_empty());
    assert_eq!(rig.state(), CallState::Presented);
    rig.dial_ends(&SUZUKI, DialStatus::Cancel).hangs_up(&SUZUKI, 26);
    assert_eq!(rig.notices(), ["rescinded 1002 AnsweredElsewhere"]);
    rig.passes(1_600);
    let connected_at = rig.now;
    rig.enters(&SATO, 1);
    assert!(rig.notices().is_empty());
    rig.enters(&CALLER, 1);
    assert_eq!(rig.notices(), ["answered 1001"]);
    assert_eq!(rig.views.last().unwrap().answered_at, Some(connected_at));
}

#[test]
fn a_caller_who_hangs_up_during_the_announcement_was_not_answered() {
    let mut rig = announcement();
    rig.dial_ends(&SUZUKI, DialStatus::Cancel).hangs_up(&SUZUKI, 26).notices();
    rig.far_end_hangs_up(&CALLER);
    rig.pbx(Event::QueueAbandoned(CALLER.channel(ChannelState::Ring)));
    rig.pbx(Event::QueueLeft(CALLER.channel(ChannelState::Ring)));
    // The second DialEnd of this leg; the last one counts.
    rig.dial_ends(&SATO, DialStatus::NoAnswer).hangs_up(&SATO, 16).pbx_ends(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices(), ["rescinded 1001 CallerGone", "ended Abandoned []"]);
    assert_eq!(rig.views.last().unwrap().answered_at, None);
}

#[test]
fn an_operator_who_hangs_up_during_the_announcement_loses_nothing() {
    let mut rig = announcement();
    rig.notices();
    rig.far_end_hangs_up(&SATO);
    assert_eq!(rig.notices(), ["rescinded 1001 Withdrawn"]);
    rig.hangs_up(&SATO, 16).answers(&SUZUKI).enters(&SUZUKI, 1).enters(&CALLER, 1);
    rig.far_end_hangs_up(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices(), ["answered 1002", "ended Answered [1002]"]);
}

/// `Dial(…,U(confirm))`: the phone is picked up (by a mailbox), and nobody presses the key.
#[test]
fn a_phone_whose_key_is_not_pressed_has_not_answered() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    rig.dials(&CALLER, &SATO).rings(&SATO).pbx(Event::ChannelState(SATO.channel(ChannelState::Up)));
    rig.passes(8_000);
    rig.dial_ends(&SATO, DialStatus::Other).hangs_up(&SATO, 16).pbx_ends(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(
        rig.notices(),
        ["offered", "presented 1001", "rescinded 1001 NoAnswer", "ended Overflowed []"]
    );
}

/// A phone that answers by itself is picked up without a ring: the pop does not wait for the connection.
#[test]
fn a_phone_that_never_rang_pops_at_the_pick_up() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).answers(&SATO);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
    rig.enters(&CALLER, 1).enters(&SATO, 1);
    assert_eq!(rig.notices(), ["answered 1001"]);
}

#[test]
fn a_restart_during_the_announcement_changes_nothing() {
    let mut rig = announcement();
    rig.restarts();
    rig.enters(&SATO, 1).enters(&CALLER, 1);
    assert_eq!(rig.notices(), ["answered 1001", "rescinded 1002 AnsweredElsewhere"]);
}

#[test]
fn the_pick_up_time_is_in_the_notices() {
    let mut rig = announcement();
    let picked_up_at = rig.now;
    rig.passes(900);
    rig.model.handle(
        rig.now,
        Input::Pbx(Event::BridgeEntered {
            bridge: bridge(1),
            kind: BridgeKind::Mixing,
            channel: CALLER.channel(ChannelState::Up),
            swapped: None,
        }),
    );
    rig.model.handle(
        rig.now,
        Input::Pbx(Event::BridgeEntered {
            bridge: bridge(1),
            kind: BridgeKind::Mixing,
            channel: SATO.channel(ChannelState::Up),
            swapped: None,
        }),
    );
    let Some(Output::Notice(notice)) = rig.model.poll_output() else { panic!("no notice") };
    let expected = NoticeKind::Answered {
        operator: crate::ids::Extension::parse("1001").unwrap(),
        picked_up_at: Some(picked_up_at),
    };
    assert_eq!(notice.kind, expected);
}
