//! The facts of one finished call.

use jiff::Timestamp;

use super::SHORT;
use super::care::Care;
use crate::contract::call::{Direction, Outcome};
use crate::contract::history::{CallSource, FinishedCall, LeftBehind, Segment};
use crate::identity::Presentation;
use crate::ids::{Extension, RecordId};

/// How an operator's ring ended where the operator did not take a call that was for the operator.
const MISSED: [&str; 3] = ["no_answer", "busy", "unreachable"];

/// One operator's time with the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The operator's phone.
    pub operator: Option<Extension>,
    /// The person; `None` where the record does not tell who sat at that phone.
    pub person: Option<RecordId>,
    /// Milliseconds in which the two heard each other.
    pub talk_ms: u64,
    /// Milliseconds of hold.
    pub hold_ms: u64,
}

/// The after-call work of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapUpTime {
    /// The operator.
    pub person: RecordId,
    /// How long it was.
    pub ms: u64,
}

/// Whether the caller's other calls to the account give this call a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Neighbours {
    /// The caller was lost not long before.
    pub lost_before: bool,
    /// The caller was answered not long after.
    pub answered_after: bool,
}

/// What one inbound call counts as; see the tables of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFacts {
    /// How it ended.
    pub outcome: Outcome,
    /// The first queue.
    pub queue: Option<String>,
    /// Milliseconds from the beginning of the wait to the connection or the end.
    pub wait_ms: u64,
    /// Milliseconds from the offer to the connection.
    pub to_answer_ms: Option<u64>,
    /// Queues that the caller left unserved.
    pub hops: u64,
    /// The operators' parts, in order.
    pub parts: Vec<Part>,
    /// How often an operator's phone rang. The record names the people who had the caller, not those whose phone rang, so
    /// this is nobody's figure.
    pub rings: u64,
    /// How often an operator did not take the call.
    pub missed: u64,
    /// The after-call work.
    pub wrap_ups: Vec<WrapUpTime>,
    /// Whose transfers were tried: each target counts.
    pub transfers: Vec<TransferFact>,
    /// Abandoned at once.
    pub short: bool,
    /// The caller tries again.
    pub repeat: bool,
    /// The caller was lost and came back.
    pub recovered: bool,
    /// The caller showed no number.
    pub withheld: bool,
    /// The end was not seen.
    pub inferred: bool,
    /// What the caller left without an operator.
    pub left_behind: Option<LeftBehind>,
    /// What became of that.
    pub care: Care,
    /// The PBX wrote it down while no daemon followed it.
    pub is_offline: bool,
}

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferFact {
    /// Whose it was.
    pub person: Option<RecordId>,
    /// What happened.
    pub kind: TransferKind,
}

/// What happened in a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKind {
    /// A target was tried in vain.
    Tried,
    /// A target was tried, and took the caller.
    Reached,
    /// The caller came back.
    Returned,
}

impl CallFacts {
    /// The facts of an inbound call; `None` of another one, which counts nowhere.
    #[must_use]
    pub fn of(call: &FinishedCall, wrap_ups: &[WrapUpTime], neighbours: Neighbours) -> Option<Self> {
        if call.direction != Direction::Inbound {
            return None;
        }
        let of_kind = |kind: &'static str| call.segments.iter().filter(move |s| s.kind == kind);
        let first_queue = of_kind("queued").next();
        let waiting_from = first_queue.or_else(|| of_kind("presented").next());
        let waiting_from = waiting_from.map_or(call.offered_at, |s| s.from);
        let wait_ms = between(waiting_from, call.answered_at.unwrap_or(call.ended_at));
        let abandoned = call.outcome == Outcome::Abandoned;
        let lost = is_lost(call.outcome);
        Some(Self {
            outcome: call.outcome,
            queue: first_queue.and_then(|s| s.target.clone()),
            wait_ms,
            to_answer_ms: call.answered_at.map(|at| between(call.offered_at, at)),
            hops: count(of_kind("queued").filter(|s| s.result.as_deref() == Some("left"))),
            parts: parts_of(call),
            rings: count(of_kind("presented")),
            missed: count(of_kind("presented").filter(|ring| is_missed(ring))),
            wrap_ups: wrap_ups.to_vec(),
            transfers: call.segments.iter().filter_map(|segment| transfer_of(call, segment)).collect(),
            short: abandoned && u128::from(wait_ms) <= SHORT.as_millis(),
            repeat: neighbours.lost_before && call.outcome != Outcome::Closed,
            recovered: lost && neighbours.answered_after,
            withheld: call.presentation != Presentation::Allowed,
            inferred: call.inferred,
            left_behind: call.left_behind,
            care: Care::default(),
            is_offline: call.source == CallSource::Offline,
        })
    }

    /// The facts with what became of what the caller left.
    #[must_use]
    pub fn with_care(self, care: Care) -> Self {
        Self { care: if self.left_behind.is_some() { care } else { Care::default() }, ..self }
    }

    /// Whether the caller reached nobody, and not for a moment only, and what the caller left was done in time.
    #[must_use]
    pub fn is_cared(&self) -> bool {
        self.care.is_in_time && self.outcome != Outcome::Answered && !self.short
    }

    /// Whether this person has a share in the call.
    #[must_use]
    pub fn concerns(&self, person: RecordId) -> bool {
        self.people().any(|one| one == Some(person))
    }

    /// Everybody who has a share in the call, with repetitions; `None` is somebody whom the record does not name.
    pub fn people(&self) -> impl Iterator<Item = Option<RecordId>> + '_ {
        let parts = self.parts.iter().map(|part| part.person);
        let wrap_ups = self.wrap_ups.iter().map(|one| Some(one.person));
        parts.chain(wrap_ups).chain(self.transfers.iter().map(|one| one.person))
    }
}

/// Whether a caller who reached nobody may try again.
pub(super) fn is_lost(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Abandoned | Outcome::Overflowed | Outcome::Blocked)
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

/// Who sat at a phone. The record lists the phones and the people who had the caller, each in the order of their first
/// part; where these are as many, they belong together.
fn person_at(call: &FinishedCall, operator: &Extension) -> Option<RecordId> {
    let people = call.handled_by.as_deref()?;
    let mut phones: Vec<&Extension> = Vec::with_capacity(people.len());
    for phone in &call.operators {
        if !phones.contains(&phone) {
            phones.push(phone);
        }
    }
    let at = phones.iter().position(|phone| *phone == operator)?;
    (phones.len() == people.len()).then(|| people[at])
}

fn parts_of(call: &FinishedCall) -> Vec<Part> {
    let span = |s: &Segment| (s.from, s.until.unwrap_or(call.ended_at));
    let part = |talking: &Segment| {
        let (from, until) = span(talking);
        let held = call.segments.iter().filter(|s| s.kind == "held" && s.operator == talking.operator);
        let hold_ms: u64 = held
            .map(|s| {
                let (held_from, held_until) = span(s);
                between(held_from.max(from), held_until.min(until))
            })
            .sum();
        Part {
            operator: talking.operator.clone(),
            person: talking.operator.as_ref().and_then(|operator| person_at(call, operator)),
            talk_ms: between(from, until).saturating_sub(hold_ms),
            hold_ms,
        }
    };
    call.segments.iter().filter(|s| s.kind == "talking").map(part).collect()
}

fn is_missed(ring: &Segment) -> bool {
    ring.result.as_deref().is_some_and(|result| MISSED.contains(&result))
}

fn transfer_of(call: &FinishedCall, segment: &Segment) -> Option<TransferFact> {
    let kind = match (segment.kind.as_str(), segment.result.as_deref()) {
        ("transfer", Some("answered")) => TransferKind::Reached,
        ("transfer", _) => TransferKind::Tried,
        ("returned", _) => TransferKind::Returned,
        _ => return None,
    };
    let person = segment.operator.as_ref().and_then(|operator| person_at(call, operator));
    Some(TransferFact { person, kind })
}
