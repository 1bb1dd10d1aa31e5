//! The model: all calls of one PBX, and its public methods.
//!
//! The daemon calls `handle(now, input)`, drains `poll_output()`, waits until `poll_timeout()` at the longest and calls
//! `handle_timeout(now)`. There is no clock, socket, randomness or log in here: the same inputs give the same
//! outputs, so a recorded session can be replayed.
//!
//! Invariant ([`Model::check`]): every leg belongs to one call that lists it; every bridge lists exactly the legs that
//! are in it; a pop is open only for a living leg; a call that ended sends no more notices.
//! Read next: [`super::apply_event`] (what each event changes), then [`super::derive`] (what that means).

use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use jiff::Timestamp;

use super::direction::LearnedEndpoints;
use super::input::Input;
use super::leg::{EndpointRules, Leg};
use super::output::Output;
use super::stage::{Call, deadline_after};
use crate::ami::event::BridgeKind;
use crate::contract::call::CallView;
use crate::ids::{BridgeId, CallId, ChannelId, RecordId};

/// How long a channel that is gone, and a call that is removed, is remembered: late events and lists may still name it.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(10);

/// Most people whom a call names as having had the caller.
pub const HANDLERS_PER_CALL_MAX: usize = 64;

/// One bridge.
#[derive(Debug, Clone)]
pub(crate) struct Bridge {
    pub(crate) kind: BridgeKind,
    pub(crate) legs: Vec<ChannelId>,
}

/// A list of channels that is being read.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The input count at its start; the list does not judge younger legs.
    pub(crate) began_at: u64,
    pub(crate) seen: HashSet<ChannelId>,
    /// Calls with a listed leg, to be derived at the end of the list.
    pub(crate) touched: Vec<CallId>,
}

/// Ids that are remembered for [`TOMBSTONE_TTL`].
#[derive(Debug)]
struct Tombstones<T> {
    ids: HashSet<T>,
    expiry: VecDeque<(Timestamp, T)>,
}

impl<T> Default for Tombstones<T> {
    fn default() -> Self {
        Self { ids: HashSet::default(), expiry: VecDeque::new() }
    }
}

impl<T: Clone + Eq + Hash> Tombstones<T> {
    fn add(&mut self, now: Timestamp, id: T) {
        if self.ids.insert(id.clone()) {
            self.expiry.push_back((deadline_after(now, TOMBSTONE_TTL), id));
        }
    }

    fn expire(&mut self, now: Timestamp) {
        while self.expiry.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, id)) = self.expiry.pop_front() {
                self.ids.remove(&id);
            }
        }
    }
}

/// What a timer of a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKind {
    /// The stage's wait is over.
    Stage,
    /// Nobody has attended to the caller for [`super::derive::UNATTENDED_DELAY`].
    Unattended,
    /// A phone was picked up [`super::ANNOUNCEMENT_MIN`] ago.
    Announced,
}

/// How many things the model holds; for metrics and for the tests of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelStats {
    /// Calls, including ended ones with living legs.
    pub calls: usize,
    /// Living legs.
    pub legs: usize,
    /// Bridges.
    pub bridges: usize,
    /// Pending timers.
    pub timers: usize,
}

/// All calls of one PBX.
#[derive(Debug)]
pub struct Model {
    pub(crate) rules: EndpointRules,
    pub(crate) calls: HashMap<CallId, Call>,
    pub(crate) legs: HashMap<ChannelId, Leg>,
    pub(crate) bridges: HashMap<BridgeId, Bridge>,
    /// The call of a linked id; outlives the first channel of the set.
    pub(crate) linked: HashMap<ChannelId, CallId>,
    pub(crate) listing: Option<Listing>,
    pub(crate) learned: LearnedEndpoints,
    /// Facts that are derived now come from a list, not from an event.
    pub(crate) inferring: bool,
    pub(crate) inputs: u64,
    timers: BTreeSet<(Timestamp, CallId, TimerKind)>,
    gone_channels: Tombstones<ChannelId>,
    /// Their ids are not given again while a late channel may name the same linked id.
    removed_calls: Tombstones<CallId>,
    outputs: VecDeque<Output>,
}

impl Model {
    /// An empty model.
    #[must_use]
    pub fn new(rules: EndpointRules) -> Self {
        Self {
            rules,
            calls: HashMap::default(),
            legs: HashMap::default(),
            bridges: HashMap::default(),
            linked: HashMap::default(),
            listing: None,
            learned: LearnedEndpoints::default(),
            inferring: false,
            inputs: 0,
            timers: BTreeSet::new(),
            gone_channels: Tombstones::default(),
            removed_calls: Tombstones::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. `now` never goes back.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.inputs += 1;
        self.expire_tombstones(now);
        match input {
            Input::Pbx(event) => self.apply_event(now, event),
            Input::LinkUp { restarted } => self.on_link_up(now, restarted),
            Input::LinkDown => self.listing = None,
            Input::ListBegan => self.on_list_began(),
            Input::ListEnded => self.on_list_ended(now),
            Input::ListFailed => self.listing = None,
            Input::ChannelRead { call, presentation } => {
                self.on_channel_read(now, call, presentation.as_deref());
            }
            Input::HeadersRead { call, by_dialplan, headers } => {
                self.on_headers_read(now, call, by_dialplan, headers);
            }
            Input::CardFound { call, question, card, complete } => {
                self.on_card_found(now, call, question, card, complete);
            }
        }
    }

    /// Takes the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((at, id, kind)) = self.timers.first().copied().filter(|(at, ..)| *at <= now) {
            self.timers.remove(&(at, id, kind));
            match kind {
                TimerKind::Stage => self.on_stage_timeout(now, id),
                TimerKind::Unattended | TimerKind::Announced => self.derive(now, id),
            }
        }
        self.expire_tombstones(now);
    }

    /// Every call that has not ended, in no order.
    pub fn calls(&self) -> impl Iterator<Item = CallView> + '_ {
        self.calls.values().filter(|c| c.is_reportable()).map(|c| c.view(&self.rules))
    }

    /// Notes that this person has had the caller. The model itself knows phones only, and a phone may be another person's
    /// later.
    pub fn note_handler(&mut self, call: CallId, person: RecordId) {
        let Some(call) = self.calls.get_mut(&call) else { return };
        if call.handled_by.len() < HANDLERS_PER_CALL_MAX && !call.handled_by.contains(&person) {
            call.handled_by.push(person);
        }
    }

    /// The call of this channel or linked id, while the call lives.
    #[must_use]
    pub fn call_of(&self, channel: &ChannelId) -> Option<CallId> {
        self.legs.get(channel).map(|leg| leg.call).or_else(|| self.linked.get(channel).copied())
    }

    /// The counts of what the model holds.
    #[must_use]
    pub fn stats(&self) -> ModelStats {
        ModelStats {
            calls: self.calls.len(),
            legs: self.legs.len(),
            bridges: self.bridges.len(),
            timers: self.timers.len(),
        }
    }

    pub(crate) fn push_output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn set_timer(&mut self, at: Timestamp, call: CallId, kind: TimerKind) {
        self.timers.insert((at, call, kind));
    }

    pub(crate) fn clear_timer(&mut self, at: Timestamp, call: CallId, kind: TimerKind) {
        self.timers.remove(&(at, call, kind));
    }

    pub(crate) fn has_timer(&self, call: &Call) -> bool {
        call.stage.deadline().is_some_and(|at| self.timers.contains(&(at, call.id, TimerKind::Stage)))
    }

    pub(crate) fn drop_timers(&mut self, call: &Call) {
        if let Some(at) = call.stage.deadline() {
            self.timers.remove(&(at, call.id, TimerKind::Stage));
        }
        if let Some(at) = call.unattended_until {
            self.timers.remove(&(at, call.id, TimerKind::Unattended));
        }
        if let Some(at) = call.announced_from {
            self.timers.remove(&(at, call.id, TimerKind::Announced));
        }
    }

    /// Remembers for [`TOMBSTONE_TTL`] that a channel is gone.
    pub(crate) fn add_tombstone(&mut self, now: Timestamp, id: ChannelId) {
        self.gone_channels.add(now, id);
    }

    pub(crate) fn is_gone(&self, id: &ChannelId) -> bool {
        self.gone_channels.ids.contains(id)
    }

    /// Remembers for [`TOMBSTONE_TTL`] that a call had this id.
    pub(crate) fn retire_call_id(&mut self, now: Timestamp, id: CallId) {
        self.removed_calls.add(now, id);
    }

    pub(crate) fn is_retired(&self, id: &CallId) -> bool {
        self.removed_calls.ids.contains(id)
    }

    fn expire_tombstones(&mut self, now: Timestamp) {
        self.gone_channels.expire(now);
        self.removed_calls.expire(now);
    }
}
