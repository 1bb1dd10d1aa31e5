//! Recovery after a restart of the daemon or of the PBX.

use super::*;
use crate::contract::supervision::{EndReason, Mode, State};

#[test]
fn a_restarted_daemon_recovers_a_session() {
    let (rig, leg) = Rig::live(true);
    let spied = monitor_target(call(1), &ext("1001"));
    let mut next = Rig::new();
    next.input(Input::ListBegan);
    let listed = |application: &str, arguments: String| Event::ChannelListed {
        channel: channel(&leg, "PJSIP/2001-0000001a", ChannelState::Up),
        bridge: None,
        application: application.into(),
        arguments: SmolStr::from(arguments),
    };
    next.input(Input::Pbx(&listed("ChanSpy", format!("{},quSw", spied.channel))));
    next.input(Input::ListEnded);
    // Until the call's account is known, the call may not be monitored.
    assert_eq!(next.state(), State::Waiting);
    next.calls = rig.calls;
    next.input(Input::CallsChanged);
    let session = next.machine.iter().next().unwrap();
    assert_eq!((session.state, session.mode, &session.phone), (State::Live, Mode::Whisper, &ext("2001")));
    let id = session.id;
    assert_eq!(next.loads, [(id, next.now)]);
    let monitoring_since = Some("2026-01-04T23:00:00Z".parse().unwrap());
    let (reason, mode) = (Some("新人研修".into()), Some(Mode::Listen));
    let records = RecoveredSession {
        reason,
        monitoring_since,
        mode,
        call: Some(call(9)),
        ..RecoveredSession::default()
    };
    next.input(Input::SessionLoaded(id, Some(Box::new(records))));
    let notices: Vec<_> = next.notices.iter().map(|(notice, _)| *notice).collect();
    assert_eq!(notices, [Notice::Changed, Notice::Recovered]);
    // The PBX and not the record decides the mode of an attached phone.
    let view = &next.notices.last().unwrap().1;
    assert_eq!((view.mode, view.call, view.heard_at), (Mode::Whisper, Some(call(1)), monitoring_since));
    assert_eq!((view.supervisor_name.as_str(), view.reason.as_deref()), ("伊藤", Some("新人研修")));
    assert_eq!(next.take_actions(), Vec::<String>::new());
    // The call ends while a switch is under way.
    next.input(Input::Switch(id, Mode::Listen));
    next.calls.0.clear();
    next.input(Input::CallsChanged);
    assert_eq!(
        (next.take_actions(), next.state()),
        (vec!["Redirect listen".into(), "Redirect wait".into()], State::Waiting)
    );
    // The next list lacks it: the phone was hung up in the gap.
    next.input(Input::ListBegan);
    next.input(Input::ListEnded);
    assert_eq!(next.end_reason(), Some(EndReason::Lost));
}

#[test]
fn a_restarted_pbx_has_no_sessions() {
    let (mut rig, _) = Rig::live(true);
    rig.input(Input::Restarted);
    assert_eq!(rig.end_reason(), Some(EndReason::Lost));
}
