//! A message: its record, and how it comes to be one.
//!
//! | file | holds |
//! |---|---|
//! | `fields.rs` | what a person sets, with the limits |
//! | `file.rs` | its files |
//! | `words.rs` | the words of the fields |
//!
//! A message has a *version*, which counts its changes, and a *revision*, which counts its contents: a content that the
//! account may have received is corrected by another revision, never changed.

mod fields;
mod file;
mod words;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::fields::{
    CallBack, CheckedMessage, FailedTransfer, FollowUp, HIDDEN, MESSAGE_CHARS_MAX, MessageFields, Offer,
    ScriptAnswer, ScriptVersion, Sender, clean_text,
};
pub use self::file::{
    FileError, FileType, MESSAGE_FILE_BYTES_MAX, MESSAGE_FILES_BYTES_MAX, MESSAGE_FILES_MAX, MessageFile,
    NewFile,
};
pub(super) use self::words::words;
pub use self::words::{
    Action, FollowUpBy, Gender, Mark, MessageKind, NumberSource, OfferResult, Privacy, Urgency,
};
use crate::contract::delivery::MessageDelivery;
use crate::ids::{CallId, RecordId};

/// Namespace of the ids derived from idempotency keys: a random constant. A change would turn a repeated request into a
/// second message.
const KEY_NAMESPACE: Uuid = Uuid::from_u128(0x5b0c_91d4_23fe_4f0a_a6a7_8e1d_70b2_c4f3);

/// Delivery state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// The account has not received it.
    Open,
    /// The next system has taken it, for instance the mail server. Nobody has proved to have read it.
    Sent,
    /// Every delivery failed.
    Failed,
    /// The account has received it.
    Acknowledged,
}

impl MessageState {
    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// The state with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Open, Self::Sent, Self::Failed, Self::Acknowledged].into_iter().find(|s| s.as_str() == value)
    }
}

/// A message, as it is stored, served and published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Message {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The account it is for.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The call in which it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// The customer it is from, where the caller is a known customer of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub customer: Option<RecordId>,
    /// Its number (受付番号), for people: `YYMMDD-NNNN`, the day in the installation's time zone. Messages of versions
    /// before this one have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// What it is.
    pub kind: MessageKind,
    /// Which content it has: 1, and one more with each correction.
    pub revision: u32,
    /// What a person sets.
    #[serde(flatten)]
    pub fields: MessageFields,
    /// The person who took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub taken_by: Option<RecordId>,
    /// The name of that person at the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_by_name: Option<String>,
    /// The caller's number in normalised form; absent if the caller withholds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Its state.
    pub state: MessageState,
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
    /// When the account received it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub acknowledged_at: Option<Timestamp>,
    /// The person who recorded that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub acknowledged_by: Option<RecordId>,
    /// When it was withdrawn; a withdrawn message is in no list and is not delivered.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub withdrawn_at: Option<Timestamp>,
    /// Version; increases with every change of the message, its state included.
    pub version: u64,
    /// The version with which the present revision began; for the events.
    #[serde(skip)]
    pub revision_version: u64,
    /// Its files, without their contents: a recording, or what was uploaded for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<MessageFile>,
    /// How far its delivery is. A change of this alone leaves `version` as it is.
    pub delivery: MessageDelivery,
}

impl Message {
    /// Whether its content was removed with the data of its caller: a message has a text otherwise.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.fields.text.is_empty()
    }
}

/// A message before it is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// See [`message_id`].
    pub id: RecordId,
    /// The account it is for.
    pub account: RecordId,
    /// The call.
    pub call: Option<CallId>,
    /// The customer it is from.
    pub customer: Option<RecordId>,
    /// What it is.
    pub kind: MessageKind,
    /// The person who takes it; absent: nobody did, it came by itself (a fax).
    pub taken_by: Option<RecordId>,
    /// The name of that person; empty if there is none.
    pub taken_by_name: String,
    /// The caller's number in normalised form, from the call.
    pub caller: Option<String>,
    /// What that person wrote.
    pub content: CheckedMessage,
    /// The day of its number, see [`message_day`].
    pub day: String,
    /// Nothing delivers it before this time: until then it can be withdrawn.
    pub not_before: Timestamp,
}

/// A change of a message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentChange {
    /// The content after it.
    pub content: CheckedMessage,
    /// The version from which the content was made: another version is not overwritten.
    pub version: u64,
    /// The person who makes it; absent: it came by itself.
    pub by: Option<RecordId>,
    /// The name of that person.
    pub by_name: String,
    /// Why a content that may have been received is corrected; absent: it is only changed while nobody has it.
    pub correction: Option<String>,
    /// Nothing delivers it before this time.
    pub not_before: Timestamp,
}

/// A change of a message; `None` leaves a part unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageUpdate {
    /// Another content.
    pub content: Option<ContentChange>,
    /// The person who records that the account has received it.
    pub acknowledged_by: Option<RecordId>,
}

/// One content of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessageRevision {
    /// Its number, from 1.
    pub revision: u32,
    /// The content.
    pub content: MessageFields,
    /// The person who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub by: Option<RecordId>,
    /// The name of that person.
    pub by_name: String,
    /// Why it corrects the revision before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
}

/// The first part of the numbers of a day: `YYMMDD` in the installation's time zone.
#[must_use]
pub fn message_day(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%y%m%d").to_string()
}

/// The number of the `count`th message of a day.
#[must_use]
pub fn message_number(day: &str, count: i64) -> String {
    format!("{day}-{count:04}")
}

/// The id of a new message: derived from the idempotency key, so that a repeated request gives the same id; without a
/// key, a new id.
#[must_use]
pub fn message_id(user: RecordId, key: Option<&str>) -> RecordId {
    let Some(key) = key else { return RecordId(Uuid::now_v7()) };
    RecordId(Uuid::new_v5(&KEY_NAMESPACE, &[user.0.as_bytes(), key.as_bytes()].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_the_day_where_the_installation_is() {
        let at = "2026-11-28T15:00:00Z".parse().unwrap();
        assert_eq!(message_day(at, &TimeZone::get("Asia/Tokyo").unwrap()), "261129");
        assert_eq!(message_day(at, &TimeZone::UTC), "261128");
        assert_eq!(message_number("261129", 7), "261129-0007");
        assert_eq!(message_number("261129", 12_345), "261129-12345");
    }

    #[test]
    fn a_key_of_one_person_makes_one_id() {
        let (a, b) = (RecordId(Uuid::from_u128(1)), RecordId(Uuid::from_u128(2)));
        assert_eq!(message_id(a, Some("k")), message_id(a, Some("k")));
        assert_ne!(message_id(a, Some("k")), message_id(b, Some("k")));
        assert_ne!(message_id(a, Some("k")), message_id(a, Some("l")));
        assert_ne!(message_id(a, None), message_id(a, None));
    }

    #[test]
    fn states_survive_their_text() {
        for state in
            [MessageState::Open, MessageState::Sent, MessageState::Failed, MessageState::Acknowledged]
        {
            assert_eq!(MessageState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(MessageState::parse("OPEN"), None);
    }
}
