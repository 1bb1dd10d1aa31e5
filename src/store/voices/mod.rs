//! What callers left without an operator: recordings (音声メール) and the wish to be called back (折り返し依頼).
//!
//! Each recording is the file of a message of the same id ([`super::message_files`]), written in the same transaction. That its
//! call left something behind is noted with the call when the event goes out, and by the statement that writes the call later.
//!
//! Invariant: a file of a PBX is one recording and one message, however often it is read.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::message::NewMessage;
use crate::contract::voice::{NewVoiceMessage, VoiceMessage};
use crate::ids::PbxId;

impl Store {
    /// Adds a recording with its message and its deliveries, unless the PBX's file is one already: all or nothing. `message` has
    /// the id of the recording. Without the account, and where the caller was erased, there is nothing to keep. Returns whether
    /// the recording is new.
    ///
    /// # Errors
    /// The store failed; then nothing was written.
    pub async fn create_voice_message(
        &self,
        new: &NewVoiceMessage,
        message: &NewMessage,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, db => db.create_voice_message(new, message, at).await)
    }

    /// Adds the message of a caller who wants to be called back, with its deliveries, and a phone task for the operators, which is
    /// due at `due`; unless there is such a message already: all or nothing. Without the account, and where the caller was
    /// erased, there is nothing to keep. Returns whether the message is new.
    ///
    /// # Errors
    /// The store failed; then nothing was written.
    pub async fn create_callback(
        &self,
        message: &NewMessage,
        number: &str,
        pbx: &PbxId,
        (now, due): (Timestamp, Timestamp),
    ) -> Result<bool, StoreError> {
        each!(self, db => db.create_callback(message, number, pbx, (now, due)).await)
    }

    /// The recordings of `pbx` whose event did not go out, oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unpublished_voice_messages(
        &self,
        pbx: &PbxId,
        limit: u32,
    ) -> Result<Vec<VoiceMessage>, StoreError> {
        each!(self, db => db.unpublished_voice_messages(pbx, limit).await)
    }
}
