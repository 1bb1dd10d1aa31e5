//! Random sequences of inputs keep the invariants of operator states and queue membership.

use crate::contract::operator::{State, StateView};
use crate::people::{Person, Roster};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Set(u128, State, Option<u8>),
    CallChanged(u8, Vec<u8>, Option<u8>, bool),
    CallEnded(u8),
    Transfer(u8, u8, bool),
    Finish(u128, u8),
    PassTime(i64),
    Removed(u128),
    Relisted,
    Restarted,
}

fn phone(n: u8) -> String {
    format!("{}", 1000 + u32::from(n))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = prop_oneof![Just(State::Ready), Just(State::NotReady), Just(State::LoggedOut)];
    let step = prop_oneof![
        5 => (1..4u128, state, prop::option::of(1..5u8)).prop_map(|(n, s, e)| Step::Set(n, s, e)),
        6 => (0..3u8, prop::collection::vec(1..5u8, 0..3), prop::option::of(1..5u8), any::<bool>())
            .prop_map(|(n, rings, has, held)| Step::CallChanged(n, rings, has, held)),
        3 => (0..3u8).prop_map(Step::CallEnded),
        2 => (0..3u8, 1..5u8, any::<bool>()).prop_map(|(n, e, u)| Step::Transfer(n, e, u)),
        3 => (1..4u128, 0..3u8).prop_map(|(n, c)| Step::Finish(n, c)),
        3 => (1..60i64).prop_map(Step::PassTime),
        1 => (1..4u128).prop_map(Step::Removed),
        1 => Just(Step::Relisted),
        2 => Just(Step::Restarted),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn no_input_skips_after_call_work_and_queues_follow_the_state(steps in steps(), required in any::<bool>()) {
        let mut w = Rig::new(required);
        let mut now = 1;
        for step in steps {
            now += 1;
            let before: Vec<StateView> = (1..4).filter_map(|n| w.registry.operator(Rig::user(n))).map(Operator::view).collect();
            let published = w.published.len();
            match &step {
                Step::Set(n, state, seat) => {
                    if let Some(operator) = w.registry.operator(Rig::user(*n)) {
                        let version = operator.view().version;
                        let reason = (*state == State::NotReady).then(|| "break".to_owned());
                        let extension = seat.map(|n| extension(&phone(n)));
                        let _ = w.set_with(now, *n, StateRequest { state: *state, reason, extension, version });
                    }
                }
                Step::CallChanged(n, rings, has, held) => {
                    let phones: Vec<String> = rings.iter().map(|n| phone(*n)).collect();
                    let phones: Vec<&str> = phones.iter().map(String::as_str).collect();
                    let has = has.map(phone);
                    w.call_changed(now, &view(*n, &phones, has.as_deref(), *held));
                }
                Step::CallEnded(n) => w.call_ended(now, *n),
                Step::Transfer(n, phone_of, under_way) => w.transfer(now, *n, &phone(*phone_of), *under_way),
                Step::Finish(n, c) => { let _ = w.finish(now, *n, *c); }
                Step::PassTime(seconds) => { now += seconds; w.pass_time(now); }
                Step::Removed(n) => {
                    let rest = roster().everybody().filter(|p| p.id != Rig::user(*n)).map(|p| Person::clone(p)).collect::<Vec<_>>();
                    let rest = Roster::new(rest, []);
                    w.registry.update_roster(at(now), &rest, |user| rest.person(user).and_then(|p| p.extension.clone()));
                    w.drain();
                    let all = roster();
                    w.registry.update_roster(at(now), &all, |user| all.person(user).and_then(|p| p.extension.clone()));
                    w.drain();
                }
                Step::Relisted => w.relist(now),
                Step::Restarted => {
                    // What the restart finds is compared with what the daemon before it knew.
                    w.relist(now);
                    let (views, members): (Vec<StateView>, _) = ((1..4).map(|n| w.view(n)).collect(), w.members.clone());
                    let mut next = w.restarted(now, required);
                    next.relist(now);
                    for before in &views {
                        let after = next.registry.operator(before.id).unwrap().view();
                        prop_assert_eq!(&after, before);
                    }
                    for (extension, member) in &next.members {
                        prop_assert_eq!(Some(member), members.get(extension));
                    }
                    w = Rig { completed: w.completed, published: w.published, removed: w.removed, ..next };
                }
            }
            for before in &before {
                let Some(operator) = w.registry.operator(before.id) else { continue };
                let after = operator.view();
                let removed = matches!(step, Step::Removed(n) if Rig::user(n) == before.id);
                if removed { continue; }
                // Each change has a new version and is given out.
                prop_assert!(after.version >= before.version);
                let same = |a: &StateView, b: &StateView| (a.state, &a.reason, &a.pending, &a.call, &a.wrap_up) == (b.state, &b.reason, &b.pending, &b.call, &b.wrap_up);
                if !same(before, &after) {
                    prop_assert!(after.version > before.version, "{step:?} {before:?} {after:?}");
                    prop_assert_eq!(w.published[published..].iter().rev().find(|t| t.id == before.id), Some(&after));
                }
                // After a caller there is after-call work.
                let had = matches!(before.state, State::Talking | State::OnHold);
                let has = matches!(after.state, State::Talking | State::OnHold);
                if had && !has {
                    prop_assert!(after.wrap_up.is_some(), "{step:?} {before:?} {after:?}");
                }
                // After-call work ends only by its time or its disposition.
                if before.state == State::WrapUp && matches!(after.state, State::Ready | State::NotReady | State::LoggedOut) {
                    let by_time = matches!(step, Step::PassTime(_)) && !required;
                    prop_assert!(by_time || matches!(step, Step::Finish(..)), "{step:?} {before:?} {after:?}");
                }
                // The queues offer calls only to operators who are ready or will be after the present ringing.
                if let Some(seat) = operator.seat() {
                    let free = w.paused(seat.as_str()).is_none();
                    prop_assert!(!free || matches!(after.state, State::Ready | State::Reserved), "{after:?}");
                    prop_assert!(free || after.state != State::Ready, "{after:?}");
                }
            }
        }
    }
}
