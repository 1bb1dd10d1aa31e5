//! Changes of single records: each is checked, then stored. After a change of an account the accounts in memory are
//! reloaded.
//!
//! Invariant: when a change of an account returns, the next call is identified with it.

use jiff::Timestamp;

use super::lookup::Directory;
use crate::contract::records::{
    Account, AccountFields, Contact, ContactFields, Customer, CustomerFields, RecordError, patched,
};
use crate::ids::RecordId;
use crate::store::StoreError;
use crate::store::deletions::{DeletedBy, DeletedKind, Deletion};

/// Why a change of the directory was refused.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The record has an invalid field.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store refused the change or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record before and after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited<T> {
    /// Before.
    pub before: T,
    /// After.
    pub after: T,
}

impl Directory {
    /// Creates an account.
    ///
    /// # Errors
    /// A field is invalid; the code or a number is taken; the store failed.
    pub async fn create_account(&self, fields: AccountFields, at: Timestamp) -> Result<Account, EditError> {
        let checked = fields.checked(self.plan())?;
        checked.fields.check_mail_host(&self.shared.options.mail_hosts)?;
        let account = self.store().create_account(&checked, at).await?;
        self.refresh().await?;
        Ok(account)
    }

    /// Changes an account by a JSON merge patch.
    ///
    /// # Errors
    /// There is no record with this id; and as for [`Self::create_account`].
    pub async fn patch_account(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
    ) -> Result<Account, EditError> {
        Ok(self.edit_account(id, patch, at, None).await?.after)
    }

    /// As [`Self::patch_account`]; with `seen`, only if the record has not been changed since that time.
    ///
    /// # Errors
    /// [`StoreError::Changed`]; and as for [`Self::patch_account`].
    pub async fn edit_account(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Edited<Account>, EditError> {
        let missing = StoreError::Missing { what: "account" };
        let before = self.store().account(id).await?.ok_or(missing)?;
        let checked = patched(&before.fields, patch)?.checked(self.plan())?;
        // An account whose server the configuration has no longer can still be changed.
        if checked.fields.mail_host != before.fields.mail_host {
            checked.fields.check_mail_host(&self.shared.options.mail_hosts)?;
        }
        let after = self.store().update_account(id, &checked, at, seen).await?;
        self.refresh().await?;
        Ok(Edited { before, after })
    }

    /// Deletes an account with its customers, contacts and messages. Readers show them no more, and they are removed behind the
    /// answer ([`crate::store::erasure`]).
    ///
    /// # Errors
    /// There is no record with this id; the store failed.
    pub async fn delete_account(&self, id: RecordId, at: Timestamp) -> Result<(), EditError> {
        self.store().delete_account(id, at).await?;
        self.refresh().await?;
        Ok(())
    }

    /// As [`Self::delete_account`], so that it can be brought back for ten minutes.
    ///
    /// # Errors
    /// There is no record with this id; the store failed.
    pub async fn delete_account_undoably(&self, id: RecordId, by: DeletedBy<'_>) -> Result<(), EditError> {
        self.store().delete_undoably(DeletedKind::Account, id, by).await?;
        self.refresh().await?;
        Ok(())
    }

    /// Brings back what was deleted in the last ten minutes; absent: there is no such deletion.
    ///
    /// # Errors
    /// Another record has its code or its number by now; its account was deleted; the store failed.
    pub async fn undo_deletion(&self, id: RecordId, at: Timestamp) -> Result<Option<Deletion>, EditError> {
        let undone = self.store().undo_deletion(id, self.plan(), at).await?;
        if undone.as_ref().is_some_and(|deletion| deletion.kind == DeletedKind::Account) {
            self.refresh().await?;
        }
        Ok(undone)
    }

    /// Creates a customer.
    ///
    /// # Errors
    /// A field is invalid; the code is taken; there is no such account; the store failed.
    pub async fn create_customer(
        &self,
        fields: CustomerFields,
        at: Timestamp,
    ) -> Result<Customer, EditError> {
        let checked = fields.checked(self.plan())?;
        Ok(self.store().create_customer(&checked, at).await?)
    }

    /// Changes a customer by a JSON merge patch.
    ///
    /// # Errors
    /// There is no record with this id; and as for [`Self::create_customer`].
    pub async fn patch_customer(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
    ) -> Result<Customer, EditError> {
        Ok(self.edit_customer(id, patch, at, None).await?.after)
    }

    /// As [`Self::patch_customer`]; with `seen`, only if the record has not been changed since that time.
    ///
    /// # Errors
    /// [`StoreError::Changed`]; and as for [`Self::patch_customer`].
    pub async fn edit_customer(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Edited<Customer>, EditError> {
        let missing = StoreError::Missing { what: "customer" };
        let before = self.store().customer(id).await?.ok_or(missing)?;
        let checked = patched(&before.fields, patch)?.checked(self.plan())?;
        let after = self.store().update_customer(id, &checked, at, seen).await?;
        Ok(Edited { before, after })
    }

    /// Deletes a customer, who can be brought back for ten minutes; with `forget_deleted` instead also what the store knows of the
    /// customer: readers show it no more, and it is removed behind the answer ([`crate::store::erasure`]).
    ///
    /// # Errors
    /// There is no record with this id; the store failed.
    pub async fn delete_customer(&self, id: RecordId, by: DeletedBy<'_>) -> Result<(), EditError> {
        if self.purges_history_of_deleted() {
            return Ok(self.store().forget_customer(id, self.plan(), by.at).await?);
        }
        Ok(self.store().delete_undoably(DeletedKind::Customer, id, by).await?)
    }

    /// Creates a contact.
    ///
    /// # Errors
    /// A field is invalid; the code is taken; there is no such account; the store failed.
    pub async fn create_contact(&self, fields: ContactFields, at: Timestamp) -> Result<Contact, EditError> {
        let checked = fields.checked(self.plan())?;
        Ok(self.store().create_contact(&checked, at).await?)
    }

    /// Changes a contact by a JSON merge patch.
    ///
    /// # Errors
    /// There is no record with this id; and as for [`Self::create_contact`].
    pub async fn patch_contact(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
    ) -> Result<Contact, EditError> {
        Ok(self.edit_contact(id, patch, at, None).await?.after)
    }

    /// As [`Self::patch_contact`]; with `seen`, only if the record has not been changed since that time.
    ///
    /// # Errors
    /// [`StoreError::Changed`]; and as for [`Self::patch_contact`].
    pub async fn edit_contact(
        &self,
        id: RecordId,
        patch: &serde_json::Value,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Edited<Contact>, EditError> {
        let missing = StoreError::Missing { what: "contact" };
        let before = self.store().contact(id).await?.ok_or(missing)?;
        let checked = patched(&before.fields, patch)?.checked(self.plan())?;
        let after = self.store().update_contact(id, &checked, at, seen).await?;
        Ok(Edited { before, after })
    }

    /// Deletes a contact, who can be brought back for ten minutes.
    ///
    /// # Errors
    /// There is no record with this id; the store failed.
    pub async fn delete_contact(&self, id: RecordId, by: DeletedBy<'_>) -> Result<(), EditError> {
        Ok(self.store().delete_undoably(DeletedKind::Contact, id, by).await?)
    }
}
