//! Messages in the store.
//!
//! A message has a version, which counts its changes, and a published version: up to which of them the events went
//! out. The message relay of the PBX whose gateway took the message reads those that are behind
//! ([`Store::unpublished_messages`]); the published version is written with the event itself.
//!
//! A new message takes the next number of its day in the transaction that saves it. Each content is also a row of
//! `message_revisions`.
//!
//! Invariant: an id is one message with one number, however often it is created. A content is written only over the
//! version that it was made from: of two people who change a message at the same time, the second gets the first one's
//! result and changes nothing. What leaves the house about a message is written in the same transaction
//! (`write_content` in `sql.rs` is the one place).

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::contract::delivery::MessageDeliveryState;
use crate::contract::message::{
    Mark, Message, MessageKind, MessageRevision, MessageState, MessageUpdate, NewMessage, Urgency,
};
use crate::ids::{CallId, PbxId, RecordId};

/// Which messages; an absent condition lets all through.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// For this account.
    pub account: Option<RecordId>,
    /// In this state.
    pub state: Option<MessageState>,
    /// Whose delivery is in this state.
    pub delivery: Option<MessageDeliveryState>,
    /// Sent, and their route was over before anybody confirmed.
    pub is_unanswered: bool,
    /// Taken in this call.
    pub call: Option<CallId>,
    /// From callers with this number, or who left it, as a key.
    pub caller: Option<String>,
    /// Of this kind.
    pub kind: Option<MessageKind>,
    /// Of this urgency.
    pub urgency: Option<Urgency>,
    /// With this mark.
    pub mark: Option<Mark>,
    /// For this contact.
    pub contact: Option<RecordId>,
    /// Taken by this person.
    pub taken_by: Option<RecordId>,
    /// With this number (受付番号).
    pub number: Option<String>,
    /// Whether it is held at this time.
    pub held: Option<(bool, Timestamp)>,
    /// Taken at this time or later.
    pub from: Option<Timestamp>,
    /// Taken before this time.
    pub to: Option<Timestamp>,
    /// In which each word of this text occurs: in the number, a name, the subject, the text or a telephone number.
    pub text: Option<String>,
}

/// Most characters of a search that count.
pub const SEARCH_CHARS_MAX: usize = 200;
/// Most words of a search that count.
pub const SEARCH_WORDS_MAX: usize = 8;

/// How far back messages that need attention are counted.
pub const ATTENTION_PERIOD: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Messages of the last 31 days that a person must see to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct MessageCounts {
    /// Nobody has received them.
    pub failed: u64,
    /// Nothing sends them, and they are not held: there is no recipient, or no address.
    pub unrouted: u64,
    /// They were sent, and their route was over before anybody confirmed.
    pub unanswered: u64,
    /// Complaints that nobody of the account has confirmed.
    pub complaints: u64,
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
    /// Refused: the message is no longer open, and its text is final because the account may have read it; or it was
    /// withdrawn.
    NotOpen(Message),
    /// Refused: the content was made from another version.
    Stale(Message),
}

/// The result of a withdrawal, with the message after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WithdrawOutcome {
    /// The message is withdrawn, whether or not it was so before.
    Withdrawn(Message),
    /// Refused: the account may have the message, or its time is over.
    TooLate(Message),
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

    /// Withdraws an open message that was taken at `since` or later and not corrected.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed; then nothing was changed.
    pub async fn withdraw_message(
        &self,
        id: RecordId,
        since: Timestamp,
        at: Timestamp,
    ) -> Result<WithdrawOutcome, StoreError> {
        each!(self, db => db.withdraw_message(id, since, at).await)
    }

    /// How many messages there are.
    ///
    /// # Errors
    /// The store failed.
    pub async fn count_messages(&self, filter: &MessageFilter) -> Result<u64, StoreError> {
        each!(self, db => db.count_messages(filter).await)
    }

    /// How many messages a person must see to at `now`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn messages_to_see_to(&self, now: Timestamp) -> Result<MessageCounts, StoreError> {
        each!(self, db => db.messages_to_see_to(now).await)
    }

    /// How many messages of each urgency were sent, and nobody confirmed them until their route was over.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unanswered_messages(&self) -> Result<Vec<(Urgency, u64)>, StoreError> {
        each!(self, db => db.unanswered_messages().await)
    }

    /// The contents of a message, the first one first. A message of an earlier version has none before its first change.
    ///
    /// # Errors
    /// The store failed.
    pub async fn message_revisions(&self, id: RecordId) -> Result<Vec<MessageRevision>, StoreError> {
        each!(self, db => db.message_revisions(id).await)
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
