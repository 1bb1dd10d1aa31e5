//! Phone tasks (電話連絡): calls that operators make to tell a contact of a message.
//!
//! | input | open | claimed | done, failed, cancelled |
//! |---|---|---|---|
//! | an operator claims it, for five minutes | claimed | claimed, if it is the same operator or the time is over | refused |
//! | the operator gives it back, or the time is over | | open; failed if its step is over | refused |
//! | `told` | as claimed by that operator | done, and the message is acknowledged | refused |
//! | `no_answer`, `busy`, `mailbox` | as claimed | open, due ten minutes later; failed after the third time, or if its step is over | refused |
//! | `wrong_number` | as claimed | failed | refused |
//! | the next step of the route begins | failed | it goes on, and its step is over | |
//! | the message was acknowledged, corrected or withdrawn | cancelled | cancelled | |
//!
//! A task with a `text` is what the operator who took the message wants to see to later (`follow_up` of a message): it is due then, `told`
//! does not acknowledge the message, and an acknowledgement does not cancel it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::message::Urgency;
use crate::ids::RecordId;

/// How long a claim of a task holds.
pub const TASK_LEASE_TTL: Duration = Duration::from_secs(300);
/// When a person who was not reached is called again.
pub const TASK_AGAIN_DELAY: Duration = Duration::from_secs(600);
/// Calls after which a task has failed.
pub const TASK_ATTEMPTS_MAX: u32 = 3;
/// Longest note on a result, in characters.
pub const TASK_NOTE_CHARS_MAX: usize = 200;

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PhoneTaskState)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// An operator may claim it.
    Open,
    /// An operator is at it.
    Claimed,
    /// The contact was told.
    Done,
    /// The contact was not reached.
    Failed,
    /// It is no longer needed.
    Cancelled,
}

impl TaskState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Open, Self::Claimed, Self::Done, Self::Failed, Self::Cancelled];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == value)
    }
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PhoneTaskResult)]
#[serde(rename_all = "snake_case")]
pub enum TaskResult {
    /// The contact has the message.
    Told,
    /// Nobody answered.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// A mailbox answered.
    Mailbox,
    /// The number is not the contact's.
    WrongNumber,
}

impl TaskResult {
    /// All results.
    pub const ALL: [Self; 5] = [Self::Told, Self::NoAnswer, Self::Busy, Self::Mailbox, Self::WrongNumber];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Mailbox => "mailbox",
            Self::WrongNumber => "wrong_number",
        }
    }

    /// The result with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == value)
    }
}

/// A task. What to say is the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PhoneTask)]
pub struct Task {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    pub message: RecordId,
    /// The contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
    /// The name of the contact.
    pub name: String,
    /// The number to call.
    pub number: String,
    /// How urgent the message is.
    pub urgency: Urgency,
    /// When to call.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub due_at: Timestamp,
    /// Its state.
    pub state: TaskState,
    /// The person who is at it, or who finished it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub claimed_by: Option<RecordId>,
    /// The name of that person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by_name: Option<String>,
    /// Until when the claim holds.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub claimed_until: Option<Timestamp>,
    /// Calls so far.
    pub attempts: u32,
    /// What came of the last call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
    /// What the operator noted about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is to be seen to, of a task that follows up on a message; absent: the contact is to be informed of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
    /// Grows with each change.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_their_text() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for result in TaskResult::ALL {
            assert_eq!(TaskResult::parse(result.as_str()), Some(result));
            assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
        }
    }
}
