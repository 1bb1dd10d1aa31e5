//! The event bus: an ordered, resumable stream of events from the one core task to all subscribers.
//!
//! [`Bus::publish`] assigns the event's id, keeps the event for clients that reconnect, applies it to the state that a
//! snapshot shows, and delivers it to the subscribers that may see it; all under one lock. [`Bus::subscribe`] answers
//! with exactly one [`StreamStart`] (the stream resumes after the client's last event, or a snapshot of the present
//! state) and then with every later event that the viewer may see.
//!
//! Invariants:
//! - Publishing never awaits and never waits for a reader. A reader whose queue is full is cut off
//!   ([`SubscriptionEnded`]) and resumes with the id of its last event; no other reader is affected.
//! - A subscriber receives increasing ids, and no event that it may see is missing between two of them.
//! - For any viewer and any cut point, the snapshot at that point plus the events after it give the same state as all
//!   events from the beginning. Therefore a viewer who loses sight of a call receives the event that removed it, even
//!   where the [`Audience`](crate::contract::event::Audience) does not include that viewer ([`VisibilityLoss`](crate::contract::event::VisibilityLoss)): no client keeps a ghost call.
//! - An event is serialised once, regardless of the number of readers.
//!
//! | answer to `subscribe(viewer, after)` | when |
//! |---|---|
//! | [`StreamStart::Resumed`], then live events | `after` is the latest event |
//! | [`StreamStart::Resumed`], then the missed events, then live events | `after` is of this run or a logged earlier run, and every event since is still kept |
//! | [`StreamStart::Snapshot`], then live events | there is no `after`, or it is in no log (lost in a crash), or too old |
//!
//! | backend | assigns ids | recent events after a restart | when Redis is unreachable |
//! |---|---|---|---|
//! | in this process (`event_log.rs`) | a counter | from the log in the store ([`Bus::restored`], [`crate::journal`]) | - |
//! | shared by several daemons ([`redis`]) | the daemon that leads for a PBX, in the shared stream | from Redis | the leader delivers its own PBX's events and queues them; a standby publishes what it sees to its own subscribers |
//!
//! Why an enum of backends: ids, replay and snapshot mean the same with both, so readers do not know which one runs.
//! Both parts of an [`EventId`] are therefore opaque to clients.
//!
//! Read next: [`crate::contract::event`] (what an event is, who may see it, how to add a kind), `state.rs` (the snapshot),
//! `event_log.rs` (order and delivery), [`crate::journal`] (what is stored), `subscription.rs` (the reader's side),
//! [`crate::people::viewer::Viewer`] (visibility), `publish.rs` (how events are built, and in which order they must be
//! published).

mod event_log;
pub mod redis;
mod state;
mod subscription;

#[cfg(test)]
mod tests;

use crate::contract::event::{Event, NewEvent};
use crate::contract::event_id::{EventId, StreamToken};
use crate::journal::queue::{JournalQueue, JournalStats, RestoredLog};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::contract::call::CallView;
use crate::contract::operator::StateView;
use crate::ids::{CallId, PbxId, RecordId};
use crate::journal::entry::{CallCheckpoint, JournalEntry};
use crate::people::viewer::Viewer;

pub use state::{LiveFigures, Snapshot};
pub use subscription::{StreamStart, Subscription, SubscriptionEnded};

/// Settings of a bus.
#[derive(Debug, Clone)]
pub struct BusSettings {
    /// The PBX whose events these are.
    pub pbx: PbxId,
    /// The stream token of this run; every run needs a different one.
    pub stream: StreamToken,
    /// How many recent events are kept for clients that resume.
    pub replay_events_max: usize,
    /// How long a recent event is kept for them.
    pub replay_age_max: Duration,
    /// How many events may wait for one subscriber before it is cut off.
    pub subscriber_events_max: usize,
    /// How many subscriptions may be open at the same time.
    pub subscribers_max: usize,
}

/// Most bytes of recent events that are kept, regardless of their number.
pub const REPLAY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is no subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// `subscribers_max` subscriptions are open.
    #[error("the maximum of {0} event subscribers is reached; close some or raise subscribers_max")]
    Full(usize),
    /// The daemon is shutting down.
    #[error("the event stream is closed: the daemon is shutting down")]
    Closed,
}

/// Counters of a bus, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusStats {
    /// Events published.
    pub published_total: u64,
    /// Subscribers cut off because they read too slowly.
    pub cut_off_total: u64,
    /// Open subscriptions.
    pub subscribers: usize,
    /// Recent events kept for a resume.
    pub kept_events: usize,
    /// Bytes of these events.
    pub kept_bytes: usize,
    /// Live calls.
    pub calls: usize,
}

/// The event bus. Cheap to clone; all clones are the same stream.
#[derive(Debug, Clone)]
pub struct Bus(Backend);

#[derive(Debug, Clone)]
enum Backend {
    Local(Arc<event_log::EventLog>),
    Redis { log: Arc<event_log::EventLog>, hub: Arc<redis::Hub>, requests: redis::ClusterRpc },
}

impl Bus {
    /// An empty stream inside this process.
    #[must_use]
    pub fn new(settings: BusSettings) -> Self {
        Self::restored(settings, RestoredLog::default(), None)
    }

    /// The stream that continues after `restored` and appends what must be stored to `journal`.
    #[must_use]
    pub fn restored(
        settings: BusSettings,
        restored: RestoredLog,
        journal: Option<Arc<JournalQueue>>,
    ) -> Self {
        Self(Backend::Local(Arc::new(event_log::EventLog::new(settings, restored, journal))))
    }

    /// A stream that this daemon shares with others over Redis, which keeps the recent events; records of calls go to
    /// `journal`. Its tasks end with `shutdown`.
    #[must_use]
    pub fn shared(
        settings: BusSettings,
        redis: redis::RedisSettings,
        journal: Option<Arc<JournalQueue>>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let pbx = settings.pbx.clone();
        let log = Arc::new(event_log::EventLog::new(settings, RestoredLog::default(), None));
        let (hub, requests) = redis::start(redis, pbx, Arc::clone(&log), journal, tasks, shutdown);
        Self(Backend::Redis { log, hub, requests })
    }

    /// This process's event log, whichever backend assigns the ids.
    fn log(&self) -> &Arc<event_log::EventLog> {
        match &self.0 {
            Backend::Local(log) | Backend::Redis { log, .. } => log,
        }
    }

    /// The PBX whose events this daemon publishes.
    #[must_use]
    pub fn own_pbx(&self) -> &PbxId {
        &self.log().settings().pbx
    }

    /// Compares the calls published before this daemon took the lead with `live`, all calls of the PBX's complete
    /// channel list. Publishes the end of each published call that is not in the list, and the end of each ringing that
    /// has stopped. Returns the calls that ended, so that they are recorded. Does nothing with the local backend.
    pub fn reconcile_calls(&self, live: impl FnOnce() -> Vec<CallView>, at: Timestamp) -> Vec<Arc<CallView>> {
        match &self.0 {
            Backend::Local(_) => Vec::new(),
            Backend::Redis { hub, .. } => hub.reconcile_calls(&live(), at),
        }
    }

    /// Whether the event is of this daemon's PBX, whichever daemon published it.
    #[must_use]
    pub fn is_own(&self, event: &Event) -> bool {
        match &self.0 {
            Backend::Local(_) => true,
            Backend::Redis { .. } => redis::is_event_of(event.id(), self.own_pbx()),
        }
    }

    /// Whether this daemon is the leader for its PBX: it publishes the events and sends actions to the PBX. Always true
    /// with the local backend.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.cluster_stats().is_none_or(|stats| stats.leads)
    }

    /// Returns when the PBX's channels must be listed again, because this daemon publishes more than before: it took
    /// the lead (from another daemon or after a start), or it is a standby that lost Redis and now publishes what it
    /// sees to its own subscribers. Never returns with the local backend.
    pub async fn leadership_acquired(&self) {
        match &self.0 {
            Backend::Local(_) => std::future::pending().await,
            Backend::Redis { hub, .. } => hub.leadership_acquired().await,
        }
    }

    /// The previous leader's checkpoints of its live calls; `Some` once after [`Self::leadership_acquired`]. From then
    /// on this daemon's own checkpoints are stored, so the caller publishes one for each live call.
    #[must_use]
    pub fn predecessor_checkpoints(&self) -> Option<Vec<CallCheckpoint>> {
        match &self.0 {
            Backend::Local(_) => None,
            Backend::Redis { hub, .. } => hub.take_predecessor_checkpoints(),
        }
    }

    /// Confirms that the record of this call is in the store: its checkpoint is deleted.
    pub fn mark_recorded(&self, call: CallId) {
        if let Backend::Redis { hub, .. } = &self.0 {
            hub.remove_checkpoint(call);
        }
    }

    /// Whether several daemons may share the stream.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Backend::Redis { .. })
    }

    /// The cluster's time when the local clock shows `now`: hosts whose clocks differ compare times by it. The local
    /// time with the local backend, and until Redis has reported its time.
    #[must_use]
    pub fn cluster_clock(&self, now: Timestamp) -> Timestamp {
        match &self.0 {
            Backend::Local(_) => now,
            Backend::Redis { hub, .. } => hub.cluster_clock.now().unwrap_or(now),
        }
    }

    /// The configured teams whose operators another PBX's daemon owns.
    #[must_use]
    pub fn teams_owned_elsewhere(&self) -> redis::ForeignTeams {
        match &self.0 {
            Backend::Local(_) => redis::ForeignTeams::new(),
            Backend::Redis { hub, .. } => hub.foreign_teams(),
        }
    }

    /// Returns when [`Self::teams_owned_elsewhere`] changed, or when another PBX's daemon published an operator that
    /// this daemon owns: the published states must be compared with the actual ones.
    pub async fn ownership_changed(&self) {
        match &self.0 {
            Backend::Local(_) => std::future::pending().await,
            Backend::Redis { hub, .. } => hub.ownership_changed().await,
        }
    }

    /// The published state of an operator.
    #[must_use]
    pub fn operator(&self, user: RecordId) -> Option<Arc<StateView>> {
        self.log().operator(user)
    }

    /// Calls to other daemons of the cluster; `None` with the local backend.
    #[must_use]
    pub fn cluster_rpc(&self) -> Option<&redis::ClusterRpc> {
        match &self.0 {
            Backend::Local(_) => None,
            Backend::Redis { requests, .. } => Some(requests),
        }
    }

    /// Connection to Redis, leadership and queue lengths; `None` with the local backend.
    #[must_use]
    pub fn cluster_stats(&self) -> Option<redis::ClusterStats> {
        match &self.0 {
            Backend::Local(_) => None,
            Backend::Redis { hub, .. } => Some(hub.stats()),
        }
    }

    /// How far the store lags behind; `None` when nothing is stored.
    #[must_use]
    pub fn journal_stats(&self) -> Option<JournalStats> {
        match &self.0 {
            Backend::Local(log) => log.journal_stats(),
            Backend::Redis { hub, .. } => hub.journal_stats(),
        }
    }

    /// Whether a record of this daemon is not in the store yet.
    #[must_use]
    pub fn has_unwritten_records(&self) -> bool {
        self.journal_stats().is_some_and(|log| log.unwritten_records > 0)
    }

    /// Publishes one event. Never waits.
    pub fn publish(&self, event: NewEvent) -> EventId {
        self.publish_all(vec![event], Vec::new()).pop().unwrap_or_else(|| self.head())
    }

    /// Publishes events that belong together, with their journal entries. After a crash the local log has all of it or
    /// nothing. Returns the ids, in order.
    ///
    /// A standby adds nothing to the stream: it buffers the events of calls until it takes the lead, and delivers them
    /// to its own subscribers only while Redis is unreachable. The ids are then the stream's head.
    pub fn publish_all(&self, events: Vec<NewEvent>, entries: Vec<JournalEntry>) -> Vec<EventId> {
        match &self.0 {
            Backend::Local(log) => log.publish(events, entries),
            Backend::Redis { hub, .. } => hub.publish_all(events, entries),
        }
    }

    /// Records an entry that belongs to no event. Never waits.
    pub fn record(&self, entry: JournalEntry) {
        self.publish_all(Vec::new(), vec![entry]);
    }

    /// Evicts recent events that are older than a resume may reach back at `now`.
    pub fn evict_expired(&self, now: Timestamp) {
        self.log().evict_expired(now);
    }

    /// The position of the latest event, counted over all runs.
    #[must_use]
    pub(crate) fn head_position(&self) -> u64 {
        self.log().head_position()
    }

    /// Subscribes `viewer`, resuming after the event `after` where that is still possible.
    pub fn subscribe(&self, viewer: Viewer, after: Option<&EventId>) -> Result<Subscription, SubscribeError> {
        event_log::EventLog::subscribe(self.log(), viewer, after)
    }

    /// The present state, reduced to what `viewer` may see.
    #[must_use]
    pub fn snapshot(&self, viewer: &Viewer) -> Snapshot {
        self.log().snapshot(viewer)
    }

    /// A live call, if it exists and `viewer` may see it.
    #[must_use]
    pub fn call(&self, viewer: &Viewer, call: CallId) -> Option<Arc<CallView>> {
        self.log().call(viewer, call)
    }

    /// A recent event, if it is still kept and `viewer` may see it.
    #[must_use]
    pub fn event(&self, viewer: &Viewer, id: &EventId) -> Option<Arc<Event>> {
        self.log().event(viewer, id)
    }

    /// The id of the latest event (of the beginning of the stream, when there is none).
    #[must_use]
    pub fn head(&self) -> EventId {
        self.log().head()
    }

    /// Ends every subscription after the events in its queue, and refuses further ones.
    pub fn close(&self) {
        self.log().close()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> BusStats {
        self.log().stats()
    }
}
