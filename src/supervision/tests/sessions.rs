//! Start, mode, end and follow of a session.

use super::*;
use crate::contract::supervision::{EndReason, Mode, State, SupervisionId, Target};

#[test]
fn a_channel_id_contains_session_user_and_target() {
    for target in [
        Target::Operator { operator: ext("1001"), follow: false },
        Target::Operator { operator: ext("12345678901234567890"), follow: true },
        Target::Call(call(9)),
    ] {
        let mut rig = Rig::new();
        let leg = rig.start(3, target.clone(), Mode::Listen);
        let expected = (SupervisionId(Uuid::from_u128(3)), RecordId(Uuid::from_u128(7)), target);
        assert_eq!(Session::from_leg(&leg), Some(expected));
        assert!(Session::is_leg(&leg));
    }
    for other in ["1700000000.1", "toritsugi-sv-", "toritsugi-sv-x_y_o1", "toritsugi-sv-é"] {
        assert!(ChannelId::parse(other).ok().is_none_or(|id| Session::from_leg(&id).is_none()), "{other}");
    }
}

#[test]
fn a_session_starts_switches_and_stops() {
    let (mut rig, leg) = Rig::live(false);
    let id = rig.machine.iter().next().unwrap().id;
    rig.input(Input::Switch(id, Mode::Whisper));
    assert_eq!((rig.take_actions(), rig.state()), (vec!["Redirect whisper".to_owned()], State::Attaching));
    rig.stop_spy(&leg);
    rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
    assert_eq!(rig.state(), State::Live);
    rig.input(Input::Stop(id));
    assert_eq!(rig.take_actions(), ["Hangup"]);
    rig.end_channel(&leg, 16);
    let notices: Vec<_> = rig.notices.iter().map(|(notice, view)| (*notice, view.mode)).collect();
    let expected = [
        (Notice::Requested, Mode::Listen),
        (Notice::Started, Mode::Listen),
        (Notice::Changed, Mode::Whisper),
        (Notice::Stopped(EndReason::Stopped), Mode::Whisper),
    ];
    assert_eq!(notices, expected);
    assert!(rig.machine.is_empty());
}

#[test]
fn a_mode_requested_while_the_phone_rings_applies() {
    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::Listen);
    rig.input(Input::Switch(SupervisionId(Uuid::from_u128(1)), Mode::Barge));
    rig.answer_phone(&leg);
    rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
    assert_eq!(rig.take_actions(), ["Originate listen", "Redirect barge"]);
    rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
    let notices: Vec<_> = rig.notices.iter().map(|(notice, view)| (*notice, view.mode)).collect();
    assert_eq!(
        (rig.state(), notices),
        (State::Live, vec![(Notice::Requested, Mode::Listen), (Notice::Started, Mode::Barge)])
    );
}

#[test]
fn an_unanswered_phone_has_its_end_reason() {
    let busy =
        |status| Event::DialEnded { to: channel(&chan("x"), "PJSIP/2001-1", ChannelState::Down), status };
    for (status, cause, expected) in [
        (Some(DialStatus::Unavailable), 17, EndReason::Busy),
        (Some(DialStatus::NoAnswer), 0, EndReason::NoAnswer),
        (Some(DialStatus::Unavailable), 0, EndReason::Unreachable),
        (Some(DialStatus::NoAnswer), 20, EndReason::Unreachable),
        (None, 19, EndReason::NoAnswer),
        (None, 21, EndReason::Busy),
        (None, 20, EndReason::Unreachable),
    ] {
        let mut rig = Rig::new();
        rig.calls.set(1, Some("1001"));
        let leg = rig.start(1, Target::Call(call(1)), Mode::Listen);
        let rings = channel(&leg, "PJSIP/2001-1", ChannelState::Ringing);
        rig.input(Input::Pbx(&Event::ChannelState(rings)));
        if let Some(status) = status {
            let mut event = busy(status);
            if let Event::DialEnded { to, .. } = &mut event {
                to.id = leg.clone();
            }
            rig.input(Input::Pbx(&event));
        }
        rig.end_channel(&leg, cause);
        assert_eq!(rig.end_reason(), Some(expected), "{status:?} {cause}");
    }
}

/// A busy PBX sends the response before the events of the channel.
#[test]
fn a_call_that_failed_waits_for_the_cause() {
    let failed = |leg: &ChannelId| Event::Originated {
        action_id: "1".into(),
        success: false,
        channel: Some(leg.clone()),
        reason: 0,
    };
    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::Listen);
    rig.input(Input::Pbx(&failed(&leg)));
    assert_eq!(rig.end_reason(), None);
    rig.input(Input::Pbx(&Event::ChannelCreated(channel(&leg, "PJSIP/2001-1", ChannelState::Down))));
    rig.end_channel(&leg, 17);
    assert_eq!(rig.end_reason(), Some(EndReason::Busy));

    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::Listen);
    rig.input(Input::Pbx(&failed(&leg)));
    rig.pass(CHANNEL_EVENTS_TIMEOUT);
    assert_eq!(rig.end_reason(), Some(EndReason::Unreachable));
    assert_eq!(rig.machine.poll_timeout(), None);
}

#[test]
fn a_cause_that_the_pbx_loses_is_that_of_the_phone() {
    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::Listen);
    let channel = channel(&leg, "PJSIP/2001-1", ChannelState::Down);
    rig.input(Input::Pbx(&Event::ChannelCreated(channel.clone())));
    rig.input(Input::Pbx(&Event::HangupRequested { channel, cause: 17 }));
    rig.end_channel(&leg, 0);
    assert_eq!(rig.end_reason(), Some(EndReason::Busy));
}

#[test]
fn a_phone_without_any_event_times_out() {
    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    rig.start(1, Target::Call(call(1)), Mode::Listen);
    rig.pass(SignedDuration::from_secs(30) + DIAL_RESULT_TIMEOUT);
    assert_eq!(rig.take_actions(), ["Originate listen", "Hangup"]);
    rig.pass(ATTACH_TIMEOUT);
    assert_eq!(rig.end_reason(), Some(EndReason::NoAnswer));
    assert_eq!(rig.machine.poll_timeout(), None);
}

#[test]
fn without_follow_a_session_ends_with_the_call() {
    let (mut rig, leg) = Rig::live(false);
    rig.stop_spy(&leg);
    rig.calls.0.clear();
    rig.input(Input::CallsChanged);
    rig.end_channel(&leg, 16);
    assert_eq!((rig.end_reason(), rig.take_actions()), (Some(EndReason::CallEnded), vec![]));
}

#[test]
fn the_supervisor_may_hang_up() {
    let (mut rig, leg) = Rig::live(true);
    let channel = channel(&leg, "PJSIP/2001-1", ChannelState::Up);
    rig.input(Input::Pbx(&Event::HangupRequested { channel, cause: 16 }));
    rig.stop_spy(&leg);
    rig.end_channel(&leg, 16);
    assert_eq!(rig.end_reason(), Some(EndReason::HungUp));
}

#[test]
fn with_follow_a_session_waits_for_the_next_call() {
    let (mut rig, leg) = Rig::live(true);
    rig.stop_spy(&leg);
    assert_eq!(rig.state(), State::Waiting);
    rig.calls.0.clear();
    rig.input(Input::CallsChanged);
    assert_eq!(rig.take_actions(), Vec::<String>::new());
    rig.set_operator(2, Some("1002"));
    assert_eq!(rig.state(), State::Waiting);
    rig.set_operator(3, Some("1001"));
    assert_eq!(rig.take_actions(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
    rig.start_spy(&leg, &monitor_target(call(3), &ext("1001")));
    assert_eq!(
        rig.notices.last().map(|(notice, view)| (*notice, view.call)),
        Some((Notice::Changed, Some(call(3))))
    );
}

#[test]
fn a_session_of_a_call_stays_with_the_call() {
    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::Whisper);
    rig.answer_phone(&leg);
    rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
    // The caller talks with an external party: nobody is heard.
    rig.set_operator(1, None);
    rig.set_operator(1, Some("1002"));
    let expected = ["Originate whisper", "Redirect wait", "Setvar", "Setvar tone 1", "Redirect whisper"];
    assert_eq!(rig.take_actions(), expected);
    rig.start_spy(&leg, &monitor_target(call(1), &ext("1002")));
    rig.calls.0.clear();
    rig.input(Input::CallsChanged);
    rig.end_channel(&leg, 16);
    assert_eq!(rig.end_reason(), Some(EndReason::CallEnded));
}

#[test]
fn in_another_bridge_the_spy_is_attached_again() {
    let (mut rig, leg) = Rig::live(false);
    let spied = monitor_target(call(1), &ext("1001"));
    let channel = channel(&spied.channel, "PJSIP/1001-1", ChannelState::Up);
    let (bridge, kind) = (crate::ids::BridgeId::parse("b").unwrap(), crate::ami::event::BridgeKind::Mixing);
    let entered = Event::BridgeEntered { bridge, kind, channel, swapped: None };
    assert!(rig.machine.wants(&entered));
    rig.input(Input::Pbx(&entered));
    assert_eq!((rig.take_actions(), rig.state()), (vec!["Redirect listen".to_owned()], State::Attaching));
    rig.stop_spy(&leg);
    rig.start_spy(&leg, &spied);
    assert_eq!(rig.state(), State::Live);
}
