//! Which numbers rang: when a call last came for each account, and the numbers that rang and belong to nobody.
//!
//! The second list finds the mistakes of a new installation: a number that was typed wrongly, or that nobody entered.
//! Numbers that callers called from are not in it.

use jiff::Timestamp;

use super::page::clamp_limit;
use super::{Store, StoreError};
use crate::ids::RecordId;

/// Most numbers in one answer.
pub const UNKNOWN_NUMBERS_MAX: u32 = 500;

/// A number that rang and belongs to no account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownNumber {
    /// The number that was dialled, as a key; absent where the trunk does not say it.
    pub dialled: Option<String>,
    /// The number that forwarded the calls, as a key.
    pub diverted_by: Option<String>,
    /// How many calls.
    pub calls: u64,
    /// When the last of them came.
    pub last: Timestamp,
}

impl Store {
    /// When the last call came for each account that has one, of the accounts of a page ([`Store::accounts`]).
    ///
    /// # Errors
    /// The store failed.
    pub async fn last_calls(
        &self,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        let limit = clamp_limit(limit);
        each!(self, db => db.last_calls(after, i64::from(limit)).await)
    }

    /// The numbers that rang since `since` and belong to no account, the latest first; at most [`UNKNOWN_NUMBERS_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn unknown_numbers(&self, since: Timestamp) -> Result<Vec<UnknownNumber>, StoreError> {
        each!(self, db => db.unknown_numbers(since).await)
    }
}
