//! Operator states: typical sequences, and a property test over random sequences of inputs.

mod property;
mod roster;
mod states;
mod wrap_up;

use crate::contract::operator::{ActorKind, ChangedBy, State, StateView};
use crate::people::{Person, Role, Roster};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::*;
use crate::contract::call::{CallState, CallView, Direction};
use crate::contract::refusal::Refusal;
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

fn view(n: u8, ringing_at: &[&str], operator: Option<&str>, held: bool) -> CallView {
    CallView {
        id: call(n),
        pbx: PbxId::parse("pbx").unwrap(),
        direction: Direction::Inbound,
        state: if held { CallState::Held } else { CallState::Answered },
        offered_at: at(0),
        answered_at: None,
        ended_at: None,
        presented_to: ringing_at.iter().map(|e| extension(e)).collect(),
        operator: operator.map(extension),
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
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

/// Three people; person 3 has no own extension.
fn roster() -> Roster {
    Roster::new(
        [person(1, "佐藤", Some("1001")), person(2, "鈴木", Some("1002")), person(3, "高橋", None)],
        [],
    )
}

struct Rig {
    registry: OperatorRegistry,
    /// The calls of the call model.
    calls: std::collections::BTreeMap<CallId, CallView>,
    members: std::collections::HashMap<Extension, Option<Member>>,
    completed: Vec<(RecordId, CompletedWrapUp)>,
    published: Vec<StateView>,
    missed: Vec<StateView>,
    removed: Vec<RecordId>,
}

impl Rig {
    fn new(required: bool) -> Self {
        let mut registry = OperatorRegistry::new(settings(required));
        let roster = roster();
        let home = |user| roster.person(user).and_then(|p| p.extension.clone());
        registry.update_roster(at(0), &roster, home);
        registry.on_calls_listed(at(0), Vec::new(), |_| false);
        let mut rig = Self::of(registry);
        rig.drain();
        rig
    }

    fn of(registry: OperatorRegistry) -> Self {
        Self {
            registry,
            calls: Default::default(),
            members: Default::default(),
            completed: Vec::new(),
            published: Vec::new(),
            missed: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// The daemon is started again: it has the operators' saved states, and the calls as the journal has them.
    fn restarted(&self, now: i64, required: bool) -> Self {
        let saved = self.snapshots();
        let mut rig = Self::of(OperatorRegistry::new(settings(required)));
        rig.registry.restore(at(now), saved);
        let roster = roster();
        rig.registry
            .update_roster(at(now), &roster, |user| roster.person(user).and_then(|p| p.extension.clone()));
        for view in self.calls.values() {
            rig.registry.on_call_changed(at(now), view, None);
        }
        rig.calls = self.calls.clone();
        rig.drain();
        rig
    }

    /// The operators' states, as the store has them.
    fn snapshots(&self) -> Vec<OperatorSnapshot> {
        let operators = (1..4).filter_map(|n| self.registry.operator(Self::user(n)));
        let stored = operators.map(|operator| serde_json::to_string(operator.snapshot()).unwrap());
        stored.map(|stored| serde_json::from_str(&stored).unwrap()).collect()
    }

    fn listed(&self) -> Vec<(CallView, Option<u32>)> {
        self.calls.values().map(|view| (view.clone(), None)).collect()
    }

    /// The list of calls is complete.
    fn relist(&mut self, now: i64) {
        self.registry.on_calls_listed(at(now), self.listed(), |_| true);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Changed { view, .. } => self.published.push(*view),
                Output::Member { extension, member } => {
                    self.members.insert(extension, member);
                }
                Output::WrapUpEnded { user, completed } => self.completed.push((user, *completed)),
                Output::TalkMissed { view } => self.missed.push(*view),
                Output::Removed(user) => self.removed.push(user),
                Output::Seated { .. } => {}
            }
        }
        self.registry.check();
    }

    fn user(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    fn view(&self, n: u128) -> StateView {
        self.registry.operator(Self::user(n)).unwrap().view()
    }

    fn state(&self, n: u128) -> State {
        self.view(n).state
    }

    fn set_with(&mut self, now: i64, n: u128, request: StateRequest) -> Result<StateView, Refusal> {
        let by = ChangedBy { actor: ActorKind::Person, user: Some(Self::user(n)), ..ChangedBy::default() };
        let answer = self.registry.set_state(at(now), Self::user(n), request, by);
        self.drain();
        answer
    }

    fn set(&mut self, now: i64, n: u128, state: State) -> Result<StateView, Refusal> {
        let reason = (state == State::NotReady).then(|| "break".to_owned());
        let version = self.view(n).version;
        self.set_with(now, n, StateRequest { state, reason, extension: None, version })
    }

    fn call_changed(&mut self, now: i64, view: &CallView) {
        self.calls.insert(view.id, view.clone());
        self.registry.on_call_changed(at(now), view, None);
        self.drain();
    }

    fn call_ended(&mut self, now: i64, n: u8) {
        self.calls.remove(&call(n));
        self.registry.on_call_ended(at(now), call(n));
        self.drain();
    }

    fn pass_time(&mut self, now: i64) {
        self.registry.handle_timeout(at(now));
        self.drain();
    }

    fn transfer(&mut self, now: i64, n: u8, operator: &str, under_way: bool) {
        self.registry.on_transfer_changed(at(now), call(n), &extension(operator), under_way);
        self.drain();
    }

    fn finish(&mut self, now: i64, who: u128, n: u8) -> Result<StateView, Refusal> {
        let by = ChangedBy::of_kind(ActorKind::Person);
        let answer = self.registry.finish_wrap_up(at(now), Self::user(who), call(n), "message", None, by);
        self.drain();
        answer
    }

    /// The pause reason of this extension; `None`: not paused; "out": no member; "untouched": never a seat.
    fn paused(&self, at: &str) -> Option<String> {
        match self.members.get(&extension(at)) {
            Some(Some(member)) => member.paused.as_ref().map(ToString::to_string),
            Some(None) => Some("out".into()),
            None => Some("untouched".into()),
        }
    }
}
