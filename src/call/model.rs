//! The model: all calls of one PBX, and the doors through which the daemon works with it.
//!
//! `handle(now, input)`, then drain `poll_output()`, then wait until `poll_timeout()` at the longest and call
//! `handle_timeout(now)`. There is no clock, socket, randomness or log in here: the same inputs give the same
//! outputs, which is how a recorded session replays.
//!
//! Invariant ([`Model::check`]): every leg belongs to one call that lists it; every bridge lists the legs that
//! are in it; a pop is open only for a leg that rings; a call that ended tells nothing more.
//! Read next: [`super::intake`] (what each event changes), then [`super::settle`] (what that means).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::input::Input;
use super::leg::{Leg, Plan};
use super::output::Output;
use super::stage::{Call, after};
use super::view::CallView;
use crate::ami::event::BridgeKind;
use crate::ids::{BridgeId, CallId, ChannelId};

/// How long a channel that is gone stays known as gone: events and lists may speak of it for a moment.
pub const TOMBSTONE_TIME: Duration = Duration::from_secs(10);

/// One bridge.
#[derive(Debug, Clone)]
pub(crate) struct Bridge {
    pub(crate) kind: BridgeKind,
    pub(crate) legs: Vec<ChannelId>,
}

/// A list of channels that is being taken.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The input count at its begin: younger legs are not judged by it.
    pub(crate) began_at: u64,
    pub(crate) seen: HashSet<ChannelId>,
    /// Calls of which it has listed a leg, to be settled at its end.
    pub(crate) touched: Vec<CallId>,
}

/// How much the model holds; for metrics and for the tests of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Calls, ended ones with living legs included.
    pub calls: usize,
    /// Living legs.
    pub legs: usize,
    /// Bridges.
    pub bridges: usize,
    /// Timers that are set.
    pub timers: usize,
}

/// All calls of one PBX.
#[derive(Debug)]
pub struct Model {
    pub(crate) plan: Plan,
    pub(crate) calls: HashMap<CallId, Call>,
    pub(crate) legs: HashMap<ChannelId, Leg>,
    pub(crate) bridges: HashMap<BridgeId, Bridge>,
    /// Which call a channel's set belongs to, beyond the life of its first channel.
    pub(crate) linked: HashMap<ChannelId, CallId>,
    pub(crate) listing: Option<Listing>,
    /// What is now concluded comes from a list, not from an event.
    pub(crate) inferring: bool,
    pub(crate) inputs: u64,
    timers: BTreeSet<(Timestamp, CallId)>,
    gone: VecDeque<(Timestamp, ChannelId)>,
    gone_ids: HashSet<ChannelId>,
    outputs: VecDeque<Output>,
}

impl Model {
    /// An empty model.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            calls: HashMap::new(),
            legs: HashMap::new(),
            bridges: HashMap::new(),
            linked: HashMap::new(),
            listing: None,
            inferring: false,
            inputs: 0,
            timers: BTreeSet::new(),
            gone: VecDeque::new(),
            gone_ids: HashSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. `now` never goes back.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.inputs += 1;
        self.bury(now);
        match input {
            Input::Pbx(event) => self.take_event(now, event),
            Input::LinkUp { restarted } => self.link_up(now, restarted),
            Input::LinkDown => self.listing = None,
            Input::ListBegan => self.list_began(),
            Input::ListEnded => self.list_ended(now),
            Input::ListFailed => self.listing = None,
            Input::ChannelTold { call, presentation, headers } => {
                self.channel_told(now, call, presentation.as_deref(), &headers);
            }
            Input::CardFound { call, question, card, complete } => {
                self.card_found(now, call, question, card, complete);
            }
        }
    }

    /// The next thing that the owner must do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Lets the waits that are over take effect.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.wait_is_over(now, id);
        }
        self.bury(now);
    }

    /// Every call that has not ended, in no order.
    pub fn calls(&self) -> impl Iterator<Item = CallView> + '_ {
        self.calls.values().filter(|c| c.speaks()).map(|c| c.view(&self.plan))
    }

    /// The call that this channel belongs or belonged to while the call lives.
    #[must_use]
    pub fn call_of(&self, channel: &ChannelId) -> Option<CallId> {
        self.legs.get(channel).map(|leg| leg.call).or_else(|| self.linked.get(channel).copied())
    }

    /// How much the model holds.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            calls: self.calls.len(),
            legs: self.legs.len(),
            bridges: self.bridges.len(),
            timers: self.timers.len(),
        }
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn set_timer(&mut self, at: Timestamp, call: CallId) {
        self.timers.insert((at, call));
    }

    pub(crate) fn clear_timer(&mut self, at: Timestamp, call: CallId) {
        self.timers.remove(&(at, call));
    }

    pub(crate) fn has_timer(&self, call: &Call) -> bool {
        call.stage.until().is_some_and(|at| self.timers.contains(&(at, call.id)))
    }

    pub(crate) fn drop_timer(&mut self, call: &Call) {
        if let Some(at) = call.stage.until() {
            self.timers.remove(&(at, call.id));
        }
    }

    /// Remembers for [`TOMBSTONE_TIME`] that a channel is gone.
    pub(crate) fn entomb(&mut self, now: Timestamp, id: ChannelId) {
        if self.gone_ids.insert(id.clone()) {
            self.gone.push_back((after(now, TOMBSTONE_TIME), id));
        }
    }

    pub(crate) fn is_gone(&self, id: &ChannelId) -> bool {
        self.gone_ids.contains(id)
    }

    fn bury(&mut self, now: Timestamp) {
        while self.gone.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, id)) = self.gone.pop_front() {
                self.gone_ids.remove(&id);
            }
        }
    }
}
