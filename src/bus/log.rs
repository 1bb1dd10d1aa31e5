//! The log: what of the stream outlives the daemon, on its way to the store.
//!
//! The bus puts each event here in the instant it is published, together with what must be kept if that event
//! is ([`Keep`]: how its call stands now, or its record once it has ended); a writer beside the loop takes all
//! that has gathered and puts it into the store in one transaction, again and again. So the pop never waits for
//! the disk, one flush serves as many events as came while the one before was under way, and at whatever
//! instant the daemon is killed, the store holds a beginning of the stream, the calls exactly as that beginning
//! told them, and the records of exactly those that it ended.
//!
//! | the disk is | what happens |
//! |---|---|
//! | quick | each event is in the store a few milliseconds later |
//! | slow | events gather, up to [`LOG_EVENTS_QUEUED_MAX`] and [`LOG_BYTES_QUEUED_MAX`] |
//! | too slow for that | what gathered is given up, and with it the older log: a replay must have no hole. Calls and records are kept: of a call only its latest state waits, of records [`RECORDS_QUEUED_MAX`] |
//!
//! Why ids cannot be used twice: each run of the daemon has a stream token of its own. An id that a desktop saw
//! but that the log lost with the last milliseconds before a crash is found in no run, and answered with a
//! snapshot. A desktop whose last id is the last one logged resumes; what was told to nobody but lost is told
//! again as the difference between the calls as the log has them and the PBX's own list
//! ([`crate::call::memory`]).
//!
//! Invariant: adding never waits for anything but a lock that is held for a few moves in memory.
//! Read next: [`crate::store::log`] (what is kept), `daemon/logbook.rs` (the writer).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::event::{Audience, Event, EventKind};
use super::id::EventId;
use super::state::{Departure, PbxStatus};
use crate::call::view::CallView;
use crate::ids::{CallId, RecordId};
use crate::operator::StateView;
use crate::store::hearings;
use crate::store::log::{Keep, LiveCall, ToldMessage};
use crate::store::{FinishedCall, Gap, LinkMemory};

/// Most events that wait for the disk.
pub const LOG_EVENTS_QUEUED_MAX: usize = 50_000;
/// Their bytes.
pub const LOG_BYTES_QUEUED_MAX: usize = 64 * 1024 * 1024;
/// Most records (finished calls, what supervisors heard, gaps) that wait for the disk.
pub const RECORDS_QUEUED_MAX: usize = 10_000;

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedEvent {
    /// Its place in the order over all runs.
    pub position: u64,
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// To which call.
    pub call: Option<CallId>,
    /// Who may know.
    pub audience: Audience,
    /// Whom it took the call out of sight of.
    pub departure: Option<Departure>,
    /// As it went out.
    pub json: String,
}

/// What is left of earlier runs: where the stream goes on.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The last position that was given out, whether or not its event is still there.
    pub head: u64,
    /// The recent events, oldest first, without a hole.
    pub events: Vec<LoggedEvent>,
    /// The calls as the last of them left them.
    pub calls: Vec<CallView>,
    /// The links to PBXes.
    pub pbx: Vec<PbxStatus>,
}

impl Past {
    /// Operators as the last events about each left them. Of whom they say nothing, nobody who resumes knows anything.
    pub(super) fn operators(&self) -> Vec<Arc<StateView>> {
        let mut told: HashMap<RecordId, Arc<StateView>> = HashMap::new();
        for event in &self.events {
            match event.kind {
                EventKind::OperatorState => {
                    if let Ok(Told { data }) = serde_json::from_str::<Told<StateView>>(&event.json) {
                        told.insert(data.id, Arc::new(data));
                    }
                }
                EventKind::OperatorRemoved => {
                    if let Ok(Told { data }) = serde_json::from_str::<Told<Person>>(&event.json) {
                        told.remove(&data.id);
                    }
                }
                _ => {}
            }
        }
        told.into_values().collect()
    }
}

/// An event as it went out, as far as it matters here.
#[derive(Deserialize)]
struct Told<D> {
    data: D,
}

#[derive(Deserialize)]
struct Person {
    id: RecordId,
}

/// What is written in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// Nothing older than [`Self::events`] may stay: something between is missing.
    pub hole: bool,
    /// The place of the first event.
    pub first: u64,
    /// What happened.
    pub events: Vec<Arc<Event>>,
    /// Events before this place are no longer wanted.
    pub oldest: u64,
    /// Calls that changed, as they are now.
    pub live: Vec<LiveCall>,
    /// Calls that ended.
    pub finished: Vec<FinishedCall>,
    /// Messages that the events tell of.
    pub told: Vec<ToldMessage>,
    /// What supervisors heard.
    pub hearings: Vec<hearings::Step>,
    /// Times in which nobody followed the PBX.
    pub gaps: Vec<Gap>,
    /// How the link to the PBX is after it.
    pub link: Option<LinkMemory>,
}

impl Batch {
    fn records(&self) -> usize {
        self.finished.len() + self.hearings.len() + self.gaps.len()
    }
}

/// Counters of the log, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Events that were told and that the store does not have yet.
    pub unwritten_events: usize,
    /// Finished calls, and what supervisors heard, that the store does not have yet.
    pub unwritten_records: usize,
    /// Times that the log was given up for want of a quick disk.
    pub given_up_total: u64,
    /// Those for which there was no room.
    pub records_dropped_total: u64,
}

/// Where the bus puts what must outlive it; the writer takes it from here.
#[derive(Debug, Default)]
pub struct Logbook {
    waiting: Mutex<Waiting>,
    ready: Notify,
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    bytes: usize,
    /// By call: only its latest state is written.
    live: HashMap<CallId, LiveCall>,
    /// What is unwritten is here that of the batch under way; the rest is [`Self::batch`].
    figures: LogFigures,
    closed: bool,
}

impl Logbook {
    /// Adds what was published in one go, and what is to be kept with it. `first` is the place of the first event.
    pub(super) fn add(&self, first: u64, events: &[Arc<Event>], oldest: u64, keeps: Vec<Keep>) {
        let mut waiting = self.lock();
        waiting.take_events(first, events, oldest);
        for keep in keeps {
            waiting.take_keep(keep);
        }
        drop(waiting);
        self.ready.notify_one();
    }

    /// All that has gathered, once there is something; `None` when the log is closed and empty. Who asks for the next
    /// batch has written the one before.
    pub async fn next(&self) -> Option<Batch> {
        self.lock().is_being_written(0, 0);
        loop {
            {
                let mut waiting = self.lock();
                if let Some(batch) = waiting.gathered() {
                    return Some(batch);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
        self.over.cancel();
    }

    /// Waits until nothing more will come.
    pub async fn closed(&self) {
        self.over.cancelled().await;
    }

    /// The counters.
    #[must_use]
    pub fn figures(&self) -> LogFigures {
        let waiting = self.lock();
        LogFigures {
            unwritten_events: waiting.figures.unwritten_events + waiting.batch.events.len(),
            unwritten_records: waiting.figures.unwritten_records + waiting.batch.records(),
            ..waiting.figures
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take_events(&mut self, first: u64, events: &[Arc<Event>], oldest: u64) {
        if events.is_empty() {
            return;
        }
        self.bytes += events.iter().map(|event| event.bytes()).sum::<usize>();
        if self.batch.events.len() + events.len() > LOG_EVENTS_QUEUED_MAX || self.bytes > LOG_BYTES_QUEUED_MAX
        {
            self.batch.events.clear();
            self.batch.hole = true;
            self.bytes = 0;
            self.figures.given_up_total += 1;
            tracing::error!(
                "the store is too slow for the log of events: desktops cannot resume over a restart from before now"
            );
        }
        if self.batch.events.is_empty() {
            self.batch.first = first;
        }
        self.batch.events.extend(events.iter().cloned());
        self.batch.oldest = oldest;
    }

    fn take_keep(&mut self, keep: Keep) {
        match keep {
            Keep::Live(call) => {
                self.live.insert(call.memory.id, *call);
            }
            Keep::Finished(call) => {
                self.live.remove(&call.id);
                if self.batch.records() < RECORDS_QUEUED_MAX {
                    self.batch.finished.push(*call);
                } else {
                    self.figures.records_dropped_total += 1;
                    tracing::error!(call = %call.id, "it was not recorded: the store is behind; check its disk");
                }
            }
            Keep::Link(link) => self.batch.link = Some(*link),
            Keep::Gap(gap) => {
                if self.batch.records() < RECORDS_QUEUED_MAX {
                    self.batch.gaps.push(*gap);
                } else {
                    self.figures.records_dropped_total += 1;
                    tracing::error!(?gap, "it was not recorded: the store is behind; check its disk");
                }
            }
            Keep::Hearing(step) => {
                if self.batch.records() < RECORDS_QUEUED_MAX {
                    self.batch.hearings.push(step);
                } else {
                    self.figures.records_dropped_total += 1;
                    tracing::error!(?step, "it was not recorded: the store is behind; check its disk");
                }
            }
            // As many as there are events.
            Keep::Told(told) => self.batch.told.push(told),
        }
    }

    fn gathered(&mut self) -> Option<Batch> {
        let batch = &self.batch;
        let is_empty = batch.events.is_empty()
            && batch.finished.is_empty()
            && batch.told.is_empty()
            && batch.hearings.is_empty()
            && batch.gaps.is_empty()
            && batch.link.is_none()
            && self.live.is_empty();
        if is_empty {
            return None;
        }
        self.bytes = 0;
        let mut batch = std::mem::take(&mut self.batch);
        batch.live = std::mem::take(&mut self.live).into_values().collect();
        self.is_being_written(batch.events.len(), batch.records());
        Some(batch)
    }

    fn is_being_written(&mut self, events: usize, records: usize) {
        (self.figures.unwritten_events, self.figures.unwritten_records) = (events, records);
    }
}
