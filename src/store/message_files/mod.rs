//! Files of messages: recordings of callers above all. A file is written with its message and goes with it; the message says what there
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

impl Store {
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
