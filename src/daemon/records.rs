//! The clerk: writes finished calls into the store, behind everything that operators wait for.
//!
//! Invariant: handing a record over never waits. Up to [`RECORDS_QUEUED_MAX`] wait for a store that is slow or
//! away; beyond that the newest is dropped, counted and said loudly. A record is tried until it is written: the
//! store keeps one row a call, so trying again is safe.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::store::{FinishedCall, Store};

/// Most records that wait for the store.
pub const RECORDS_QUEUED_MAX: usize = 10_000;
/// Pause before a record is tried again; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where records are handed over. When the last one is dropped, the clerk finishes what waits and ends.
#[derive(Debug, Clone)]
pub(super) struct Clerk {
    records: mpsc::Sender<FinishedCall>,
    dropped: Counter,
}

impl Clerk {
    /// Starts the clerk's task.
    pub(super) fn start(store: Store, tasks: &TaskTracker, dropped: Counter) -> Self {
        let (records, queue) = mpsc::channel(RECORDS_QUEUED_MAX);
        tasks.spawn(write_all(store, queue));
        Self { records, dropped }
    }

    /// Hands a record over.
    pub(super) fn file(&self, record: FinishedCall) {
        if let Err(error) = self.records.try_send(record) {
            let record = error.into_inner();
            self.dropped.inc();
            tracing::error!(call = %record.id, "a finished call was not recorded: the store is behind; check its disk");
        }
    }
}

async fn write_all(store: Store, mut records: mpsc::Receiver<FinishedCall>) {
    while let Some(record) = records.recv().await {
        write(&store, &record).await;
    }
}

async fn write(store: &Store, record: &FinishedCall) {
    let mut pause = RETRY_PAUSE;
    while let Err(error) = store.record_call(record).await {
        if !error.is_passing() {
            let call = record.id;
            tracing::error!(%call, error = &error as &dyn std::error::Error, "a finished call was not recorded");
            return;
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "the store is busy; trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}
