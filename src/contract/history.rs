//! The record of a finished call and of its parts.
//!
//! Invariant: the number of a caller who withholds it is in no field.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use crate::contract::call::{CallView, Direction, Outcome};
use crate::contract::card::MatchedBy;
use crate::contract::message::words;
use crate::identity::Presentation;
use crate::ids::{CallId, ChannelId, Extension, PbxId, RecordId};
use crate::numbers::{Number, NumberPlan};

/// The record of a call that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FinishedCall {
    /// The call's own id.
    #[schema(value_type = uuid::Uuid)]
    pub id: CallId,
    /// The PBX of the call.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// Where it came from.
    pub direction: Direction,
    /// The account it was for.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// By which number the account was found.
    pub matched_by: MatchedBy,
    /// The customer who called, if exactly one has the number.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub customer: Option<RecordId>,
    /// The caller's number as a key; absent if the caller withholds it.
    #[schema(value_type = Option<String>)]
    pub caller: Option<SmolStr>,
    /// Whether the number could be shown, or why not.
    pub presentation: Presentation,
    /// The number of the answering service that was dialled; of an outbound call, the number that was called, as a key.
    pub dialled: Option<String>,
    /// The account's number that forwarded the call.
    pub diverted_by: Option<String>,
    /// When it reached the answering service.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub offered_at: Timestamp,
    /// When an operator was first connected with the caller.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_optional_time")]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub ended_at: Timestamp,
    /// How it ended. An outbound call is `answered`, `blocked` (busy, refused or not to be reached), `abandoned` (nobody
    /// answered, or the operator gave up) or `unknown`.
    pub outcome: Outcome,
    /// Every operator who handled it, in order.
    #[schema(value_type = Vec<String>)]
    pub operators: Vec<Extension>,
    /// Everybody who handled it, in order: the people at these phones at that time. Absent in records of versions that did
    /// not keep it.
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handled_by: Option<Vec<RecordId>>,
    /// Its channels, to find it in the PBX's own records.
    #[schema(value_type = Vec<String>)]
    pub channels: Vec<ChannelId>,
    /// Its end was inferred after a gap of the PBX link, not observed.
    pub inferred: bool,
    /// Who recorded it.
    pub source: CallSource,
    /// What the caller left without an operator, whatever the outcome; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_behind: Option<LeftBehind>,
    /// What happened inside it, in order.
    pub segments: Vec<Segment>,
}

words! {
    /// Who recorded a call.
    #[derive(Default)]
    CallSource {
        /// A daemon followed it.
        #[default]
        Seen = "seen",
        /// The PBX wrote it down while no daemon ran: how it ended and who answered are known, the caller is not.
        Offline = "offline",
    }
}

words! {
    /// What a caller left without an operator.
    LeftBehind {
        /// A recording, which is a message of the account.
        VoiceMessage = "voice_message",
        /// The wish to be called back.
        Callback = "callback",
    }
}

/// A part of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Segment {
    /// What happened: `treated` (by a callflow; `target` is the treatment `open`, `closed`, `holiday` or `override`, result `expired` where the plan had ended), `queued` (a wait in the queue `target`; result `connected`, `abandoned` or `left`), `presented`, `announced` (from the pick-up of a phone to its connection with the caller; result
    /// `connected`, `operator_gone` or `caller_gone`), `talking`, `held`, `elsewhere`, `parked`, `transfer`, `transferred`,
    /// `returned`, `shown`, `unacknowledged`; of an outbound call `dialling` and `talking`.
    pub kind: String,
    /// The operator's phone.
    #[schema(value_type = Option<String>)]
    pub operator: Option<Extension>,
    /// The target of a transfer, or the queue.
    pub target: Option<String>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_optional_time")]
    pub until: Option<Timestamp>,
    /// Its result.
    pub result: Option<String>,
}

impl FinishedCall {
    /// The record of a call that has ended, from its last view. The view has no channels and segments, and only the last
    /// operator: the daemon sets the channels, segments and all operators from the call model.
    #[must_use]
    pub fn of(view: &CallView, plan: &NumberPlan) -> Self {
        let card = view.card.as_deref();
        let number = card.and_then(|c| c.caller.number.as_deref()).and_then(|n| Number::read(n, plan));
        let customer = card.and_then(|c| match c.customers.as_slice() {
            [only] => Some(only.id),
            _ => None,
        });
        Self {
            id: view.id,
            pbx: view.pbx.clone(),
            direction: view.direction,
            account: card.and_then(|c| c.account.id),
            matched_by: card.map_or(MatchedBy::None, |c| c.account.matched_by),
            customer,
            caller: number.map(|n| SmolStr::new(n.key())),
            presentation: card.map_or(Presentation::Unavailable, |c| c.caller.presentation),
            dialled: card.and_then(|c| c.dialled.clone()),
            diverted_by: card.and_then(|c| c.diverted_by.clone()),
            offered_at: view.offered_at,
            answered_at: view.answered_at,
            ended_at: view.ended_at.unwrap_or(view.offered_at),
            outcome: view.outcome.unwrap_or(Outcome::Unknown),
            operators: view.operator.iter().cloned().collect(),
            // An earlier version's view of an answered call names nobody.
            handled_by: (view.answered_at.is_none() || !view.handled_by.is_empty())
                .then(|| view.handled_by.clone()),
            channels: Vec::new(),
            inferred: view.inferred,
            source: CallSource::Seen,
            // The store knows it.
            left_behind: None,
            segments: Vec::new(),
        }
    }
}
