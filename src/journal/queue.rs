//! The journal queue: events and records on their way from the bus to the store.
//!
//! The bus appends each event when it publishes it, together with the journal entries that must be committed in the
//! same transaction ([`JournalEntry`]: the checkpoint of the event's call, or the record of a call that ended). A writer task
//! takes what gathers in some milliseconds and writes it in one transaction, again and again. So publishing never waits for
//! the disk, one flush serves all events that a change of a call brings, and whenever the daemon is killed, the store
//! holds a prefix of the stream, the checkpoints of exactly the calls that were live at its end, and the records of
//! exactly the calls that ended in it.
//!
//! | the disk is | what happens |
//! |---|---|
//! | fast | each event is in the store some milliseconds later |
//! | slow | events are queued, up to [`LOG_EVENTS_QUEUED_MAX`] and [`LOG_BYTES_QUEUED_MAX`] |
//! | too slow for that | the queued events are discarded, and with them every older event in the store: a replay must not have a gap. Checkpoints and records stay queued ([`is_dropped_when_full`]) |
//!
//! With several daemons, events and checkpoints go to Redis instead ([`crate::bus::redis`]); the other entries go through
//! this queue there, too.
//!
//! # After a crash
//! Each run of the daemon has its own stream token, so an id is never used twice. The log may lack the last
//! milliseconds before the crash:
//! - A client whose last event is in the log resumes after it.
//! - A client whose last event was lost gets a snapshot, because its id belongs to no logged run.
//! - What the lost events reported is published again, as the difference between the restored calls and the PBX's
//!   channel list ([`crate::call::snapshot`]).
//!
//! Invariant: appending waits only for a lock that is held for a few moves in memory.
//! Read next: [`crate::store::log`] (what is stored), `daemon/journal_writer.rs` (the writer).

use crate::contract::event::LoggedEvent;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::contract::call::CallView;
use crate::contract::event::{Event, EventKind, PbxStatus};
use crate::contract::operator::StateView;
use crate::contract::pbx::PbxLinkState;
use crate::ids::{CallId, RecordId};
use crate::journal::entry::{CallCheckpoint, JournalEntry};

/// Most events that wait for the store.
pub const LOG_EVENTS_QUEUED_MAX: usize = 50_000;
/// Most bytes of these events.
pub const LOG_BYTES_QUEUED_MAX: usize = 64 * 1024 * 1024;
/// Most records (what [`is_dropped_when_full`] lists as dropped) that wait for the store.
pub const RECORDS_QUEUED_MAX: usize = 10_000;

/// The end of the log of earlier runs: where the stream continues.
#[derive(Debug, Clone, Default)]
pub struct RestoredLog {
    /// The last assigned position, whether or not its event is still stored.
    pub head: u64,
    /// The recent events, oldest first, with consecutive positions.
    pub events: Vec<LoggedEvent>,
    /// The live calls after the last of these events.
    pub calls: Vec<CallView>,
    /// The PBX links.
    pub pbx: Vec<PbxStatus>,
}

impl RestoredLog {
    /// Each operator's state after the last event about them. An operator without an event is missing here; a client
    /// that resumes knows nothing of that operator either.
    pub(crate) fn operators(&self) -> Vec<Arc<StateView>> {
        let mut states: HashMap<RecordId, Arc<StateView>> = HashMap::new();
        for event in &self.events {
            match event.kind {
                EventKind::OperatorState => {
                    if let Ok(DataOf { data }) = serde_json::from_str::<DataOf<StateView>>(&event.json) {
                        states.insert(data.id, Arc::new(data));
                    }
                }
                EventKind::OperatorRemoved => {
                    if let Ok(DataOf { data }) = serde_json::from_str::<DataOf<RemovedOperator>>(&event.json)
                    {
                        states.remove(&data.id);
                    }
                }
                _ => {}
            }
        }
        states.into_values().collect()
    }
}

/// The `data` of a published event.
#[derive(Deserialize)]
struct DataOf<D> {
    data: D,
}

#[derive(Deserialize)]
struct RemovedOperator {
    id: RecordId,
}

/// Everything that one transaction writes.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events before [`Self::events`] were discarded: the writer deletes every older event.
    pub truncated: bool,
    /// Position of the first event.
    pub first_position: u64,
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// Events before this position are no longer needed for a resume.
    pub oldest_position: u64,
    /// The entries, in the order in which they must be written: the latest checkpoint of each call that changed, then the
    /// others as they came, then the latest state of the PBX link, whose newer heartbeat would hide a gap that is not yet
    /// written.
    pub entries: Vec<JournalEntry>,
}

/// Whether an entry is dropped, and counted, once [`RECORDS_QUEUED_MAX`] records wait. Other entries need no limit of their
/// own: the latest one replaces the one before, or there is one for each event.
///
/// | entry | from a standby (`bus/redis/hub`) | when the queue is full |
/// |---|---|---|
/// | checkpoint of a live call | not written | queued: the latest of each call |
/// | finished call | written: the store merges both daemons' records of a call | dropped |
/// | gap | not written: a standby that lost the link leaves no gap | dropped |
/// | link state | not written | queued: the latest |
/// | supervision segment | not written: it would be there twice | dropped |
/// | audit entry, state of an operator, wrap-up | written: the core hands over only what it must record | dropped |
/// | published message version, fax or voice message | not written: the leader still has to publish it | queued: one for each event |
fn is_dropped_when_full(entry: &JournalEntry) -> bool {
    match entry {
        JournalEntry::Checkpoint(_)
        | JournalEntry::PbxLink(_)
        | JournalEntry::MessagePublished(_)
        | JournalEntry::FaxPublished(_)
        | JournalEntry::VoicePublished(_) => false,
        JournalEntry::Finished(_)
        | JournalEntry::Gap(_)
        | JournalEntry::SegmentChange(_)
        | JournalEntry::Audit(_)
        | JournalEntry::OperatorState(_)
        | JournalEntry::WrapUp(_) => true,
    }
}

/// Counters of the journal queue, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Published events that the store does not have yet.
    pub unwritten_events: usize,
    /// Records that the store does not have yet.
    pub unwritten_records: usize,
    /// Times that queued events were discarded because the disk was too slow.
    pub discarded_total: u64,
    /// Records that were dropped because the queue was full.
    pub records_dropped_total: u64,
    /// Records that were queued.
    pub records_total: u64,
    /// Those of them that the store has: the first ones.
    pub records_written_total: u64,
}

/// The queue between the bus, which appends, and the writer task, which takes batches.
#[derive(Debug, Default)]
pub struct JournalQueue {
    backlog: Mutex<Backlog>,
    ready: Notify,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Its entries lack the checkpoints and the link state until it is taken.
    batch: Batch,
    bytes: usize,
    /// How many of the entries [`is_dropped_when_full`] counts.
    records: usize,
    /// The latest checkpoint of each call.
    checkpoints: HashMap<CallId, Box<CallCheckpoint>>,
    /// The latest state of the PBX link.
    link: Option<Box<PbxLinkState>>,
    /// Its `unwritten_*` count the batch that the writer is writing; [`Self::batch`] is counted when asked.
    stats: JournalStats,
    closed: bool,
}

impl JournalQueue {
    /// Appends events that were published together, and the journal entries to commit with them. `first_position` is
    /// the position of the first event.
    pub(crate) fn add(
        &self,
        first_position: u64,
        events: &[Arc<Event>],
        oldest_position: u64,
        entries: Vec<JournalEntry>,
    ) {
        let mut backlog = self.lock();
        backlog.push_events(first_position, events, oldest_position);
        for entry in entries {
            backlog.push_entry(entry);
        }
        drop(backlog);
        self.ready.notify_one();
    }

    /// Everything that is queued `gather` after the first of it; `None` when the queue is closed and empty. By asking for the
    /// next batch, the writer confirms that the one before is written.
    pub async fn next_batch(&self, gather: Duration) -> Option<Batch> {
        self.lock().set_in_flight(0, 0);
        loop {
            while self.lock().is_empty() {
                if self.lock().closed {
                    return None;
                }
                self.ready.notified().await;
            }
            if !gather.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(gather) => {}
                    () = self.closing.cancelled() => {}
                }
            }
            // What was queued may have been discarded meanwhile, because the queue was full.
            if let Some(batch) = self.lock().take_batch() {
                return Some(batch);
            }
        }
    }

    /// Closes the queue: no further entry follows.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
        self.closing.cancel();
    }

    /// Returns when the queue is closed.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        let backlog = self.lock();
        JournalStats {
            unwritten_events: backlog.stats.unwritten_events + backlog.batch.events.len(),
            unwritten_records: backlog.stats.unwritten_records + backlog.records,
            ..backlog.stats
        }
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock()
    }
}

impl Backlog {
    fn push_events(&mut self, first_position: u64, events: &[Arc<Event>], oldest_position: u64) {
        if events.is_empty() {
            return;
        }
        self.bytes += events.iter().map(|event| event.bytes()).sum::<usize>();
        if self.batch.events.len() + events.len() > LOG_EVENTS_QUEUED_MAX || self.bytes > LOG_BYTES_QUEUED_MAX
        {
            self.batch.events.clear();
            self.batch.truncated = true;
            self.bytes = 0;
            self.stats.discarded_total += 1;
            tracing::error!(
                "discarded the event log: the store is too slow for it; after a restart, clients that saw only older \
                 events get a snapshot"
            );
        }
        if self.batch.events.is_empty() {
            self.batch.first_position = first_position;
        }
        self.batch.events.extend(events.iter().cloned());
        self.batch.oldest_position = oldest_position;
    }

    fn push_entry(&mut self, entry: JournalEntry) {
        if let JournalEntry::Finished(call) = &entry {
            self.checkpoints.remove(&call.id);
        }
        if is_dropped_when_full(&entry) {
            if self.records >= RECORDS_QUEUED_MAX {
                self.stats.records_dropped_total += 1;
                tracing::error!(
                    record = entry.describe(),
                    "dropped a record: the store is behind; check its disk"
                );
                return;
            }
            self.records += 1;
            self.stats.records_total += 1;
        }
        match entry {
            JournalEntry::Checkpoint(call) => {
                self.checkpoints.insert(call.snapshot.id, call);
            }
            JournalEntry::PbxLink(link) => self.link = Some(link),
            other => self.batch.entries.push(other),
        }
    }

    fn is_empty(&self) -> bool {
        let Self { batch, checkpoints, link, .. } = self;
        batch.events.is_empty() && batch.entries.is_empty() && checkpoints.is_empty() && link.is_none()
    }

    fn take_batch(&mut self) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let checkpoints = std::mem::take(&mut self.checkpoints).into_values().map(JournalEntry::Checkpoint);
        batch.entries.splice(0..0, checkpoints);
        batch.entries.extend(self.link.take().map(JournalEntry::PbxLink));
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        self.set_in_flight(batch.events.len(), records);
        Some(batch)
    }

    /// What was in flight before is written.
    fn set_in_flight(&mut self, events: usize, records: usize) {
        self.stats.records_written_total += self.stats.unwritten_records as u64;
        (self.stats.unwritten_events, self.stats.unwritten_records) = (events, records);
    }
}
