//! What was agreed with accounts about their figures ([`crate::stats::Contract`]).
//!
//! Invariant: an account has at most one contract; it goes with its account.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::RecordId;
use crate::stats::Contract;

/// A contract with who wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredContract {
    /// The account.
    pub account: RecordId,
    /// What was agreed.
    pub contract: Contract,
    /// Who wrote it.
    pub by_name: String,
    /// When.
    pub changed_at: Timestamp,
}

impl Store {
    /// The contract of an account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn contract(&self, account: RecordId) -> Result<Option<StoredContract>, StoreError> {
        each!(self, db => db.contract(account).await)
    }

    /// The contracts of the accounts after `after`, by the account's id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn contracts(
        &self,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<StoredContract>, StoreError> {
        each!(self, db => db.contracts(after, limit).await)
    }

    /// Writes the contract of an account.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn set_contract(&self, contract: &StoredContract) -> Result<(), StoreError> {
        each!(self, db => db.set_contract(contract).await)
    }

    /// Removes the contract of an account; true if it had one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_contract(&self, account: RecordId) -> Result<bool, StoreError> {
        each!(self, db => db.remove_contract(account).await)
    }
}
