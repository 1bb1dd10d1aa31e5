//! The public form of a call: in events, in the snapshot of the stream and under `GET /v1/calls`.
//!
//! Invariant: a view is derived from the model alone and holds nothing that the call's card does not allow to
//! be shown. Its field names are part of the public contract; they change only by addition.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::card::Card;
use crate::ids::{CallId, Extension, PbxId, QueueName, RecordId};

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

/// The state of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// It reached the service; no operator's phone rings yet, or no longer.
    Offered,
    /// It rings at one or more operators.
    Presented,
    /// An operator is connected with the caller.
    Answered,
    /// The operator has put the caller on hold.
    Held,
    /// It has left the operator: for the target of a transfer, or for the PBX itself.
    Transferred,
    /// It waits in a parking slot or another waiting room of the PBX; no operator has the caller.
    Parked,
    /// The caller is with somebody who is not an operator (a mobile, another phone), or with the PBX itself (a mailbox, an
    /// announcement) after no operator took the call.
    Elsewhere,
    /// It is over.
    Ended,
}

/// How a call ended, seen from the account that pays for it. Exactly one of them for each inbound call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An operator was connected with the caller.
    Answered,
    /// 放棄呼: the caller hung up while waiting, before anybody took it.
    Abandoned,
    /// あふれ呼: no operator took it in time, and the service gave up or sent it elsewhere.
    Overflowed,
    /// 時間外: it came outside the account's hours.
    Closed,
    /// 話中: it was refused: every phone was busy or refused, or no line was free.
    Blocked,
    /// 着信拒否: the account refuses this caller, or callers who withhold their number.
    Refused,
    /// 他応答: no operator took it, and somebody else did: a mobile, another phone.
    Elsewhere,
    /// FAX: the PBX took it as a fax, whether or not one arrived.
    Fax,
    /// Nothing tells how it ended: the PBX link was down at its end or when it began, or the PBX ended it without trying
    /// a phone.
    Unknown,
}

impl Outcome {
    /// The outcome of a call whose end was missed: answered, if an operator took it; else the known one, or `unknown`.
    #[must_use]
    pub fn inferred_from(call: &CallView) -> Self {
        if call.answered_at.is_some() { Self::Answered } else { call.outcome.unwrap_or(Self::Unknown) }
    }
}

/// The queue in which a caller waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallQueue {
    /// Its name at the PBX.
    #[schema(value_type = String)]
    pub name: QueueName,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub since: Timestamp,
    /// The place at which the caller joined, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
}

/// How a callflow treats a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallTreatment {
    /// As during the hours.
    Open,
    /// As out of hours.
    Closed,
    /// As on a holiday.
    Holiday,
    /// As an override says that closes the account.
    Override,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// The call's own id; it stays the same over transfers.
    #[schema(value_type = uuid::Uuid)]
    pub id: CallId,
    /// The PBX that has it.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// Where it comes from.
    pub direction: Direction,
    /// Its state.
    pub state: CallState,
    /// When it reached the service.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub offered_at: Timestamp,
    /// When an operator was first connected with the caller.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// The operators whose phones ring, or were picked up and are not connected with the caller yet.
    #[schema(value_type = Vec<String>)]
    pub presented_to: Vec<Extension>,
    /// The operator who has the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub operator: Option<Extension>,
    /// Everybody who has had the caller so far, in order: the people at the phones, at that time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub handled_by: Vec<RecordId>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The queue in which the caller waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<CallQueue>,
    /// How the account's callflow treats the call; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treatment: Option<CallTreatment>,
    /// The sound of the PBX that the callflow plays to the caller, or played last, as long as the caller neither waits in a queue
    /// nor is with an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<String>,
    /// Account and caller; absent until the directory has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Card>)]
    pub card: Option<Arc<Card>>,
    /// Inferred after a gap of the PBX link, not observed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
}

impl CallView {
    /// The operators of this call: those at whom it rings, and the one who has the caller.
    pub fn operators(&self) -> impl Iterator<Item = &Extension> {
        self.presented_to.iter().chain(self.operator.as_ref())
    }

    /// The people whom the call has left: it is with nobody and rings nowhere, and does not wait for an operator again.
    #[must_use]
    pub fn left(&self) -> &[RecordId] {
        let waits = self.state == CallState::Offered;
        if waits || self.operators().next().is_some() { &[] } else { &self.handled_by }
    }
}
