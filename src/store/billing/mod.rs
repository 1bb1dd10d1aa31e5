//! The plans of bills, closed bills, and the calls that a bill counts ([`crate::billing`]).
//!
//! Invariant: a closed bill is written once, in one statement, and never changed: who closes it again gets the one that is
//! there. It stays when its account is deleted.
//!
//! Read next: `sql.rs` beside this file.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::billing::{Bill, BilledCall, Plan};
use crate::ids::RecordId;

/// How many calls of a bill are read at once.
pub const BILLED_CALLS_READ: usize = 500;

/// A plan with who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlan {
    /// The rules.
    pub plan: Plan,
    /// Who wrote it.
    pub by_name: String,
    /// When.
    pub changed_at: Timestamp,
}

/// A bill that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBill {
    /// The account.
    pub account: RecordId,
    /// Its name at that time.
    pub account_name: String,
    /// The month, for instance `2026-11`.
    pub month: String,
    /// The beginning of its time.
    pub from: Timestamp,
    /// The end of its time.
    pub to: Timestamp,
    /// The bill.
    pub bill: Bill,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// Who closed it.
    pub by_name: String,
}

impl Store {
    /// The plan of an account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn billing_plan(&self, account: RecordId) -> Result<Option<StoredPlan>, StoreError> {
        each!(self, db => db.billing_plan(account).await)
    }

    /// Writes the plan of an account.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn set_billing_plan(&self, account: RecordId, plan: &StoredPlan) -> Result<(), StoreError> {
        each!(self, db => db.set_billing_plan(account, plan).await)
    }

    /// Removes the plan of an account; true if it had one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_billing_plan(&self, account: RecordId) -> Result<bool, StoreError> {
        each!(self, db => db.remove_billing_plan(account).await)
    }

    /// The accounts after `after` that have a plan, or a closed bill of this month; by id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn billed_accounts(
        &self,
        month: &str,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        each!(self, db => db.billed_accounts(month, after, limit).await)
    }

    /// The calls of an account in this time, as a bill needs them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn billed_calls(
        &self,
        account: RecordId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<BilledCall>, StoreError> {
        each!(self, db => db.billed_calls(account, from, to).await)
    }

    /// Closes a bill; false if that month of the account is closed already, and nothing changed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn close_bill(&self, closed: &ClosedBill) -> Result<bool, StoreError> {
        each!(self, db => db.close_bill(closed).await)
    }

    /// The closed bills of an account from the month `from` to the month `to`, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn closed_bills(
        &self,
        account: RecordId,
        from: &str,
        to: &str,
    ) -> Result<Vec<ClosedBill>, StoreError> {
        each!(self, db => db.closed_bills(account, from, to).await)
    }
}
