//! Gaps of the PBX link, restarts of the PBX and of the daemon.

use super::*;

/// The dial was missed, so the answer alone does not show that the operator has the caller.
#[test]
fn a_phone_that_was_found_ringing_pops_once_however_it_ends() {
    let listed = |ch: &Ch, state| Event::ChannelListed {
        channel: ch.channel(state),
        bridge: None,
        application: "Dial".into(),
        arguments: "PJSIP/1001".into(),
    };
    let found_ringing = || {
        let mut rig = Rig::new();
        rig.input(Input::ListBegan);
        rig.pbx(listed(&SATO, ChannelState::Ringing)).pbx(listed(&CALLER, ChannelState::Ring));
        rig.input(Input::ListEnded);
        rig.passes(100);
        assert_eq!(rig.notices(), ["offered", "presented 1001"]);
        rig
    };
    for first in [[&SATO, &CALLER], [&CALLER, &SATO]] {
        let mut rig = found_ringing();
        rig.answers(&SATO);
        assert!(rig.notices().is_empty());
        rig.enters(first[0], 1).enters(first[1], 1);
        assert_eq!(rig.notices(), ["answered 1001"]);
    }
    let mut rig = found_ringing();
    rig.answers(&SATO).hangs_up(&SATO, 16);
    assert_eq!(rig.notices(), ["rescinded 1001 Withdrawn"]);
}

#[test]
fn a_gap_is_closed_by_a_list_in_whatever_order() {
    for order in [[&CALLER, &SATO], [&SATO, &CALLER]] {
        a_gap_is_closed_by_a_list(order);
    }
}

fn a_gap_is_closed_by_a_list(order: [&Ch; 2]) {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).notices();
    rig.input(Input::LinkDown);
    rig.input(Input::LinkUp { restarted: false });
    rig.input(Input::ListBegan);
    let listed = |ch: &Ch, n| Event::ChannelListed {
        channel: ch.channel(ChannelState::Up),
        bridge: Some(bridge(n)),
        application: "Queue".into(),
        arguments: "sakura".into(),
    };
    rig.pbx(listed(order[0], 7)).pbx(listed(order[1], 7));
    rig.input(Input::ListEnded);
    assert_eq!(rig.notices(), ["answered 1001"]);
    assert!(rig.views.last().unwrap().inferred);
    // The next list has neither: both ended during the gap.
    rig.input(Input::ListBegan);
    rig.input(Input::ListEnded);
    assert_eq!(rig.notices().last().unwrap(), "ended Answered [1001]");
    assert_eq!(rig.model.stats().legs, 0);
}

#[test]
fn a_restarted_pbx_has_no_calls() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).notices();
    rig.input(Input::LinkUp { restarted: true });
    assert_eq!(rig.notices(), ["rescinded 1001 CallerGone", "ended Unknown []"]);
}

#[test]
fn a_model_that_starts_amid_calls_learns_them_from_the_list() {
    let mut rig = Rig::new();
    rig.input(Input::ListBegan);
    let listed = |ch: &Ch, state| Event::ChannelListed {
        channel: ch.channel(state),
        bridge: None,
        application: "Queue".into(),
        arguments: "sakura".into(),
    };
    rig.pbx(listed(&SATO, ChannelState::Ringing)).pbx(listed(&CALLER, ChannelState::Up));
    rig.input(Input::ListEnded);
    rig.passes(100);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
}

#[test]
fn a_restart_reports_nothing_twice_and_what_happened_meanwhile_once() {
    let listed = |ch: &Ch, state, b: Option<u32>| Event::ChannelListed {
        channel: ch.channel(state),
        bridge: b.map(bridge),
        application: "Queue".into(),
        arguments: "sakura".into(),
    };
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).dials(&CALLER, &SUZUKI).rings(&SUZUKI);
    let before = rig.views.last().cloned().unwrap();
    rig.notices();
    rig.restarts();
    assert_eq!(rig.model.calls().collect::<Vec<_>>(), [before]);
    rig.input(Input::ListBegan);
    for (ch, state) in
        [(&CALLER, ChannelState::Up), (&SATO, ChannelState::Ringing), (&SUZUKI, ChannelState::Ringing)]
    {
        rig.pbx(listed(ch, state, None));
    }
    rig.input(Input::ListEnded);
    rig.passes(30_000);
    assert!(rig.notices().is_empty(), "everything is as it was");

    // During the gap operator 1001 answered and the others stopped ringing.
    rig.restarts();
    rig.input(Input::ListBegan);
    rig.pbx(listed(&CALLER, ChannelState::Up, Some(1))).pbx(listed(&SATO, ChannelState::Up, Some(1)));
    rig.input(Input::ListEnded);
    assert_eq!(rig.notices(), ["answered 1001", "rescinded 1002 AnsweredElsewhere"]);

    // During the next gap the caller hung up.
    rig.restarts();
    rig.input(Input::ListBegan);
    rig.input(Input::ListEnded);
    assert_eq!(rig.notices(), ["ended Answered [1001]"]);
    assert!(rig.views.last().unwrap().inferred);
}

/// Ordering rules 4 and 6 of `publish.rs`: a list shows at once what happened one after the other.
#[test]
fn notices_of_one_event_come_in_their_order() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SUZUKI).rings(&SUZUKI).notices();
    rig.input(Input::LinkDown);
    rig.input(Input::LinkUp { restarted: false });
    rig.input(Input::ListBegan);
    let listed = |ch: &Ch| Event::ChannelListed {
        channel: ch.channel(ChannelState::Up),
        bridge: Some(bridge(7)),
        application: "Queue".into(),
        arguments: "sakura".into(),
    };
    rig.pbx(listed(&SATO)).pbx(listed(&CALLER));
    let before = rig.views.len();
    rig.input(Input::ListEnded);
    assert_eq!(rig.notices(), ["presented 1001", "answered 1001", "rescinded 1002 AnsweredElsewhere"]);
    let withdrawn = SUZUKI.name[6..10].parse::<u32>().unwrap();
    let shows =
        |view: &CallView| view.presented_to.iter().any(|phone| phone.as_str() == withdrawn.to_string());
    let shown: Vec<_> = rig.views[before..].iter().map(shows).collect();
    assert_eq!(shown, [true, true, false], "it is shown until it is withdrawn");
}
