//! The fields of a message.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::contract::delivery::MessageDelivery;
use crate::contract::records::{RecordError, paragraphs};
use crate::ids::{CallId, RecordId};

/// Longest text, in characters.
pub const MESSAGE_CHARS_MAX: usize = 4_000;

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
    /// The contact of the account it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
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
    /// The text.
    pub text: String,
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
    /// Version; increases with every change of the message, its state included.
    pub version: u64,
    /// How far its delivery is. A change of this alone leaves `version` as it is.
    pub delivery: MessageDelivery,
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
    /// The contact it is for.
    pub contact: Option<RecordId>,
    /// The person who takes it.
    pub taken_by: RecordId,
    /// The name of that person.
    pub taken_by_name: String,
    /// The caller's number in normalised form, from the call.
    pub caller: Option<String>,
    /// The text, cleaned by [`clean_text`].
    pub text: String,
}

/// A change of a message; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageUpdate {
    /// The new text, cleaned by [`clean_text`].
    pub text: Option<String>,
    /// The person who records that the account has received it.
    pub acknowledged_by: Option<RecordId>,
}

/// The id of a new message: derived from the idempotency key, so that a repeated request gives the same id; without a
/// key, a new id.
#[must_use]
pub fn message_id(user: RecordId, key: Option<&str>) -> RecordId {
    let Some(key) = key else { return RecordId(Uuid::now_v7()) };
    RecordId(Uuid::new_v5(&KEY_NAMESPACE, &[user.0.as_bytes(), key.as_bytes()].concat()))
}

/// Cleans the text of a message.
///
/// # Errors
/// The text is empty or longer than [`MESSAGE_CHARS_MAX`].
pub fn clean_text(text: &str) -> Result<String, RecordError> {
    let text = paragraphs("text", text, MESSAGE_CHARS_MAX)?;
    if text.is_empty() {
        return Err(RecordError { field: "text", problem: "must not be empty".to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cleaned_and_has_a_limit() {
        assert_eq!(
            clean_text(" 折り返し\u{202e}\r\nお願いします\u{7} \n").unwrap(),
            "折り返し\nお願いします"
        );
        assert!(clean_text(&"あ".repeat(MESSAGE_CHARS_MAX)).is_ok());
        for bad in ["", " \r\n\t", "\u{200b}", &"あ".repeat(MESSAGE_CHARS_MAX + 1)] {
            assert!(clean_text(bad).is_err(), "{} characters", bad.chars().count());
        }
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
