//! Callbacks in the store: what people said about calls that were abandoned. Who is to be called back follows from the
//! finished calls.
//!
//! Invariant: a callback that one person has taken is not taken by another one without a supervisor's word.

use super::account_notices::ChangedBy;
use super::{Store, StoreError};
use crate::contract::callback::{CallbackMark, CallbackState};
use crate::ids::{CallId, RecordId};

/// What becomes of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackOutcome {
    /// It was written.
    Written(CallbackMark),
    /// Another person is at it.
    TakenBy(CallbackMark),
}

/// A change of a callback.
#[derive(Debug, Clone, Copy)]
pub struct CallbackChange {
    /// The abandoned call.
    pub call: CallId,
    /// The account that it was for.
    pub account: Option<RecordId>,
    /// How far it is from now on.
    pub state: CallbackState,
    /// Who says so.
    pub user: RecordId,
    /// A supervisor may take it from somebody.
    pub is_supervisor: bool,
}

impl Store {
    /// What was said about these calls.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callback_marks(&self, calls: &[CallId]) -> Result<Vec<CallbackMark>, StoreError> {
        each!(self, db => db.callback_marks(calls).await)
    }

    /// Those of these calls whose caller was answered by the same account in a later call.
    ///
    /// # Errors
    /// The store failed.
    pub async fn answered_later(&self, calls: &[CallId]) -> Result<Vec<CallId>, StoreError> {
        each!(self, db => db.answered_later(calls).await)
    }

    /// Says how far a callback is.
    ///
    /// # Errors
    /// The store failed.
    pub async fn mark_callback(
        &self,
        change: CallbackChange,
        by: ChangedBy<'_>,
    ) -> Result<CallbackOutcome, StoreError> {
        each!(self, db => db.mark_callback(change, by).await)
    }
}
