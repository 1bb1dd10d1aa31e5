//! The purge: takes records out of the store when their time is over, as `[retention]` says.
//!
//! Invariant: a little at a time ([`crate::store::retention::PURGE_ROWS`]), so that nobody who writes waits long.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::RetentionConfig;
use crate::store::retention::Expired;
use crate::store::{Store, StoreError};

/// How often.
const EVERY: Duration = Duration::from_secs(3600);
/// Pause between two steps of one purge.
const BREATH: Duration = Duration::from_millis(50);

/// Goes on until `shutdown`.
pub(super) async fn keep(store: Store, retention: RetentionConfig, shutdown: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            done = purge(&store, &retention, Timestamp::now()) => if let Err(error) = done {
                tracing::warn!(error = &error as &dyn std::error::Error, "what is due could not be purged; it is tried again");
            }
        }
    }
}

/// Takes out all that is due at `now`; answers how many rows that were.
async fn purge(store: &Store, retention: &RetentionConfig, now: Timestamp) -> Result<u64, StoreError> {
    let kinds = [
        (Expired::Callers, retention.anonymise),
        (Expired::Notes, retention.anonymise),
        (Expired::Calls, retention.history),
        (Expired::Hearings, retention.history),
        (Expired::Messages, retention.messages),
        (Expired::Gaps, retention.gaps),
        (Expired::States, retention.operators),
        (Expired::WrapUps, retention.operators),
    ];
    let mut total = 0;
    for (kind, age) in kinds {
        let Some(before) = age.and_then(|age| now.checked_sub(age).ok()) else { continue };
        loop {
            let rows = store.purge(kind, before).await?;
            total += rows;
            if rows == 0 {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
    }
    if total > 0 {
        tracing::info!(rows = total, "records whose time was over were purged");
    }
    Ok(total)
}
