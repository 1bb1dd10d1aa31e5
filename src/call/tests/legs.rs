//! Legs, bridges and the calls that they form.

use super::*;

#[test]
fn queue_members_behind_local_channels_are_seen_through() {
    let one = Ch { name: "Local/1001@from-queue-00000001;1", n: 11, linked: 1 };
    let two = Ch { name: "Local/1001@from-queue-00000001;2", n: 12, linked: 1 };
    let mut rig = Rig::new();
    rig.call_comes_in();
    rig.pbx(Event::ChannelCreated(one.channel(ChannelState::Down)));
    rig.pbx(Event::ChannelCreated(two.channel(ChannelState::Ring)));
    rig.pbx(Event::LocalPaired {
        one: one.channel(ChannelState::Down),
        two: two.channel(ChannelState::Ring),
    });
    rig.pbx(Event::DialBegan {
        by: Some(CALLER.channel(ChannelState::Up)),
        to: one.channel(ChannelState::Down),
        number: None,
    });
    rig.dials(&two, &SATO).rings(&SATO).rings(&one).answers(&SATO);
    rig.enters(&two, 1).enters(&SATO, 1).enters(&one, 2);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
    rig.enters(&CALLER, 2);
    assert_eq!(rig.notices(), ["answered 1001"]);
    rig.pbx(Event::Held(SATO.channel(ChannelState::Up)));
    assert_eq!(rig.notices(), ["held 1001"]);
}

#[test]
fn two_callers_in_one_bridge_stay_two_calls() {
    let other = Ch { name: "PJSIP/trunk-00000009", n: 9, linked: 9 };
    let mut rig = Rig::new();
    rig.sato_talks();
    rig.pbx(Event::ChannelCreated(other.channel(ChannelState::Ring)));
    rig.enters(&other, 1).hangs_up(&CALLER, 16);
    assert_eq!(rig.model.calls().count(), 1);
}

#[test]
fn a_channel_that_is_gone_is_not_revived() {
    let mut rig = Rig::new();
    rig.call_comes_in().hangs_up(&CALLER, 16).notices();
    rig.rings(&CALLER).leaves(&CALLER, 1).enters(&CALLER, 1);
    assert!(rig.notices().is_empty());
    assert_eq!(rig.model.stats().legs, 0);
}

/// A channel may name a set that is over; the call that it begins is another one, with an id of its own.
#[test]
fn a_late_channel_of_a_call_that_is_over_begins_another_call() {
    let late = Ch { name: "PJSIP/trunk-00000009", n: 9, linked: 1 };
    let mut rig = Rig::new();
    rig.call_comes_in().hangs_up(&CALLER, 16);
    assert_eq!(rig.notices(), ["offered", "ended Abandoned []"]);
    let over = rig.views.last().unwrap().id;
    rig.rings(&late);
    rig.pbx(Event::ChannelState(Ch { linked: 9, ..late }.channel(ChannelState::Ring)));
    rig.passes(1_000);
    assert_eq!(rig.notices(), ["offered"]);
    assert_ne!(rig.views.last().unwrap().id, over);
}
