//! Answers of the account's people, and the links in mails under which they answer.
//!
//! A link is for one delivery. The store has its hash alone, and when it ends. It is kept before the mail's bytes are, so a mail
//! never has a link that the store does not know.
//!
//! Invariants: reading a link changes nothing but a count. An answer is written in one transaction with what follows from it.

use std::time::Duration;

use jiff::Timestamp;

use super::deliveries::LetterFacts;
use super::{Store, StoreError};
use crate::contract::answer::{AnswerKind, MessageAnswer};
use crate::ids::RecordId;

/// The SHA-256 of a link's token.
pub type LinkHash = [u8; 32];
/// Most answers of a message that are shown; further ones are refused.
pub const ANSWERS_MAX: u32 = 100;
/// How often wrong digits may be written under a link.
pub const WRONG_DIGITS_MAX: i64 = 5;
/// No person reads a message and confirms it so soon after its mail was handed on.
pub const EARLY_ANSWER: Duration = Duration::from_secs(3);

/// A link that a mail will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLink {
    /// Its hash.
    pub hash: LinkHash,
    /// The delivery.
    pub delivery: RecordId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What stands behind a link.
#[derive(Debug, Clone)]
pub struct LinkedMessage {
    /// The message, and the names in it.
    pub facts: LetterFacts,
    /// The contact to whom the mail was.
    pub contact: Option<RecordId>,
    /// The last four digits of that contact's number, while so few wrong ones were written that they may still be tried.
    pub digits: Option<String>,
    /// The answers so far, the first one first.
    pub answers: Vec<MessageAnswer>,
}

/// An answer that a person gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAnswer {
    /// What.
    pub kind: AnswerKind,
    /// Another name than that of the contact to whom the mail was.
    pub other_name: Option<String>,
    /// What the person wrote.
    pub note: Option<String>,
    /// The revision that the person saw.
    pub revision: u32,
}

/// From where an answer on the confirmation page came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerOrigin {
    /// The address of the client.
    pub address: String,
    /// The beginning of a hash of how the client's program calls itself.
    pub agent_hash: String,
}

/// What a person writes back to a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReply {
    /// What.
    pub kind: AnswerKind,
    /// The name in the mail, for one who is not the contact to whom the mail went.
    pub by_name: String,
    /// The address that it comes from.
    pub address: Option<String>,
    /// What the person wrote.
    pub note: Option<String>,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// It is there.
    Taken,
    /// The same answer was there before.
    Repeated,
    /// It came within [`EARLY_ANSWER`] of the handing of the mail: it is kept as a note, and confirms nothing.
    Early,
    /// The message has another content meanwhile.
    Changed,
    /// The message has too many answers.
    TooMany,
    /// There is no such link any more.
    Gone,
}

impl Store {
    /// Keeps links for mails that are about to be sent.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn keep_links(&self, links: &[NewLink]) -> Result<(), StoreError> {
        each!(self, db => db.keep_links(links).await)
    }

    /// What stands behind a link at `now`. `None`: nothing, or nothing any more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn linked_message(
        &self,
        hash: &LinkHash,
        now: Timestamp,
    ) -> Result<Option<LinkedMessage>, StoreError> {
        each!(self, db => db.linked_message(hash, now).await)
    }

    /// Counts that a link was opened at `now`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn count_opened(&self, hash: &LinkHash, now: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.count_opened(hash, now).await)
    }

    /// Counts that somebody wrote wrong digits under a link.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn count_wrong_digits(&self, hash: &LinkHash) -> Result<(), StoreError> {
        each!(self, db => db.count_wrong_digits(hash).await)
    }

    /// Takes an answer that a person gives under a link.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn answer_by_link(
        &self,
        hash: &LinkHash,
        (answer, origin): (&NewAnswer, &AnswerOrigin),
        now: Timestamp,
    ) -> Result<AnswerOutcome, StoreError> {
        each!(self, db => db.answer_by_link(hash, (answer, origin), now).await)
    }

    /// Takes what a person writes back to the mail of a delivery. An answer to an earlier revision is a note on the present one.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn answer_by_reply(
        &self,
        delivery: RecordId,
        reply: &NewReply,
        now: Timestamp,
    ) -> Result<AnswerOutcome, StoreError> {
        each!(self, db => db.answer_by_reply(delivery, reply, now).await)
    }

    /// When the links in the mails of a message were opened first, by delivery. Whoever opened one may have been a machine.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn opened_links(&self, message: RecordId) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        each!(self, db => db.opened_links(message).await)
    }

    /// Takes an answer that a person told an operator. `contact`: the contact who answers, unless the answer has another name.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account has no such contact; or the store cannot be written. Then nothing was changed.
    pub async fn answer_by_operator(
        &self,
        of: (RecordId, Option<RecordId>),
        answer: &NewAnswer,
        by: RecordId,
        now: Timestamp,
    ) -> Result<AnswerOutcome, StoreError> {
        each!(self, db => db.answer_by_operator(of, answer, by, now).await)
    }

    /// The answers to a message, the first one first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn message_answers(&self, message: RecordId) -> Result<Vec<MessageAnswer>, StoreError> {
        each!(self, db => db.message_answers(message).await)
    }
}
