//! The journal writer: writes the batches of the journal queue into the store, each in one transaction.
//!
//! | the store | the writer |
//! |---|---|
//! | accepts the batch | writes the next one, which holds everything that was queued meanwhile |
//! | is busy, full, failing, read-only, gone or cannot be reached | retries the same batch with a growing delay; the queue collects new entries within its limits, and `/readyz` says that the store is not ready |
//! | refuses the batch, and takes other writes | once for each batch, leaves out the entries that the store refuses alone, and logs them; then retries |
//! | belongs to another daemon by now | logs an error and stops for good; `/readyz` says that the store is not ready |
//!
//! With Redis the events themselves are in the shared stream; [`run_records`] writes the records alone, one at a time.
//! There a record that the store refuses is logged and left out.
//!
//! Invariant: nothing waits for this task. Batches are written in order, each once: a batch whose commit failed may be in
//! the store all the same, and each of its rows can be written again without a change.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::bus::Bus;
use crate::contract::event_id::StreamToken;
use crate::ids::PbxId;
use crate::journal::entry::JournalEntry;
use crate::journal::queue::{Batch, JournalQueue};
use crate::store::{Store, StoreError};

/// Delay before each batch, so that the events of a change, which come within milliseconds of each other, cost one transaction
/// and one flush of the disk. A daemon that is killed loses as much (see [`crate::journal::queue`]).
const GATHER_DELAY: Duration = Duration::from_millis(5);
/// The name of this writer in [`crate::store::stalled`].
const WRITER: &str = "journal";

/// Writes until the journal queue is closed and empty.
pub(super) async fn run(journal: Arc<JournalQueue>, store: Store, pbx: PbxId, stream: StreamToken) {
    while let Some(batch) = journal.next_batch(GATHER_DELAY).await {
        match write(&store, &pbx, &stream, batch).await {
            Written::Yes => store.stalled().resume(WRITER),
            Written::Displaced => {
                store.stalled().stall(WRITER);
                tracing::error!(
                    %pbx,
                    "another daemon has taken over this database; this daemon records nothing more. Stop one of the two, \
                     then restart the other"
                );
                return;
            }
            Written::Closed => return,
        }
    }
}

/// Writes the entries without their events, which are in Redis.
/// Each is retried until the store accepts or refuses it; writing a record twice is safe.
pub(super) async fn run_records(journal: Arc<JournalQueue>, bus: Bus, store: Store, pbx: PbxId) {
    while let Some(batch) = journal.next_batch(Duration::ZERO).await {
        for entry in &batch.entries {
            write_with_retry(&store, &pbx, entry).await;
            if let JournalEntry::Finished(call) = entry {
                bus.mark_recorded(call.id);
            }
        }
    }
}

async fn write_with_retry(store: &Store, pbx: &PbxId, entry: &JournalEntry) {
    let mut backoff = Backoff::of_store();
    while let Err(error) = store.write_entry(pbx, entry).await {
        if error.is_closed() || is_refused(store, &error).await {
            note_refused(entry, &error);
            break;
        }
        note_stall(store, WRITER, &error);
        tracing::warn!(
            record = entry.describe(),
            error = &error as &dyn std::error::Error,
            "cannot write a record; retrying"
        );
        tokio::time::sleep(backoff.next_delay()).await;
    }
    store.stalled().resume(WRITER);
}

fn note_refused(entry: &JournalEntry, error: &StoreError) {
    let record = entry.describe();
    tracing::error!(record, error = error as &dyn std::error::Error, "the store refused a record");
}

/// Whether the store refused this record, and not the store itself is in trouble: it takes another write. An error that
/// is known to pass is no refusal.
pub(super) async fn is_refused(store: &Store, error: &StoreError) -> bool {
    !error.is_transient() && store.probe_write().await.is_ok()
}

/// Marks the writer as held up. A store that is only busy is not in trouble: another process writes, for instance a large
/// import.
pub(super) fn note_stall(store: &Store, writer: &'static str, error: &StoreError) {
    if !matches!(error, StoreError::Busy) {
        store.stalled().stall(writer);
    }
}

/// What became of a batch.
enum Written {
    Yes,
    /// The journal belongs to another daemon.
    Displaced,
    /// The store was closed: this process ends.
    Closed,
}

/// Writes one batch, however long that takes.
async fn write(store: &Store, pbx: &PbxId, stream: &StreamToken, mut batch: Batch) -> Written {
    let mut backoff = Backoff::of_store();
    let mut refused_dropped = false;
    loop {
        match store.write_log(pbx, stream, &batch).await {
            Ok(()) => return Written::Yes,
            Err(StoreError::Displaced) => return Written::Displaced,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot write the journal; retrying"
                );
                if error.is_closed() {
                    return Written::Closed;
                }
                note_stall(store, WRITER, &error);
                // Once: a record that the store will never accept must not hold up the others.
                if !refused_dropped && is_refused(store, &error).await {
                    refused_dropped = true;
                    drop_refused_entries(store, pbx, &mut batch).await;
                    continue;
                }
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Removes the entries that the store refuses from `batch`.
async fn drop_refused_entries(store: &Store, pbx: &PbxId, batch: &mut Batch) {
    let mut accepted = Vec::with_capacity(batch.entries.len());
    for entry in std::mem::take(&mut batch.entries) {
        match store.write_entry(pbx, &entry).await {
            Err(error) if is_refused(store, &error).await => note_refused(&entry, &error),
            _ => accepted.push(entry),
        }
    }
    batch.entries = accepted;
}
