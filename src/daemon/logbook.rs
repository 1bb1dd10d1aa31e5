//! The writer of the log: takes what has gathered in the [`Logbook`] and puts it into the store, for ever.
//!
//! | the store | what happens |
//! |---|---|
//! | takes it | the next batch is what came meanwhile |
//! | is busy or away | the same batch again, with a growing pause; what comes meanwhile gathers, within limits |
//! | refuses a record | that record is left out and named in the log, the rest is written |
//! | belongs to another daemon by now | this one writes no more, and says so |
//!
//! Invariant: nothing waits for this task; batches are written in order, each once.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::log::Batch;
use crate::bus::{Bus, Logbook, StreamToken};
use crate::ids::PbxId;
use crate::store::hearings::Step;
use crate::store::{Store, StoreError};

/// How long events gather before they are written, so that a burst costs one flush of the disk.
const GATHER: Duration = Duration::from_millis(5);
/// Pause before a batch is tried again; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Writes until the logbook is closed and empty.
pub(super) async fn keep(logbook: Arc<Logbook>, store: Store, pbx: PbxId, stream: StreamToken) {
    while let Some(batch) = logbook.next().await {
        if !write(&store, &pbx, &stream, batch).await {
            tracing::error!(
                "another daemon has taken over this database; nothing more is recorded by this one"
            );
            return;
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Writes the records of calls, gaps, what supervisors heard and what was told of messages, alone, each until the store
/// takes it: trying again is safe. The gap comes before the link, which would hide it.
pub(super) async fn keep_records(logbook: Arc<Logbook>, bus: Bus, store: Store, pbx: PbxId) {
    let messages = store.messages();
    while let Some(batch) = logbook.next().await {
        for record in &batch.finished {
            until_taken("a finished call", record.id, || store.record_call(record)).await;
            bus.recorded(record.id);
        }
        for gap in &batch.gaps {
            until_taken("a gap of the link to the PBX", gap.from, || store.record_gap(gap)).await;
        }
        if let Some(link) = &batch.link {
            until_taken("the link to the PBX", &pbx, || store.keep_link(&pbx, link)).await;
        }
        for step in &batch.hearings {
            until_taken("what a supervisor heard", hearing_of(step), || store.note_hearing(step)).await;
        }
        for told in batch.told {
            until_taken("that a message was told", told.id, || messages.told(told.id, told.version)).await;
        }
    }
}

fn hearing_of(step: &Step) -> String {
    match step {
        Step::Began(hearing) => hearing.supervision.to_string(),
        Step::Ended { supervision, .. } => supervision.to_string(),
        Step::Only { pbx, .. } => pbx.to_string(),
    }
}

async fn until_taken<F>(what: &str, id: impl std::fmt::Display, write: impl Fn() -> F)
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut pause = RETRY_PAUSE;
    while let Err(error) = write().await {
        if !error.is_passing() {
            tracing::error!(what, %id, error = &error as &dyn std::error::Error, "it was not recorded");
            return;
        }
        tracing::warn!(
            what, %id, error = &error as &dyn std::error::Error, "it cannot be recorded; trying again"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

/// Writes one batch; false when the log belongs to another daemon.
async fn write(store: &Store, pbx: &PbxId, stream: &StreamToken, mut batch: Batch) -> bool {
    let mut pause = RETRY_PAUSE;
    let mut sifted = false;
    loop {
        match store.write_log(pbx, stream, &batch).await {
            Ok(()) => return true,
            Err(StoreError::Displaced) => return false,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the log cannot be written; trying again"
                );
                // Once: a record that the store will never take must not hold up all others.
                if !error.is_passing() && !sifted {
                    sifted = true;
                    sift(store, &mut batch).await;
                    continue;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

/// Leaves out what the store does not take.
async fn sift(store: &Store, batch: &mut Batch) {
    let mut kept = Vec::with_capacity(batch.finished.len());
    for record in std::mem::take(&mut batch.finished) {
        match store.record_call(&record).await {
            Err(error) if !error.is_passing() => {
                tracing::error!(call = %record.id, error = &error as &dyn std::error::Error, "it was not recorded");
            }
            _ => kept.push(record),
        }
    }
    batch.finished = kept;
}
