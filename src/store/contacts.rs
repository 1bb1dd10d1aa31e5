//! Contacts, as they are kept: the people of an account, in their on-call order.

use jiff::Timestamp;

use super::page::{Page, bounded};
use super::{Store, StoreError};
use crate::directory::record::{CheckedContact, Contact};
use crate::ids::RecordId;

/// Most contacts of an account read for a card or a transfer.
pub const CONTACTS_PER_ACCOUNT_MAX: u32 = 200;

/// The contacts of a store.
#[derive(Debug, Clone, Copy)]
pub struct Contacts<'a>(pub(super) &'a Store);

impl Contacts<'_> {
    /// The contacts (of one account) after `after`, in the order they were made.
    ///
    /// # Errors
    /// The store failed.
    pub async fn page(
        &self,
        account: Option<RecordId>,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Page<Contact>, StoreError> {
        let limit = bounded(limit);
        let contacts = each!(self.0, db => db.contacts_after(account, after, i64::from(limit) + 1).await?);
        Ok(Page::of(contacts, limit, |contact| contact.id))
    }

    /// An account's contacts in their on-call order, those without a place last; at most
    /// [`CONTACTS_PER_ACCOUNT_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn in_order(&self, account: RecordId) -> Result<Vec<Contact>, StoreError> {
        each!(self.0, db => db.contacts_in_order(account).await)
    }

    /// One contact.
    ///
    /// # Errors
    /// The store failed.
    pub async fn find(&self, id: RecordId) -> Result<Option<Contact>, StoreError> {
        each!(self.0, db => db.contact(id).await)
    }

    /// Keeps a new contact.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the account has a contact of that code, [`StoreError::Missing`] when there is
    /// no such account; or the store failed.
    pub async fn create(&self, contact: &CheckedContact, at: Timestamp) -> Result<Contact, StoreError> {
        each!(self.0, db => db.create_contact(contact, at).await)
    }

    /// Replaces a contact's fields.
    ///
    /// # Errors
    /// As for [`Self::create`].
    pub async fn update(
        &self,
        id: RecordId,
        contact: &CheckedContact,
        at: Timestamp,
    ) -> Result<Contact, StoreError> {
        each!(self.0, db => db.update_contact(id, contact, at).await)
    }

    /// Deletes a contact.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self.0, db => db.delete_contact(id).await)
    }
}
