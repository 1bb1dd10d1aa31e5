//! Calls that ring, are answered, held and ended.

use super::*;
use crate::contract::call::{CallState, Outcome};

#[test]
fn the_pop_comes_before_the_answer() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO);
    assert_eq!(rig.notices(), ["offered"]);
    rig.rings(&SATO);
    assert_eq!(rig.notices(), ["presented 1001"]);
    assert_eq!(rig.views.last().unwrap().card.as_ref().unwrap().account.name, "さくら商事");
    rig.answers(&SATO);
    assert!(rig.notices().is_empty());
    rig.enters(&CALLER, 1).enters(&SATO, 1);
    assert_eq!(rig.notices(), ["answered 1001"]);
    rig.hangs_up(&SATO, 16).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices(), ["updated", "ended Answered [1001]"]);
    rig.passes(20_000);
    assert_eq!(rig.model.stats(), ModelStats { calls: 0, legs: 0, bridges: 0, timers: 0 });
}

#[test]
fn two_ring_and_one_wins() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).dials(&CALLER, &SUZUKI).rings(&SATO).rings(&SUZUKI);
    rig.notices();
    rig.answers(&SUZUKI).enters(&SUZUKI, 1).enters(&CALLER, 1);
    assert_eq!(rig.notices(), ["answered 1002", "rescinded 1001 AnsweredElsewhere"]);
    rig.dial_ends(&SATO, DialStatus::Cancel).hangs_up(&SATO, 26);
    assert!(rig.notices().is_empty());
}

#[test]
fn the_second_rings_after_the_first_did_not_answer() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).dial_ends(&SATO, DialStatus::NoAnswer);
    rig.hangs_up(&SATO, 19).dials(&CALLER, &SUZUKI).rings(&SUZUKI);
    assert_eq!(rig.notices(), ["offered", "presented 1001", "rescinded 1001 NoAnswer", "presented 1002"]);
}

#[test]
fn the_caller_gives_up_while_it_rings() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO);
    rig.pbx(Event::HangupRequested { channel: CALLER.channel(ChannelState::Ring), cause: 16 });
    rig.pbx(Event::QueueAbandoned(CALLER.channel(ChannelState::Ring)));
    rig.pbx(Event::QueueLeft(CALLER.channel(ChannelState::Ring)));
    rig.dial_ends(&SATO, DialStatus::Cancel).hangs_up(&SATO, 0).hangs_up(&CALLER, 16);
    let notices = rig.notices();
    assert_eq!(notices[2..], ["rescinded 1001 CallerGone", "ended Abandoned []"][..], "{notices:?}");
}

#[test]
fn a_queue_that_gives_up_overflows() {
    let mut rig = Rig::new();
    rig.call_comes_in().pbx(Event::QueueLeft(CALLER.channel(ChannelState::Up))).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices().last().unwrap(), "ended Overflowed []");
}

#[test]
fn the_dialplan_reports_the_outcome() {
    for (text, outcome) in [("closed", Outcome::Closed), ("blocked", Outcome::Blocked)] {
        let mut rig = Rig::new();
        rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
        rig.pbx(Event::User {
            name: "ToritsugiOutcome".into(),
            channel: CALLER.channel(ChannelState::Up),
            fields: vec![("Outcome".into(), text.as_bytes().to_vec())],
        });
        rig.hangs_up(&CALLER, 16);
        assert_eq!(rig.notices().last().unwrap(), &format!("ended {outcome:?} []"));
    }
}

/// No caller waits in it, and nobody gives it up.
#[test]
fn a_call_in_which_the_dialplan_receives_a_fax_is_one() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    let fax = |step: &str| Event::User {
        name: "ToritsugiFax".into(),
        channel: CALLER.channel(ChannelState::Up),
        fields: vec![("Step".into(), step.as_bytes().to_vec())],
    };
    rig.pbx(fax("receiving"));
    rig.passes(1_000);
    assert_eq!(rig.state(), CallState::Elsewhere);
    rig.notices();
    rig.restarts();
    assert_eq!(rig.state(), CallState::Elsewhere);
    rig.far_end_hangs_up(&CALLER).pbx(fax("received")).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices().last().unwrap(), "ended Fax []");
    // Without the modules nothing was received: the dialplan says so by itself.
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring))).pbx(fax("unable"));
    rig.hangs_up(&CALLER, 17);
    assert_eq!(rig.notices().last().unwrap(), "ended Blocked []");
}

#[test]
fn hold_and_resume() {
    let mut rig = Rig::new();
    rig.sato_talks().notices();
    rig.pbx(Event::Held(SATO.channel(ChannelState::Up))).pbx(Event::Unheld(SATO.channel(ChannelState::Up)));
    assert_eq!(rig.notices(), ["held 1001", "resumed 1001"]);
}

#[test]
fn a_call_that_ends_at_once_is_still_reported_whole() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring))).hangs_up(&CALLER, 17);
    assert_eq!(rig.notices(), ["offered", "ended Blocked []"]);
}
