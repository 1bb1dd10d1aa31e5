//! Caller rules of accounts: who is refused, who is answered first.
//!
//! Invariants: an account has at most one rule for a number. A rule that is over is removed when the next one is set. Each change
//! counts as one of the directory, so that the daemon that answers hints and writes plans sees it.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::caller_rule::CallerRule;
use crate::ids::RecordId;

/// Most rules of one account.
pub const RULES_PER_ACCOUNT_MAX: u32 = 500;
/// Most rules in memory.
pub const RULES_IN_MEMORY_MAX: u32 = 100_000;

/// The result of setting a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerRuleOutcome {
    /// It is set; a rule that it replaced keeps its id.
    Set(CallerRule),
    /// Refused: the account has [`RULES_PER_ACCOUNT_MAX`] already.
    TooMany,
}

impl Store {
    /// The rules (of one account) that hold at `at`, by number; at most [`RULES_IN_MEMORY_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn caller_rules(
        &self,
        account: Option<RecordId>,
        at: Timestamp,
    ) -> Result<Vec<CallerRule>, StoreError> {
        each!(self, db => db.caller_rules(account, at).await)
    }

    /// Sets a rule in place of one of the same account and number; those that are over at `now` are removed.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn set_caller_rule(
        &self,
        rule: &CallerRule,
        now: Timestamp,
    ) -> Result<CallerRuleOutcome, StoreError> {
        each!(self, db => db.set_caller_rule(rule, now).await)
    }

    /// Deletes a rule and returns it; `None` if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_caller_rule(&self, id: RecordId) -> Result<Option<CallerRule>, StoreError> {
        each!(self, db => db.delete_caller_rule(id).await)
    }
}
