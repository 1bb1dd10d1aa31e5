//! Accounts, as they are kept. Writers outside the directory go through [`crate::directory::Directory`], whose
//! memory follows each change; another process's changes are seen by [`Accounts::version`].

use jiff::Timestamp;

use super::page::{Page, bounded};
use super::{Store, StoreError};
use crate::directory::record::{Account, CheckedAccount};
use crate::ids::RecordId;

/// The accounts of a store.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a>(pub(super) &'a Store);

impl Accounts<'_> {
    /// The accounts after `after`, in the order they were made.
    ///
    /// # Errors
    /// The store failed.
    pub async fn page(&self, after: Option<RecordId>, limit: u32) -> Result<Page<Account>, StoreError> {
        let limit = bounded(limit);
        let accounts = each!(self.0, db => db.accounts_after(after, i64::from(limit) + 1).await?);
        Ok(Page::of(accounts, limit, |account| account.id))
    }

    /// Every account, with the version they had together.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all(&self) -> Result<(Vec<Account>, i64), StoreError> {
        each!(self.0, db => db.all_accounts().await)
    }

    /// A number that grows with every change of any account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn version(&self) -> Result<i64, StoreError> {
        each!(self.0, db => db.accounts_version().await)
    }

    /// One account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn find(&self, id: RecordId) -> Result<Option<Account>, StoreError> {
        each!(self.0, db => db.account(id).await)
    }

    /// Keeps a new account.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the code or a number belongs to another account; or the store failed.
    pub async fn create(&self, account: &CheckedAccount, at: Timestamp) -> Result<Account, StoreError> {
        each!(self.0, db => db.create_account(account, at).await)
    }

    /// Replaces an account's fields.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; as for [`Self::create`].
    pub async fn update(
        &self,
        id: RecordId,
        account: &CheckedAccount,
        at: Timestamp,
    ) -> Result<Account, StoreError> {
        each!(self.0, db => db.update_account(id, account, at).await)
    }

    /// Deletes an account with its customers, contacts and messages; its finished calls stay.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self.0, db => db.delete_account(id).await)
    }
}
