//! What a message is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::directory::record::{RecordError, paragraphs};
use crate::ids::{CallId, RecordId};

/// Longest text, in characters.
pub const MESSAGE_CHARS_MAX: usize = 4_000;

/// Namespace of the ids made of keys (a random constant; changing it makes a repeated request a second message).
const KEY_NAMESPACE: Uuid = Uuid::from_u128(0x5b0c_91d4_23fe_4f0a_a6a7_8e1d_70b2_c4f3);

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Nobody of the account has had it.
    Open,
    /// It was delivered. Nothing delivers yet.
    Sent,
    /// It could not be delivered. Nothing delivers yet.
    Failed,
    /// The account has had it.
    Acknowledged,
}

impl MessageState {
    /// The word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// The state of this word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Open, Self::Sent, Self::Failed, Self::Acknowledged].into_iter().find(|s| s.as_str() == word)
    }
}

/// A message, as it is kept, served and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Message {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// For whom.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// In which call it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// From whom, where that is a customer of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub customer: Option<RecordId>,
    /// For which person of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
    /// Who took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub taken_by: Option<RecordId>,
    /// Who took it, by name, as it was then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_by_name: Option<String>,
    /// The number of the call's caller, as a key; absent where it is withheld.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// What to say.
    pub text: String,
    /// How far it has come.
    pub state: MessageState,
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub created_at: Timestamp,
    /// When it changed last.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub changed_at: Timestamp,
    /// When the account had it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::wire::as_optional_time")]
    pub acknowledged_at: Option<Timestamp>,
    /// Who noted that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub acknowledged_by: Option<RecordId>,
    /// Counts its changes.
    pub version: u64,
}

/// A message before it is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// See [`id_of`].
    pub id: RecordId,
    /// For whom.
    pub account: RecordId,
    /// In which call.
    pub call: Option<CallId>,
    /// From whom.
    pub customer: Option<RecordId>,
    /// For which person.
    pub contact: Option<RecordId>,
    /// Who takes it.
    pub taken_by: RecordId,
    /// The name.
    pub taken_by_name: String,
    /// The caller's number as a key, from the call.
    pub caller: Option<String>,
    /// What to say, cleaned by [`text`].
    pub text: String,
}

/// What is to change in a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// What it says, cleaned by [`text`].
    pub text: Option<String>,
    /// Who notes that the account has had it.
    pub acknowledged_by: Option<RecordId>,
}

/// The id of a message: of a key that a repeated request bears again, or a new one.
#[must_use]
pub fn id_of(user: RecordId, key: Option<&str>) -> RecordId {
    let Some(key) = key else { return RecordId(Uuid::now_v7()) };
    RecordId(Uuid::new_v5(&KEY_NAMESPACE, &[user.0.as_bytes(), key.as_bytes()].concat()))
}

/// The text as it is kept.
///
/// # Errors
/// It is empty or longer than [`MESSAGE_CHARS_MAX`].
pub fn text(text: &str) -> Result<String, RecordError> {
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
        assert_eq!(text(" 折り返し\u{202e}\r\nお願いします\u{7} \n").unwrap(), "折り返し\nお願いします");
        assert!(text(&"あ".repeat(MESSAGE_CHARS_MAX)).is_ok());
        for bad in ["", " \r\n\t", "\u{200b}", &"あ".repeat(MESSAGE_CHARS_MAX + 1)] {
            assert!(text(bad).is_err(), "{} characters", bad.chars().count());
        }
    }

    #[test]
    fn a_key_of_one_person_makes_one_id() {
        let (a, b) = (RecordId(Uuid::from_u128(1)), RecordId(Uuid::from_u128(2)));
        assert_eq!(id_of(a, Some("k")), id_of(a, Some("k")));
        assert_ne!(id_of(a, Some("k")), id_of(b, Some("k")));
        assert_ne!(id_of(a, Some("k")), id_of(a, Some("l")));
        assert_ne!(id_of(a, None), id_of(a, None));
    }

    #[test]
    fn states_have_words() {
        for state in
            [MessageState::Open, MessageState::Sent, MessageState::Failed, MessageState::Acknowledged]
        {
            assert_eq!(MessageState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(MessageState::parse("OPEN"), None);
    }
}
