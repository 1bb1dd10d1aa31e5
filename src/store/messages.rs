//! Messages, as they are kept.
//!
//! Invariant: an id is one message, however often it is put there; a change is one statement, so that of two people
//! who change a message at once the second changes what the first left.

use std::fmt;

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::{CallId, PbxId, RecordId};
use crate::message::{Change, Message, MessageState, NewMessage};

/// The messages of a store.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a>(pub(super) &'a Store);

/// Which messages.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// For this account.
    pub account: Option<RecordId>,
    /// That have come so far.
    pub state: Option<MessageState>,
    /// Taken in this call.
    pub call: Option<CallId>,
    /// Of callers with this number, as a key.
    pub caller: Option<String>,
}

/// A place among the messages, newest first: what comes after this one. Its text is the cursor of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// When the message was taken, in milliseconds since 1970.
    pub created_ms: i64,
    /// The message.
    pub id: RecordId,
}

impl After {
    /// What comes after `message`.
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

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_ms, self.id)
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The message is so now, whether or not that is new.
    Done(Message),
    /// Its text is final: somebody else may have read it.
    NotOpen(Message),
}

impl Messages<'_> {
    /// Messages, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn page(
        &self,
        filter: &MessageFilter,
        after: Option<After>,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        each!(self.0, db => db.messages_page(filter, after, limit).await)
    }

    /// One message.
    ///
    /// # Errors
    /// The store failed.
    pub async fn find(&self, id: RecordId) -> Result<Option<Message>, StoreError> {
        each!(self.0, db => db.message(id).await)
    }

    /// Keeps a new message, taken through a gateway of `pbx`. Where its id is there already, that one stays and
    /// comes back; the bool says whether it is new.
    ///
    /// # Errors
    /// [`StoreError::Missing`]: there is no such account; or the store failed, then nothing was kept.
    pub async fn create(
        &self,
        message: &NewMessage,
        pbx: &PbxId,
        at: Timestamp,
    ) -> Result<(Message, bool), StoreError> {
        each!(self.0, db => db.create_message(message, pbx, at).await)
    }

    /// Changes a message.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed; then nothing was changed.
    pub async fn change(&self, id: RecordId, change: &Change, at: Timestamp) -> Result<Changed, StoreError> {
        each!(self.0, db => db.change_message(id, change, at).await)
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self.0, db => db.delete_message(id).await)
    }

    /// Messages of which something is to be told by the daemon of `pbx`, with the version up to which that was done;
    /// the longest waiting first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn untold(&self, pbx: &PbxId, limit: u32) -> Result<Vec<(Message, u64)>, StoreError> {
        each!(self.0, db => db.untold_messages(pbx, limit).await)
    }

    /// Notes up to which version a message was told.
    ///
    /// # Errors
    /// The store failed.
    pub async fn told(&self, id: RecordId, version: u64) -> Result<(), StoreError> {
        each!(self.0, db => db.message_told(id, version).await)
    }
}
