//! Deletion: of records by age, and of what the store has about one customer.
//!
//! Invariant: one step is one short transaction. A call keeps its account, times, outcome and operators until the call
//! itself is deleted, so that an account's statistics stay true.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::RecordId;

/// Most rows that one step deletes or clears.
pub const PURGE_ROWS_MAX: u32 = 500;

/// What a purge deletes or clears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeTarget {
    /// The caller's number and customer in finished calls.
    Callers,
    /// Finished calls.
    Calls,
    /// Segments of the supervision log.
    SupervisionLog,
    /// Messages that were sent or acknowledged, or whose delivery failed.
    Messages,
    /// The addresses and errors of deliveries that are over.
    Deliveries,
    /// What happened to deliveries, with the words of the servers.
    DeliveryLog,
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
    /// Deletes or clears records older than `before`, at most [`PURGE_ROWS_MAX`] rows; returns how many. 0: none is left.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn purge(&self, target: PurgeTarget, before: Timestamp) -> Result<u64, StoreError> {
        each!(self, db => db.purge(target, before).await)
    }

    /// Deletes a customer's record, the customer's numbers and texts in calls and messages, and the after-call notes of
    /// those calls.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed; then nothing was changed.
    pub async fn forget_customer(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.forget_customer(id).await)
    }
}
