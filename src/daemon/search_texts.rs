//! Folds the accounts, contacts and customers whose search text is missing: those of an older version, and those whom an import
//! changed without all columns that a search compares.
//!
//! Invariant: each step folds at most [`STEP_ROWS_MAX`] rows in one transaction, so other writers wait briefly; a restart
//! goes on where the last run ended.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;
use crate::store::StoreError;

/// Most rows of one transaction.
const STEP_ROWS_MAX: u32 = 500;
/// Delay between two steps.
const STEP_DELAY: Duration = Duration::from_millis(20);
/// How often the store is asked for such rows.
const INTERVAL: Duration = Duration::from_secs(10);

/// Folds until `shutdown`.
pub(super) async fn run(directory: Directory, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = fold_all(&directory) => {}
        }
    }
}

async fn fold_all(directory: &Directory) {
    let mut folded = 0;
    loop {
        match fold_some(directory).await {
            Ok(0) => break,
            Ok(rows) => folded += rows,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot make records searchable; trying again");
                break;
            }
        }
        tokio::time::sleep(STEP_DELAY).await;
    }
    if folded > 0 {
        tracing::info!(records = folded, "made records searchable");
    }
}

/// Folds some records of one kind; 0 when none is left of any.
async fn fold_some(directory: &Directory) -> Result<u64, StoreError> {
    let (store, plan) = (directory.store(), directory.plan());
    let accounts = store.fold_accounts(plan, STEP_ROWS_MAX).await?;
    if accounts > 0 {
        return Ok(accounts);
    }
    let contacts = store.fold_contacts(plan, STEP_ROWS_MAX).await?;
    if contacts > 0 { Ok(contacts) } else { store.fold_customers(plan, STEP_ROWS_MAX).await }
}
