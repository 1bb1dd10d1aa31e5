//! What happened to a message, in the order of time: the answer to "has it arrived, and who knows".

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::AnswerKind;
use super::delivery::DeliveryState;
use super::task::{TaskResult, TaskState};
use crate::ids::RecordId;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MessageTimelineKind)]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    /// It was taken.
    Saved,
    /// Its content was changed before the account can have had it; the last time.
    Changed,
    /// Another revision of it began.
    Corrected,
    /// A delivery was made or changed.
    Delivery,
    /// A phone task, as it is now.
    Task,
    /// The link in the delivery was opened for the first time, perhaps by a machine.
    Opened,
    /// A person of the account answered.
    Answered,
    /// The account has it.
    Acknowledged,
    /// It was taken back.
    Withdrawn,
}

/// One thing that happened to a message. Which fields there are depends on `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MessageTimelineEntry)]
pub struct TimelineEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// What.
    pub kind: TimelineKind,
    /// The revision that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_name: Option<String>,
    /// Whom it went to: the mail address (absent for those who do not see deliveries), or the name of the contact who was to be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The contact who receives the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
    /// The delivery or the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub id: Option<RecordId>,
    /// The state of the delivery from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryState>,
    /// The state of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskState>,
    /// What came of the last call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
    /// What the person answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerKind>,
    /// What a person wrote, or the words of the mail server (absent like the address).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl TimelineEntry {
    /// An entry without details.
    #[must_use]
    pub fn new(at: Timestamp, kind: TimelineKind) -> Self {
        Self {
            at,
            kind,
            revision: None,
            by_name: None,
            to: None,
            contact: None,
            id: None,
            delivery: None,
            task: None,
            result: None,
            answer: None,
            text: None,
        }
    }
}
