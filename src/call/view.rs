//! How a call looks from outside: in events, in the snapshot of the stream and under `GET /v1/calls`.
//!
//! Invariant: a view is derived from the model alone and holds nothing that the call's card does not allow to
//! be shown. Its field names are part of the public contract; they change only by addition.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::directory::card::Card;
use crate::ids::{CallId, Extension, PbxId};

/// Where a call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From a trunk to the service.
    Inbound,
    /// From one of our phones to a trunk.
    Outbound,
    /// Between our own phones.
    Internal,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// It reached the service; nobody's phone rings yet, or no longer.
    Offered,
    /// It rings at one operator or several.
    Presented,
    /// An operator has taken it.
    Answered,
    /// The operator has put the caller on hold.
    Held,
    /// It has left the operator for the target of a transfer.
    Transferred,
    /// It is over.
    Ended,
}

/// How a call ended, seen from the account that pays for it. Exactly one of them for each inbound call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An operator took it.
    Answered,
    /// 放棄呼: the caller hung up before anybody took it.
    Abandoned,
    /// あふれ呼: the service sent it elsewhere because nobody took it in time.
    Overflowed,
    /// 時間外: it came outside the account's hours.
    Closed,
    /// 話中: it was refused, busy or for want of lines.
    Blocked,
    /// The PBX link was down when it ended and nothing tells how.
    Unknown,
}

impl Outcome {
    /// That of a call whose end nobody saw: an operator had taken it, or nothing tells.
    #[must_use]
    pub fn unseen(call: &CallView) -> Self {
        if call.answered_at.is_some() { Self::Answered } else { call.outcome.unwrap_or(Self::Unknown) }
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// The call's own id; it stays over transfers.
    #[schema(value_type = uuid::Uuid)]
    pub id: CallId,
    /// The PBX that has it.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// Where it comes from.
    pub direction: Direction,
    /// How far it has come.
    pub state: CallState,
    /// When it reached the service.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub offered_at: Timestamp,
    /// When an operator first took it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::wire::as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::wire::as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Whose phones ring.
    #[schema(value_type = Vec<String>)]
    pub presented_to: Vec<Extension>,
    /// Who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub operator: Option<Extension>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// For whom and from whom it is; absent until the directory has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Card>)]
    pub card: Option<Arc<Card>>,
    /// Concluded after a gap of the PBX link, not seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
}

impl CallView {
    /// The operators this call concerns now: those it rings at and the one who has it.
    pub fn operators(&self) -> impl Iterator<Item = &Extension> {
        self.presented_to.iter().chain(self.operator.as_ref())
    }
}
