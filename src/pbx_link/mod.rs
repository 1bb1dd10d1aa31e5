//! The PBX link as a machine: when `pbx.up`, `pbx.down`, `pbx.gap` and `pbx.restarted` are published, and which state of
//! the link is stored with them.
//!
//! Pure: inputs are method calls with a [`Moment`], outputs are drained with [`PbxLink::poll_output`], and the owner calls
//! [`PbxLink::handle_timeout`] when [`PbxLink::poll_timeout`] is due.
//!
//! The link state is stored, so that a gap over a restart of the daemon is published like any other. When several
//! daemons follow one PBX, only the leader publishes and stores (the bus decides); [`gaps`] finds the gaps before that.
//!
//! | the link | outputs, in order |
//! |---|---|
//! | the daemon starts, and the store has an earlier state | `pbx.down`, before any other event of this run |
//! | has logged in | none yet: the published calls are outdated |
//! | knows when the PBX started | `pbx.gap` with the gap and the link state; [`Output::LinkUp`]; after a restart of the PBX [`Output::PbxRestarted`] and `pbx.restarted` |
//! | has listed every channel | `pbx.up`: the calls are those of the PBX |
//! | is lost | [`Output::LinkDown`], then `pbx.down` once, however often the link is lost again before `pbx.up` |
//! | this daemon acquires the lead | nothing is stored until the predecessor's state was read |
//! | the predecessor's state was read | `pbx.gap` if nobody followed the PBX, `pbx.restarted`, then the link state |
//! | a heartbeat is due | the link state |
//!
//! Invariants: each `pbx.down` is followed by one `pbx.up`; the `pbx.gap` between them names both ends; the call model
//! learns of a restart before the first channel list after it; a gap is stored before the link state that ends it.
//!
//! Asterisk reports its start time in whole seconds (CoreStatus). A PBX that is killed and started again within one
//! second is not recognised as restarted; its calls end all the same, because the channel list lacks them.

mod following;
mod gaps;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use crate::contract::pbx::{Gap, PbxLinkState};
use crate::contract::time::time as wire_time;
use crate::ids::PbxId;
use gaps::{Observation, Unobserved, compare};

pub use following::Following;

/// How often the leader stores its link state, which is its heartbeat. At most this much of a followed link is taken for
/// a gap.
pub const LEADER_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Gap cause when the previous leader is gone.
pub const NOT_RUNNING: &str = "the daemon was not running";

/// When an input happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By this host's clock, as events have it.
    pub now: Timestamp,
    /// By the clock that the hosts of a cluster share; without one, `now`. Gaps and stored states have it.
    pub cluster_now: Timestamp,
    /// Whether this daemon writes heartbeats into the store: it shares its events and leads.
    pub writes_heartbeats: bool,
}

/// What the owner does next.
#[derive(Debug, Clone)]
pub enum Output {
    /// Publish the event and commit the records with it, the gap first.
    Publish {
        /// The event.
        event: Box<NewEvent>,
        /// A gap that has ended.
        gap: Option<Box<Gap>>,
        /// The new link state.
        state: Option<Box<PbxLinkState>>,
    },
    /// Store the link state without an event.
    Store(Box<PbxLinkState>),
    /// The call model's link is up; `restarted`: the PBX has restarted, and every earlier call has ended.
    LinkUp {
        /// Whether the PBX has restarted.
        restarted: bool,
    },
    /// The PBX has restarted: every supervision session has ended.
    PbxRestarted,
    /// The call model's link is down.
    LinkDown,
}

/// The link to one PBX.
#[derive(Debug)]
pub struct PbxLink {
    pbx: PbxId,
    /// When the link went down, and why; `None` while it is up or has never been up.
    down_since: Option<(Timestamp, String)>,
    /// When the PBX started, in the form Asterisk reports.
    started: Option<String>,
    /// Whether the link is up.
    up: bool,
    /// The data of the `pbx.up` that is published once every channel is listed.
    up_data: Option<Value>,
    /// Which was published last: `pbx.up` (true) or `pbx.down` (false).
    published_up: Option<bool>,
    /// Start and cause of the gap that ended with this login, until the start time of the PBX is known.
    ended_gap: Option<(Timestamp, String)>,
    /// The latest period in which this daemon followed the PBX, by its own clock.
    observed: Option<Observation>,
    /// Start of that period in cluster time, for the store.
    observed_since: Option<Timestamp>,
    /// Whether the predecessor's link state was compared since taking the lead (always true on a single-daemon setup).
    predecessor_compared: bool,
    /// Counts how often this daemon acquired the lead; a store answer from an earlier term is ignored.
    term: u64,
    /// When the next heartbeat is due.
    heartbeat_due: Option<Timestamp>,
    outputs: VecDeque<Output>,
}

impl PbxLink {
    /// The link to `pbx`, with the stored state of the daemon before; `shared`: other daemons may have followed the PBX
    /// since.
    #[must_use]
    pub fn new(pbx: PbxId, stored: Option<PbxLinkState>, shared: bool) -> Self {
        let mut link = Self {
            pbx,
            down_since: None,
            started: None,
            up: false,
            up_data: None,
            published_up: None,
            ended_gap: None,
            observed: None,
            observed_since: None,
            predecessor_compared: !shared,
            term: 0,
            heartbeat_due: None,
            outputs: VecDeque::new(),
        };
        if let Some(stored) = stored {
            let not_running = || NOT_RUNNING.to_owned();
            link.down_since = Some(if stored.up {
                (stored.alive, not_running())
            } else {
                (stored.since, stored.cause.unwrap_or_else(not_running))
            });
            link.started = stored.started;
        }
        link
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.heartbeat_due
    }

    /// Stores the link state if its heartbeat is due.
    pub fn handle_timeout(&mut self, at: Moment) {
        if self.heartbeat_due.is_some_and(|due| due <= at.now) {
            self.store_state(at);
        }
    }

    /// The daemon has started: until the link is up, the restored calls may be outdated.
    pub fn on_daemon_start(&mut self, at: Moment) {
        if let Some((from, reason)) = self.down_since.clone() {
            self.publish(
                at,
                EventKind::PbxDown,
                json!({ "reason": reason }),
                Some((false, from)),
                None,
                None,
            );
        }
    }

    /// The event session has logged in for the `epoch`-th time.
    pub fn on_login(&mut self, epoch: u64, version: &str) {
        self.up_data = Some(json!({ "epoch": epoch, "version": version }));
        self.up = true;
        self.ended_gap = self.down_since.take();
    }

    /// The PBX has reported its start time, which it does again on every resync. If it differs from the last known one,
    /// every earlier call has ended.
    pub fn on_pbx_started(&mut self, at: Moment, started: Option<String>) {
        let restarted = matches!((&self.started, &started), (Some(before), Some(now)) if before != now);
        if started.is_some() {
            self.started = started;
        }
        if self.observed.as_ref().is_none_or(|observed| observed.until.is_some()) {
            self.observed = Some(Observation { since: at.now, until: None });
            self.observed_since = Some(at.cluster_now);
        }
        match self.ended_gap.take() {
            Some((from, cause)) if self.predecessor_compared => {
                self.publish_gap(at, from, at.cluster_now, cause, restarted);
            }
            _ => self.store_state(at),
        }
        self.outputs.push_back(Output::LinkUp { restarted });
        if restarted {
            self.outputs.push_back(Output::PbxRestarted);
            self.publish_restarted(at);
        }
    }

    /// Every channel is listed: the calls are those of the PBX.
    pub fn on_calls_listed(&mut self, at: Moment) {
        if let Some(data) = self.up_data.take() {
            self.publish(at, EventKind::PbxUp, data, Some((true, at.now)), None, None);
        }
    }

    /// The event session was lost.
    pub fn on_connection_lost(&mut self, at: Moment, reason: &str) {
        self.up = false;
        // A link that breaks before its gap is published makes that gap longer.
        let gap = self.ended_gap.take().unwrap_or_else(|| (at.cluster_now, reason.to_owned()));
        if let Some(observed) = self.observed.as_mut().filter(|observed| observed.until.is_none()) {
            observed.until = Some((at.now, reason.to_owned()));
        }
        self.down_since = Some(gap);
        self.up_data = None;
        self.outputs.push_back(Output::LinkDown);
        if self.published_up != Some(false) {
            let state = self.predecessor_compared.then(|| self.state(at));
            self.publish(
                at,
                EventKind::PbxDown,
                json!({ "reason": reason }),
                Some((false, at.now)),
                None,
                state,
            );
        } else if self.predecessor_compared {
            self.store_state(at);
        }
    }

    /// This daemon has acquired the lead. The owner reads the predecessor's link state and passes it to
    /// [`Self::on_predecessor_read`] with the returned term.
    pub fn on_lead_acquired(&mut self) -> u64 {
        self.predecessor_compared = false;
        self.term += 1;
        self.term
    }

    /// The predecessor's link state was read: publishes the gap, and stores states from now on. Returns whether the
    /// state belongs to this term.
    pub fn on_predecessor_read(&mut self, at: Moment, term: u64, prior: Option<PbxLinkState>) -> bool {
        if term != self.term {
            return false;
        }
        self.predecessor_compared = true;
        let Some(prior) = prior else {
            self.store_state(at);
            return true;
        };
        let own = self.observed.as_ref().map(|observed| observed.in_cluster_time(at));
        let Unobserved { gap, open } = compare(&prior, own.as_ref(), at.cluster_now);
        let restarted = matches!((&prior.started, &self.started), (Some(then), Some(now)) if then != now);
        if self.started.is_none() {
            self.started = prior.started;
        }
        if let Some((from, to, cause)) = gap {
            self.publish_gap(at, from, to, cause, restarted);
            if restarted {
                self.publish_restarted(at);
            }
        }
        if let Some(since) = open {
            if self.up {
                self.ended_gap = Some(since);
            } else {
                self.down_since = Some(since);
            }
        }
        self.store_state(at);
        true
    }

    /// The gap and the new link state are committed with the event: whenever the daemon is killed, the store has either
    /// the gap or still its beginning.
    fn publish_gap(&mut self, at: Moment, from: Timestamp, to: Timestamp, cause: String, restarted: bool) {
        let data = json!({
            "from": wire_time(from), "to": wire_time(to), "cause": cause, "restarted": restarted,
        });
        let gap = Gap { pbx: self.pbx.clone(), from, to, cause, restarted };
        let state = self.state(at);
        self.publish(at, EventKind::PbxGap, data, None, Some(gap), Some(state));
    }

    fn publish_restarted(&mut self, at: Moment) {
        let data = json!({ "started": self.started });
        self.publish(at, EventKind::PbxRestarted, data, None, None, None);
    }

    /// Stores the link state, unless that would overwrite a predecessor's state that was not compared yet.
    fn store_state(&mut self, at: Moment) {
        if self.predecessor_compared {
            let state = self.state(at);
            self.outputs.push_back(Output::Store(Box::new(state)));
        }
    }

    /// The link state to store; schedules the next heartbeat.
    fn state(&mut self, at: Moment) -> PbxLinkState {
        let gap = self.down_since.clone().or_else(|| self.ended_gap.clone());
        let up = gap.is_none() && self.up;
        let (since, cause) = match gap {
            Some((since, cause)) => (since, Some(cause)),
            None => (self.observed_since.unwrap_or(at.cluster_now), None),
        };
        self.heartbeat_due = (up && at.writes_heartbeats)
            .then(|| at.now.checked_add(LEADER_HEARTBEAT_INTERVAL).unwrap_or(at.now));
        let alive = if up { at.cluster_now } else { since };
        PbxLinkState { up, since, alive, cause, started: self.started.clone() }
    }

    fn publish(
        &mut self,
        at: Moment,
        kind: EventKind,
        data: Value,
        link: Option<(bool, Timestamp)>,
        gap: Option<Gap>,
        state: Option<PbxLinkState>,
    ) {
        self.published_up = link.map(|(up, _)| up).or(self.published_up);
        let change = link.map_or(StateDelta::None, |(up, since)| StateDelta::Pbx { up, since });
        let event = NewEvent { kind, at: at.now, call: None, audience: Audience::All, data, change };
        self.outputs.push_back(Output::Publish {
            event: Box::new(event),
            gap: gap.map(Box::new),
            state: state.map(Box::new),
        });
    }
}
