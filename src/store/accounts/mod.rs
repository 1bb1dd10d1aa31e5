//! Accounts in the store.
//!
//! Everything but the directory reads accounts only: [`crate::directory::Directory`] writes them, so that its index in
//! memory follows each change. It finds the changes of other processes by [`Store::accounts_version`].

use jiff::Timestamp;

use super::customers::searched;
use super::page::{Page, clamp_limit};
use super::{Store, StoreError};
use crate::contract::records::{Account, CheckedAccount};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;

impl Store {
    /// The accounts after `after`, in the order of their creation.
    ///
    /// # Errors
    /// The store failed.
    pub async fn accounts(&self, after: Option<RecordId>, limit: u32) -> Result<Page<Account>, StoreError> {
        let limit = clamp_limit(limit);
        let accounts = each!(self, db => db.accounts(after, i64::from(limit) + 1).await?);
        Ok(Page::of(accounts, limit, |account| account.id))
    }

    /// Up to `limit` accounts with this text in name, reading or code, or with this part of a number, however it is written, in
    /// the order of their creation.
    ///
    /// # Errors
    /// The store failed.
    pub async fn find_accounts(&self, text: &str, limit: u32) -> Result<Vec<Account>, StoreError> {
        let text = &searched(text);
        each!(self, db => db.find_accounts(text, i64::from(clamp_limit(limit))).await)
    }

    /// As [`Self::fold_customers`], of accounts.
    ///
    /// # Errors
    /// The store failed.
    pub async fn fold_accounts(&self, plan: &NumberPlan, limit: u32) -> Result<u64, StoreError> {
        each!(self, db => db.fold_accounts(plan, i64::from(limit)).await)
    }

    /// Every account, with the version that belongs to what was read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all_accounts(&self) -> Result<(Vec<Account>, i64), StoreError> {
        each!(self, db => db.all_accounts().await)
    }

    /// A number that grows with every change of any account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn accounts_version(&self) -> Result<i64, StoreError> {
        each!(self, db => db.accounts_version().await)
    }

    /// One account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account(&self, id: RecordId) -> Result<Option<Account>, StoreError> {
        each!(self, db => db.account(id).await)
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the code or a number belongs to another account; or the store failed.
    pub async fn create_account(
        &self,
        account: &CheckedAccount,
        at: Timestamp,
    ) -> Result<Account, StoreError> {
        each!(self, db => db.create_account(account, at).await)
    }

    /// Replaces an account's fields.
    ///
    /// With `seen`, only if the record has not been changed since that time.
    ///
    /// # Errors
    /// [`StoreError::Changed`]; [`StoreError::Missing`]; otherwise as for [`Self::create_account`].
    pub async fn update_account(
        &self,
        id: RecordId,
        account: &CheckedAccount,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Account, StoreError> {
        each!(self, db => db.update_account(id, account, at, seen).await)
    }

    /// Deletes an account with its customers, contacts and messages: no reader shows them from now on, and
    /// [`Self::remove_step`] removes them. Its finished calls stay.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_account(&self, id: RecordId, at: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.delete_account(id, at).await)
    }
}
