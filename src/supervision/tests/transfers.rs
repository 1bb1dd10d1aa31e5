//! Sessions during transfers, and take-overs.

use super::*;
use crate::contract::supervision::{AfterTransfer, EndReason, Mode, State, Target};

#[test]
fn a_transfer_pauses_and_a_return_resumes() {
    for policy in [AfterTransfer::Operator, AfterTransfer::Caller] {
        let (mut rig, leg) = Rig::live_with(policy, false);
        rig.input(Input::Pause { call: call(1), leaves: true });
        assert_eq!((rig.take_actions(), rig.state()), (vec!["Redirect wait".to_owned()], State::Paused));
        rig.stop_spy(&leg);
        rig.set_operator(1, None);
        assert_eq!(rig.state(), State::Paused);
        rig.set_operator(1, Some("1001"));
        rig.input(Input::Resume(call(1)));
        assert_eq!(rig.take_actions(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
        rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
        assert_eq!(rig.state(), State::Live);
    }
}

#[test]
fn after_a_transfer_the_policy_says_who_is_heard() {
    let transfer = |policy, follow, to: Option<&str>| {
        let (mut rig, leg) = Rig::live_with(policy, follow);
        let id = rig.machine.iter().next().unwrap().id;
        rig.input(Input::Switch(id, Mode::Whisper));
        rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
        rig.take_actions();
        rig.input(Input::Pause { call: call(1), leaves: true });
        rig.stop_spy(&leg);
        rig.set_operator(1, to);
        rig.input(Input::Resume(call(1)));
        rig
    };
    let redirected = |to: &str, tone: &str| {
        vec![
            "Redirect wait".to_owned(),
            "Setvar".into(),
            format!("Setvar tone {tone}"),
            format!("Redirect {to}"),
        ]
    };
    for to in [None, Some("1002")] {
        assert_eq!(transfer(AfterTransfer::Operator, false, to).take_actions(), ["Redirect wait", "Hangup"]);
        assert_eq!(transfer(AfterTransfer::End, false, to).take_actions(), ["Hangup"]);
        for policy in [AfterTransfer::Operator, AfterTransfer::Caller, AfterTransfer::End] {
            // A session with follow waits for the operator's next call.
            let mut rig = transfer(policy, true, to);
            assert_eq!((rig.take_actions(), rig.state()), (vec!["Redirect wait".to_owned()], State::Waiting));
        }
    }
    let mut rig = transfer(AfterTransfer::Caller, false, Some("1002"));
    assert_eq!(rig.take_actions(), redirected("whisper", "1"));
    // With an external party only listening is possible: neither a tone nor a whisper reaches a stranger.
    let mut rig = transfer(AfterTransfer::Caller, false, None);
    assert_eq!(rig.take_actions(), redirected("listen", "0"));
    let id = rig.machine.iter().next().unwrap().id;
    let heard = rig.machine.get(id).unwrap().monitor_target.clone().unwrap();
    assert_eq!(
        (heard.channel, heard.operator, heard.external),
        (external_channel(call(1)), ext("1001"), true)
    );
    for mode in [Mode::Whisper, Mode::Barge, Mode::TakeOver] {
        rig.input(Input::Switch(id, mode));
        assert_eq!(rig.take_actions(), Vec::<String>::new(), "{mode:?}");
    }
    rig.calls.0.clear();
    rig.input(Input::CallsChanged);
    assert_eq!(rig.take_actions(), ["Hangup"]);
}

#[test]
fn nobody_of_another_team_is_heard_after_a_transfer() {
    let (mut rig, leg) = Rig::live_with(AfterTransfer::Caller, false);
    rig.calls.1 = Some(ext("1002"));
    rig.stop_spy(&leg);
    rig.set_operator(1, Some("1002"));
    assert_eq!((rig.take_actions(), rig.state()), (vec![], State::Waiting));
    rig.set_operator(1, Some("1001"));
    assert_eq!(rig.take_actions(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
    // Nor is an operator whom the supervisor may no longer supervise.
    rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
    rig.calls.1 = Some(ext("1001"));
    rig.input(Input::CallsChanged);
    assert_eq!((rig.take_actions(), rig.state()), (vec!["Redirect wait".to_owned()], State::Waiting));
}

#[test]
fn a_phone_that_is_answered_during_a_transfer_waits_for_its_end() {
    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    let leg = rig.start(1, Target::Operator { operator: ext("1001"), follow: false }, Mode::Listen);
    rig.input(Input::Pause { call: call(1), leaves: false });
    rig.answer_phone(&leg);
    assert_eq!(
        (rig.take_actions(), rig.state()),
        (vec!["Originate listen".into(), "Redirect wait".into()], State::Paused)
    );
    rig.input(Input::Resume(call(1)));
    assert_eq!(rig.take_actions(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
}

#[test]
fn a_caller_who_has_moved_on_is_not_taken_over() {
    let mut rig = Rig::new();
    rig.calls.set(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::TakeOver);
    rig.set_operator(1, Some("1002"));
    rig.end_channel(&leg, 16);
    assert_eq!(rig.take_actions(), ["Originate take-over", "Hangup"]);
    assert_eq!(rig.end_reason(), Some(EndReason::CallEnded));
}

#[test]
fn a_take_over_gives_the_supervisor_the_call() {
    let (mut rig, leg) = Rig::live(false);
    let id = rig.machine.iter().next().unwrap().id;
    rig.input(Input::Switch(id, Mode::TakeOver));
    assert_eq!(rig.take_actions(), ["Setvar", "Redirect take-over"]);
    rig.stop_spy(&leg);
    let channel = channel(&leg, "PJSIP/2001-1", ChannelState::Up);
    let (bridge, kind) = (crate::ids::BridgeId::parse("b").unwrap(), crate::ami::event::BridgeKind::Mixing);
    rig.input(Input::Pbx(&Event::BridgeEntered { bridge, kind, channel, swapped: None }));
    assert_eq!(rig.end_reason(), Some(EndReason::TookOver));
    assert_eq!(rig.machine.released(call(1)), Some(&ext("1001")));
    rig.calls.0.clear();
    rig.input(Input::CallsChanged);
    assert!(rig.machine.is_empty() && rig.take_actions().is_empty());
}
