//! All operators: their seats, the calls at each, the publications and queue memberships that follow.
//!
//! Pure, like `machine.rs`: inputs are method calls with the time; [`OperatorRegistry::poll_output`] returns the
//! outputs. The registry holds one [`Operator`] machine for each person.
//!
//! | input | what the registry does |
//! |---|---|
//! | roster changed | adds, updates and removes operators; releases those whom another PBX's daemon owns |
//! | call changed or ended | derives each affected operator's activity from all calls; nothing before the first complete list of calls |
//! | list of calls complete | replaces the calls by those of the call model, and does the same for every operator |
//! | transfer started or over | sets or clears the caller who may return |
//! | state set, wrap-up extended or finished | checks the request, then changes the operator |
//! | phone or desktop count changed | changes the view only, without a new version |
//! | snapshots of the previous leader | replaces the state of these operators, publishes all of them, records the talks that nobody recorded, derives the activities again |
//!
//! Invariants: at most one person has a given seat. The registry changes no queue membership of a person who never
//! logged in, so that static queue members who do not use the daemon stay as they are. After a log-out the registry
//! keeps the seat out of the queues. Activity is derived from all calls as a whole, never accumulated.
//!
//! Order: an operator who takes a seat is visible there from [`Output::Seated`] on, so `Seated` comes before
//! [`Output::Changed`]; at a log-out it comes after `Changed`, so that the seat's supervisors still receive that event.
//!
//! `registry/seats.rs` finds the phone that a request names as a seat; `registry/calls.rs` derives what calls do at each
//! seat; `registry/wrap_up.rs` extends and finishes after-call work; `registry/ownership.rs` decides which daemon owns which
//! operators.
//!
//! Why a state can be set while the PBX is unreachable: the state is the daemon's own, and `queue_members.rs` brings
//! the queues up to date after the reconnect.

mod calls;
mod ownership;
mod seats;
mod wrap_up;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use smol_str::SmolStr;

use self::calls::{CallInvolvement, Release};
use super::machine::{CompletedWrapUp, Operator, OperatorSnapshot};
use crate::contract::call::CallView;
use crate::contract::choice::Choice;
use crate::contract::extension_pattern::ExtensionPattern;
use crate::contract::operator::{ChangedBy, Phone, QueueFault, RequestedState, State, StateView};
use crate::contract::refusal::Refusal;
use crate::identity::printable;
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::people::role::Role;
use crate::people::roster::Roster;

pub use wrap_up::{EXTENSION_REASON_CHARS_MAX, NOTES_CHARS_MAX};

/// Longest reason or disposition where the configuration lists none, in characters.
pub const CHOICE_CHARS_MAX: usize = 40;

/// `[operators]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Reasons for `not_ready`; where empty, any short text is allowed.
    pub not_ready_reasons: Vec<Choice>,
    /// Dispositions of a call; where empty, any short text is allowed.
    pub dispositions: Vec<Choice>,
    /// Length of after-call work where the account sets none, in seconds.
    pub wrap_up_s: u32,
    /// Most seconds that one extension of after-call work adds.
    pub wrap_up_extend_s_max: u32,
    /// Whether after-call work continues until a disposition is given.
    pub disposition_required: bool,
    /// Extensions that may be a seat.
    pub phones: Vec<ExtensionPattern>,
    /// The teams whose operators this daemon owns; where empty, it owns all.
    pub teams: Vec<SmolStr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            not_ready_reasons: Vec::new(),
            dispositions: Vec::new(),
            wrap_up_s: 30,
            wrap_up_extend_s_max: 600,
            disposition_required: false,
            phones: Vec::new(),
            teams: Vec::new(),
        }
    }
}

/// A request to set an operator's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRequest {
    /// The state: `ready`, `not_ready` or `logged_out`.
    pub state: State,
    /// Reason for `not_ready`.
    pub reason: Option<String>,
    /// The seat; where absent, the present one, the operator's own extension or the last seat.
    pub extension: Option<Extension>,
    /// The version on which the request is based.
    pub version: u64,
}

/// A change that the owner of the registry publishes, records or passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Publish the view of an operator.
    Changed {
        /// The operator's view after the change.
        view: Box<StateView>,
        /// Whether to record the change: the state itself changed, not only desktops, phone or name.
        record: bool,
    },
    /// Record a talk that is over: no leader recorded it, because none led or the lead was just acquired. Nothing is
    /// published.
    TalkMissed {
        /// The operator's view during the talk; `since` is its start.
        view: Box<StateView>,
    },
    /// The operator was removed from the roster.
    Removed(RecordId),
    /// The operator's seat changed.
    Seated {
        /// The operator.
        user: RecordId,
        /// The seat; `None`: the operator's own extension again.
        seat: Option<Extension>,
    },
    /// The desired queue membership of a seat changed.
    Member {
        /// The seat's extension.
        extension: Extension,
        /// The operator at this seat; `None` after a log-out.
        member: Option<Member>,
    },
    /// Record after-call work that ended, or whose notes or disposition were given after its end.
    WrapUpEnded {
        /// The operator.
        user: RecordId,
        /// The work.
        completed: Box<CompletedWrapUp>,
    },
}

/// The desired queue membership of an operator at a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The operator's name.
    pub name: SmolStr,
    /// Why the member is paused; `None`: not paused.
    pub paused: Option<SmolStr>,
}

/// All operators of this daemon.
#[derive(Debug)]
pub struct OperatorRegistry {
    settings: Settings,
    people: BTreeMap<RecordId, Operator>,
    seats: HashMap<Extension, RecordId>,
    /// Seats that an operator left by a log-out and that are free.
    vacated_seats: BTreeSet<Extension>,
    calls: BTreeMap<CallId, CallInvolvement>,
    /// Callers whom operators had until lately, oldest first.
    releases: VecDeque<Release>,
    phones: HashMap<Extension, Phone>,
    /// The first list of calls is complete; before that no activity is derived.
    calls_listed: bool,
    /// The last membership given out for each seat.
    sent_members: HashMap<Extension, Option<Member>>,
    /// Teams owned by daemons of other PBXes; the empty name stands for all operators.
    owned_elsewhere: BTreeMap<SmolStr, PbxId>,
    outputs: VecDeque<Output>,
}

impl OperatorRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            people: BTreeMap::new(),
            seats: HashMap::new(),
            vacated_seats: BTreeSet::new(),
            calls: BTreeMap::new(),
            releases: VecDeque::new(),
            phones: HashMap::new(),
            calls_listed: false,
            sent_members: HashMap::new(),
            owned_elsewhere: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next end of after-call work.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let required = self.settings.disposition_required;
        self.people.values().filter_map(|operator| operator.due(required)).min()
    }

    /// Ends after-call work whose time is over.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let required = self.settings.disposition_required;
        let is_due = |o: &Operator| o.due(required).is_some_and(|due| due <= now);
        let due: Vec<_> = self.people.iter().filter(|(_, o)| is_due(o)).map(|(user, _)| *user).collect();
        for user in due {
            self.update(user, true, |operator| (true, operator.expire(now, required)));
        }
    }

    /// The operator with this user id.
    #[must_use]
    pub fn operator(&self, user: RecordId) -> Option<&Operator> {
        self.people.get(&user)
    }

    /// The operator at this seat.
    #[must_use]
    pub fn user_at(&self, extension: &Extension) -> Option<RecordId> {
        self.seats.get(extension).copied()
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Restores stored operators: at start-up before any other input, later for operators that are new here.
    pub fn restore(&mut self, now: Timestamp, snapshots: Vec<OperatorSnapshot>) {
        for snapshot in snapshots {
            let user = snapshot.user;
            match &snapshot.seat {
                // A store that was edited by hand may name one seat twice; the first entry wins.
                Some(seat) if self.seats.contains_key(seat) => continue,
                Some(seat) => {
                    self.seats.insert(seat.clone(), user);
                    self.outputs.push_back(Output::Seated { user, seat: Some(seat.clone()) });
                }
                None => {
                    self.vacated_seats.extend(snapshot.last_seat.clone());
                }
            }
            let operator = self.people.entry(user);
            operator.or_insert_with(|| Operator::new(user, SmolStr::default(), None, now)).restore(snapshot);
        }
        for seat in self.seats.keys() {
            self.vacated_seats.remove(seat);
        }
        let extensions: Vec<_> = self.seats.keys().chain(&self.vacated_seats).cloned().collect();
        for extension in extensions {
            self.update_member(&extension);
        }
    }

    /// Gives out the view of every operator.
    pub fn publish_all(&mut self) {
        let everybody: Vec<RecordId> = self.people.keys().copied().collect();
        for user in everybody {
            self.publish(user, false);
        }
    }

    /// Replaces the state of these operators by the previous leader's, gives out every view, and derives the activities
    /// from the present `calls`. A caller whom an operator had and lost before the previous leader could save it leaves
    /// after-call work all the same.
    pub fn adopt_snapshots(
        &mut self,
        now: Timestamp,
        snapshots: Vec<OperatorSnapshot>,
        calls: Vec<(CallView, Option<u32>)>,
    ) {
        for snapshot in snapshots {
            if let Some(operator) = self.people.get_mut(&snapshot.user) {
                operator.restore(snapshot);
            }
        }
        self.replace_calls(now, calls);
        self.publish_all();
        if self.calls_listed {
            self.conclude_releases();
        }
        self.derive_activities(now, None, None);
    }

    /// Adds, updates and removes operators after a change of the roster; `home` returns a person's own extension.
    ///
    /// Operators, supervisors and everybody with an own extension have a state. An operator whom another daemon owns is
    /// released without a [`Output::Removed`].
    pub fn update_roster(
        &mut self,
        now: Timestamp,
        roster: &Roster,
        home: impl Fn(RecordId) -> Option<Extension>,
    ) {
        self.release_owned_elsewhere(roster);
        let is_gone =
            |user: &&RecordId| roster.person(**user).is_none_or(|person| !self.owns(roster, person));
        let gone: Vec<_> = self.people.keys().filter(is_gone).copied().collect();
        for user in gone {
            self.update(user, true, |operator| (true, operator.dismiss(now)));
            self.people.remove(&user);
            self.outputs.push_back(Output::Removed(user));
        }
        for person in roster.everybody() {
            let has_state =
                matches!(person.role, Role::Operator | Role::Supervisor) || home(person.id).is_some();
            if !has_state || !self.owns(roster, person) {
                continue;
            }
            let (name, home) = (SmolStr::new(&person.name), home(person.id));
            let known = self.people.contains_key(&person.id);
            let operator = self
                .people
                .entry(person.id)
                .or_insert_with(|| Operator::new(person.id, name.clone(), home.clone(), now));
            let same = operator.name == name && operator.home == home;
            if known && same {
                continue;
            }
            (operator.name, operator.home) = (name, home);
            self.refresh_phone(person.id);
            self.update(person.id, false, |_| (true, Vec::new()));
        }
    }

    /// Sets the state of `user`.
    ///
    /// # Errors
    /// [`Refusal`]: the version is not the present one, the seat is taken or not allowed, a call keeps the operator from
    /// moving, or the reason is not among the choices.
    pub fn set_state(
        &mut self,
        now: Timestamp,
        user: RecordId,
        request: StateRequest,
        by: ChangedBy,
    ) -> Result<StateView, Refusal> {
        let operator = self.people.get(&user).ok_or(Refusal::UnknownOperator)?;
        if operator.snapshot().version != request.version {
            return Err(Refusal::Stale(Box::new(operator.view())));
        }
        let requested = self.requested_state(&request)?;
        let seat = match (&requested, request.extension) {
            (RequestedState::LoggedOut, _) => None,
            (_, extension) => self.seat_for(user, extension)?,
        };
        self.update(user, true, |operator| (operator.set(now, by, requested, seat), Vec::new()));
        self.derive_activities(now, None, None);
        self.view(user)
    }

    /// Replaces the words that operators choose from; a state or work that has another one keeps it.
    pub fn set_words(&mut self, not_ready_reasons: Vec<Choice>, dispositions: Vec<Choice>) {
        (self.settings.not_ready_reasons, self.settings.dispositions) = (not_ready_reasons, dispositions);
    }

    fn requested_state(&self, request: &StateRequest) -> Result<RequestedState, Refusal> {
        match (request.state, request.reason.as_deref()) {
            (State::NotReady, reason) => {
                let reason = reason.unwrap_or_default();
                let reason = parse_choice("reason", reason, &self.settings.not_ready_reasons)?;
                Ok(RequestedState::NotReady(reason))
            }
            (State::Ready | State::LoggedOut, Some(_)) => {
                Err(Refusal::Invalid("reason: allowed only with not_ready".into()))
            }
            (State::Ready, None) => Ok(RequestedState::Ready),
            (State::LoggedOut, None) => Ok(RequestedState::LoggedOut),
            _ => Err(Refusal::Invalid(
                "state: set ready, not_ready or logged_out; calls cause the other states".into(),
            )),
        }
    }

    /// The number of the operator's desktops that are connected to the event stream.
    pub fn set_desktops(&mut self, user: RecordId, desktops: u32) {
        self.update(user, false, |operator| {
            let changed = operator.desktops != desktops;
            operator.desktops = desktops;
            (changed, Vec::new())
        });
    }

    /// The PBX reported whether a phone can be called.
    pub fn set_phone(&mut self, extension: &Extension, phone: Phone) {
        if self.phones.insert(extension.clone(), phone) == Some(phone) {
            return;
        }
        let answers_there = |o: &Operator| o.view().extension.as_ref() == Some(extension);
        let users: Vec<_> =
            self.people.iter().filter(|(_, o)| answers_there(o)).map(|(user, _)| *user).collect();
        for user in users {
            let changed = self.refresh_phone(user);
            self.update(user, false, |_| (changed, Vec::new()));
        }
    }

    /// What the PBX refuses for the extensions' queue memberships; an extension without an entry has no fault.
    pub fn set_queue_faults(&mut self, faults: &BTreeMap<Extension, Vec<QueueFault>>) {
        let everybody: Vec<RecordId> = self.people.keys().copied().collect();
        for user in everybody {
            self.update(user, false, |operator| {
                let own = operator.seat().and_then(|seat| faults.get(seat)).cloned().unwrap_or_default();
                let changed = operator.queue_faults != own;
                operator.queue_faults = own;
                (changed, Vec::new())
            });
        }
    }

    /// The phones that the PBX has reported, and the operator at each.
    pub fn seats(&self) -> impl Iterator<Item = (&Extension, Phone, Option<RecordId>)> {
        self.phones.iter().map(|(extension, phone)| (extension, *phone, self.user_at(extension)))
    }

    fn refresh_phone(&mut self, user: RecordId) -> bool {
        let Some(operator) = self.people.get_mut(&user) else { return false };
        let extension = operator.view().extension;
        let phone = extension.and_then(|e| self.phones.get(&e).copied()).unwrap_or_default();
        std::mem::replace(&mut operator.phone, phone) != phone
    }

    /// Changes one operator and gives out the result; `record` as in [`Output::Changed`].
    fn update(
        &mut self,
        user: RecordId,
        record: bool,
        change: impl FnOnce(&mut Operator) -> (bool, Vec<CompletedWrapUp>),
    ) {
        let Some(operator) = self.people.get_mut(&user) else { return };
        let paused_before = operator.pause_reason().map(SmolStr::new);
        let (changed, completed) = change(operator);
        // A caller who may return is no part of the public state, and keeps the queues away all the same.
        let repaused = operator.pause_reason() != paused_before.as_deref();
        let seat = operator.seat().cloned().filter(|_| repaused && !changed);
        self.push_completed(user, completed);
        if changed {
            self.publish(user, record);
        }
        if let Some(seat) = seat {
            self.update_member(&seat);
        }
    }

    fn push_completed(&mut self, user: RecordId, completed: Vec<CompletedWrapUp>) {
        let ended = |completed| Output::WrapUpEnded { user, completed: Box::new(completed) };
        self.outputs.extend(completed.into_iter().map(ended));
    }

    /// Gives out the operator's view, a change of seat, and the queue membership of the seats concerned.
    fn publish(&mut self, user: RecordId, record: bool) {
        let Some(operator) = self.people.get(&user) else { return };
        let seat = operator.seat().cloned();
        let before =
            self.seats.iter().find(|(_, holder)| **holder == user).map(|(extension, _)| extension.clone());
        let moved = before != seat;
        if moved {
            if let Some(before) = &before {
                self.seats.remove(before);
                self.vacated_seats.insert(before.clone());
            }
            if let Some(seat) = &seat {
                self.seats.insert(seat.clone(), user);
                self.vacated_seats.remove(seat);
            }
            self.refresh_phone(user);
        }
        let Some(operator) = self.people.get(&user) else { return };
        let view = Box::new(operator.view());
        // See "Order" in the header.
        if moved && seat.is_some() {
            self.outputs.push_back(Output::Seated { user, seat: seat.clone() });
        }
        self.outputs.push_back(Output::Changed { view, record });
        if moved && seat.is_none() {
            self.outputs.push_back(Output::Seated { user, seat: None });
        }
        for extension in before.iter().chain(seat.iter().filter(|seat| Some(*seat) != before.as_ref())) {
            self.update_member(extension);
        }
    }

    fn update_member(&mut self, extension: &Extension) {
        let member = self.user_at(extension).and_then(|user| self.people.get(&user)).map(|operator| Member {
            name: operator.name.clone(),
            paused: operator.pause_reason().map(SmolStr::new),
        });
        if self.sent_members.get(extension) != Some(&member) {
            self.sent_members.insert(extension.clone(), member.clone());
            self.outputs.push_back(Output::Member { extension: extension.clone(), member });
        }
    }

    fn view(&self, user: RecordId) -> Result<StateView, Refusal> {
        self.people.get(&user).map(Operator::view).ok_or(Refusal::UnknownOperator)
    }

    /// Asserts the invariants of seats and states.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (user, operator) in &self.people {
            let view = operator.view();
            assert_eq!(view.state == State::LoggedOut, operator.seat().is_none());
            if let Some(seat) = operator.seat() {
                assert_eq!(self.seats.get(seat), Some(user));
            }
            assert!(view.state.is_busy() || view.pending.is_none(), "{view:?}");
            assert_eq!(view.reason.is_some(), view.state == State::NotReady);
        }
        assert_eq!(self.seats.len(), self.people.values().filter(|o| o.seat().is_some()).count());
    }
}

/// Checks a text against the configured choices; without choices any short printable text is allowed.
fn parse_choice(field: &str, text: &str, choices: &[Choice]) -> Result<SmolStr, Refusal> {
    if choices.is_empty() {
        let kept = printable(text, CHOICE_CHARS_MAX).filter(|kept| kept.as_str() == text.trim());
        return kept.ok_or_else(|| Refusal::Invalid(format!("{field}: 1 to {CHOICE_CHARS_MAX} characters")));
    }
    let known = choices.iter().find(|choice| choice.code == text).map(|choice| choice.code.clone());
    known.ok_or_else(|| {
        let codes: Vec<&str> = choices.iter().map(|choice| choice.code.as_str()).collect();
        Refusal::Invalid(format!("{field}: one of {}", codes.join(", ")))
    })
}
