//! Contacts in the store: the people of an account, in their on-call order.

use jiff::Timestamp;

use super::account_notices::ChangedBy;
use super::customers::searched;
use super::page::{Page, clamp_limit};
use super::{Store, StoreError};
use crate::contract::records::{CheckedContact, Contact, PresenceState};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;

/// Most contacts of an account read for a card or a transfer.
pub const CONTACTS_PER_ACCOUNT_MAX: u32 = 200;

impl Store {
    /// The contacts (of one account) after `after`, in the order of their creation.
    ///
    /// # Errors
    /// The store failed.
    pub async fn contacts(
        &self,
        account: Option<RecordId>,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Page<Contact>, StoreError> {
        let limit = clamp_limit(limit);
        let contacts = each!(self, db => db.contacts(account, after, i64::from(limit) + 1).await?);
        Ok(Page::of(contacts, limit, |contact| contact.id))
    }

    /// Up to `limit` contacts with this text in name, reading or role, or with this part of a number that callers may learn,
    /// however it is written, in the order of their creation.
    ///
    /// # Errors
    /// The store failed.
    pub async fn find_contacts(&self, text: &str, limit: u32) -> Result<Vec<Contact>, StoreError> {
        let text = &searched(text);
        each!(self, db => db.find_contacts(text, i64::from(clamp_limit(limit))).await)
    }

    /// As [`Self::fold_customers`], of contacts.
    ///
    /// # Errors
    /// The store failed.
    pub async fn fold_contacts(&self, plan: &NumberPlan, limit: u32) -> Result<u64, StoreError> {
        each!(self, db => db.fold_contacts(plan, i64::from(limit)).await)
    }

    /// An account's contacts in their on-call order, those without a number in that order last; at most
    /// [`CONTACTS_PER_ACCOUNT_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn contacts_in_order(&self, account: RecordId) -> Result<Vec<Contact>, StoreError> {
        each!(self, db => db.contacts_in_order(account).await)
    }

    /// The contacts of these accounts who have a place in the on-call list or shifts by date, account by account, each in its on-call
    /// order. A statement reads those of hundreds of accounts.
    ///
    /// # Errors
    /// The store failed.
    pub async fn contacts_on_call(&self, accounts: &[RecordId]) -> Result<Vec<Contact>, StoreError> {
        each!(self, db => db.contacts_on_call(accounts).await)
    }

    /// One contact.
    ///
    /// # Errors
    /// The store failed.
    pub async fn contact(&self, id: RecordId) -> Result<Option<Contact>, StoreError> {
        each!(self, db => db.contact(id).await)
    }

    /// Adds a contact.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the account has a contact of that code, [`StoreError::Missing`] when the account
    /// does not exist; or the store failed.
    pub async fn create_contact(
        &self,
        contact: &CheckedContact,
        at: Timestamp,
    ) -> Result<Contact, StoreError> {
        each!(self, db => db.create_contact(contact, at).await)
    }

    /// Replaces a contact's fields.
    ///
    /// With `seen`, only if the record has not been changed since that time.
    ///
    /// # Errors
    /// [`StoreError::Changed`]; As for [`Self::create_contact`]; [`StoreError::Missing`] also when the contact does not exist.
    pub async fn update_contact(
        &self,
        id: RecordId,
        contact: &CheckedContact,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Contact, StoreError> {
        each!(self, db => db.update_contact(id, contact, at, seen).await)
    }

    /// Writes down where a contact is, until when, and who said so.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn set_presence(
        &self,
        id: RecordId,
        presence: (PresenceState, Timestamp),
        by: ChangedBy<'_>,
    ) -> Result<Contact, StoreError> {
        each!(self, db => db.set_presence(id, presence, by).await)
    }

    /// Deletes a contact.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_contact(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.delete_contact(id).await)
    }
}
