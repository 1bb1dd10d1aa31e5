//! The purge: every hour deletes or anonymises the records that are older than `[retention]` allows.
//!
//! A purge that fails ends there; the next one, an hour later, starts over.
//!
//! Invariant: each statement purges as many rows as take about [`crate::store::retention::PURGE_STEP_TARGET`], so other
//! writers wait briefly.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::RetentionConfig;
use crate::store::retention::{DRAFT_TTL, PurgePace, PurgeTarget};
use crate::store::{Store, StoreError};

/// Interval between two purges.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
/// How often a long purge says how far it has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// Delay between two statements of one purge.
const BATCH_DELAY: Duration = Duration::from_millis(50);

/// Purges until `shutdown`.
pub(super) async fn run(store: Store, retention: RetentionConfig, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(PURGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            done = purge(&store, &retention, Timestamp::now()) => if let Err(error) = done {
                tracing::warn!(error = &error as &dyn std::error::Error, "the purge failed; the next one starts in an hour");
            }
        }
    }
}

/// Purges all records that are due at `now`; returns the number of rows.
async fn purge(store: &Store, retention: &RetentionConfig, now: Timestamp) -> Result<u64, StoreError> {
    let kinds = [
        (PurgeTarget::Callers, retention.anonymise),
        (PurgeTarget::Notes, retention.anonymise),
        (PurgeTarget::Calls, retention.history),
        (PurgeTarget::SupervisionLog, retention.history),
        (PurgeTarget::Messages, retention.messages),
        (PurgeTarget::Drafts, Some(DRAFT_TTL)),
        (PurgeTarget::Deliveries, retention.deliveries),
        (PurgeTarget::DeliveryLog, retention.deliveries),
        (PurgeTarget::Dispatches, retention.deliveries),
        (PurgeTarget::Tasks, retention.deliveries),
        (PurgeTarget::Links, Some(Duration::ZERO)),
        (PurgeTarget::Bounces, retention.deliveries),
        (PurgeTarget::ServiceMails, retention.deliveries),
        (PurgeTarget::Gaps, retention.gaps),
        (PurgeTarget::States, retention.operators),
        (PurgeTarget::WrapUps, retention.operators),
    ];
    let (mut total, mut pace) = (0, PurgePace::default());
    let mut reported = Instant::now();
    for (kind, age) in kinds {
        let Some(before) = age.and_then(|age| now.checked_sub(age).ok()) else { continue };
        loop {
            let began = Instant::now();
            let rows = store.purge(kind, before, pace.rows()).await?;
            pace.record(began.elapsed());
            total += rows;
            if rows == 0 {
                break;
            }
            if reported.elapsed() >= REPORT_INTERVAL {
                reported = Instant::now();
                tracing::info!(?kind, rows = total, "purging expired records");
            }
            tokio::time::sleep(BATCH_DELAY).await;
        }
    }
    if total > 0 {
        tracing::info!(rows = total, "purged expired records");
    }
    Ok(total)
}
