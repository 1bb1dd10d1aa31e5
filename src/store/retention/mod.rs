//! Deletion of records by age. What the store has about one customer: [`super::erasure`].
//!
//! Invariant: one step is one short transaction. A call keeps its account, times, outcome and operators until the call
//! itself is deleted, so that an account's statistics stay true.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};

/// Most rows that one step deletes or clears.
pub const PURGE_ROWS_MAX: u32 = 500;
/// Fewest rows of a step.
pub const PURGE_ROWS_MIN: u32 = 10;
/// How long a step may hold up other writers.
pub const PURGE_STEP_TARGET: Duration = Duration::from_millis(5);

/// How many rows the next step takes: as many as the machine does in about [`PURGE_STEP_TARGET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgePace {
    rows: u32,
}

impl Default for PurgePace {
    fn default() -> Self {
        Self { rows: 50 }
    }
}

impl PurgePace {
    /// Rows of the next step.
    #[must_use]
    pub fn rows(self) -> u32 {
        self.rows
    }

    /// Takes note of how long the last step was.
    pub fn record(&mut self, took: Duration) {
        let rows = if took > PURGE_STEP_TARGET { self.rows / 2 } else { self.rows + self.rows / 4 };
        self.rows = rows.clamp(PURGE_ROWS_MIN, PURGE_ROWS_MAX);
    }
}

/// How far the purge under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeStatus {
    /// When it removed the first rows.
    pub since: Timestamp,
    /// Rows that it has removed or cleared.
    pub rows: u64,
}

/// The status, as the task that purges last left it, for readers elsewhere (`/readyz`). Clones share it.
#[derive(Debug, Clone, Default)]
pub struct PurgeProgress(Arc<Mutex<Option<PurgeStatus>>>);

impl PurgeProgress {
    /// The purge removed this many rows more.
    pub fn add(&self, rows: u64, now: Timestamp) {
        self.0.lock().get_or_insert(PurgeStatus { since: now, rows: 0 }).rows += rows;
    }

    /// The purge is over.
    pub fn finish(&self) {
        *self.0.lock() = None;
    }

    /// The status; absent while nothing is removed.
    #[must_use]
    pub fn status(&self) -> Option<PurgeStatus> {
        *self.0.lock()
    }
}

/// The age at which a draft is deleted, counted from its last change.
pub const DRAFT_TTL: Duration = Duration::from_secs(7 * 86_400);
/// How long after its end an account notice is deleted.
pub const NOTICE_TTL: Duration = Duration::from_secs(7 * 86_400);
/// How long it is kept what people said about a caller who hung up.
pub const CALLBACK_TTL: Duration = Duration::from_secs(31 * 86_400);

/// Most rows that are counted of what is due.
pub const COUNTED_MAX: u32 = 10_000;

/// What a purge deletes or clears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PurgeTarget {
    /// The caller's number and customer in finished calls.
    Callers,
    /// Finished calls.
    Calls,
    /// Segments of the supervision log.
    SupervisionLog,
    /// Messages that were sent or acknowledged or whose delivery failed, and those that were withdrawn.
    Messages,
    /// The numbers of who sent a fax.
    FaxSenders,
    /// Faxes.
    Faxes,
    /// Drafts.
    Drafts,
    /// Files of messages, also the recordings of callers.
    Attachments,
    /// The lists of such files.
    AttachmentLists,
    /// Files that were uploaded for messages that nobody saved.
    PendingFiles,
    /// Account notices that are over.
    Notices,
    /// What people said about callers who hung up.
    Callbacks,
    /// The addresses and errors of deliveries that are over.
    Deliveries,
    /// The recipients and words of mails that came back.
    Bounces,
    /// Mails of reports and alarms that are over, with their addresses.
    ServiceMails,
    /// What happened to deliveries, with the words of the servers.
    DeliveryLog,
    /// Routes of messages that are over, with the addresses that they asked.
    Dispatches,
    /// Phone tasks that are over.
    Tasks,
    /// From where answers on the confirmation page came.
    AnswerOrigins,
    /// Links in mails that have ended.
    Links,
    /// Gaps of PBX links.
    Gaps,
    /// The notes of after-call work, which may name the caller.
    Notes,
    /// The history of agent states.
    States,
    /// Finished after-call work.
    WrapUps,
}

impl Store {
    /// Deletes or clears records older than `before`, at most `rows` of them, oldest first; returns how many. 0: none is
    /// left. What is done is not looked at again.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn purge(&self, target: PurgeTarget, before: Timestamp, rows: u32) -> Result<u64, StoreError> {
        each!(self, db => db.purge(target, before, rows.min(PURGE_ROWS_MAX)).await)
    }

    /// How many records [`Self::purge`] would delete or clear; one more than [`COUNTED_MAX`] where there are more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn count_due(&self, target: PurgeTarget, before: Timestamp) -> Result<u64, StoreError> {
        each!(self, db => db.count_due(target, before, COUNTED_MAX + 1).await)
    }

    /// How far the purge under way is.
    #[must_use]
    pub fn purge_progress(&self) -> &PurgeProgress {
        each!(self, db => &db.purging)
    }
}
