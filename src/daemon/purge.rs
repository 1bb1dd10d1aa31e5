//! The purge: every hour deletes or anonymises the records that are older than `[retention]` allows.
//!
//! A purge that fails ends there; the next one, an hour later, starts over.
//!
//! Invariant: each statement purges as many rows as take about [`crate::store::retention::PURGE_STEP_TARGET`], so other
//! writers wait briefly.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::RetentionConfig;
use crate::store::retention::{CALLBACK_TTL, DRAFT_TTL, NOTICE_TTL, PurgePace, PurgeTarget};
use crate::store::{Store, StoreError};

/// Interval between two purges.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
/// How often a long purge says how far it has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// Delay between two statements of one purge.
const BATCH_DELAY: Duration = Duration::from_millis(50);

/// Purges until `shutdown`.
pub(super) async fn run(
    store: Store,
    retention: RetentionConfig,
    rows_purged: Counter,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PURGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            done = purge(&store, &retention, &rows_purged, Timestamp::now()) => if let Err(error) = done {
                tracing::warn!(error = &error as &dyn std::error::Error, "the purge failed; the next one starts in an hour");
            }
        }
        store.purge_progress().finish();
    }
}

/// What is deleted or cleared, in this order, and at which age; absent: never.
pub(super) fn plan(retention: &RetentionConfig) -> Vec<(PurgeTarget, Option<Duration>)> {
    vec![
        (PurgeTarget::Callers, retention.anonymise),
        (PurgeTarget::Notes, retention.anonymise),
        (PurgeTarget::Calls, retention.history),
        (PurgeTarget::SupervisionLog, retention.history),
        (PurgeTarget::Messages, retention.messages),
        (PurgeTarget::FaxSenders, retention.anonymise),
        (PurgeTarget::Faxes, retention.faxes),
        (PurgeTarget::Drafts, Some(DRAFT_TTL)),
        (PurgeTarget::Attachments, retention.attachments),
        (PurgeTarget::AttachmentLists, retention.attachments),
        (PurgeTarget::PendingFiles, Some(DRAFT_TTL)),
        (PurgeTarget::Notices, Some(NOTICE_TTL)),
        (PurgeTarget::Callbacks, Some(CALLBACK_TTL)),
        (PurgeTarget::Deliveries, retention.deliveries),
        (PurgeTarget::DeliveryLog, retention.deliveries),
        (PurgeTarget::Dispatches, retention.deliveries),
        (PurgeTarget::Tasks, retention.deliveries),
        (PurgeTarget::AnswerOrigins, retention.deliveries),
        (PurgeTarget::Links, Some(Duration::ZERO)),
        (PurgeTarget::Bounces, retention.deliveries),
        (PurgeTarget::ServiceMails, retention.deliveries),
        (PurgeTarget::Gaps, retention.gaps),
        (PurgeTarget::States, retention.operators),
        (PurgeTarget::WrapUps, retention.operators),
    ]
}

/// Purges all records that are due at `now`; returns the number of rows.
async fn purge(
    store: &Store,
    retention: &RetentionConfig,
    rows_purged: &Counter,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (mut total, mut pace) = (0, PurgePace::default());
    let mut reported = Instant::now();
    for (kind, age) in plan(retention) {
        let Some(before) = age.and_then(|age| now.checked_sub(age).ok()) else { continue };
        loop {
            let began = Instant::now();
            let rows = store.purge(kind, before, pace.rows()).await?;
            pace.record(began.elapsed());
            if rows == 0 {
                break;
            }
            total += rows;
            rows_purged.inc_by(rows);
            store.purge_progress().add(rows, Timestamp::now());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::contract::pbx::Gap;
    use crate::ids::PbxId;
    use crate::journal::entry::JournalEntry;

    #[tokio::test]
    async fn a_purge_counts_what_it_removes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let now: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
        let pbx = PbxId::parse("main").unwrap();
        for days in [2, 500, 600] {
            let from = now - Duration::from_secs(days * 86_400);
            let to = from + Duration::from_secs(1);
            let gap = Gap { pbx: pbx.clone(), from, to, cause: "refused".into(), restarted: false };
            store.write_entry(&pbx, &JournalEntry::Gap(Box::new(gap))).await.unwrap();
        }
        let gaps_days = [("TORITSUGI__RETENTION__GAPS_DAYS".to_owned(), "400".to_owned())];
        let retention = Config::from_layers(None, gaps_days).unwrap().retention;
        let rows_purged = Counter::default();
        assert_eq!(store.purge_progress().status(), None);
        assert_eq!(purge(&store, &retention, &rows_purged, now).await.unwrap(), 2);
        assert_eq!((rows_purged.get(), store.purge_progress().status().unwrap().rows), (2, 2));
        store.purge_progress().finish();
        // What is done is not found again.
        assert_eq!(purge(&store, &retention, &rows_purged, now).await.unwrap(), 0);
        assert_eq!((rows_purged.get(), store.purge_progress().status()), (2, None));
        assert_eq!(store.gaps(None, None, 10).await.unwrap().len(), 1);
    }
}
