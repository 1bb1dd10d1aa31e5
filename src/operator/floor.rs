//! Everybody on the floor: who sits where, what calls do to each, and what others must be told of it.
//!
//! Pure, like `machine.rs`, of which it holds one for each person: inputs are method calls with the time, outputs
//! are drained with [`Floor::poll_output`].
//!
//! Invariants: at one extension sits at most one person; a person who never logged in is never touched, so
//! operators who are static members of a queue and know nothing of the daemon go on as before; whoever logged in
//! once is out of the queues when logged out. What calls do is compared as a whole after each of their changes,
//! never accumulated.
//!
//! After-call work is in `floor/wrap_up.rs`; who is kept here and who by another PBX's daemon, in `floor/keepers.rs`.
//!
//! Why a change of state is not refused while the PBX is away: it is the daemon's own, and `members.rs` brings
//! the PBX up to it when it is back.

mod keepers;
mod wrap_up;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::machine::{Activity, Finished, Operator, Saved, Terms};
use super::people::Roster;
use super::role::Role;
use super::state::{By, Phone, Rest, State, StateView};
use crate::call::view::{CallState, CallView};
use crate::command::Refusal;
use crate::config::{Choice, ExtensionPattern};
use crate::identity::printable;
use crate::ids::{CallId, Extension, PbxId, RecordId};

pub use wrap_up::{NOTES_CHARS_MAX, WHY_CHARS_MAX};

/// Longest reason or disposition where the configuration lists none, in characters.
pub const WORD_CHARS_MAX: usize = 40;
/// How the floor is run: `[operators]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Why somebody may be not ready; where empty, any word.
    pub not_ready_reasons: Vec<Choice>,
    /// What may have come of a call; where empty, any word.
    pub dispositions: Vec<Choice>,
    /// Length of after-call work where the account says nothing, in seconds.
    pub wrap_up_s: u32,
    /// Most seconds that one extension adds.
    pub wrap_up_extend_s_max: u32,
    /// Whether after-call work goes on until a disposition is given.
    pub disposition_required: bool,
    /// Where people may sit.
    pub phones: Vec<ExtensionPattern>,
    /// The teams whose people are kept here; where empty, everybody is.
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

/// A state that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub state: State,
    /// Why not ready.
    pub reason: Option<String>,
    /// Where to sit.
    pub extension: Option<Extension>,
    /// The version that was seen.
    pub version: u64,
}

/// What must be done about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// She is now so; `record`: whether it belongs into the history.
    Changed {
        /// How she looks.
        view: Box<StateView>,
        /// The state itself changed, not only who follows or whether her phone is there.
        record: bool,
    },
    /// She has left the service.
    Gone(RecordId),
    /// She sits there now, or at her own extension again.
    Seated {
        /// Who.
        user: RecordId,
        /// Where.
        seat: Option<Extension>,
    },
    /// What the queues are to do with an extension.
    Member {
        /// Which.
        extension: Extension,
        /// Who sits there; nobody any more.
        member: Option<Member>,
    },
    /// After-call work is over, or a disposition was given later.
    WrapUpOver {
        /// Whose.
        user: RecordId,
        /// What.
        finished: Box<Finished>,
    },
}

/// An extension as the queues are to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who sits there.
    pub name: SmolStr,
    /// Why she gets no calls now.
    pub paused: Option<SmolStr>,
}

/// A call as far as it concerns operators.
#[derive(Debug, Clone)]
struct Footprint {
    rings_at: Vec<Extension>,
    at: Option<Extension>,
    held: bool,
    terms: Terms,
}

/// Everybody.
#[derive(Debug)]
pub struct Floor {
    settings: Settings,
    people: BTreeMap<RecordId, Operator>,
    seats: HashMap<Extension, RecordId>,
    /// Where somebody sat who has logged out.
    left: BTreeSet<Extension>,
    calls: BTreeMap<CallId, Footprint>,
    phones: HashMap<Extension, Phone>,
    /// Calls are compared only once the PBX has told of all of them.
    listed: bool,
    told: HashMap<Extension, Option<Member>>,
    /// Teams whose people the daemons of other PBXes keep (empty: everybody whose team is not named).
    elsewhere: BTreeMap<SmolStr, PbxId>,
    outputs: VecDeque<Output>,
}

impl Floor {
    /// Nobody yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            people: BTreeMap::new(),
            seats: HashMap::new(),
            left: BTreeSet::new(),
            calls: BTreeMap::new(),
            phones: HashMap::new(),
            listed: false,
            told: HashMap::new(),
            elsewhere: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What must be done now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When after-call work is over next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let required = self.settings.disposition_required;
        self.people.values().filter_map(|operator| operator.due(required)).min()
    }

    /// Ends what is over.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let required = self.settings.disposition_required;
        let is_due = |o: &Operator| o.due(required).is_some_and(|due| due <= now);
        let due: Vec<_> = self.people.iter().filter(|(_, o)| is_due(o)).map(|(user, _)| *user).collect();
        for user in due {
            self.with(user, true, |operator| (true, operator.lapse(now, required)));
        }
    }

    /// One person.
    #[must_use]
    pub fn operator(&self, user: RecordId) -> Option<&Operator> {
        self.people.get(&user)
    }

    /// Who sits at this extension.
    #[must_use]
    pub fn at(&self, extension: &Extension) -> Option<RecordId> {
        self.seats.get(extension).copied()
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Puts back what was kept when the daemon ended. Comes before anything else.
    pub fn restore(&mut self, now: Timestamp, kept: Vec<Saved>) {
        for saved in kept {
            let user = saved.user;
            match &saved.seat {
                // Two cannot sit at one phone, whatever a store that was edited by hand says.
                Some(seat) if self.seats.contains_key(seat) => continue,
                Some(seat) => {
                    self.seats.insert(seat.clone(), user);
                    self.outputs.push_back(Output::Seated { user, seat: Some(seat.clone()) });
                }
                None => {
                    self.left.extend(saved.last_seat.clone());
                }
            }
            let operator = self.people.entry(user);
            operator.or_insert_with(|| Operator::new(user, SmolStr::default(), None, now)).restore(saved);
        }
        for seat in self.seats.keys() {
            self.left.remove(seat);
        }
        let extensions: Vec<_> = self.seats.keys().chain(&self.left).cloned().collect();
        for extension in extensions {
            self.tell_member(&extension);
        }
    }

    /// Says of everybody how they are.
    pub fn tell_everybody(&mut self) {
        let everybody: Vec<RecordId> = self.people.keys().copied().collect();
        for user in everybody {
            self.told(user, false);
        }
    }

    /// People are as the daemon that led before left them, and everybody is told of. What calls do to them now is
    /// compared as ever.
    pub fn take_over(&mut self, now: Timestamp, kept: Vec<Saved>) {
        for saved in kept {
            if let Some(operator) = self.people.get_mut(&saved.user) {
                operator.restore(saved);
            }
        }
        self.tell_everybody();
        self.compare(now, None, None);
    }

    /// Everybody who works here; `home` tells each person's own extension.
    pub fn people(&mut self, now: Timestamp, roster: &Roster, home: impl Fn(RecordId) -> Option<Extension>) {
        self.hand_over_those_kept_elsewhere(roster);
        let is_gone =
            |user: &&RecordId| roster.person(**user).is_none_or(|person| !self.keeps(roster, person));
        let gone: Vec<_> = self.people.keys().filter(is_gone).copied().collect();
        for user in gone {
            self.with(user, true, |operator| (true, operator.dismiss(now)));
            self.people.remove(&user);
            self.outputs.push_back(Output::Gone(user));
        }
        for person in roster.everybody() {
            let works = matches!(person.role, Role::Operator | Role::Supervisor) || home(person.id).is_some();
            if !works || !self.keeps(roster, person) {
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
            self.look_at_phone(person.id);
            self.with(person.id, false, |_| (true, Vec::new()));
        }
    }

    /// Sets a state that somebody wants for `user`.
    ///
    /// # Errors
    /// [`Refusal`]: the version is not the present one, the seat is taken, a word is not among those allowed.
    pub fn set(
        &mut self,
        now: Timestamp,
        user: RecordId,
        wanted: Wanted,
        by: By,
    ) -> Result<StateView, Refusal> {
        let operator = self.people.get(&user).ok_or(Refusal::UnknownOperator)?;
        if operator.saved().version != wanted.version {
            return Err(Refusal::Stale(Box::new(operator.view())));
        }
        let rest = self.rest(&wanted)?;
        let seat = match (&rest, wanted.extension) {
            (Rest::LoggedOut, _) => None,
            (_, extension) => self.seat_for(user, extension)?,
        };
        self.with(user, true, |operator| (operator.set(now, by, rest, seat), Vec::new()));
        self.compare(now, None, None);
        self.view(user)
    }

    fn rest(&self, wanted: &Wanted) -> Result<Rest, Refusal> {
        match (wanted.state, wanted.reason.as_deref()) {
            (State::NotReady, reason) => {
                let reason = reason.unwrap_or_default();
                let reason = word("reason", reason, &self.settings.not_ready_reasons)?;
                Ok(Rest::NotReady(reason))
            }
            (State::Ready | State::LoggedOut, Some(_)) => {
                Err(Refusal::Invalid("reason: only not_ready has one".into()))
            }
            (State::Ready, None) => Ok(Rest::Ready),
            (State::LoggedOut, None) => Ok(Rest::LoggedOut),
            _ => Err(Refusal::Invalid(
                "state: only ready, not_ready and logged_out are set; calls make the others".into(),
            )),
        }
    }

    /// Where she is to sit, if that changes.
    fn seat_for(&self, user: RecordId, wanted: Option<Extension>) -> Result<Option<Extension>, Refusal> {
        let operator = self.people.get(&user).ok_or(Refusal::UnknownOperator)?;
        let present = operator.seat();
        if present.is_some() && (wanted.is_none() || wanted.as_ref() == present) {
            return Ok(None);
        }
        let seat = wanted.or_else(|| operator.home.clone()).or_else(|| operator.saved().last_seat.clone());
        let seat = seat.ok_or_else(|| Refusal::Invalid("extension: name the phone you sit at".into()))?;
        if !self.settings.phones.iter().any(|pattern| pattern.matches(seat.as_str())) {
            return Err(Refusal::Invalid("extension: no phone of an operator or supervisor".into()));
        }
        if self.at(&seat).is_some_and(|other| other != user) {
            return Err(Refusal::StateConflict("somebody else has logged in at this extension"));
        }
        if operator.state().is_busy() {
            return Err(Refusal::StateConflict("a call has to do with you; move when that is over"));
        }
        Ok(Some(seat))
    }

    /// A call is now like this; `wrap_up_s` is its account's length of after-call work.
    pub fn call_moved(&mut self, now: Timestamp, view: &CallView, wrap_up_s: Option<u32>) {
        let account = view.card.as_ref().map(|card| &card.account);
        let terms = Terms {
            account: account.and_then(|account| account.id),
            account_name: account.map(|account| account.name.clone()).unwrap_or_default(),
            seconds: wrap_up_s.unwrap_or(self.settings.wrap_up_s),
        };
        let held = view.state == CallState::Held;
        let (rings_at, at) = (view.presented_to.clone(), view.operator.clone());
        let concerned = view.operators().cloned().collect();
        let before = self.calls.insert(view.id, Footprint { rings_at, at, held, terms: terms.clone() });
        self.compare(now, Some(with_those_of(concerned, before.as_ref())), Some((view.id, terms)));
    }

    /// A call is over.
    pub fn call_over(&mut self, now: Timestamp, call: CallId) {
        let Some(before) = self.calls.remove(&call) else { return };
        self.compare(now, Some(with_those_of(Vec::new(), Some(&before))), Some((call, before.terms)));
        self.await_no_longer(now, |awaited| awaited == call);
    }

    /// The PBX has told of every call: whoever was with one that is not there was freed meanwhile.
    /// Whoever waited for a caller whose transfer is not `under_way` (any more, or after a restart) waits no longer.
    pub fn listed(&mut self, now: Timestamp, under_way: impl Fn(CallId) -> bool) {
        self.listed = true;
        self.compare(now, None, None);
        let calls: BTreeSet<CallId> = self.calls.keys().copied().collect();
        self.await_no_longer(now, |awaited| !calls.contains(&awaited) || !under_way(awaited));
    }

    fn await_no_longer(&mut self, now: Timestamp, over: impl Fn(CallId) -> bool) {
        let awaited =
            |(user, o): (&RecordId, &Operator)| Some((*user, o.saved().awaits.filter(|c| over(*c))?));
        let waiting: Vec<_> = self.people.iter().filter_map(awaited).collect();
        for (user, call) in waiting {
            self.with(user, true, |operator| (operator.awaits(now, call, false), Vec::new()));
        }
    }

    /// Compares what those at these extensions (everybody, where none are named) do with what the calls say.
    fn compare(&mut self, now: Timestamp, at: Option<Vec<Extension>>, moved: Option<(CallId, Terms)>) {
        if !self.listed {
            return;
        }
        let concerned: BTreeSet<RecordId> = match at {
            None => self.seats.values().copied().collect(),
            Some(extensions) => extensions.iter().filter_map(|extension| self.at(extension)).collect(),
        };
        let (length, required) = (self.settings.wrap_up_s, self.settings.disposition_required);
        for user in concerned {
            let Some(seat) = self.people.get(&user).and_then(Operator::seat) else { continue };
            let activity = self.activity_at(seat);
            let terms = |call: CallId| {
                let moved = moved.as_ref().filter(|(moved, _)| *moved == call).map(|(_, terms)| terms);
                let terms = moved.cloned().unwrap_or(Terms { seconds: length, ..Terms::default() });
                (terms.seconds > 0 || required).then_some(terms)
            };
            self.with(user, true, |operator| operator.moves(now, activity, terms));
        }
    }

    /// What calls do at an extension: having a caller goes before ringing.
    fn activity_at(&self, seat: &Extension) -> Activity {
        let has = self.calls.iter().find(|(_, f)| f.at.as_ref() == Some(seat));
        if let Some((call, footprint)) = has {
            return if footprint.held { Activity::Holds(*call) } else { Activity::Has(*call) };
        }
        let rings = self.calls.iter().find(|(_, f)| f.rings_at.contains(seat));
        rings.map_or(Activity::None, |(call, _)| Activity::Rings(*call))
    }

    /// A transfer by whoever sits at `operator` may bring its caller back, or may no longer.
    pub fn transfer(&mut self, now: Timestamp, call: CallId, operator: &Extension, under_way: bool) {
        if let Some(user) = self.at(operator) {
            self.with(user, true, |operator| (operator.awaits(now, call, under_way), Vec::new()));
        }
    }

    /// So many desktops of hers follow the events now.
    pub fn desktops(&mut self, user: RecordId, desktops: u32) {
        self.with(user, false, |operator| {
            let changed = operator.desktops != desktops;
            operator.desktops = desktops;
            (changed, Vec::new())
        });
    }

    /// The PBX says whether a phone is there.
    pub fn phone(&mut self, extension: &Extension, phone: Phone) {
        if self.phones.insert(extension.clone(), phone) == Some(phone) {
            return;
        }
        let answers_there = |o: &Operator| o.view().extension.as_ref() == Some(extension);
        let users: Vec<_> =
            self.people.iter().filter(|(_, o)| answers_there(o)).map(|(user, _)| *user).collect();
        for user in users {
            let changed = self.look_at_phone(user);
            self.with(user, false, |_| (changed, Vec::new()));
        }
    }

    /// The phones the PBX has told of, and who sits there.
    pub fn seats(&self) -> impl Iterator<Item = (&Extension, Phone, Option<RecordId>)> {
        self.phones.iter().map(|(extension, phone)| (extension, *phone, self.at(extension)))
    }

    fn look_at_phone(&mut self, user: RecordId) -> bool {
        let Some(operator) = self.people.get_mut(&user) else { return false };
        let extension = operator.view().extension;
        let phone = extension.and_then(|e| self.phones.get(&e).copied()).unwrap_or_default();
        std::mem::replace(&mut operator.phone, phone) != phone
    }

    /// Changes one person and says what follows from it; `record`: whether a change belongs into the history.
    fn with(
        &mut self,
        user: RecordId,
        record: bool,
        change: impl FnOnce(&mut Operator) -> (bool, Vec<Finished>),
    ) {
        let Some(operator) = self.people.get_mut(&user) else { return };
        let (changed, finished) = change(operator);
        for finished in finished {
            self.outputs.push_back(Output::WrapUpOver { user, finished: Box::new(finished) });
        }
        if changed {
            self.told(user, record);
        }
    }

    /// Tells how she is now, and what follows for seats and queues.
    fn told(&mut self, user: RecordId, record: bool) {
        let Some(operator) = self.people.get(&user) else { return };
        let seat = operator.seat().cloned();
        let before =
            self.seats.iter().find(|(_, sits)| **sits == user).map(|(extension, _)| extension.clone());
        let moved = before != seat;
        if moved {
            if let Some(before) = &before {
                self.seats.remove(before);
                self.left.insert(before.clone());
            }
            if let Some(seat) = &seat {
                self.seats.insert(seat.clone(), user);
                self.left.remove(seat);
            }
            self.look_at_phone(user);
        }
        let Some(operator) = self.people.get(&user) else { return };
        let view = Box::new(operator.view());
        // Whoever leaves is told so while she can still be seen there; whoever comes, once she can.
        if moved && seat.is_some() {
            self.outputs.push_back(Output::Seated { user, seat: seat.clone() });
        }
        self.outputs.push_back(Output::Changed { view, record });
        if moved && seat.is_none() {
            self.outputs.push_back(Output::Seated { user, seat: None });
        }
        for extension in before.iter().chain(seat.iter().filter(|seat| Some(*seat) != before.as_ref())) {
            self.tell_member(extension);
        }
    }

    fn tell_member(&mut self, extension: &Extension) {
        let member = self.at(extension).and_then(|user| self.people.get(&user)).map(|operator| Member {
            name: operator.name.clone(),
            paused: operator.paused_for().map(SmolStr::new),
        });
        if self.told.get(extension) != Some(&member) {
            self.told.insert(extension.clone(), member.clone());
            self.outputs.push_back(Output::Member { extension: extension.clone(), member });
        }
    }

    fn view(&self, user: RecordId) -> Result<StateView, Refusal> {
        self.people.get(&user).map(Operator::view).ok_or(Refusal::UnknownOperator)
    }

    /// Nobody sits where another sits, and every seat is known (tests).
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

fn with_those_of(mut extensions: Vec<Extension>, footprint: Option<&Footprint>) -> Vec<Extension> {
    extensions.extend(footprint.into_iter().flat_map(|f| f.rings_at.iter().chain(&f.at)).cloned());
    extensions
}

/// A word out of a list, or any short one where there is no list.
fn word(field: &str, text: &str, choices: &[Choice]) -> Result<SmolStr, Refusal> {
    if choices.is_empty() {
        let kept = printable(text, WORD_CHARS_MAX).filter(|kept| kept.as_str() == text.trim());
        return kept.ok_or_else(|| Refusal::Invalid(format!("{field}: 1 to {WORD_CHARS_MAX} characters")));
    }
    let known = choices.iter().find(|choice| choice.code == text).map(|choice| choice.code.clone());
    known.ok_or_else(|| {
        let codes: Vec<&str> = choices.iter().map(|choice| choice.code.as_str()).collect();
        Refusal::Invalid(format!("{field}: one of {}", codes.join(", ")))
    })
}
