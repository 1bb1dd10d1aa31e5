//! Callers with somebody who is not an operator, calls that the PBX gives up, and calls that are passed on.

use super::*;
use crate::contract::call::CallState;

const MOBILE: Ch = Ch { name: "PJSIP/trunk-00000005", n: 5, linked: 1 };
const RECEPTION: Ch = Ch { name: "PJSIP/2001-00000006", n: 6, linked: 1 };

fn ring_group() -> Rig {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    rig.dials(&CALLER, &SATO).dials(&CALLER, &SUZUKI).rings(&SATO).rings(&SUZUKI).notices();
    rig
}

fn last(rig: &mut Rig) -> String {
    rig.notices().pop().unwrap()
}

#[test]
fn a_mobile_or_the_reception_that_takes_the_call_is_somebody() {
    for other in [&MOBILE, &RECEPTION] {
        let mut rig = ring_group();
        rig.dials(&CALLER, other).rings(other).answers(other);
        assert_eq!(rig.state(), CallState::Presented, "picked up is not connected");
        rig.dial_ends(&SATO, DialStatus::Cancel).hangs_up(&SATO, 26);
        rig.dial_ends(&SUZUKI, DialStatus::Cancel).hangs_up(&SUZUKI, 26);
        rig.enters(other, 1).enters(&CALLER, 1);
        assert_eq!(
            rig.notices(),
            ["rescinded 1001 AnsweredElsewhere", "rescinded 1002 AnsweredElsewhere", "updated"]
        );
        let view = rig.views.last().unwrap();
        assert_eq!((view.state, view.answered_at), (CallState::Elsewhere, None));
        rig.far_end_hangs_up(other).leaves(other, 1).hangs_up(other, 16);
        rig.leaves(&CALLER, 1).pbx_ends(&CALLER).hangs_up(&CALLER, 16);
        assert_eq!(rig.notices(), ["ended Elsewhere []"]);
    }
}

/// Follow-me and a phone's own forwarding dial through Local channels.
#[test]
fn a_mobile_behind_local_channels_is_somebody() {
    let one = Ch { name: "Local/090@from-internal-00000001;1", n: 11, linked: 1 };
    let mut rig = Rig::new();
    rig.call_comes_in();
    rig.pbx(Event::LocalPaired {
        one: one.channel(ChannelState::Down),
        two: LOCAL_TWO.channel(ChannelState::Ring),
    });
    rig.dials(&CALLER, &one).dials(&LOCAL_TWO, &MOBILE).rings(&MOBILE).answers(&MOBILE);
    rig.enters(&LOCAL_TWO, 2).enters(&MOBILE, 2).notices();
    rig.pbx(Event::QueueLeft(CALLER.channel(ChannelState::Ring)));
    rig.enters(&one, 1).enters(&CALLER, 1);
    assert_eq!(rig.state(), CallState::Elsewhere);
    rig.far_end_hangs_up(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Elsewhere []");
}

#[test]
fn an_operator_who_gets_the_caller_from_somebody_else_has_answered() {
    let mut rig = ring_group();
    rig.dials(&CALLER, &RECEPTION).answers(&RECEPTION).enters(&RECEPTION, 1).enters(&CALLER, 1);
    rig.enters(&SATO, 1).leaves(&RECEPTION, 1).hangs_up(&RECEPTION, 16);
    assert_eq!(rig.state(), CallState::Answered);
    rig.hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Answered [1001]");
}

/// The PBX answers with a mailbox after no answer.
#[test]
fn a_mailbox_after_no_answer_is_no_caller_who_waits() {
    let mut rig = ring_group();
    for phone in [&SATO, &SUZUKI] {
        rig.dial_ends(phone, DialStatus::NoAnswer).hangs_up(phone, 19);
    }
    assert_eq!(rig.state(), CallState::Offered);
    rig.pbx(Event::ChannelState(CALLER.channel(ChannelState::Up)));
    assert_eq!(last(&mut rig), "updated");
    assert_eq!(rig.state(), CallState::Elsewhere);
    rig.far_end_hangs_up(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(rig.notices(), ["ended Overflowed []"]);
}

/// The PBX had answered the call before the phones rang: only that nothing follows shows the mailbox.
#[test]
fn a_caller_whom_nothing_happens_to_is_with_the_pbx() {
    let mut rig = ring_group();
    rig.pbx(Event::ChannelState(CALLER.channel(ChannelState::Up)));
    assert!(rig.notices().is_empty());
    for phone in [&SATO, &SUZUKI] {
        rig.dial_ends(phone, DialStatus::NoAnswer).hangs_up(phone, 19);
    }
    rig.notices();
    rig.passes(1_900);
    assert_eq!(rig.state(), CallState::Offered, "the dialplan may still go on");
    rig.passes(100);
    assert_eq!((rig.notices(), rig.state()), (vec!["updated".to_owned()], CallState::Elsewhere));
    // The mailbox leads back to the phones.
    rig.dials(&CALLER, &MOBILE);
    assert_eq!(rig.state(), CallState::Offered);
    rig.far_end_hangs_up(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Abandoned []");
    rig.hangs_up(&MOBILE, 0).passes(20_000);
    assert_eq!(rig.model.stats(), ModelStats { calls: 0, legs: 0, bridges: 0, timers: 0 });
}

#[test]
fn a_call_that_ends_unattended_leaves_no_timer() {
    let mut rig = ring_group();
    rig.pbx(Event::ChannelState(CALLER.channel(ChannelState::Up)));
    for phone in [&SATO, &SUZUKI] {
        rig.dial_ends(phone, DialStatus::NoAnswer).hangs_up(phone, 19);
    }
    rig.hangs_up(&CALLER, 16);
    assert_eq!(rig.model.stats().timers, 0);
}

/// A queue reports each end without an answer as abandoned.
#[test]
fn a_queue_that_gives_up_is_no_caller_who_does() {
    for caller_first in [false, true] {
        let mut rig = Rig::new();
        rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO);
        if caller_first {
            rig.far_end_hangs_up(&CALLER);
        }
        rig.dial_ends(&SATO, DialStatus::NoAnswer).hangs_up(&SATO, 26);
        rig.pbx(Event::QueueAbandoned(CALLER.channel(ChannelState::Ring)));
        rig.pbx(Event::QueueLeft(CALLER.channel(ChannelState::Ring)));
        rig.pbx_ends(&CALLER).hangs_up(&CALLER, 16);
        let outcome = if caller_first { "Abandoned" } else { "Overflowed" };
        assert_eq!(last(&mut rig), format!("ended {outcome} []"));
    }
}

#[test]
fn the_pbx_that_gives_up_tells_what_the_phones_did() {
    use DialStatus::{Busy, NoAnswer, Unavailable};
    let both = [&SATO, &SUZUKI];
    // For each phone the dial's end and the cause of its hang-up request (0: none); then the caller's cause.
    for (phones, cause, outcome) in [
        (vec![(NoAnswer, 0), (NoAnswer, 0)], 16, "Overflowed"),
        (vec![(Busy, 17), (NoAnswer, 21)], 19, "Blocked"),
        (vec![(Busy, 17)], 17, "Blocked"),
        (vec![(NoAnswer, 21)], 19, "Blocked"),
        (vec![(Busy, 17), (NoAnswer, 0)], 19, "Overflowed"),
        (vec![(Busy, 17), (Unavailable, 20)], 17, "Blocked"),
        (vec![(Unavailable, 20), (Unavailable, 20)], 16, "Overflowed"),
        (vec![(Unavailable, 34)], 34, "Blocked"),
    ] {
        let mut rig = Rig::new();
        rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
        for ch in &both[..phones.len()] {
            rig.dials(&CALLER, ch).rings(ch);
        }
        for (ch, (status, hangup)) in both.iter().zip(&phones) {
            if *hangup != 0 {
                let channel = ch.channel(ChannelState::Ringing);
                rig.pbx(Event::HangupRequested { channel, cause: *hangup });
            }
            rig.dial_ends(ch, *status).hangs_up(ch, *hangup);
        }
        rig.pbx_ends(&CALLER).hangs_up(&CALLER, cause);
        assert_eq!(last(&mut rig), format!("ended {outcome} []"), "{phones:?}");
    }
}

#[test]
fn only_a_caller_who_hangs_up_while_waiting_abandons() {
    // While it rings.
    let mut rig = ring_group();
    rig.far_end_hangs_up(&CALLER);
    for phone in [&SATO, &SUZUKI] {
        rig.dial_ends(phone, DialStatus::Cancel).hangs_up(phone, 26);
    }
    rig.pbx_ends(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Abandoned []");
    // In a menu before any phone rang; and a menu that the PBX ends.
    for (hung_up, outcome) in [(true, "Abandoned"), (false, "Unknown")] {
        let mut rig = Rig::new();
        rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
        rig.pbx(Event::ChannelState(CALLER.channel(ChannelState::Up)));
        rig.passes(100);
        assert_eq!(rig.state(), CallState::Offered);
        if hung_up {
            rig.far_end_hangs_up(&CALLER);
        }
        rig.pbx_ends(&CALLER).hangs_up(&CALLER, 16);
        assert_eq!(last(&mut rig), format!("ended {outcome} []"));
    }
}

/// 1001 passes the caller on with the phone's own key, to a phone that is off or to a menu of the PBX.
#[test]
fn after_a_blind_transfer_by_the_phone_the_call_is_transferred() {
    let mut rig = Rig::new();
    rig.sato_talks().notices();
    rig.leaves(&CALLER, 1);
    rig.pbx(Event::BlindTransferred {
        transferer: id(SATO.n),
        transferee: Some(id(CALLER.n)),
        success: true,
        exten: Some("1002".into()),
    });
    assert_eq!((rig.notices(), rig.state()), (vec!["updated".to_owned()], CallState::Transferred));
    assert_eq!(rig.views.last().unwrap().operator, None, "also while the phone's channel still lives");
    rig.leaves(&SATO, 1).hangs_up(&SATO, 26);
    // The target rings in vain, and nobody has the caller again.
    rig.dials(&CALLER, &SUZUKI).rings(&SUZUKI).dial_ends(&SUZUKI, DialStatus::NoAnswer).hangs_up(&SUZUKI, 19);
    assert_eq!(rig.notices(), ["presented 1002", "rescinded 1002 NoAnswer"]);
    assert_eq!(rig.state(), CallState::Transferred);
    rig.hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Answered [1001]");
}

#[test]
fn a_blind_transfer_that_fails_changes_nothing() {
    let mut rig = Rig::new();
    rig.sato_talks().notices();
    rig.pbx(Event::BlindTransferred {
        transferer: id(SATO.n),
        transferee: Some(id(CALLER.n)),
        success: false,
        exten: None,
    });
    assert!(rig.notices().is_empty());
}

#[test]
fn an_answered_call_that_nobody_attends_to_has_left_the_operator() {
    let mut rig = Rig::new();
    rig.sato_talks().leaves(&SATO, 1).hangs_up(&SATO, 16).leaves(&CALLER, 1).notices();
    assert_eq!(rig.state(), CallState::Answered);
    rig.passes(2_000);
    assert_eq!((rig.notices(), rig.state()), (vec!["updated".to_owned()], CallState::Transferred));
}

#[test]
fn a_parked_caller_is_parked_until_somebody_takes_the_caller() {
    let mut rig = Rig::new();
    rig.sato_talks().leaves(&SATO, 1).leaves(&CALLER, 1).hangs_up(&SATO, 16).notices();
    rig.pbx(Event::BridgeEntered {
        bridge: bridge(7),
        kind: BridgeKind::Holding,
        channel: CALLER.channel(ChannelState::Up),
        swapped: None,
    });
    assert_eq!((rig.notices(), rig.state()), (vec!["updated".to_owned()], CallState::Parked));
    rig.restarts();
    assert_eq!(rig.state(), CallState::Parked);
    rig.leaves(&CALLER, 7).enters(&CALLER, 8).enters(&SUZUKI, 8);
    assert_eq!(last(&mut rig), "answered 1002");
}

/// 1002 takes the call that rings at 1001, with a pick-up code: the ringing channel ends without a DialEnd.
#[test]
fn a_call_that_was_picked_up_by_a_colleague_was_answered_elsewhere() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).notices();
    rig.hangs_up(&SATO, 26);
    assert_eq!(rig.notices(), ["rescinded 1001 AnsweredElsewhere"]);
    rig.enters(&SUZUKI, 1).enters(&CALLER, 1);
    assert_eq!(rig.notices(), ["presented 1002", "answered 1002"]);
}

/// A daemon without memory of the call finds it answered: an operator may have had the caller.
#[test]
fn a_call_that_is_found_after_its_talk_ends_as_unknown() {
    let found = |state, application: &str| {
        let mut rig = Rig::new();
        rig.input(Input::ListBegan);
        rig.pbx(Event::ChannelListed {
            channel: CALLER.channel(state),
            bridge: None,
            application: application.into(),
            arguments: "".into(),
        });
        rig.input(Input::ListEnded);
        rig.passes(100);
        rig
    };
    for cause in [16, 17, 19] {
        let mut rig = found(ChannelState::Up, "Dial");
        rig.pbx_ends(&CALLER).hangs_up(&CALLER, cause);
        assert_eq!(last(&mut rig), "ended Unknown []");
    }
    // With the target of the transfer, which the list shows, too.
    let mut rig = Rig::new();
    rig.input(Input::ListBegan);
    for ch in [&CALLER, &CONTACT] {
        rig.pbx(Event::ChannelListed {
            channel: ch.channel(ChannelState::Up),
            bridge: Some(bridge(1)),
            application: "Dial".into(),
            arguments: "".into(),
        });
    }
    rig.input(Input::ListEnded);
    rig.passes(100);
    assert_eq!(rig.state(), CallState::Elsewhere);
    rig.far_end_hangs_up(&CONTACT).hangs_up(&CONTACT, 16).pbx_ends(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Unknown []");
    // One that waits in a queue, and one that was not answered yet, are known.
    let mut rig = found(ChannelState::Up, "Queue");
    rig.far_end_hangs_up(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Abandoned []");
    let mut rig = found(ChannelState::Ring, "Queue");
    rig.pbx(Event::QueueLeft(CALLER.channel(ChannelState::Ring))).pbx_ends(&CALLER).hangs_up(&CALLER, 16);
    assert_eq!(last(&mut rig), "ended Overflowed []");
}

/// A checkpoint of an earlier version lacks the newer fields; one of this version has only words that it knows.
#[test]
fn checkpoints_are_read_by_older_and_newer_versions() {
    let mut rig = ring_group();
    rig.dials(&CALLER, &MOBILE).answers(&MOBILE).enters(&MOBILE, 1).enters(&CALLER, 1);
    let call = rig.model.calls().next().unwrap();
    let mut stored = serde_json::to_value(rig.model.snapshot(call.id).unwrap()).unwrap();
    assert_eq!((&stored["state"], &stored["exact_state"]), (&"transferred".into(), &"elsewhere".into()));
    rig.restarts();
    assert_eq!(rig.state(), CallState::Elsewhere);
    let newer =
        ["exact_state", "tried", "refused", "unanswered", "caller_hung_up", "elsewhere", "found_up", "fax"];
    for key in newer.into_iter().chain(["passed_on", "with_pbx"]) {
        stored.as_object_mut().unwrap().remove(key).unwrap();
    }
    for leg in stored["legs"].as_array_mut().unwrap() {
        for key in ["hung_up", "picked_up_at", "consulted", "released"] {
            leg.as_object_mut().unwrap().remove(key).unwrap();
        }
    }
    let mut model = Model::new(rules());
    model.restore(serde_json::from_value(stored).unwrap());
    model.check().unwrap();
}
