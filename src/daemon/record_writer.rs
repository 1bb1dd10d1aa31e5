//! The record writer: writes audit entries, operators' states and wrap-ups into the store in a task of its own.
//! (Finished calls, gaps and supervision segments are written with the events that publish them: `journal_writer.rs`.)
//!
//! | the store | the writer |
//! |---|---|
//! | accepts the record | writes the next one |
//! | is busy, full, failing, read-only, gone or cannot be reached | retries the same record with a growing delay; up to [`RECORDS_QUEUED_MAX`] others wait |
//! | has [`RECORDS_QUEUED_MAX`] records waiting for it | each further record is dropped, counted and logged as an error |
//! | refuses the record | logs an error and leaves it out |
//!
//! Invariants: enqueueing never waits. A retry writes nothing twice: the store has one row for each change of state, and
//! a retried audit entry is looked for before it is written.

use std::fmt;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::journal_writer::{is_refused, note_stall};
use crate::backoff::Backoff;
use crate::store::operators::{StateChange, WrapUpRecord};
use crate::store::{AuditEntry, Store, StoreError};

/// Maximum number of records that wait for the store.
pub const RECORDS_QUEUED_MAX: usize = 10_000;
/// The name of this writer in [`crate::store::stalled`].
const WRITER: &str = "records";

/// The sending side of the queue. When the last clone is dropped, the task writes the queued records and ends.
#[derive(Debug, Clone)]
pub(super) struct RecordWriter {
    records: mpsc::Sender<Record>,
    dropped: Counter,
}

impl RecordWriter {
    /// Starts the writer's task.
    pub(super) fn start(store: Store, tasks: &TaskTracker, dropped: Counter) -> Self {
        let (records, queue) = mpsc::channel(RECORDS_QUEUED_MAX);
        tasks.spawn(write_all(store, queue));
        Self { records, dropped }
    }

    /// Enqueues an entry of the audit trail.
    pub(super) fn enqueue_audit(&self, entry: AuditEntry) {
        self.enqueue(Record::Audit(Box::new(entry)));
    }

    /// Enqueues a change of an operator's state.
    pub(super) fn enqueue_state(&self, change: StateChange) {
        self.enqueue(Record::State(Box::new(change)));
    }

    /// Enqueues a completed wrap-up.
    pub(super) fn enqueue_wrap_up(&self, record: WrapUpRecord) {
        self.enqueue(Record::WrapUp(Box::new(record)));
    }

    fn enqueue(&self, record: Record) {
        if let Err(error) = self.records.try_send(record) {
            let record = error.into_inner();
            self.dropped.inc();
            tracing::error!(%record, "dropped a record: the store is behind; check its disk");
        }
    }
}

/// A record to write.
#[derive(Debug)]
enum Record {
    Audit(Box<AuditEntry>),
    State(Box<StateChange>),
    WrapUp(Box<WrapUpRecord>),
}

impl Record {
    /// `retried`: an earlier attempt may have written it.
    async fn write_to(&self, store: &Store, retried: bool) -> Result<(), StoreError> {
        match self {
            Self::Audit(entry) if retried => store.record_audit_if_absent(entry).await,
            Self::Audit(entry) => store.record_audit(entry).await,
            Self::State(change) => store.record_state(change).await,
            Self::WrapUp(record) => store.record_wrap_up(record).await,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit(entry) => write!(f, "audit entry {} of {}", entry.action, entry.at),
            Self::State(change) => write!(f, "state {} of {}", change.view.state.as_str(), change.view.id),
            Self::WrapUp(record) => write!(f, "wrap-up of call {}", record.finished.work.call),
        }
    }
}

async fn write_all(store: Store, mut records: mpsc::Receiver<Record>) {
    while let Some(record) = records.recv().await {
        write(&store, &record).await;
    }
}

async fn write(store: &Store, record: &Record) {
    let (mut backoff, mut retried) = (Backoff::of_store(), false);
    while let Err(error) = record.write_to(store, retried).await {
        retried = true;
        if error.is_closed() || is_refused(store, &error).await {
            tracing::error!(%record, error = &error as &dyn std::error::Error, "the store refused a record");
            break;
        }
        note_stall(store, WRITER, &error);
        tracing::warn!(%record, error = &error as &dyn std::error::Error, "cannot write a record; retrying");
        tokio::time::sleep(backoff.next_delay()).await;
    }
    store.stalled().resume(WRITER);
}
