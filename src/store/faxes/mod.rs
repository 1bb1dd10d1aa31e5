//! Faxes in the store.
//!
//! A fax row is written once and never changed, but for what a purge clears and for `published`: whether the event went
//! out. The document (PDF) is a row of its own, written in the same transaction: there is no fax without the document that
//! its record names, and a backup has both.
//!
//! A fax for an account is also a message with the same id, written in the same transaction: it goes the way of all messages,
//! and its mails have the document as a file.
//!
//! Invariant: a file of a PBX is one fax and one message, however often it is read.

use std::fmt;

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::fax::{Fax, FaxState, NewFax};
use crate::contract::message::NewMessage;
use crate::ids::{CallId, PbxId, RecordId};

/// Which faxes; an absent condition lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaxFilter {
    /// For this account.
    pub account: Option<RecordId>,
    /// In this state.
    pub state: Option<FaxState>,
    /// That came in this call.
    pub call: Option<CallId>,
    /// That arrived at this time or later.
    pub from: Option<Timestamp>,
    /// That arrived before this time.
    pub to: Option<Timestamp>,
}

/// A position in the list of faxes, newest first: the next page begins after this fax. Its text is the page's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaxCursor {
    /// When the fax arrived, in milliseconds since 1970.
    pub received_ms: i64,
    /// The fax.
    pub id: RecordId,
}

impl FaxCursor {
    /// The position of `fax`.
    #[must_use]
    pub fn of(fax: &Fax) -> Self {
        Self { received_ms: super::to_ms(fax.received_at), id: fax.id }
    }

    /// Reads a cursor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (received_ms, id) = text.split_once('.')?;
        Some(Self { received_ms: received_ms.parse().ok()?, id: RecordId(uuid::Uuid::try_parse(id).ok()?) })
    }
}

impl fmt::Display for FaxCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.received_ms, self.id)
    }
}

impl Store {
    /// Adds a fax with its document, unless the PBX's file is one already, and the message that brings it to the account,
    /// with its deliveries: all or nothing. `message` has the id of the fax. Without the account, which may have been
    /// deleted, there is no message. Returns whether the fax is new.
    ///
    /// # Errors
    /// The store failed; then nothing was written.
    pub async fn create_fax(
        &self,
        new: &NewFax,
        message: Option<&NewMessage>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, db => db.create_fax(new, message, at).await)
    }

    /// Faxes, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn faxes(
        &self,
        filter: &FaxFilter,
        after: Option<FaxCursor>,
        limit: u32,
    ) -> Result<Vec<Fax>, StoreError> {
        each!(self, db => db.faxes(filter, after, limit).await)
    }

    /// One fax.
    ///
    /// # Errors
    /// The store failed.
    pub async fn fax(&self, id: RecordId) -> Result<Option<Fax>, StoreError> {
        each!(self, db => db.fax(id).await)
    }

    /// The document of a fax (PDF), if it has one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn fax_document(&self, id: RecordId) -> Result<Option<Vec<u8>>, StoreError> {
        each!(self, db => db.fax_document(id).await)
    }

    /// Deletes a fax with its document.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_fax(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.delete_fax(id).await)
    }

    /// The faxes of `pbx` whose event did not go out, oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unpublished_faxes(&self, pbx: &PbxId, limit: u32) -> Result<Vec<Fax>, StoreError> {
        each!(self, db => db.unpublished_faxes(pbx, limit).await)
    }
}
