//! The public form of a transfer: in events and under `/v1/transfers`.
//!
//! Invariant: field names are part of the public contract and change only by addition. No field holds the number of a
//! contact, only who the contact is.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::{CallId, Extension, QueueName, RecordId};

/// Namespace of the derived transfer ids (a random constant; changing it renames every transfer).
const TRANSFER_NAMESPACE: Uuid = Uuid::from_u128(0x61d9_02fe_93b7_4c0a_8e1f_c6a4_5b7d_2a90);

/// The id of a transfer; derived from its call and its time, since a call has one transfer at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransferId(Uuid);

impl TransferId {
    /// The id of the transfer of `call` that was requested at `at`.
    #[must_use]
    pub fn derive(call: CallId, at: Timestamp) -> Self {
        let mut name = call.uuid().as_bytes().to_vec();
        name.extend_from_slice(&at.as_nanosecond().to_be_bytes());
        Self(Uuid::new_v5(&TRANSFER_NAMESPACE, &name))
    }

    /// Reads a UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the caller is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferMode)]
pub enum Mode {
    /// The caller goes at once; the operator is free.
    Blind,
    /// The operator talks with the target first, while the caller hears music.
    Consult,
}

/// The state of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferState)]
pub enum State {
    /// Requested; the PBX has not started it.
    Requested,
    /// The target is being called.
    Trying,
    /// The target rings.
    Ringing,
    /// Operator and target talk; the caller waits.
    Consulting,
    /// Caller and target talk.
    Completed,
    /// The caller is on the way back to a person.
    Returning,
    /// The transfer is over.
    Over,
}

/// What the target did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferOutcome)]
pub enum Outcome {
    /// The target took the caller.
    Answered,
    /// The target was busy.
    Busy,
    /// The target did not answer in time.
    NoAnswer,
    /// The target rejected the call.
    Refused,
    /// The target answered and nobody pressed the key: a mailbox, most likely.
    NotAccepted,
    /// The target is switched off or out of coverage, no line is free, or the number does not exist.
    Unreachable,
    /// The target talked with the operator and hung up; the caller was not passed on.
    Declined,
    /// The caller hung up first.
    CallerGone,
    /// The operator took the caller back.
    Cancelled,
    /// The PBX did not start the transfer; the caller stayed with the operator.
    NotStarted,
    /// Not known, because the link to the PBX was down.
    Unknown,
}

/// A target of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = TransferTarget)]
pub enum TargetView {
    /// A contact of the account.
    Contact {
        /// The record.
        #[schema(value_type = uuid::Uuid)]
        id: RecordId,
        /// The contact's name.
        name: String,
    },
    /// A number, as people write it.
    Number {
        /// The number.
        number: String,
    },
    /// Another operator.
    Operator {
        /// The operator's extension.
        #[schema(value_type = String)]
        extension: Extension,
    },
    /// A queue.
    Queue {
        /// Its name.
        #[schema(value_type = String)]
        queue: QueueName,
    },
}

/// To whom the caller came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferReturn)]
pub enum ReturnedTo {
    /// The operator who had the caller.
    #[schema(value_type = String)]
    Operator(Extension),
    /// A queue, in front of the other callers.
    #[schema(value_type = String)]
    Queue(String),
}

/// One target that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TransferAttempt)]
pub struct Attempt {
    /// The target.
    pub target: TargetView,
    /// When the PBX started to call the target.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// When the attempt was over.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// What the target did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Transfer)]
pub struct TransferView {
    /// The transfer.
    #[schema(value_type = uuid::Uuid)]
    pub id: TransferId,
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    pub call: CallId,
    /// Blind or with a consultation.
    pub mode: Mode,
    /// Its state.
    pub state: State,
    /// The operator who had the caller.
    #[schema(value_type = String)]
    pub operator: Extension,
    /// All targets, in the order they are tried.
    pub targets: Vec<TargetView>,
    /// The targets that were tried, in order.
    pub attempts: Vec<Attempt>,
    /// When it was requested.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub requested_at: Timestamp,
    /// When the caller reached the target.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// When it was over, including the talk.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Its outcome so far; with several targets, that of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How long caller and target talked, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub talked_s: Option<u64>,
    /// Where the caller came back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned_to: Option<ReturnedTo>,
    /// Inferred after a gap of the PBX link, or found under way after a restart of the daemon.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
}

impl TransferView {
    /// Whether the caller is still to reach somebody; no other transfer may start until then.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        !matches!(self.state, State::Completed | State::Over)
    }
}

impl fmt::Display for TargetView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contact { name, .. } => f.write_str(name),
            Self::Number { number } => f.write_str(number),
            Self::Operator { extension } => write!(f, "operator {extension}"),
            Self::Queue { queue } => write!(f, "queue {queue}"),
        }
    }
}
