//! What operator states promise: the ways of a day, and that no order of inputs leads anywhere else.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::call::view::{CallState, CallView, Direction};
use crate::command::Refusal;
use crate::ids::{CallId, ChannelId, Extension, PbxId, RecordId};

fn person(n: u128, name: &str, extension: Option<&str>) -> Person {
    Person {
        id: RecordId(Uuid::from_u128(n)),
        name: name.into(),
        kana: String::new(),
        role: Role::Operator,
        extension: extension.map(|e| Extension::parse(e).unwrap()),
        team: None,
    }
}

fn extension(text: &str) -> Extension {
    Extension::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn call(n: u8) -> CallId {
    CallId::derive(&PbxId::parse("pbx").unwrap(), &ChannelId::parse(&format!("1700000000.{n}")).unwrap())
}

fn view(n: u8, rings_at: &[&str], operator: Option<&str>, held: bool) -> CallView {
    CallView {
        id: call(n),
        pbx: PbxId::parse("pbx").unwrap(),
        direction: Direction::Inbound,
        state: if held { CallState::Held } else { CallState::Answered },
        offered_at: at(0),
        answered_at: None,
        ended_at: None,
        presented_to: rings_at.iter().map(|e| extension(e)).collect(),
        operator: operator.map(extension),
        outcome: None,
        card: None,
        inferred: false,
    }
}

fn settings(required: bool) -> Settings {
    Settings {
        disposition_required: required,
        wrap_up_s: 30,
        phones: vec!["1XXX".parse().unwrap(), "2XXX".parse().unwrap()],
        dispositions: vec!["message:伝言".parse().unwrap(), "other:その他".parse().unwrap()],
        not_ready_reasons: vec!["break:休憩".parse().unwrap()],
        ..Settings::default()
    }
}

/// Three people; 3 has no phone of her own.
fn roster() -> Roster {
    Roster::new(
        [person(1, "佐藤", Some("1001")), person(2, "鈴木", Some("1002")), person(3, "高橋", None)],
        [],
    )
}

struct World {
    floor: Floor,
    members: std::collections::HashMap<Extension, Option<Member>>,
    over: Vec<(RecordId, Finished)>,
    told: Vec<StateView>,
    gone: Vec<RecordId>,
}

impl World {
    fn new(required: bool) -> Self {
        let mut floor = Floor::new(settings(required));
        let roster = roster();
        let home = |user| roster.person(user).and_then(|p| p.extension.clone());
        floor.people(at(0), &roster, home);
        floor.listed(at(0), |_| false);
        let mut world =
            Self { floor, members: Default::default(), over: Vec::new(), told: Vec::new(), gone: Vec::new() };
        world.drain();
        world
    }

    fn drain(&mut self) {
        while let Some(output) = self.floor.poll_output() {
            match output {
                Output::Changed { view, .. } => self.told.push(*view),
                Output::Member { extension, member } => {
                    self.members.insert(extension, member);
                }
                Output::WrapUpOver { user, finished } => self.over.push((user, *finished)),
                Output::Gone(user) => self.gone.push(user),
                Output::Seated { .. } => {}
            }
        }
        self.floor.check();
    }

    fn user(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    fn view(&self, n: u128) -> StateView {
        self.floor.operator(Self::user(n)).unwrap().view()
    }

    fn state(&self, n: u128) -> State {
        self.view(n).state
    }

    fn set_with(&mut self, now: i64, n: u128, wanted: Wanted) -> Result<StateView, Refusal> {
        let by = By { actor: ActorKind::Person, user: Some(Self::user(n)), ..By::default() };
        let answer = self.floor.set(at(now), Self::user(n), wanted, by);
        self.drain();
        answer
    }

    fn set(&mut self, now: i64, n: u128, state: State) -> Result<StateView, Refusal> {
        let reason = (state == State::NotReady).then(|| "break".to_owned());
        let version = self.view(n).version;
        self.set_with(now, n, Wanted { state, reason, extension: None, version })
    }

    fn moves(&mut self, now: i64, view: &CallView) {
        self.floor.call_moved(at(now), view, None);
        self.drain();
    }

    fn ends(&mut self, now: i64, n: u8) {
        self.floor.call_over(at(now), call(n));
        self.drain();
    }

    fn passes(&mut self, now: i64) {
        self.floor.handle_timeout(at(now));
        self.drain();
    }

    fn transfer(&mut self, now: i64, n: u8, operator: &str, under_way: bool) {
        self.floor.transfer(at(now), call(n), &extension(operator), under_way);
        self.drain();
    }

    fn finish(&mut self, now: i64, who: u128, n: u8) -> Result<StateView, Refusal> {
        let by = By::machine(ActorKind::Person);
        let answer = self.floor.finish(at(now), Self::user(who), call(n), "message", None, by);
        self.drain();
        answer
    }

    /// Why the queues may not call this extension; `None`: they may; "out": no member.
    fn paused(&self, at: &str) -> Option<String> {
        match self.members.get(&extension(at)) {
            Some(Some(member)) => member.paused.as_ref().map(ToString::to_string),
            Some(None) => Some("out".into()),
            None => Some("untouched".into()),
        }
    }
}

#[test]
fn a_call_and_its_after_call_work() {
    let mut w = World::new(false);
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::LoggedOut, Some("untouched")));
    w.set(1, 1, State::Ready).unwrap();
    assert_eq!((w.state(1), w.paused("1001")), (State::Ready, None));
    w.moves(2, &view(7, &["1001"], None, false));
    assert_eq!((w.state(1), w.paused("1001"), w.view(1).call), (State::Reserved, None, Some(call(7))));
    w.moves(3, &view(7, &[], Some("1001"), false));
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::Talking, Some("talking")));
    w.moves(4, &view(7, &[], Some("1001"), true));
    assert_eq!(w.state(1), State::OnHold);
    w.ends(10, 7);
    let view = w.view(1);
    assert_eq!((view.state, view.call, view.since), (State::WrapUp, Some(call(7)), at(10)));
    assert_eq!((view.wrap_up.unwrap().until, w.paused("1001").as_deref()), (at(40), Some("wrap_up")));
    w.passes(39);
    assert_eq!(w.state(1), State::WrapUp);
    assert_eq!(w.floor.poll_timeout(), Some(at(40)));
    w.passes(40);
    assert_eq!((w.state(1), w.paused("1001"), w.view(1).undisposed), (State::Ready, None, Some(call(7))));
    assert_eq!(w.view(1).by.actor, ActorKind::Clock);
    // The disposition may still be given.
    w.finish(50, 1, 7).unwrap();
    assert_eq!(w.view(1).undisposed, None);
    assert_eq!(w.over.len(), 2);
    assert_eq!(w.over[1].1.disposition.as_deref(), Some("message"));
    assert!(w.finish(51, 1, 7).is_err());
}

#[test]
fn what_is_wanted_amid_a_call_is_pending() {
    let mut w = World::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.moves(2, &view(1, &["1001"], None, false));
    let pending = w.set(3, 1, State::NotReady).unwrap();
    assert_eq!((pending.state, pending.pending.unwrap().state), (State::Reserved, State::NotReady));
    assert_eq!(w.paused("1001").as_deref(), Some("break"), "the next call is kept away already");
    w.moves(4, &view(1, &[], Some("1001"), false));
    w.ends(5, 1);
    assert_eq!(w.state(1), State::WrapUp, "no state that is set skips the after-call work");
    w.finish(6, 1, 1).unwrap();
    let view = w.view(1);
    assert_eq!((view.state, view.reason.as_deref(), view.pending), (State::NotReady, Some("break"), None));
    w.set(7, 1, State::LoggedOut).unwrap();
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::LoggedOut, Some("out")));
}

#[test]
fn a_version_that_is_not_the_present_one_is_refused_with_it() {
    let mut w = World::new(false);
    let old = w.view(1).version;
    w.set(1, 1, State::Ready).unwrap();
    let wanted = Wanted { state: State::LoggedOut, reason: None, extension: None, version: old };
    let Err(Refusal::Stale(current)) = w.set_with(2, 1, wanted) else { panic!("it was not refused") };
    assert_eq!((current.state, current.version), (State::Ready, old + 1));
    assert_eq!(w.state(1), State::Ready);
}

#[test]
fn anybody_sits_at_any_free_phone() {
    let mut w = World::new(false);
    let at_phone = |w: &World, n: u128, phone: &str| Wanted {
        state: State::Ready,
        reason: None,
        extension: Some(extension(phone)),
        version: w.view(n).version,
    };
    assert!(matches!(w.set(1, 3, State::Ready), Err(Refusal::Invalid(_))), "no phone of her own");
    let wanted = at_phone(&w, 3, "1001");
    w.set_with(1, 3, wanted).unwrap();
    assert!(matches!(w.set(2, 1, State::Ready), Err(Refusal::StateConflict(_))), "somebody sits there");
    let wanted = at_phone(&w, 1, "2001");
    w.set_with(3, 1, wanted).unwrap();
    let wanted = at_phone(&w, 3, "3001");
    assert!(matches!(w.set_with(4, 3, wanted), Err(Refusal::Invalid(_))));
    // She moves to a phone that is free, and the other one is free then.
    let wanted = at_phone(&w, 3, "1003");
    w.set_with(5, 3, wanted).unwrap();
    assert_eq!((w.paused("1001").as_deref(), w.paused("1003"), w.paused("2001")), (Some("out"), None, None));
    w.moves(6, &view(1, &["1003"], None, false));
    assert_eq!((w.state(3), w.state(1)), (State::Reserved, State::Ready));
}

#[test]
fn who_passed_a_caller_on_gets_no_other_call_before_it_is_settled() {
    let mut w = World::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.moves(2, &view(1, &[], Some("1001"), false));
    w.transfer(3, 1, "1001", true);
    w.moves(3, &view(1, &[], None, false));
    assert_eq!(w.state(1), State::WrapUp);
    w.finish(4, 1, 1).unwrap();
    assert_eq!((w.state(1), w.paused("1001").as_deref()), (State::Reserved, Some("reserved")));
    // The caller comes back, is talked to, and is worked on again.
    w.moves(5, &view(1, &["1001"], None, false));
    w.transfer(6, 1, "1001", false);
    w.moves(6, &view(1, &[], Some("1001"), false));
    assert_eq!(w.state(1), State::Talking);
    w.ends(9, 1);
    assert_eq!((w.state(1), w.view(1).wrap_up.unwrap().until), (State::WrapUp, at(39)));
    w.passes(39);
    assert_eq!(w.state(1), State::Ready);
}

#[test]
fn work_that_another_call_interrupts_is_taken_up_again() {
    let mut w = World::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.moves(2, &view(1, &[], Some("1001"), false));
    w.ends(10, 1);
    w.moves(20, &view(2, &[], Some("1001"), false));
    w.passes(100);
    assert_eq!(w.state(1), State::Talking);
    w.ends(100, 2);
    assert_eq!(w.view(1).call, Some(call(2)));
    w.finish(110, 1, 2).unwrap();
    let work = w.view(1).wrap_up.unwrap();
    assert_eq!((work.call, work.until), (call(1), at(130)), "20 s were left");
}

#[test]
fn more_time_takes_a_reason_and_a_required_disposition_takes_all_the_time_it_needs() {
    let mut w = World::new(true);
    w.set(1, 1, State::Ready).unwrap();
    w.moves(2, &view(1, &[], Some("1001"), false));
    w.ends(10, 1);
    let by = By::machine(ActorKind::Person);
    let mut extend = |seconds, why| w.floor.extend(at(11), World::user(1), call(1), seconds, why, by.clone());
    assert!(extend(60, " ").is_err());
    assert!(extend(0, "長い").is_err());
    assert_eq!(extend(60, "議事録").unwrap().wrap_up.unwrap().until, at(100));
    w.drain();
    w.passes(1_000);
    assert_eq!(w.state(1), State::WrapUp, "it waits for its disposition");
    let by = By::machine(ActorKind::Person);
    assert!(w.floor.finish(at(1_001), World::user(1), call(1), "nonsense", None, by).is_err());
    w.finish(1_001, 1, 1).unwrap();
    assert_eq!(w.state(1), State::Ready);
    assert_eq!(w.over[0].1.work.extensions[0].reason, "議事録");
}

#[test]
fn a_restart_amid_a_call_loses_neither_state_nor_work() {
    let mut w = World::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.set(1, 2, State::Ready).unwrap();
    w.moves(2, &view(1, &[], Some("1001"), false));
    w.moves(2, &view(2, &[], Some("1002"), false));
    let kept = [1, 2].map(|n| w.floor.operator(World::user(n)).unwrap().saved().clone());
    let kept: Vec<Saved> = kept
        .iter()
        .map(|saved| serde_json::from_str(&serde_json::to_string(saved).unwrap()).unwrap())
        .collect();
    let mut w = World {
        floor: Floor::new(settings(false)),
        members: Default::default(),
        over: vec![],
        told: vec![],
        gone: vec![],
    };
    w.floor.restore(at(50), kept);
    let roster = roster();
    w.floor.people(at(50), &roster, |user| roster.person(user).and_then(|p| p.extension.clone()));
    w.drain();
    // The PBX tells one call after the other; one ended meanwhile.
    w.moves(51, &view(2, &[], Some("1002"), false));
    assert_eq!((w.state(1), w.state(2)), (State::Talking, State::Talking));
    w.floor.listed(at(52), |_| false);
    w.drain();
    assert_eq!((w.state(1), w.state(2)), (State::WrapUp, State::Talking));
    assert_eq!(w.view(1).wrap_up.unwrap().until, at(82));
}

#[test]
fn who_leaves_the_service_is_told_logged_out_and_then_gone() {
    let mut w = World::new(false);
    w.set(1, 1, State::Ready).unwrap();
    w.told.clear();
    let rest =
        Roster::new(roster().everybody().filter(|p| p.id != World::user(1)).map(|p| (**p).clone()), []);
    w.floor.people(at(2), &rest, |user| rest.person(user).and_then(|p| p.extension.clone()));
    w.drain();
    let told: Vec<_> = w.told.iter().map(|view| (view.id, view.state)).collect();
    assert_eq!((told, w.gone), (vec![(World::user(1), State::LoggedOut)], vec![World::user(1)]));
}

#[derive(Debug, Clone)]
enum Step {
    Set(u128, State, Option<u8>),
    Moves(u8, Vec<u8>, Option<u8>, bool),
    Ends(u8),
    Transfer(u8, u8, bool),
    Finish(u128, u8),
    Passes(i64),
    Gone(u128),
    Relisted,
}

fn phone(n: u8) -> String {
    format!("{}", 1000 + u32::from(n))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = prop_oneof![Just(State::Ready), Just(State::NotReady), Just(State::LoggedOut)];
    let step = prop_oneof![
        5 => (1..4u128, state, prop::option::of(1..5u8)).prop_map(|(n, s, e)| Step::Set(n, s, e)),
        6 => (0..3u8, prop::collection::vec(1..5u8, 0..3), prop::option::of(1..5u8), any::<bool>())
            .prop_map(|(n, rings, has, held)| Step::Moves(n, rings, has, held)),
        3 => (0..3u8).prop_map(Step::Ends),
        2 => (0..3u8, 1..5u8, any::<bool>()).prop_map(|(n, e, u)| Step::Transfer(n, e, u)),
        3 => (1..4u128, 0..3u8).prop_map(|(n, c)| Step::Finish(n, c)),
        3 => (1..60i64).prop_map(Step::Passes),
        1 => (1..4u128).prop_map(Step::Gone),
        1 => Just(Step::Relisted),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn whatever_happens_nobody_skips_her_work_and_queues_follow(steps in steps(), required in any::<bool>()) {
        let mut w = World::new(required);
        let mut now = 1;
        for step in steps {
            now += 1;
            let before: Vec<StateView> = (1..4).filter_map(|n| w.floor.operator(World::user(n))).map(Operator::view).collect();
            let told = w.told.len();
            match &step {
                Step::Set(n, state, seat) => {
                    if let Some(operator) = w.floor.operator(World::user(*n)) {
                        let version = operator.view().version;
                        let reason = (*state == State::NotReady).then(|| "break".to_owned());
                        let extension = seat.map(|n| extension(&phone(n)));
                        let _ = w.set_with(now, *n, Wanted { state: *state, reason, extension, version });
                    }
                }
                Step::Moves(n, rings, has, held) => {
                    let phones: Vec<String> = rings.iter().map(|n| phone(*n)).collect();
                    let phones: Vec<&str> = phones.iter().map(String::as_str).collect();
                    let has = has.map(phone);
                    w.moves(now, &view(*n, &phones, has.as_deref(), *held));
                }
                Step::Ends(n) => w.ends(now, *n),
                Step::Transfer(n, phone_of, under_way) => w.transfer(now, *n, &phone(*phone_of), *under_way),
                Step::Finish(n, c) => { let _ = w.finish(now, *n, *c); }
                Step::Passes(seconds) => { now += seconds; w.passes(now); }
                Step::Gone(n) => {
                    let rest = roster().everybody().filter(|p| p.id != World::user(*n)).map(|p| Person::clone(p)).collect::<Vec<_>>();
                    let rest = Roster::new(rest, []);
                    w.floor.people(at(now), &rest, |user| rest.person(user).and_then(|p| p.extension.clone()));
                    w.drain();
                    let all = roster();
                    w.floor.people(at(now), &all, |user| all.person(user).and_then(|p| p.extension.clone()));
                    w.drain();
                }
                Step::Relisted => { w.floor.listed(at(now), |_| true); w.drain(); }
            }
            for before in &before {
                let Some(operator) = w.floor.operator(before.id) else { continue };
                let after = operator.view();
                let gone = matches!(step, Step::Gone(n) if World::user(n) == before.id);
                if gone { continue; }
                // A version for each change, and a word about it.
                prop_assert!(after.version >= before.version);
                let same = |a: &StateView, b: &StateView| (a.state, &a.reason, &a.pending, &a.call, &a.wrap_up) == (b.state, &b.reason, &b.pending, &b.call, &b.wrap_up);
                if !same(before, &after) {
                    prop_assert!(after.version > before.version, "{step:?} {before:?} {after:?}");
                    prop_assert_eq!(w.told[told..].iter().rev().find(|t| t.id == before.id), Some(&after));
                }
                // Whoever leaves a caller has after-call work.
                let had = matches!(before.state, State::Talking | State::OnHold);
                let has = matches!(after.state, State::Talking | State::OnHold);
                if had && !has {
                    prop_assert!(after.wrap_up.is_some(), "{step:?} {before:?} {after:?}");
                }
                // Work ends by its time or its disposition alone.
                if before.state == State::WrapUp && matches!(after.state, State::Ready | State::NotReady | State::LoggedOut) {
                    let by_time = matches!(step, Step::Passes(_)) && !required;
                    prop_assert!(by_time || matches!(step, Step::Finish(..)), "{step:?} {before:?} {after:?}");
                }
                // The queues call who is ready, or rings and will be; nobody else.
                if let Some(seat) = operator.seat() {
                    let free = w.paused(seat.as_str()).is_none();
                    prop_assert!(!free || matches!(after.state, State::Ready | State::Reserved), "{after:?}");
                    prop_assert!(free || after.state != State::Ready, "{after:?}");
                }
            }
        }
    }
}
