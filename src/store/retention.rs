//! Deletion: records whose time is over, and what the history tells of a customer who is to be forgotten.
//!
//! Invariant: a step is one short transaction; calls keep for whom they were, when, how they came out and who had
//! them, so that an account's figures stay true.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::RecordId;

/// Most rows that one step takes out.
pub const PURGE_ROWS: u32 = 500;

/// What a purge takes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Who called, from finished calls.
    Callers,
    /// Finished calls.
    Calls,
    /// What supervisors heard of calls.
    Hearings,
    /// Messages that are not open.
    Messages,
    /// Gaps of PBX links.
    Gaps,
    /// What was noted of a call after it, which may name the caller.
    Notes,
    /// Changes of operators' states.
    States,
    /// After-call work.
    WrapUps,
}

impl Store {
    /// Takes out what is of before `before`, at most [`PURGE_ROWS`] rows; answers how many. Zero: nothing is left.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn purge(&self, what: Expired, before: Timestamp) -> Result<u64, StoreError> {
        each!(self, db => db.purge(what, before).await)
    }

    /// Deletes a customer's record, and takes that customer's numbers and texts out of calls and messages.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed; then nothing was changed.
    pub async fn forget_customer(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.forget_customer(id).await)
    }
}
