//! The journal writer: writes the batches of the journal queue into the store, each in one transaction.
//!
//! | the store | the writer |
//! |---|---|
//! | accepts the batch | writes the next one, which holds everything that was queued meanwhile |
//! | is busy or cannot be reached | retries the same batch with a growing delay; the queue collects new entries within its limits |
//! | refuses the batch | once for each batch, leaves out the finished calls that the store refuses alone, and logs them; then retries |
//! | belongs to another daemon by now | logs an error and stops for good |
//!
//! With Redis the events themselves are in the shared stream; [`run_records`] writes the records alone, one at a time.
//! There a record that the store refuses is logged and left out.
//!
//! Invariant: nothing waits for this task. Batches are written in order, each once.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::Bus;
use crate::contract::event_id::StreamToken;
use crate::ids::PbxId;
use crate::journal::entry::SegmentChange;
use crate::journal::queue::{Batch, JournalQueue};
use crate::store::{Store, StoreError};

/// Delay after each batch, so that a burst of events costs one flush of the disk.
const GATHER_DELAY: Duration = Duration::from_millis(5);
/// Delay before the first retry; doubles up to [`LONGEST_RETRY_DELAY`].
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Longest delay between two attempts.
const LONGEST_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Writes until the journal queue is closed and empty.
pub(super) async fn run(journal: Arc<JournalQueue>, store: Store, pbx: PbxId, stream: StreamToken) {
    while let Some(batch) = journal.next_batch().await {
        if !write(&store, &pbx, &stream, batch).await {
            tracing::error!(
                %pbx, "another daemon has taken over this database; this daemon records nothing more"
            );
            return;
        }
        tokio::time::sleep(GATHER_DELAY).await;
    }
}

/// Writes records without events: finished calls, gaps, the link state, supervision segments and message publications.
/// Each is retried until the store accepts or refuses it; writing a record twice is safe. Gaps are written before the
/// link state, whose newer heartbeat would hide them.
pub(super) async fn run_records(journal: Arc<JournalQueue>, bus: Bus, store: Store, pbx: PbxId) {
    while let Some(batch) = journal.next_batch().await {
        for record in &batch.finished {
            write_with_retry("finished call", record.id, || store.record_call(record)).await;
            bus.mark_recorded(record.id);
        }
        for gap in &batch.gaps {
            write_with_retry("gap of the PBX link", gap.from, || store.record_gap(gap)).await;
        }
        if let Some(link) = &batch.link {
            write_with_retry("state of the PBX link", &pbx, || store.save_pbx_link(&pbx, link)).await;
        }
        for change in &batch.segment_changes {
            write_with_retry("supervision segment", segment_id(change), || {
                store.record_segment_change(change)
            })
            .await;
        }
        for publication in batch.publications {
            let mark = || store.record_publication(publication);
            write_with_retry("publication of a message", publication.id, mark).await;
        }
    }
}

fn segment_id(change: &SegmentChange) -> String {
    match change {
        SegmentChange::Started(segment) => segment.supervision.to_string(),
        SegmentChange::Stopped { supervision, .. } => supervision.to_string(),
        SegmentChange::Reconcile { pbx, .. } => pbx.to_string(),
    }
}

async fn write_with_retry<F>(record: &str, id: impl std::fmt::Display, write: impl Fn() -> F)
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut delay = FIRST_RETRY_DELAY;
    while let Err(error) = write().await {
        if !error.is_transient() {
            tracing::error!(record, %id, error = &error as &dyn std::error::Error, "the store refused a record");
            return;
        }
        tracing::warn!(
            record, %id, error = &error as &dyn std::error::Error, "cannot write a record; retrying"
        );
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_RETRY_DELAY);
    }
}

/// Writes one batch; false when the journal belongs to another daemon.
async fn write(store: &Store, pbx: &PbxId, stream: &StreamToken, mut batch: Batch) -> bool {
    let mut delay = FIRST_RETRY_DELAY;
    let mut refused_dropped = false;
    loop {
        match store.write_log(pbx, stream, &batch).await {
            Ok(()) => return true,
            Err(StoreError::Displaced) => return false,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot write the journal; retrying"
                );
                // Once: a record that the store will never accept must not hold up the others.
                if !error.is_transient() && !refused_dropped {
                    refused_dropped = true;
                    drop_refused_records(store, &mut batch).await;
                    continue;
                }
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_RETRY_DELAY);
    }
}

/// Removes the finished calls that the store refuses from `batch`.
async fn drop_refused_records(store: &Store, batch: &mut Batch) {
    let mut accepted = Vec::with_capacity(batch.finished.len());
    for record in std::mem::take(&mut batch.finished) {
        match store.record_call(&record).await {
            Err(error) if !error.is_transient() => {
                tracing::error!(call = %record.id, error = &error as &dyn std::error::Error, "the store refused a finished call");
            }
            _ => accepted.push(record),
        }
    }
    batch.finished = accepted;
}
