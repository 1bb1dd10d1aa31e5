//! Mails that came back: what mail systems said about mails of ours, and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::RecordId;

/// What a mail system says that it did, or what came instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BounceKind {
    /// It gave up.
    Failed,
    /// A fax found the line busy: it is sent again later.
    Busy,
    /// It is still trying.
    Delayed,
    /// The recipient's system has it.
    Delivered,
    /// The recipient complained about it.
    Complaint,
    /// A machine answered, for instance a vacation notice.
    AutoReply,
    /// A person answered: it is an answer to the message, and no mail that came back.
    Answer,
    /// A mail that is no report.
    Unknown,
}

impl BounceKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::Busy,
        Self::Delayed,
        Self::Delivered,
        Self::Complaint,
        Self::AutoReply,
        Self::Answer,
        Self::Unknown,
    ];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Complaint => "complaint",
            Self::AutoReply => "auto_reply",
            Self::Answer => "answer",
            Self::Unknown => "unknown",
        }
    }

    /// The kind with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == value)
    }
}

/// A mail that came back, as it is stored and served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MailBounce)]
pub struct Bounce {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// The delivery that it is about; absent: it could not be matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub delivery: Option<RecordId>,
    /// The message of that delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub message: Option<RecordId>,
    /// What it says.
    pub kind: BounceKind,
    /// What a failure means: `gone`, `full`, `policy`, `content`, `other` or `transient`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The status code (RFC 3463).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The recipient, as the mail system writes it; absent after `retention.deliveries_days`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// The words of the mail system, or the first line of an answer.
    pub text: String,
    /// How it came: `smtp` (the mail server refused the recipient), `http` or `imap`.
    pub source: String,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BounceOutcome {
    /// The delivery has another state now.
    Applied,
    /// It stands in the history of the delivery, whose state stays.
    Noted,
    /// It was known.
    Duplicate,
    /// It is about no delivery of this installation, or its proof is wrong.
    Unmatched,
}

/// An address to which nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SuspendedAddress {
    /// How it would be sent: `mail`.
    pub channel: String,
    /// The address.
    pub address: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub since: Timestamp,
    /// What the recipient's system said.
    pub why: String,
}
