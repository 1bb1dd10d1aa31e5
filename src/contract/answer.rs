//! Answers of the account's people to messages: append only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::RecordId;

/// Longest name of a person who answers, in characters.
pub const ANSWER_NAME_CHARS_MAX: usize = 60;
/// Longest note on an answer, in characters.
pub const ANSWER_NOTE_CHARS_MAX: usize = 200;

/// What a person answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageAnswerKind)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// The person has read the message.
    Seen,
    /// The person has called back, or done what was asked.
    Done,
    /// The person wants to be called by an operator.
    CallMe,
    /// The message is for somebody else: its route goes on.
    NotMine,
    /// The person wrote something that says none of these, which an operator must read. The route goes on as it would.
    Note,
}

impl AnswerKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Seen, Self::Done, Self::CallMe, Self::NotMine, Self::Note];

    /// The value in JSON, in the store and in the form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Done => "done",
            Self::CallMe => "call_me",
            Self::NotMine => "not_mine",
            Self::Note => "note",
        }
    }

    /// The kind with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == value)
    }

    /// Whether the account has the message.
    #[must_use]
    pub fn confirms(self) -> bool {
        !matches!(self, Self::NotMine | Self::Note)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MessageAnswer)]
pub struct MessageAnswer {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// What.
    pub kind: AnswerKind,
    /// Who, in that person's own words.
    pub by_name: String,
    /// The contact to whom the mail was, if the person chose that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
    /// How: `link` (on the confirmation page), `reply` (by mail), or `operator` (noted by an operator).
    pub via: String,
    /// What the person wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The revision that the person saw.
    pub revision: u32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// How many seconds after the message was handed on, if it was answered under a link. Within three seconds it is a machine's, and
    /// a note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_s: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_their_text() {
        for kind in AnswerKind::ALL {
            assert_eq!(AnswerKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
