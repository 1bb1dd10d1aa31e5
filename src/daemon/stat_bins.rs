//! Builds the counters of the quarters of an hour in which something changed ([`crate::store::stats`]).
//!
//! Invariant: figures are at most [`BUILD_INTERVAL`] behind the history, but for the time that a backlog takes: after an
//! upgrade, every bin of the history is built, the newest first. One bin is one short transaction.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::RetentionConfig;
use crate::store::Store;

/// How often marks are looked for.
const BUILD_INTERVAL: Duration = Duration::from_secs(1);
/// Delay between two groups of bins while there is a backlog, in which other writers have their turn.
const BACKLOG_DELAY: Duration = Duration::from_millis(10);
/// How often a backlog says how far it has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Builds bins until `shutdown`.
pub(super) async fn run(store: Store, retention: RetentionConfig, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(BUILD_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            built = build(&store, &retention) => match built {
                Ok(()) => is_failing = false,
                // One line for each failure of the store, not one a second.
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "figures cannot be counted; they go on when the store answers"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// Builds bins until none is marked.
async fn build(store: &Store, retention: &RetentionConfig) -> Result<(), crate::store::StoreError> {
    let (mut total, mut reported) = (0, Instant::now());
    loop {
        let built = store.build_stats(retention.history_whole_from(Timestamp::now())).await?;
        if built == 0 {
            return Ok(());
        }
        total += built;
        if reported.elapsed() >= REPORT_INTERVAL {
            reported = Instant::now();
            tracing::info!(bins = total, "counting the figures of the history, the newest first");
        }
        tokio::time::sleep(BACKLOG_DELAY).await;
    }
}
