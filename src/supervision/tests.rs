//! The machine against a world of its own: one clock, no PBX.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use smol_str::SmolStr;
use uuid::Uuid;

use super::*;
use crate::ami::event::{Channel, ChannelState, DialStatus, Event};
use crate::ids::{CallId, ChannelId, Extension, PbxId, RecordId};

fn ext(digits: &str) -> Extension {
    Extension::parse(digits).unwrap()
}

fn chan(id: &str) -> ChannelId {
    ChannelId::parse(id).unwrap()
}

fn call(number: u8) -> CallId {
    CallId::derive(&PbxId::parse("t").unwrap(), &chan(&format!("c.{number}")))
}

fn channel(id: &ChannelId, name: &str, state: ChannelState) -> Channel {
    Channel {
        id: id.clone(),
        name: name.into(),
        state,
        linked: id.clone(),
        context: None,
        exten: None,
        caller_number: None,
        caller_name: None,
    }
}

/// Who has which call; the operator's channel is named after both.
#[derive(Default)]
struct Calls(BTreeMap<CallId, Option<Extension>>);

impl Calls {
    fn give(&mut self, number: u8, operator: Option<&str>) {
        self.0.insert(call(number), operator.map(ext));
    }
}

fn place(call: CallId, operator: &Extension) -> Place {
    let channel = chan(&format!("op-{operator}-{}", call.uuid().simple()));
    let caller = Some(chan(&format!("caller-{}", call.uuid().simple())));
    Place { call, operator: operator.clone(), channel, caller }
}

impl World for Calls {
    fn of_operator(&self, operator: &Extension) -> Option<Place> {
        let (call, _) = self.0.iter().find(|(_, has)| has.as_ref() == Some(operator))?;
        Some(place(*call, operator))
    }

    fn of_call(&self, call: CallId) -> Option<Place> {
        Some(place(call, self.0.get(&call)?.as_ref()?))
    }

    fn lives(&self, call: CallId) -> bool {
        self.0.contains_key(&call)
    }
}

struct Rig {
    machine: Supervisions,
    calls: Calls,
    now: Timestamp,
    /// What was ordered, in words: the action's name and, of redirects, the extension.
    orders: Vec<String>,
    told: Vec<(Told, SupervisionView)>,
}

impl Rig {
    fn new() -> Self {
        let now = "2026-01-05T00:00:00Z".parse().unwrap();
        let machine = Supervisions::new(None, false, false);
        Self { machine, calls: Calls::default(), now, orders: Vec::new(), told: Vec::new() }
    }

    fn give(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input, &self.calls);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Order { actions, .. } => self.orders.extend(actions.iter().map(words)),
                Output::Told { told, view } => self.told.push((told, *view)),
                Output::Impossible { error, .. } => panic!("{error}"),
            }
        }
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        self.machine.handle_timeout(self.now, &self.calls);
        self.drain();
    }

    fn moved(&mut self, number: u8, operator: Option<&str>) {
        self.calls.give(number, operator);
        self.give(Input::Moved);
    }

    fn start(&mut self, number: u128, target: Target, mode: Mode) -> ChannelId {
        let id = SupervisionId(Uuid::from_u128(number));
        let place = match &target {
            Target::Operator { operator, .. } => self.calls.of_operator(operator),
            Target::Call(call) => self.calls.of_call(*call),
        };
        let start = Start {
            id,
            user: RecordId(Uuid::from_u128(7)),
            name: "伊藤".into(),
            phone: ext("2001"),
            target,
            mode,
            why: None,
            place,
        };
        self.give(Input::Start(Box::new(start)));
        self.machine.get(id).unwrap().leg()
    }

    fn up(&mut self, leg: &ChannelId) {
        self.give(Input::Pbx(&Event::ChannelState(channel(leg, "PJSIP/2001-1", ChannelState::Up))));
    }

    fn spying(&mut self, leg: &ChannelId, spyee: &Place) {
        let spyer = channel(leg, "PJSIP/2001-1", ChannelState::Up);
        let spyee = channel(&spyee.channel, "PJSIP/1001-1", ChannelState::Up);
        self.give(Input::Pbx(&Event::SpyStarted { spyer, spyee }));
    }

    fn spied_no_more(&mut self, leg: &ChannelId) {
        let spyer = channel(leg, "PJSIP/2001-1", ChannelState::Up);
        self.give(Input::Pbx(&Event::SpyStopped { spyer, spyee: None }));
    }

    fn gone(&mut self, leg: &ChannelId, cause: u16) {
        let channel = channel(leg, "PJSIP/2001-1", ChannelState::Up);
        self.give(Input::Pbx(&Event::ChannelGone { channel, cause }));
    }

    fn takes_orders(&mut self) -> Vec<String> {
        std::mem::take(&mut self.orders)
    }

    fn ending(&self) -> Option<Ending> {
        self.told.iter().rev().find_map(|(told, _)| match told {
            Told::Stopped(ending) => Some(*ending),
            _ => None,
        })
    }

    fn state(&self) -> State {
        self.machine.iter().next().unwrap().state
    }

    /// One session that hears 1001 in call 1.
    fn live(follow: bool) -> (Self, ChannelId) {
        let mut rig = Self::new();
        rig.calls.give(1, Some("1001"));
        let leg = rig.start(1, Target::Operator { operator: ext("1001"), follow }, Mode::Listen);
        rig.up(&leg);
        rig.spying(&leg, &place(call(1), &ext("1001")));
        assert_eq!(rig.takes_orders(), ["Originate listen"]);
        assert_eq!(rig.state(), State::Live);
        (rig, leg)
    }
}

fn words(action: &crate::ami::action::Action) -> String {
    let bytes = action.encode(&crate::ami::action::ActionId::new(1, 1));
    let text = String::from_utf8(bytes).unwrap();
    let exten = text.lines().find_map(|line| line.strip_prefix("Exten: ")).unwrap_or_default();
    format!("{} {exten}", action.name()).trim_end().to_owned()
}

#[test]
fn a_channels_id_says_whose_it_is() {
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
fn it_begins_switches_and_stops() {
    let (mut rig, leg) = Rig::live(false);
    let id = rig.machine.iter().next().unwrap().id;
    rig.give(Input::Switch(id, Mode::Whisper));
    assert_eq!((rig.takes_orders(), rig.state()), (vec!["Redirect whisper".to_owned()], State::Attaching));
    rig.spied_no_more(&leg);
    rig.spying(&leg, &place(call(1), &ext("1001")));
    assert_eq!(rig.state(), State::Live);
    rig.give(Input::Stop(id));
    assert_eq!(rig.takes_orders(), ["Hangup"]);
    rig.gone(&leg, 16);
    let told: Vec<_> = rig.told.iter().map(|(told, view)| (*told, view.mode)).collect();
    let expected = [
        (Told::Requested, Mode::Listen),
        (Told::Started, Mode::Listen),
        (Told::Changed, Mode::Whisper),
        (Told::Stopped(Ending::Stopped), Mode::Whisper),
    ];
    assert_eq!(told, expected);
    assert!(rig.machine.is_empty());
}

#[test]
fn a_mode_asked_for_while_the_phone_rings_counts() {
    let mut rig = Rig::new();
    rig.calls.give(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::Listen);
    rig.give(Input::Switch(SupervisionId(Uuid::from_u128(1)), Mode::Barge));
    rig.up(&leg);
    rig.spying(&leg, &place(call(1), &ext("1001")));
    assert_eq!(rig.takes_orders(), ["Originate listen", "Redirect barge"]);
    rig.spying(&leg, &place(call(1), &ext("1001")));
    let told: Vec<_> = rig.told.iter().map(|(told, view)| (*told, view.mode)).collect();
    assert_eq!(
        (rig.state(), told),
        (State::Live, vec![(Told::Requested, Mode::Listen), (Told::Started, Mode::Barge)])
    );
}

#[test]
fn a_phone_that_does_not_answer_says_why() {
    let busy =
        |status| Event::DialEnded { to: channel(&chan("x"), "PJSIP/2001-1", ChannelState::Down), status };
    for (status, cause, expected) in [
        (Some(DialStatus::Unavailable), 17, Ending::Busy),
        (Some(DialStatus::NoAnswer), 0, Ending::NoAnswer),
        (Some(DialStatus::Unavailable), 0, Ending::Unreachable),
        (Some(DialStatus::NoAnswer), 20, Ending::Unreachable),
        (None, 19, Ending::NoAnswer),
        (None, 21, Ending::Busy),
        (None, 20, Ending::Unreachable),
    ] {
        let mut rig = Rig::new();
        rig.calls.give(1, Some("1001"));
        let leg = rig.start(1, Target::Call(call(1)), Mode::Listen);
        let rings = channel(&leg, "PJSIP/2001-1", ChannelState::Ringing);
        rig.give(Input::Pbx(&Event::ChannelState(rings)));
        if let Some(status) = status {
            let mut event = busy(status);
            if let Event::DialEnded { to, .. } = &mut event {
                to.id = leg.clone();
            }
            rig.give(Input::Pbx(&event));
        }
        rig.gone(&leg, cause);
        assert_eq!(rig.ending(), Some(expected), "{status:?} {cause}");
    }
}

#[test]
fn a_phone_the_pbx_says_nothing_of_is_given_up() {
    let mut rig = Rig::new();
    rig.calls.give(1, Some("1001"));
    rig.start(1, Target::Call(call(1)), Mode::Listen);
    let ring = SignedDuration::try_from(RING).unwrap();
    rig.pass(ring + CALL_GRACE);
    assert_eq!(rig.takes_orders(), ["Originate listen", "Hangup"]);
    rig.pass(ATTACH_WAIT);
    assert_eq!(rig.ending(), Some(Ending::NoAnswer));
    assert_eq!(rig.machine.poll_timeout(), None);
}

#[test]
fn without_follow_it_ends_with_the_call() {
    let (mut rig, leg) = Rig::live(false);
    rig.spied_no_more(&leg);
    rig.calls.0.clear();
    rig.give(Input::Moved);
    rig.gone(&leg, 16);
    assert_eq!((rig.ending(), rig.takes_orders()), (Some(Ending::CallEnded), vec![]));
}

#[test]
fn the_supervisor_may_hang_up() {
    let (mut rig, leg) = Rig::live(true);
    let channel = channel(&leg, "PJSIP/2001-1", ChannelState::Up);
    rig.give(Input::Pbx(&Event::HangupRequested { channel, cause: 16 }));
    rig.spied_no_more(&leg);
    rig.gone(&leg, 16);
    assert_eq!(rig.ending(), Some(Ending::HungUp));
}

#[test]
fn with_follow_it_waits_for_the_next_call() {
    let (mut rig, leg) = Rig::live(true);
    rig.spied_no_more(&leg);
    assert_eq!(rig.state(), State::Waiting);
    rig.calls.0.clear();
    rig.give(Input::Moved);
    assert_eq!(rig.takes_orders(), Vec::<String>::new());
    rig.moved(2, Some("1002"));
    assert_eq!(rig.state(), State::Waiting);
    rig.moved(3, Some("1001"));
    assert_eq!(rig.takes_orders(), ["Setvar", "Redirect listen"]);
    rig.spying(&leg, &place(call(3), &ext("1001")));
    assert_eq!(rig.told.last().map(|(told, view)| (*told, view.call)), Some((Told::Changed, Some(call(3)))));
}

#[test]
fn a_calls_session_stays_with_the_call() {
    let mut rig = Rig::new();
    rig.calls.give(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::Whisper);
    rig.up(&leg);
    rig.spying(&leg, &place(call(1), &ext("1001")));
    // Outside, with a contact: nobody is heard there.
    rig.moved(1, None);
    rig.moved(1, Some("1002"));
    assert_eq!(rig.takes_orders(), ["Originate whisper", "Redirect wait", "Setvar", "Redirect whisper"]);
    rig.spying(&leg, &place(call(1), &ext("1002")));
    rig.calls.0.clear();
    rig.give(Input::Moved);
    rig.gone(&leg, 16);
    assert_eq!(rig.ending(), Some(Ending::CallEnded));
}

#[test]
fn a_transfer_pauses_and_a_return_resumes() {
    let (mut rig, leg) = Rig::live(false);
    rig.give(Input::Pause(call(1)));
    assert_eq!((rig.takes_orders(), rig.state()), (vec!["Redirect wait".to_owned()], State::Paused));
    rig.give(Input::Moved);
    assert_eq!(rig.state(), State::Paused);
    rig.give(Input::Resume(call(1)));
    assert_eq!(rig.takes_orders(), ["Setvar", "Redirect listen"]);
    rig.spying(&leg, &place(call(1), &ext("1001")));
    assert_eq!(rig.state(), State::Live);
}

#[test]
fn in_another_bridge_the_spy_is_attached_anew() {
    let (mut rig, leg) = Rig::live(false);
    let spied = place(call(1), &ext("1001"));
    let channel = channel(&spied.channel, "PJSIP/1001-1", ChannelState::Up);
    let (bridge, kind) = (crate::ids::BridgeId::parse("b").unwrap(), crate::ami::event::BridgeKind::Mixing);
    let entered = Event::BridgeEntered { bridge, kind, channel, swapped: None };
    assert!(rig.machine.wants(&entered));
    rig.give(Input::Pbx(&entered));
    assert_eq!((rig.takes_orders(), rig.state()), (vec!["Redirect listen".to_owned()], State::Attaching));
    rig.spied_no_more(&leg);
    rig.spying(&leg, &spied);
    assert_eq!(rig.state(), State::Live);
}

#[test]
fn taking_over_makes_the_call_hers() {
    let (mut rig, leg) = Rig::live(false);
    let id = rig.machine.iter().next().unwrap().id;
    rig.give(Input::Switch(id, Mode::TakeOver));
    assert_eq!(rig.takes_orders(), ["Setvar", "Redirect take-over"]);
    rig.spied_no_more(&leg);
    let channel = channel(&leg, "PJSIP/2001-1", ChannelState::Up);
    let (bridge, kind) = (crate::ids::BridgeId::parse("b").unwrap(), crate::ami::event::BridgeKind::Mixing);
    rig.give(Input::Pbx(&Event::BridgeEntered { bridge, kind, channel, swapped: None }));
    assert_eq!(rig.ending(), Some(Ending::TookOver));
    assert_eq!(rig.machine.released(call(1)), Some(&ext("1001")));
    rig.calls.0.clear();
    rig.give(Input::Moved);
    assert!(rig.machine.is_empty() && rig.takes_orders().is_empty());
}

#[test]
fn a_new_daemon_finds_what_the_old_one_left() {
    let (rig, leg) = Rig::live(true);
    let spied = place(call(1), &ext("1001"));
    let mut next = Rig::new();
    next.give(Input::ListBegan);
    let listed = |application: &str, arguments: String| Event::ChannelListed {
        channel: channel(&leg, "PJSIP/2001-0000001a", ChannelState::Up),
        bridge: None,
        application: application.into(),
        arguments: SmolStr::from(arguments),
    };
    next.give(Input::Pbx(&listed("ChanSpy", format!("{},quSw", spied.channel))));
    next.give(Input::ListEnded);
    // For whom the call is takes a moment; until then it is not known that it may be heard.
    assert_eq!(next.state(), State::Waiting);
    next.calls = rig.calls;
    next.give(Input::Moved);
    let session = next.machine.iter().next().unwrap();
    assert_eq!((session.state, session.mode, &session.phone), (State::Live, Mode::Whisper, &ext("2001")));
    let told: Vec<_> = next.told.iter().map(|(told, _)| *told).collect();
    assert_eq!(told, [Told::Found, Told::Changed]);
    assert_eq!(next.takes_orders(), Vec::<String>::new());
    // The next list lacks it: the phone was hung up in the gap.
    next.give(Input::ListBegan);
    next.give(Input::ListEnded);
    assert_eq!(next.ending(), Some(Ending::Lost));
}

#[test]
fn a_restarted_pbx_has_no_sessions() {
    let (mut rig, _) = Rig::live(true);
    rig.give(Input::Restarted);
    assert_eq!(rig.ending(), Some(Ending::Lost));
}

#[derive(Debug, Clone)]
enum Step {
    Give(u8, Option<&'static str>),
    End(u8),
    Up,
    Spy,
    Unspy,
    Gone,
    Switch(Mode),
    Stop,
    Pause,
    Resume,
    Refused,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let operator = prop_oneof![Just(None), Just(Some("1001")), Just(Some("1002"))];
    let mode = prop_oneof![Just(Mode::Listen), Just(Mode::Whisper), Just(Mode::Barge), Just(Mode::TakeOver)];
    prop_oneof![
        (0..3_u8, operator).prop_map(|(number, operator)| Step::Give(number, operator)),
        (0..3_u8).prop_map(Step::End),
        Just(Step::Up),
        Just(Step::Spy),
        Just(Step::Unspy),
        Just(Step::Gone),
        mode.prop_map(Step::Switch),
        Just(Step::Stop),
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Refused),
        (0..40_i64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens in whatever order: nothing but an operator's channel is ever spied on, and once the call
    /// is over and time has passed, the session is over too, told once.
    #[test]
    fn it_always_ends_and_hears_only_operators(follow: bool, steps in prop::collection::vec(step(), 0..40)) {
        let mut rig = Rig::new();
        rig.calls.give(1, Some("1001"));
        let leg = rig.start(1, Target::Operator { operator: ext("1001"), follow }, Mode::Listen);
        let id = SupervisionId(Uuid::from_u128(1));
        for step in steps {
            match step {
                Step::Give(number, operator) => rig.moved(number, operator),
                Step::End(number) => {
                    rig.calls.0.remove(&call(number));
                    rig.give(Input::Moved);
                }
                Step::Up => rig.up(&leg),
                Step::Spy => {
                    if let Some(place) = rig.machine.get(id).and_then(|session| session.place.clone()) {
                        rig.spying(&leg, &place);
                    }
                }
                Step::Unspy => rig.spied_no_more(&leg),
                Step::Gone => rig.gone(&leg, 16),
                Step::Switch(mode) => rig.give(Input::Switch(id, mode)),
                Step::Stop => rig.give(Input::Stop(id)),
                Step::Pause => rig.give(Input::Pause(call(1))),
                Step::Resume => rig.give(Input::Resume(call(1))),
                Step::Refused => rig.give(Input::Refused(id)),
                Step::Wait(seconds) => rig.pass(SignedDuration::from_secs(seconds)),
            }
            for session in rig.machine.iter() {
                if let Some(place) = &session.place {
                    prop_assert_eq!(&place.operator, &ext("1001"));
                }
            }
        }
        rig.calls.0.clear();
        rig.give(Input::Moved);
        rig.give(Input::Stop(id));
        rig.pass(SignedDuration::from_mins(20));
        rig.pass(SignedDuration::from_mins(20));
        prop_assert_eq!(rig.machine.len(), 0);
        let stopped = rig.told.iter().filter(|(told, _)| matches!(told, Told::Stopped(_))).count();
        prop_assert_eq!(stopped, 1);
    }
}
