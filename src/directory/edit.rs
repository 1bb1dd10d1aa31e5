//! Changing the directory: check, keep, and follow in memory.
//!
//! Invariant: when a change of an account returns, the next call is identified with it.

use jiff::Timestamp;

use super::lookup::Directory;
use super::record::{
    Account, AccountFields, Contact, ContactFields, Customer, CustomerFields, RecordError, patched,
};
use crate::ids::RecordId;
use crate::store::StoreError;

/// Why a change of the directory was refused.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The record can't be kept as it is.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store refused it or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Directory {
    /// Keeps a new account.
    ///
    /// # Errors
    /// A field can't be kept; its code or a number is taken; the store failed.
    pub async fn create_account(&self, fields: AccountFields, at: Timestamp) -> Result<Account, EditError> {
        let checked = fields.checked(self.plan())?;
        let account = self.store().accounts().create(&checked, at).await?;
        self.refresh().await?;
        Ok(account)
    }

    /// Changes an account by a JSON merge patch.
    ///
    /// # Errors
    /// There is none of that id; and as for [`Self::create_account`].
    pub async fn patch_account(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
    ) -> Result<Account, EditError> {
        let missing = StoreError::Missing { what: "account" };
        let current = self.store().accounts().find(id).await?.ok_or(missing)?;
        let checked = patched(&current.fields, patch)?.checked(self.plan())?;
        let account = self.store().accounts().update(id, &checked, at).await?;
        self.refresh().await?;
        Ok(account)
    }

    /// Deletes an account with its customers, contacts and messages.
    ///
    /// # Errors
    /// There is none of that id; the store failed.
    pub async fn delete_account(&self, id: RecordId) -> Result<(), EditError> {
        self.store().accounts().delete(id).await?;
        self.refresh().await?;
        Ok(())
    }

    /// Keeps a new customer.
    ///
    /// # Errors
    /// A field can't be kept; its code is taken; there is no such account; the store failed.
    pub async fn create_customer(
        &self,
        fields: CustomerFields,
        at: Timestamp,
    ) -> Result<Customer, EditError> {
        let checked = fields.checked(self.plan())?;
        Ok(self.store().customers().create(&checked, at).await?)
    }

    /// Changes a customer by a JSON merge patch.
    ///
    /// # Errors
    /// There is none of that id; and as for [`Self::create_customer`].
    pub async fn patch_customer(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
    ) -> Result<Customer, EditError> {
        let missing = StoreError::Missing { what: "customer" };
        let current = self.store().customers().find(id).await?.ok_or(missing)?;
        let checked = patched(&current.fields, patch)?.checked(self.plan())?;
        Ok(self.store().customers().update(id, &checked, at).await?)
    }

    /// Deletes a customer.
    ///
    /// # Errors
    /// There is none of that id; the store failed.
    pub async fn delete_customer(&self, id: RecordId) -> Result<(), EditError> {
        if self.forgets_deleted() {
            return Ok(self.store().forget_customer(id).await?);
        }
        Ok(self.store().customers().delete(id).await?)
    }

    /// Keeps a new contact.
    ///
    /// # Errors
    /// A field can't be kept; its code is taken; there is no such account; the store failed.
    pub async fn create_contact(&self, fields: ContactFields, at: Timestamp) -> Result<Contact, EditError> {
        let checked = fields.checked(self.plan())?;
        Ok(self.store().contacts().create(&checked, at).await?)
    }

    /// Changes a contact by a JSON merge patch.
    ///
    /// # Errors
    /// There is none of that id; and as for [`Self::create_contact`].
    pub async fn patch_contact(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
    ) -> Result<Contact, EditError> {
        let missing = StoreError::Missing { what: "contact" };
        let current = self.store().contacts().find(id).await?.ok_or(missing)?;
        let checked = patched(&current.fields, patch)?.checked(self.plan())?;
        Ok(self.store().contacts().update(id, &checked, at).await?)
    }

    /// Deletes a contact.
    ///
    /// # Errors
    /// There is none of that id; the store failed.
    pub async fn delete_contact(&self, id: RecordId) -> Result<(), EditError> {
        Ok(self.store().contacts().delete(id).await?)
    }
}
