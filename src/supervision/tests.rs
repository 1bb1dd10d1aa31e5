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

/// Who has which call; the operator's channel is named after both. A call that no operator has is outside.
#[derive(Default)]
struct Calls(BTreeMap<CallId, Option<Extension>>, Option<Extension>);

impl Calls {
    fn give(&mut self, number: u8, operator: Option<&str>) {
        self.0.insert(call(number), operator.map(ext));
    }
}

fn place(call: CallId, operator: &Extension) -> Place {
    let channel = chan(&format!("op-{operator}-{}", call.uuid().simple()));
    let caller = Some(chan(&format!("caller-{}", call.uuid().simple())));
    Place { call, operator: operator.clone(), channel, caller, notify: Notify::Tone, outside: false }
}

impl World for Calls {
    fn of_operator(&self, operator: &Extension) -> Option<Place> {
        let (call, _) = self.0.iter().find(|(_, has)| has.as_ref() == Some(operator))?;
        Some(place(*call, operator))
    }

    fn of_call(&self, call: CallId) -> Option<Place> {
        Some(place(call, self.0.get(&call)?.as_ref()?))
    }

    fn outside(&self, call: CallId) -> Option<ChannelId> {
        self.0.get(&call)?.is_none().then(|| contact(call))
    }

    fn lives(&self, call: CallId) -> bool {
        self.0.contains_key(&call)
    }

    fn may_hear(&self, _: RecordId, _: Mode, operator: &Extension, _: Option<&Extension>) -> bool {
        self.1.as_ref() != Some(operator)
    }

    fn name_of(&self, _: RecordId) -> SmolStr {
        "伊藤".into()
    }
}

fn contact(call: CallId) -> ChannelId {
    chan(&format!("contact-{}", call.uuid().simple()))
}

fn settings(after_transfer: AfterTransfer) -> Settings {
    let ring = std::time::Duration::from_secs(30);
    Settings { ring, auto_answer: false, notify: Notify::Silent, after_transfer }
}

struct Rig {
    machine: Supervisions,
    calls: Calls,
    now: Timestamp,
    /// What was ordered, in words: the action's name and, of redirects, the extension.
    orders: Vec<String>,
    told: Vec<(Told, SupervisionView)>,
    recalled: Vec<(SupervisionId, Timestamp)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(AfterTransfer::Operator)
    }

    fn with(after_transfer: AfterTransfer) -> Self {
        let now = "2026-01-05T00:00:00Z".parse().unwrap();
        let machine = Supervisions::new(settings(after_transfer));
        let (calls, recalled) = (Calls::default(), Vec::new());
        Self { machine, calls, now, orders: Vec::new(), told: Vec::new(), recalled }
    }

    fn give(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input, &self.calls);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Order { actions, .. } => self.orders.extend(actions.iter().map(words)),
                Output::Told { told, view, .. } => self.told.push((told, *view)),
                Output::Recall(id, since) => self.recalled.push((id, since)),
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
        Self::live_with(AfterTransfer::Operator, follow)
    }

    fn live_with(after_transfer: AfterTransfer, follow: bool) -> (Self, ChannelId) {
        let mut rig = Self::with(after_transfer);
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
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    match header("Variable: ") {
        "TORITSUGI_TONE" => format!("Setvar tone {}", header("Value: ")),
        _ => format!("{} {}", action.name(), header("Exten: ")).trim_end().to_owned(),
    }
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
    rig.pass(SignedDuration::from_secs(30) + CALL_GRACE);
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
    assert_eq!(rig.takes_orders(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
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
    let expected = ["Originate whisper", "Redirect wait", "Setvar", "Setvar tone 1", "Redirect whisper"];
    assert_eq!(rig.takes_orders(), expected);
    rig.spying(&leg, &place(call(1), &ext("1002")));
    rig.calls.0.clear();
    rig.give(Input::Moved);
    rig.gone(&leg, 16);
    assert_eq!(rig.ending(), Some(Ending::CallEnded));
}

#[test]
fn a_transfer_pauses_and_a_return_resumes() {
    for policy in [AfterTransfer::Operator, AfterTransfer::Caller] {
        let (mut rig, leg) = Rig::live_with(policy, false);
        rig.give(Input::Pause { call: call(1), leaves: true });
        assert_eq!((rig.takes_orders(), rig.state()), (vec!["Redirect wait".to_owned()], State::Paused));
        rig.spied_no_more(&leg);
        rig.moved(1, None);
        assert_eq!(rig.state(), State::Paused);
        rig.moved(1, Some("1001"));
        rig.give(Input::Resume(call(1)));
        assert_eq!(rig.takes_orders(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
        rig.spying(&leg, &place(call(1), &ext("1001")));
        assert_eq!(rig.state(), State::Live);
    }
}

#[test]
fn after_a_transfer_the_policy_says_who_is_heard() {
    let transfer = |policy, follow, to: Option<&str>| {
        let (mut rig, leg) = Rig::live_with(policy, follow);
        let id = rig.machine.iter().next().unwrap().id;
        rig.give(Input::Switch(id, Mode::Whisper));
        rig.spying(&leg, &place(call(1), &ext("1001")));
        rig.takes_orders();
        rig.give(Input::Pause { call: call(1), leaves: true });
        rig.spied_no_more(&leg);
        rig.moved(1, to);
        rig.give(Input::Resume(call(1)));
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
        assert_eq!(transfer(AfterTransfer::Operator, false, to).takes_orders(), ["Redirect wait", "Hangup"]);
        assert_eq!(transfer(AfterTransfer::End, false, to).takes_orders(), ["Hangup"]);
        for policy in [AfterTransfer::Operator, AfterTransfer::Caller, AfterTransfer::End] {
            // Who follows an operator waits for her next call.
            let mut rig = transfer(policy, true, to);
            assert_eq!((rig.takes_orders(), rig.state()), (vec!["Redirect wait".to_owned()], State::Waiting));
        }
    }
    let mut rig = transfer(AfterTransfer::Caller, false, Some("1002"));
    assert_eq!(rig.takes_orders(), redirected("whisper", "1"));
    // Outside she can be listened to, and no more: neither a tone nor a whisper reaches a stranger.
    let mut rig = transfer(AfterTransfer::Caller, false, None);
    assert_eq!(rig.takes_orders(), redirected("listen", "0"));
    let id = rig.machine.iter().next().unwrap().id;
    let heard = rig.machine.get(id).unwrap().place.clone().unwrap();
    assert_eq!((heard.channel, heard.operator, heard.outside), (contact(call(1)), ext("1001"), true));
    for mode in [Mode::Whisper, Mode::Barge, Mode::TakeOver] {
        rig.give(Input::Switch(id, mode));
        assert_eq!(rig.takes_orders(), Vec::<String>::new(), "{mode:?}");
    }
    rig.calls.0.clear();
    rig.give(Input::Moved);
    assert_eq!(rig.takes_orders(), ["Hangup"]);
}

#[test]
fn nobody_of_another_team_is_heard_after_a_transfer() {
    let (mut rig, leg) = Rig::live_with(AfterTransfer::Caller, false);
    rig.calls.1 = Some(ext("1002"));
    rig.spied_no_more(&leg);
    rig.moved(1, Some("1002"));
    assert_eq!((rig.takes_orders(), rig.state()), (vec![], State::Waiting));
    rig.moved(1, Some("1001"));
    assert_eq!(rig.takes_orders(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
    // Nor is one whom she may not hear any more.
    rig.spying(&leg, &place(call(1), &ext("1001")));
    rig.calls.1 = Some(ext("1001"));
    rig.give(Input::Moved);
    assert_eq!((rig.takes_orders(), rig.state()), (vec!["Redirect wait".to_owned()], State::Waiting));
}

#[test]
fn a_phone_that_is_answered_during_a_transfer_waits_for_its_end() {
    let mut rig = Rig::new();
    rig.calls.give(1, Some("1001"));
    let leg = rig.start(1, Target::Operator { operator: ext("1001"), follow: false }, Mode::Listen);
    rig.give(Input::Pause { call: call(1), leaves: false });
    rig.up(&leg);
    assert_eq!(
        (rig.takes_orders(), rig.state()),
        (vec!["Originate listen".into(), "Redirect wait".into()], State::Paused)
    );
    rig.give(Input::Resume(call(1)));
    assert_eq!(rig.takes_orders(), ["Setvar", "Setvar tone 1", "Redirect listen"]);
}

#[test]
fn a_caller_who_has_moved_on_is_not_taken_over() {
    let mut rig = Rig::new();
    rig.calls.give(1, Some("1001"));
    let leg = rig.start(1, Target::Call(call(1)), Mode::TakeOver);
    rig.moved(1, Some("1002"));
    rig.gone(&leg, 16);
    assert_eq!(rig.takes_orders(), ["Originate take-over", "Hangup"]);
    assert_eq!(rig.ending(), Some(Ending::CallEnded));
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
    let id = session.id;
    assert_eq!(next.recalled, [(id, next.now)]);
    let heard_since = Some("2026-01-04T23:00:00Z".parse().unwrap());
    let (why, mode) = (Some("新人研修".into()), Some(Mode::Listen));
    let records = Remembered { why, heard_since, mode, call: Some(call(9)), ..Remembered::default() };
    next.give(Input::Remembered(id, Some(Box::new(records))));
    let told: Vec<_> = next.told.iter().map(|(told, _)| *told).collect();
    assert_eq!(told, [Told::Changed, Told::Found]);
    // How she hears is what the PBX says, not what was written down last.
    let view = &next.told.last().unwrap().1;
    assert_eq!((view.mode, view.call, view.heard_at), (Mode::Whisper, Some(call(1)), heard_since));
    assert_eq!((view.supervisor_name.as_str(), view.reason.as_deref()), ("伊藤", Some("新人研修")));
    assert_eq!(next.takes_orders(), Vec::<String>::new());
    // The call ends while a switch is under way.
    next.give(Input::Switch(id, Mode::Listen));
    next.calls.0.clear();
    next.give(Input::Moved);
    assert_eq!(
        (next.takes_orders(), next.state()),
        (vec!["Redirect listen".into(), "Redirect wait".into()], State::Waiting)
    );
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
    /// Whatever happens in whatever order: the caller's channel is never spied on, nobody outside is spoken to, and
    /// once the call is over and time has passed, the session is over too, told once.
    #[test]
    fn it_always_ends_and_hears_no_caller(
        follow: bool,
        policy in prop_oneof![
            Just(AfterTransfer::Operator), Just(AfterTransfer::Caller), Just(AfterTransfer::End)
        ],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut rig = Rig::with(policy);
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
                Step::Pause => rig.give(Input::Pause { call: call(1), leaves: follow }),
                Step::Resume => rig.give(Input::Resume(call(1))),
                Step::Refused => rig.give(Input::Refused(id)),
                Step::Wait(seconds) => rig.pass(SignedDuration::from_secs(seconds)),
            }
            for session in rig.machine.iter() {
                if let Some(place) = &session.place {
                    prop_assert!(place.operator == ext("1001") || policy == AfterTransfer::Caller && !follow);
                    prop_assert!(!place.channel.as_str().starts_with("caller"));
                    prop_assert!(!place.outside || session.mode == Mode::Listen);
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
