//! How a transfer looks from outside: in events and under `/v1/transfers`.
//!
//! Invariant: field names are part of the public contract and change only by addition; the number of a contact
//! is in none of them, only who it is.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::{CallId, Extension, QueueName, RecordId};

/// Namespace of the derived transfer ids (a random constant; changing it renames every transfer).
const TRANSFER_NAMESPACE: Uuid = Uuid::from_u128(0x61d9_02fe_93b7_4c0a_8e1f_c6a4_5b7d_2a90);

/// One transfer; derived from its call and its time, since a call has one transfer at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransferId(Uuid);

impl TransferId {
    /// The id of the transfer of `call` that was asked for at `at`.
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
    /// The operator speaks with the target first, while the caller hears music.
    Consult,
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferState)]
pub enum State {
    /// Asked for; the PBX has not begun.
    Requested,
    /// The target is being called.
    Trying,
    /// The target rings.
    Ringing,
    /// Operator and target speak; the caller waits.
    Consulting,
    /// Caller and target speak.
    Completed,
    /// The caller is on the way back to a person.
    Returning,
    /// Nothing more comes of it.
    Over,
}

/// What the target really did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferOutcome)]
pub enum Outcome {
    /// Took the caller.
    Answered,
    /// Was busy.
    Busy,
    /// Did not answer in time.
    NoAnswer,
    /// Rejected the call.
    Refused,
    /// Something answered and nobody pressed the key: a mailbox, most likely.
    NotAccepted,
    /// Switched off, out of coverage, no line, or no such number.
    Unreachable,
    /// Spoke with the operator and hung up; the caller was not passed on.
    Declined,
    /// The caller hung up first.
    CallerGone,
    /// The operator took the caller back.
    Cancelled,
    /// The PBX never began; the caller stayed where she was.
    NotStarted,
    /// The link to the PBX was down and nothing tells.
    Unknown,
}

/// Whom the caller is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = TransferTarget)]
pub enum TargetView {
    /// A person of the account.
    Contact {
        /// The record.
        #[schema(value_type = uuid::Uuid)]
        id: RecordId,
        /// The person's name.
        name: String,
    },
    /// A number, as people write it.
    Number {
        /// The number.
        number: String,
    },
    /// Another operator.
    Operator {
        /// Where she sits.
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
    /// The operator who had her.
    #[schema(value_type = String)]
    Operator(Extension),
    /// A queue, in front of all who wait.
    #[schema(value_type = String)]
    Queue(String),
}

/// One target that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TransferAttempt)]
pub struct Attempt {
    /// Whom.
    pub target: TargetView,
    /// When the PBX began to call.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When that was over.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// How.
    pub mode: Mode,
    /// How far.
    pub state: State,
    /// Who had the caller.
    #[schema(value_type = String)]
    pub operator: Extension,
    /// All targets, in the order they are tried.
    pub targets: Vec<TargetView>,
    /// Those that were tried, in order.
    pub attempts: Vec<Attempt>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// When the caller was with the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// When it was over, the talk included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// What came of it, as far as known: for several targets, the last one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How long caller and target spoke, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub talked_s: Option<u64>,
    /// Where the caller came back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned_to: Option<ReturnedTo>,
    /// Concluded after a gap of the PBX link, or found under way by a daemon that was started anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
}

impl TransferView {
    /// The caller is still to be brought to somebody: no other transfer may begin.
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
