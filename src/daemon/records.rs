//! The clerk: writes the audit trail and operators' states into the store, behind everything that operators wait for.
//! (Finished calls, gaps and the like go with the events that tell them: `logbook.rs`.)
//!
//! Invariant: handing a record over never waits. Up to [`RECORDS_QUEUED_MAX`] wait for a store that is slow or
//! away; beyond that the newest is dropped, counted and said loudly. A record is tried until it is written: the
//! store keeps one row a change of state, and an entry of the audit trail that was tried before is looked for first, so
//! trying again is safe.

use std::fmt;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::store::operators::{StateChange, WrapUpRecord};
use crate::store::{AuditEntry, Store, StoreError};

/// Most records that wait for the store.
pub const RECORDS_QUEUED_MAX: usize = 10_000;
/// Pause before a record is tried again; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where records are handed over. When the last one is dropped, the clerk finishes what waits and ends.
#[derive(Debug, Clone)]
pub(super) struct Clerk {
    records: mpsc::Sender<Record>,
    dropped: Counter,
}

impl Clerk {
    /// Starts the clerk's task.
    pub(super) fn start(store: Store, tasks: &TaskTracker, dropped: Counter) -> Self {
        let (records, queue) = mpsc::channel(RECORDS_QUEUED_MAX);
        tasks.spawn(write_all(store, queue));
        Self { records, dropped }
    }

    /// Hands an entry of the audit trail over.
    pub(super) fn audit(&self, entry: AuditEntry) {
        self.hand_over(Record::Audit(Box::new(entry)));
    }

    /// Hands a change of an operator's state over.
    pub(super) fn state(&self, change: StateChange) {
        self.hand_over(Record::State(Box::new(change)));
    }

    /// Hands after-call work over.
    pub(super) fn wrap_up(&self, record: WrapUpRecord) {
        self.hand_over(Record::WrapUp(Box::new(record)));
    }

    fn hand_over(&self, record: Record) {
        if let Err(error) = self.records.try_send(record) {
            let record = error.into_inner();
            self.dropped.inc();
            tracing::error!(%record, "it was not recorded: the store is behind; check its disk");
        }
    }
}

/// What is written.
#[derive(Debug)]
enum Record {
    Audit(Box<AuditEntry>),
    State(Box<StateChange>),
    WrapUp(Box<WrapUpRecord>),
}

impl Record {
    /// `again`: it was tried before, and perhaps it is there.
    async fn write_to(&self, store: &Store, again: bool) -> Result<(), StoreError> {
        match self {
            Self::Audit(entry) if again => store.record_audit_again(entry).await,
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
            Self::WrapUp(record) => write!(f, "after-call work of {}", record.finished.work.call),
        }
    }
}

async fn write_all(store: Store, mut records: mpsc::Receiver<Record>) {
    while let Some(record) = records.recv().await {
        write(&store, &record).await;
    }
}

async fn write(store: &Store, record: &Record) {
    let (mut pause, mut again) = (RETRY_PAUSE, false);
    while let Err(error) = record.write_to(store, again).await {
        again = true;
        if !error.is_passing() {
            tracing::error!(%record, error = &error as &dyn std::error::Error, "it was not recorded");
            return;
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "the store is busy; trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}
