//! Whether a call counts, and why not.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::{Basis, Plan};
use crate::contract::call::{Direction, Outcome};
use crate::contract::history::{FinishedCall, LeftBehind, Segment};
use crate::ids::CallId;
use crate::stats::{CallFacts, Neighbours};

/// What a bill needs of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledCall {
    /// The call.
    pub id: CallId,
    /// Inbound or outbound.
    pub direction: Direction,
    /// When it was offered, in whole milliseconds.
    pub offered_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// The caller's number as a key, if it is known and was not removed.
    pub caller: Option<String>,
    /// The talk of the operators with the caller, in milliseconds.
    pub talk_ms: u64,
    /// How long the caller and each target spoke, in milliseconds.
    pub transfers_ms: Vec<u64>,
    /// The last disposition.
    pub disposition: Option<String>,
    /// How many messages were taken in it.
    pub messages: u64,
    /// What the caller left without an operator.
    pub left_behind: Option<LeftBehind>,
}

impl BilledCall {
    /// What a bill needs of a finished call with its segments.
    #[must_use]
    pub fn of(call: &FinishedCall, disposition: Option<String>, messages: u64) -> Self {
        let facts = CallFacts::of(call, &[], Neighbours::default());
        let spoken = |segment: &Segment| {
            let ms = segment.until.unwrap_or(call.ended_at).as_millisecond() - segment.from.as_millisecond();
            u64::try_from(ms).unwrap_or(0)
        };
        Self {
            id: call.id,
            direction: call.direction,
            offered_at: call.offered_at,
            outcome: call.outcome,
            caller: call.caller.as_ref().map(ToString::to_string),
            talk_ms: facts.map_or(0, |facts| facts.parts.iter().map(|part| part.talk_ms).sum()),
            transfers_ms: call.segments.iter().filter(|s| s.kind == "transferred").map(spoken).collect(),
            disposition,
            messages,
            left_behind: call.left_behind,
        }
    }
}

/// Why a call counts or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillReason)]
pub enum Reason {
    /// It counts.
    Counted,
    /// Nobody answered it.
    NotAnswered,
    /// It came outside the account's hours.
    Closed,
    /// No message was taken.
    NoMessage,
    /// Its disposition is left out.
    Disposition,
    /// It was answered with less talk than the plan asks for.
    ShortTalk,
    /// The same caller had a call that counts shortly before.
    Merged,
}

/// What the bill says of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BillVerdict)]
pub struct Verdict {
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    pub call: CallId,
    /// When it was offered.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub offered_at: Timestamp,
    /// Why it counts or not.
    pub why: Reason,
    /// As how many it counts.
    pub units: u64,
    /// The disposition that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// The call that counts in its place.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_with: Option<CallId>,
    /// Units of long talk that cost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub talk_units: u64,
    /// Transfers in which the caller and the target spoke.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub transfers: u64,
    /// Units of their time that cost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub transfer_units: u64,
    /// Voice messages that cost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub voice_messages: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The verdicts of the inbound calls of a month, by time. `before`: those of an earlier count. A call that was merged then
/// stays so when its caller's number has been removed since.
#[must_use]
pub fn verdicts_of(plan: &Plan, calls: &[BilledCall], before: &[Verdict]) -> Vec<Verdict> {
    let mut inbound: Vec<&BilledCall> =
        calls.iter().filter(|call| call.direction == Direction::Inbound).collect();
    inbound.sort_by_key(|call| (call.offered_at, call.id));
    let merged_before: HashMap<CallId, &Verdict> = before
        .iter()
        .filter(|verdict| verdict.why == Reason::Merged)
        .map(|verdict| (verdict.call, verdict))
        .collect();
    // The last call of each caller that counts.
    let mut counted: HashMap<&str, (Timestamp, CallId)> = HashMap::new();
    let window = SignedDuration::from_secs(i64::from(plan.merge_repeat_s));
    let mut verdicts = Vec::with_capacity(inbound.len());
    for call in inbound {
        let verdict = alone(plan, call);
        if verdict.why != Reason::Counted || window.is_zero() {
            verdicts.push(verdict);
            continue;
        }
        let other = match call.caller.as_deref() {
            None => merged_before.get(&call.id).map(|earlier| earlier.merged_with),
            Some(caller) => match counted.get(caller) {
                Some((at, other)) if call.offered_at.duration_since(*at) <= window => Some(Some(*other)),
                _ => {
                    counted.insert(caller, (call.offered_at, call.id));
                    None
                }
            },
        };
        verdicts.push(match other {
            Some(merged_with) => {
                Verdict { why: Reason::Merged, units: 0, merged_with, talk_units: 0, ..verdict }
            }
            None => verdict,
        });
    }
    verdicts
}

/// The verdict of a call without its neighbours.
fn alone(plan: &Plan, call: &BilledCall) -> Verdict {
    let is_left_out = |disposition: &&String| plan.exclude_dispositions.contains(disposition);
    let disposition = call.disposition.as_ref().filter(is_left_out).cloned();
    let is_short = call.outcome == Outcome::Answered && call.talk_ms < u64::from(plan.min_talk_s) * 1_000;
    let why = match (plan.basis, call.outcome) {
        // Nobody spoke with a machine, or with a caller whom the account refuses, whatever the plan counts.
        (_, Outcome::Fax | Outcome::Refused) => Reason::NotAnswered,
        (Basis::OfferedOpen, Outcome::Closed) => Reason::Closed,
        (Basis::Answered, outcome) if outcome != Outcome::Answered => Reason::NotAnswered,
        (Basis::Messages, _) if call.messages == 0 => Reason::NoMessage,
        _ if disposition.is_some() => Reason::Disposition,
        _ if is_short => Reason::ShortTalk,
        _ => Reason::Counted,
    };
    let is_counted = why == Reason::Counted;
    let units = match plan.basis {
        _ if !is_counted => 0,
        Basis::Messages => call.messages,
        Basis::Answered | Basis::OfferedOpen => 1,
    };
    let talk_units = plan.talk.filter(|_| is_counted).map_or(0, |price| price.units(call.talk_ms));
    let transfer_time = plan.transfer.and_then(|price| price.time);
    Verdict {
        call: call.id,
        offered_at: call.offered_at,
        why,
        units,
        disposition: disposition.filter(|_| why == Reason::Disposition),
        merged_with: None,
        talk_units,
        transfers: plan.transfer.map_or(0, |_| call.transfers_ms.len() as u64),
        transfer_units: transfer_time
            .map_or(0, |price| call.transfers_ms.iter().map(|ms| price.units(*ms)).sum()),
        voice_messages: plan
            .voice_message
            .map_or(0, |_| (call.left_behind == Some(LeftBehind::VoiceMessage)).into()),
    }
}
