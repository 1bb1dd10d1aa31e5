//! Messages in the store.
//!
//! A message has a version, which counts its changes, and a published version: up to which of them the events went
//! out. The message relay of the PBX whose gateway took the message reads those that are behind
//! ([`Store::unpublished_messages`]); the published version is written with the event itself.
//!
//! Invariant: an id is one message, however often it is created. A change is one statement: of two people who change a
//! message at the same time the second changes the first one's result.

use std::fmt;

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::message::{Message, MessageState, MessageUpdate, NewMessage};
use crate::ids::{CallId, PbxId, RecordId};

/// Which messages; an absent condition lets all through.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// For this account.
    pub account: Option<RecordId>,
    /// In this state.
    pub state: Option<MessageState>,
    /// Taken in this call.
    pub call: Option<CallId>,
    /// From callers with this number, as a key.
    pub caller: Option<String>,
}

/// A position in the list of messages, newest first: the next page begins after this message. Its text is the page's
/// cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageCursor {
    /// When the message was taken, in milliseconds since 1970.
    pub created_ms: i64,
    /// The message.
    pub id: RecordId,
}

impl MessageCursor {
    /// The position of `message`.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self { created_ms: super::to_ms(message.created_at), id: message.id }
    }

    /// Reads a cursor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (created_ms, id) = text.split_once('.')?;
        Some(Self { created_ms: created_ms.parse().ok()?, id: RecordId(uuid::Uuid::try_parse(id).ok()?) })
    }
}

impl fmt::Display for MessageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_ms, self.id)
    }
}

/// The result of a change, with the message after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// The message is as requested, whether or not it was so before.
    Applied(Message),
    /// Refused: the message is no longer open, and its text is final because the account may have read it.
    NotOpen(Message),
}

impl Store {
    /// Messages, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn messages(
        &self,
        filter: &MessageFilter,
        after: Option<MessageCursor>,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        each!(self, db => db.messages(filter, after, limit).await)
    }

    /// One message.
    ///
    /// # Errors
    /// The store failed.
    pub async fn message(&self, id: RecordId) -> Result<Option<Message>, StoreError> {
        each!(self, db => db.message(id).await)
    }

    /// Adds a message that a gateway of `pbx` took. If the id exists, the existing message stays and is returned; the
    /// bool is true when the message is new.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the account does not exist; or the store failed. Either way nothing was written.
    pub async fn create_message(
        &self,
        message: &NewMessage,
        pbx: &PbxId,
        at: Timestamp,
    ) -> Result<(Message, bool), StoreError> {
        each!(self, db => db.create_message(message, pbx, at).await)
    }

    /// Changes a message.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed; then nothing was changed.
    pub async fn change_message(
        &self,
        id: RecordId,
        change: &MessageUpdate,
        at: Timestamp,
    ) -> Result<ChangeOutcome, StoreError> {
        each!(self, db => db.change_message(id, change, at).await)
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_message(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.delete_message(id).await)
    }

    /// The messages of `pbx` with unpublished versions, each with its published version; the longest unchanged first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unpublished_messages(
        &self,
        pbx: &PbxId,
        limit: u32,
    ) -> Result<Vec<(Message, u64)>, StoreError> {
        each!(self, db => db.unpublished_messages(pbx, limit).await)
    }
}
