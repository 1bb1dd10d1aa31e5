//! Files of messages: recordings of callers, and what people upload for a message before they save it (`pending_files`; deleted after
//! [`super::retention::DRAFT_TTL`]). A file is written with its message and goes with it; the message says what there
//! is, and the content is apart, so that a list does not read it.
//!
//! This is the door for spoken messages: who has a recording makes a message of the kind `voice` with it
//! ([`Store::create_message_with_files`]), which then goes the way of all messages.
//!
//! Invariant: there is no message without the files that it names, but for one whose content was removed with the customer's data.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::message::{Message, MessageFile, NewFile, NewMessage};
use crate::ids::{PbxId, RecordId};

/// Most files that a person has uploaded for messages that are not saved yet.
pub const PENDING_FILES_MAX: i64 = 20;

/// Files that a person uploaded, for a message.
#[derive(Debug, Clone, Copy)]
pub struct PendingFiles<'a> {
    /// The person.
    pub user: RecordId,
    /// The files, in their order.
    pub ids: &'a [RecordId],
}

impl Store {
    /// Keeps a file that a person uploads for a message that is not saved yet. `None`: the person has [`PENDING_FILES_MAX`].
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn add_pending_file(
        &self,
        user: RecordId,
        file: &NewFile,
        at: Timestamp,
    ) -> Result<Option<RecordId>, StoreError> {
        each!(self, db => db.add_pending_file(user, file, at).await)
    }

    /// Throws a file away that a person uploaded.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store cannot be written.
    pub async fn delete_pending_file(&self, user: RecordId, file: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.delete_pending_file(user, file).await)
    }

    /// Adds a message with files that its taker uploaded: all or nothing. If the id exists, the existing message stays and is returned;
    /// the bool is true when the message is new.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such file of the person; as of [`Store::create_message`].
    pub async fn create_message_of_pending(
        &self,
        message: &NewMessage,
        files: PendingFiles<'_>,
        pbx: &PbxId,
        at: Timestamp,
    ) -> Result<(Message, bool), StoreError> {
        each!(self, db => db.create_message_of_pending(message, files, pbx, at).await)
    }

    /// Adds a message with files: all or nothing. If the id exists, the existing message stays and is returned; the bool is true when
    /// the message is new.
    ///
    /// # Errors
    /// As of [`Store::create_message`].
    pub async fn create_message_with_files(
        &self,
        message: &NewMessage,
        files: &[NewFile],
        pbx: &PbxId,
        at: Timestamp,
    ) -> Result<(Message, bool), StoreError> {
        each!(self, db => db.create_message_with_files(message, files, pbx, at).await)
    }

    /// The files of a message with their contents, in their order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn message_files(&self, message: RecordId) -> Result<Vec<(MessageFile, Vec<u8>)>, StoreError> {
        each!(self, db => db.message_files(message).await)
    }
}
