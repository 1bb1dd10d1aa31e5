//! The ordered, resumable stream of events: from the one task that knows to everybody who may know.
//!
//! [`Bus::publish`] gives an event its place in the order, keeps it for those who come back, brings the state
//! that a snapshot shows up to it in the same instant, and hands it to the subscribers it concerns.
//! [`Bus::subscribe`] answers with exactly one [`First`] (the stream goes on where the subscriber was, or here
//! is the present state) and then with every later event the viewer may see.
//!
//! Invariants:
//! - Publishing never awaits and never waits for a reader: a reader whose queue is full is cut off ([`Ended`])
//!   and resumes by its last id; nobody else notices.
//! - A subscriber sees ids that only grow, and no event it may see is missing between two of them.
//! - For any viewer and any cut point, the snapshot at that point and the events after it amount to the same
//!   state as all events from the beginning. Therefore whoever loses sight of a call hears the event that
//!   took it away, even where its [`Audience`] does not name them: nobody is left with a ghost.
//! - An event is serialised once, however many read it.
//!
//! | answer to `subscribe(viewer, after)` | when |
//! |---|---|
//! | [`First::Resumed`], then live | `after` is the latest event there is |
//! | [`First::Resumed`], then what was missed, then live | `after` is of this run or of an earlier one, and everything since is still kept |
//! | [`First::Snapshot`], then live | no `after`, one that no log has (it was lost in a crash), or too long ago |
//!
//! The recent past outlives the daemon: a bus made with [`Bus::continued`] goes on where the log of the store
//! ends, and puts what it publishes there (`log.rs`).
//!
//! Why an enum of backends: ids, replay and snapshot mean the same whoever orders the events; in one process a
//! counter does (`memory.rs`), over several daemons a stream in Redis ([`redis`]), with ids derived from positions
//! that outlive every process. Both parts of an [`EventId`] are therefore opaque to those who read them.
//!
//! Read next: [`event`] (what an event is and who may know), `state.rs` (the snapshot), `memory.rs` (the
//! order), [`log`] (what outlives the daemon), `subscription.rs` (the reader's side), [`crate::operator::Viewer`] (who is looking).

pub mod event;
mod id;
pub mod log;
mod memory;
pub mod redis;
mod state;
mod subscription;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::view::CallView;
use crate::ids::{CallId, PbxId, RecordId};
use crate::operator::{StateView, Viewer};
use crate::store::log::{Keep, LiveCall};

pub use event::{Audience, Change, Draft, Event, EventKind};
pub use id::{EventId, EventIdError, StreamToken};
pub use log::{LogFigures, Logbook, Past};
pub use state::{Departure, PbxStatus, Snapshot};
pub use subscription::{Ended, First, Subscription};

/// How a bus is set up.
#[derive(Debug, Clone)]
pub struct BusSettings {
    /// The PBX whose events these are.
    pub pbx: PbxId,
    /// What this run of the stream is called; another run must have another token.
    pub stream: StreamToken,
    /// How many past events are kept for those who come back.
    pub replay_events_max: usize,
    /// How long a past event is kept for them.
    pub replay_age_max: Duration,
    /// How many events may wait for one subscriber before it is cut off.
    pub subscriber_events_max: usize,
    /// How many may subscribe at the same time.
    pub subscribers_max: usize,
}

/// Past events are kept up to this many bytes, whatever their number.
pub const REPLAY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is no subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// Everybody who may subscribe at the same time has.
    #[error("{0} subscribers follow the events already; raise subscribers_max or close some")]
    Full(usize),
    /// The daemon is going down.
    #[error("the stream of events is closed")]
    Closed,
}

/// Counters of a bus, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusFigures {
    /// Events published.
    pub published_total: u64,
    /// Subscribers cut off because they read too slowly.
    pub cut_off_total: u64,
    /// Who follows the events now.
    pub subscribers: usize,
    /// Past events kept.
    pub kept_events: usize,
    /// Their bytes.
    pub kept_bytes: usize,
    /// Calls in the snapshot.
    pub calls: usize,
}

/// The stream. Cheap to clone; all clones are the same stream.
#[derive(Debug, Clone)]
pub struct Bus(Backend);

#[derive(Debug, Clone)]
enum Backend {
    Memory(Arc<memory::Log>),
    Redis { log: Arc<memory::Log>, hub: Arc<redis::Hub>, requests: redis::Requests },
}

impl Bus {
    /// An empty stream inside this process.
    #[must_use]
    pub fn new(settings: BusSettings) -> Self {
        Self::continued(settings, Past::default(), None)
    }

    /// The stream that goes on where `past` ends, and puts what must outlive it into `logbook`.
    #[must_use]
    pub fn continued(settings: BusSettings, past: Past, logbook: Option<Arc<Logbook>>) -> Self {
        Self(Backend::Memory(Arc::new(memory::Log::new(settings, past, logbook))))
    }

    /// A stream that this daemon shares with others over Redis, which keeps its past; records of calls go into
    /// `logbook`. Its tasks end with `shutdown`.
    #[must_use]
    pub fn shared(
        settings: BusSettings,
        redis: redis::RedisSettings,
        logbook: Option<Arc<Logbook>>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let pbx = settings.pbx.clone();
        let log = Arc::new(memory::Log::new(settings, Past::default(), None));
        let (hub, requests) = redis::start(redis, pbx, Arc::clone(&log), logbook, tasks, shutdown);
        Self(Backend::Redis { log, hub, requests })
    }

    /// What is kept and shown here, whoever orders it.
    fn log(&self) -> &Arc<memory::Log> {
        match &self.0 {
            Backend::Memory(log) | Backend::Redis { log, .. } => log,
        }
    }

    /// The PBX whose events are published here.
    #[must_use]
    pub fn own_pbx(&self) -> &PbxId {
        &self.log().settings().pbx
    }

    /// The PBX has listed its channels: `live` are all its calls. Whatever was told before this daemon began and is
    /// no longer so is told now; the calls that are over come back, to be recorded.
    pub fn settled(&self, live: impl FnOnce() -> Vec<CallView>, at: Timestamp) -> Vec<Arc<CallView>> {
        match &self.0 {
            Backend::Memory(_) => Vec::new(),
            Backend::Redis { hub, .. } => hub.settled(&live(), at),
        }
    }

    /// Whether this is an event of our own PBX, whichever daemon told it.
    #[must_use]
    pub fn is_own(&self, event: &Event) -> bool {
        match &self.0 {
            Backend::Memory(_) => true,
            Backend::Redis { .. } => redis::is_of(event.id(), self.own_pbx()),
        }
    }

    /// Whether this daemon tells of its PBX and gives it orders.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.common().is_none_or(|common| common.leads)
    }

    /// Returns when this daemon has taken the lead for its PBX from another one, or after a start; or when it stands by,
    /// hears of no other any more and shows what it sees itself. Either way the PBX is to be asked what there is.
    pub async fn taken_over(&self) {
        match &self.0 {
            Backend::Memory(_) => std::future::pending().await,
            Backend::Redis { hub, .. } => hub.taken_over().await,
        }
    }

    /// Calls as whoever led before left them: once after [`Self::taken_over`]. How calls stand here is to be published
    /// behind it, and is kept for the next daemon from then on.
    #[must_use]
    pub fn left(&self) -> Option<Vec<LiveCall>> {
        match &self.0 {
            Backend::Memory(_) => None,
            Backend::Redis { hub, .. } => hub.left(),
        }
    }

    /// The record of this call is in the store.
    pub fn recorded(&self, call: CallId) {
        if let Backend::Redis { hub, .. } = &self.0 {
            hub.recorded(call);
        }
    }

    /// Whether other daemons may follow the same PBX.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Backend::Redis { .. })
    }

    /// What time it is for all daemons, where it is `now` here.
    #[must_use]
    pub fn common_time(&self, now: Timestamp) -> Timestamp {
        match &self.0 {
            Backend::Memory(_) => now,
            Backend::Redis { hub, .. } => hub.common_time.now().unwrap_or(now),
        }
    }

    /// The teams wanted here whose people the daemon of another PBX keeps.
    #[must_use]
    pub fn kept_elsewhere(&self) -> redis::Elsewhere {
        match &self.0 {
            Backend::Memory(_) => redis::Elsewhere::new(),
            Backend::Redis { hub, .. } => hub.elsewhere(),
        }
    }

    /// Returns when [`Self::kept_elsewhere`] has changed, or when the states kept here are to be compared with what
    /// was told of them.
    pub async fn keepers_changed(&self) {
        match &self.0 {
            Backend::Memory(_) => std::future::pending().await,
            Backend::Redis { hub, .. } => hub.keepers_changed().await,
        }
    }

    /// How an operator was told of last.
    #[must_use]
    pub fn operator(&self, user: RecordId) -> Option<Arc<StateView>> {
        self.log().operator(user)
    }

    /// Where other daemons are asked; `None` when there are none.
    #[must_use]
    pub fn requests(&self) -> Option<&redis::Requests> {
        match &self.0 {
            Backend::Memory(_) => None,
            Backend::Redis { requests, .. } => Some(requests),
        }
    }

    /// How it stands with the other daemons; `None` when there are none.
    #[must_use]
    pub fn common(&self) -> Option<redis::CommonFigures> {
        match &self.0 {
            Backend::Memory(_) => None,
            Backend::Redis { hub, .. } => Some(hub.figures()),
        }
    }

    /// How far the store is behind; `None` when nothing is written down.
    #[must_use]
    pub fn written(&self) -> Option<LogFigures> {
        match &self.0 {
            Backend::Memory(log) => log.written(),
            Backend::Redis { hub, .. } => hub.written(),
        }
    }

    /// Gives `draft` its place in the order and hands it to those it concerns. Never waits.
    pub fn publish(&self, draft: Draft) -> EventId {
        self.publish_all(vec![draft], Vec::new()).pop().unwrap_or_else(|| self.head())
    }

    /// As [`Self::publish`], for what belongs together: over a crash the log has all of it or nothing, `keeps`
    /// included. Answers the ids, in order.
    pub fn publish_all(&self, drafts: Vec<Draft>, keeps: Vec<Keep>) -> Vec<EventId> {
        match &self.0 {
            Backend::Memory(log) => log.publish(drafts, keeps),
            Backend::Redis { hub, .. } => hub.publish_all(drafts, keeps),
        }
    }

    /// Lets go of what is older than a resume may reach back at `now`.
    pub fn forget(&self, now: Timestamp) {
        self.log().forget(now);
    }

    /// The place of the latest event in the order over all runs.
    #[must_use]
    pub(crate) fn head_position(&self) -> u64 {
        self.log().head_position()
    }

    /// Follows the events as `viewer`, from after the event `after` if that is still possible.
    pub fn subscribe(&self, viewer: Viewer, after: Option<&EventId>) -> Result<Subscription, SubscribeError> {
        memory::Log::subscribe(self.log(), viewer, after)
    }

    /// The present state as `viewer` may see it.
    #[must_use]
    pub fn snapshot(&self, viewer: &Viewer) -> Snapshot {
        self.log().snapshot(viewer)
    }

    /// One live call, if there is such a call and `viewer` may see it.
    #[must_use]
    pub fn call(&self, viewer: &Viewer, call: CallId) -> Option<Arc<CallView>> {
        self.log().call(viewer, call)
    }

    /// A past event, if it is still kept and `viewer` may see it.
    #[must_use]
    pub fn event(&self, viewer: &Viewer, id: &EventId) -> Option<Arc<Event>> {
        self.log().event(viewer, id)
    }

    /// The id of the latest event (of the beginning of the stream, when there is none).
    #[must_use]
    pub fn head(&self) -> EventId {
        self.log().head()
    }

    /// Ends every subscription, after what waits for it, and admits no further one.
    pub fn close(&self) {
        self.log().close()
    }

    /// The counters.
    #[must_use]
    pub fn figures(&self) -> BusFigures {
        self.log().figures()
    }
}
