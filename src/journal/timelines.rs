//! Call timelines: the segments of each living call (presented, announced, talking, held, transferred, …), which become
//! part of the finished call's record. `announced` is the time from the pick-up of a phone to the connection with the
//! caller, with the result `connected`, `operator_gone` or `caller_gone`. `queued` are the caller's waits in queues (`target`:
//! the queue; result `connected`, `abandoned` or `left`): the call model keeps them and they join the timeline at its end. `elsewhere` and `parked` are the call's states of
//! these names.
//!
//! Invariants: pure. Each living call has one timeline of at most [`SEGMENTS_PER_CALL_MAX`] segments; `Ended` closes it
//! and returns the record. The timeline is part of the call's checkpoint, which is stored with each event of the call, so
//! a restart does not interrupt it.
//!
//! When a new leader takes over, the two daemons' timelines of one call are merged ([`merge`]):
//!
//! | segment | recorded by | in the merged timeline |
//! |---|---|---|
//! | `queued`, `presented`, `announced`, `talking`, `held`, `elsewhere`, `parked` | every daemon that follows the PBX | as this daemon has it |
//! | `shown`, `unacknowledged` | the leader | the predecessor's, and those that this daemon added since |
//! | `transfer`, `transferred`, `returned` | the leader; a transfer found under way is recorded again | for each target, the larger of the two counts; on equal entries the predecessor's values win |
//!
//! A transfer that is found under way adds no segment that the timeline has already ([`CallTimelines::record_transfer`]).

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use crate::call::queue_visit::{QueueVisit, Treated};
use crate::call::{ANNOUNCEMENT_MIN, Notice, NoticeKind, RescindReason};
use crate::contract::call::CallState;
use crate::contract::history::{FinishedCall, Segment};
use crate::contract::transfer::{ReturnedTo, TransferView};
use crate::ids::{CallId, Extension};
use crate::numbers::NumberPlan;
use crate::transfer;

/// Maximum number of segments of one call; a call that rings round a queue for an hour makes many.
pub(crate) const SEGMENTS_PER_CALL_MAX: usize = 200;
/// Maximum number of finished records kept in memory, in case the predecessor's checkpoint completes them.
const FINISHED_MAX: usize = 256;
/// Kinds of segments that only the leader records.
const LEADER_KINDS: [&str; 5] = ["shown", "unacknowledged", TRANSFER, TRANSFERRED, RETURNED];
/// From the pick-up of a phone to its connection with the caller.
const ANNOUNCED: &str = "announced";
/// A wait in a queue.
const QUEUED: &str = "queued";
/// A plan of the PBX treats the call.
const TREATED: &str = "treated";
/// The schedule of that plan had ended.
const EXPIRED: &str = "expired";
/// Where the caller is while no operator has them; see [`record_whereabouts`].
const WHEREABOUTS: [&str; 2] = ["elsewhere", "parked"];
const TRANSFER: &str = "transfer";
const TRANSFERRED: &str = "transferred";
const RETURNED: &str = "returned";

/// The timelines of all living calls.
#[derive(Debug, Default)]
pub(crate) struct CallTimelines {
    calls: HashMap<CallId, Vec<Segment>>,
    /// The records of the calls that ended last, newest first.
    finished: VecDeque<FinishedCall>,
}

impl CallTimelines {
    /// Records a notice of the call model; returns the record when the call has ended.
    pub(crate) fn record_notice(&mut self, notice: &Notice, plan: &NumberPlan) -> Option<FinishedCall> {
        let at = notice.at;
        let segments = self.calls.entry(notice.view.id).or_default();
        match &notice.kind {
            NoticeKind::Presented { operator } => open(segments, "presented", operator, at),
            NoticeKind::Rescinded { operator, reason, picked_up_at } => {
                let result = serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned));
                close(segments, Some(operator), at, result.as_deref());
                let gone = if *reason == RescindReason::CallerGone { "caller_gone" } else { "operator_gone" };
                add_announced(segments, operator, *picked_up_at, at, gone);
            }
            NoticeKind::Answered { operator, picked_up_at } => {
                close(segments, Some(operator), at, Some("answered"));
                let heard =
                    picked_up_at.filter(|from| at.duration_since(*from).unsigned_abs() >= ANNOUNCEMENT_MIN);
                add_announced(segments, operator, heard, at, "connected");
                segments.iter_mut().filter(|s| s.kind != "presented").for_each(|s| end(s, at, None));
                open(segments, "talking", operator, at);
            }
            NoticeKind::Held { operator } => open(segments, "held", operator, at),
            NoticeKind::Resumed { operator } => close_kind(segments, "held", operator, at),
            NoticeKind::Offered
            | NoticeKind::Queued { .. }
            | NoticeKind::Guidance { .. }
            | NoticeKind::Announced { .. } => {}
            NoticeKind::Updated => {
                if notice.view.operator.is_none() {
                    let is_operators =
                        |s: &&mut Segment| s.kind != "presented" && !WHEREABOUTS.contains(&s.kind.as_str());
                    segments.iter_mut().filter(is_operators).for_each(|s| end(s, at, None));
                }
            }
            NoticeKind::Ended { operators, channels, queues, treated, .. } => {
                close(segments, None, at, None);
                let mut segments = self.calls.remove(&notice.view.id).unwrap_or_default();
                insert_queues(&mut segments, queues);
                insert_treatment(&mut segments, treated.as_ref());
                let mut record = FinishedCall::of(&notice.view, plan);
                record.operators.clone_from(operators);
                record.channels.clone_from(channels);
                record.segments = segments;
                self.finished.truncate(FINISHED_MAX - 1);
                self.finished.push_front(record.clone());
                return Some(record);
            }
        }
        record_whereabouts(segments, notice.view.state, at);
        None
    }

    /// Records the outcome of a pop.
    pub(crate) fn record_pop(
        &mut self,
        call: CallId,
        kind: &str,
        operator: &Extension,
        from: Timestamp,
        until: Timestamp,
        result: Option<&str>,
    ) {
        let Some(segments) = self.calls.get_mut(&call) else { return };
        let (operator, until, result) = (Some(operator.clone()), Some(until), result.map(str::to_owned));
        add(segments, Segment { kind: kind.into(), operator, target: None, from, until, result });
    }

    /// Whether a desktop of this operator has shown the call's pop.
    pub(crate) fn was_shown(&self, call: CallId, operator: &Extension) -> bool {
        let segments = self.calls.get(&call).into_iter().flatten();
        segments.filter(|s| s.kind == "shown").any(|s| s.operator.as_ref() == Some(operator))
    }

    /// The segments of a living call so far.
    pub(crate) fn segments(&self, call: CallId) -> Vec<Segment> {
        self.calls.get(&call).cloned().unwrap_or_default()
    }

    /// Restores the timeline of a call from its checkpoint.
    pub(crate) fn restore(&mut self, call: CallId, segments: Vec<Segment>) {
        self.calls.insert(call, segments);
    }

    /// Merges the predecessor's segments into a timeline; false when the call is not alive here.
    pub(crate) fn adopt(&mut self, call: CallId, prior: &[Segment]) -> bool {
        let Some(segments) = self.calls.get_mut(&call) else { return false };
        *segments = merge(segments, prior);
        true
    }

    /// The record of a call that ended not long ago.
    pub(crate) fn finished(&self, call: CallId) -> Option<FinishedCall> {
        self.finished.iter().find(|record| record.id == call).cloned()
    }

    /// Records the outcome of a transfer: one segment for each target that was tried, one for the conversation with the
    /// target that answered, one for a return.
    pub(crate) fn record_transfer(&mut self, notice: &transfer::Notice) {
        let view = &notice.view;
        let Some(segments) = self.calls.get_mut(&view.call) else { return };
        let recorded = RecordedSegments::of(segments, view);
        match notice.kind {
            transfer::NoticeKind::Failed | transfer::NoticeKind::Completed => {
                let tried = view.attempts.last();
                let (from, until) = tried.map_or((view.requested_at, None), |a| (a.from, a.until));
                let target = tried.map(|a| &a.target).or(view.targets.first()).map(ToString::to_string);
                let result = outcome_name(view.outcome);
                let operator = Some(view.operator.clone());
                let until = until.or(Some(notice.at));
                if !recorded.attempt {
                    add(segments, Segment { kind: TRANSFER.into(), operator, target, from, until, result });
                }
                if notice.kind == transfer::NoticeKind::Completed && !recorded.completed {
                    let target = tried.map(|a| a.target.to_string());
                    let kind = TRANSFERRED.into();
                    let from = notice.at;
                    add(segments, Segment { kind, operator: None, target, from, until: None, result: None });
                }
            }
            transfer::NoticeKind::Returned if !recorded.returned => {
                let operator = Some(view.operator.clone());
                let (from, result) = (notice.at, outcome_name(view.outcome));
                let target = view.returned_to.as_ref().map(return_target);
                let until = Some(from);
                add(segments, Segment { kind: RETURNED.into(), operator, target, from, until, result });
            }
            transfer::NoticeKind::Over => {
                let open = |s: &&mut Segment| s.kind == TRANSFERRED && s.until.is_none();
                segments.iter_mut().filter(open).for_each(|s| end(s, notice.at, None));
            }
            _ => {}
        }
    }
}

/// Which segments of a transfer the timeline has already; nothing for a transfer that this daemon began itself.
#[derive(Default)]
struct RecordedSegments {
    /// The outcome of the target that was tried last.
    attempt: bool,
    /// The conversation of caller and target.
    completed: bool,
    /// The return to the destination that the caller is on the way to.
    returned: bool,
}

impl RecordedSegments {
    fn of(segments: &[Segment], view: &TransferView) -> Self {
        if !view.inferred {
            return Self::default();
        }
        let count = |kind: &str, target: Option<&str>| {
            let is_it = |s: &&Segment| {
                s.kind == kind
                    && s.from >= view.requested_at
                    && target.is_none_or(|to| s.target.as_deref() == Some(to))
            };
            segments.iter().filter(is_it).count()
        };
        let returned_to = view.returned_to.as_ref().map(return_target);
        Self {
            attempt: count(TRANSFER, None) >= view.attempts.len().max(1),
            completed: count(TRANSFERRED, None) > 0,
            returned: count(RETURNED, Some(returned_to.as_deref().unwrap_or_default())) > 0,
        }
    }
}

fn return_target(to: &ReturnedTo) -> String {
    match to {
        ReturnedTo::Operator(extension) => format!("operator {extension}"),
        ReturnedTo::Queue(queue) => format!("queue {queue}"),
    }
}

/// Merges a daemon's own timeline of a call with that of its predecessor (`prior`). Both daemons saw the same PBX events
/// in the same order, so the leader's segments are placed by that order, not by the daemons' clocks.
pub(crate) fn merge(own: &[Segment], prior: &[Segment]) -> Vec<Segment> {
    let is_leader_kind = |s: &Segment| LEADER_KINDS.contains(&s.kind.as_str());
    let same =
        |a: &Segment, b: &Segment| (&a.kind, &a.operator, &a.target) == (&b.kind, &b.operator, &b.target);
    // The leader's segments, each with the number of PBX segments before it. By its own clock each daemon decides whether
    // an announcement was long enough to be one, and waits in queues and the treatment come with the end, so these do not count.
    let counts = |s: &Segment| ![ANNOUNCED, QUEUED, TREATED].contains(&s.kind.as_str());
    let leader_segments = |segments: &[Segment]| {
        let mut seen = 0_usize;
        let mut found = Vec::new();
        for segment in segments {
            if is_leader_kind(segment) {
                found.push((seen, segment.clone()));
            } else if counts(segment) {
                seen += 1;
            }
        }
        found
    };
    let mut merged = leader_segments(prior);
    let mut matched = vec![false; merged.len()];
    for (seen, segment) in leader_segments(own) {
        match (0..matched.len()).find(|at| !matched[*at] && same(&merged[*at].1, &segment)) {
            Some(at) => {
                matched[at] = true;
                let prior = &mut merged[at].1;
                if prior.until.is_none() {
                    (prior.until, prior.result) = (segment.until, segment.result);
                }
            }
            None => merged.push((seen, segment)),
        }
    }
    merged.sort_by_key(|(seen, _)| *seen);
    let mut merged = merged.into_iter().peekable();
    let mut timeline = Vec::new();
    let mut seen = 0_usize;
    for segment in own.iter().filter(|s| !is_leader_kind(s)) {
        while let Some((_, earlier)) = merged.next_if(|(before, _)| *before <= seen) {
            timeline.push(earlier);
        }
        timeline.push(segment.clone());
        seen += usize::from(counts(segment));
    }
    timeline.extend(merged.map(|(_, segment)| segment));
    timeline.truncate(SEGMENTS_PER_CALL_MAX);
    timeline
}

fn outcome_name(outcome: Option<crate::contract::transfer::Outcome>) -> Option<String> {
    serde_json::to_value(outcome?).ok()?.as_str().map(str::to_owned)
}

fn add(segments: &mut Vec<Segment>, segment: Segment) {
    if segments.len() < SEGMENTS_PER_CALL_MAX {
        segments.push(segment);
    }
}

/// Puts the waits in queues before what began later.
fn insert_queues(segments: &mut Vec<Segment>, queues: &[QueueVisit]) {
    for visit in queues {
        let at = segments.iter().position(|s| s.from >= visit.from).unwrap_or(segments.len());
        let target = Some(visit.queue.as_str().to_owned());
        let (kind, result) = (QUEUED.into(), visit.result.map(|result| result.as_str().to_owned()));
        let (from, until) = (visit.from, visit.until);
        segments.insert(at, Segment { kind, operator: None, target, from, until, result });
    }
    segments.truncate(SEGMENTS_PER_CALL_MAX);
}

/// Puts the treatment of the call before what began later.
fn insert_treatment(segments: &mut Vec<Segment>, treated: Option<&Treated>) {
    let Some((letter, is_expired)) = treated.and_then(Treated::treatment) else { return };
    let from = treated.map_or(Timestamp::UNIX_EPOCH, |treated| treated.at);
    let at = segments.iter().position(|s| s.from >= from).unwrap_or(segments.len());
    let (target, result) = (Some(letter.as_str().to_owned()), is_expired.then(|| EXPIRED.to_owned()));
    segments.insert(
        at,
        Segment { kind: TREATED.into(), operator: None, target, from, until: Some(from), result },
    );
    segments.truncate(SEGMENTS_PER_CALL_MAX);
}

/// Keeps one segment open while the caller is with somebody who is not an operator, or parked.
fn record_whereabouts(segments: &mut Vec<Segment>, state: CallState, at: Timestamp) {
    let states = [CallState::Elsewhere, CallState::Parked];
    for (kind, is_there) in WHEREABOUTS.into_iter().zip(states.map(|one| one == state)) {
        let open = segments.iter_mut().find(|s| s.kind == kind && s.until.is_none());
        match (open, is_there) {
            (Some(segment), false) => end(segment, at, None),
            (None, true) => {
                let kind = kind.into();
                add(
                    segments,
                    Segment { kind, operator: None, target: None, from: at, until: None, result: None },
                );
            }
            _ => {}
        }
    }
}

fn add_announced(
    segments: &mut Vec<Segment>,
    operator: &Extension,
    from: Option<Timestamp>,
    until: Timestamp,
    result: &str,
) {
    let Some(from) = from else { return };
    let (operator, until, result) = (Some(operator.clone()), Some(until), Some(result.to_owned()));
    add(segments, Segment { kind: ANNOUNCED.into(), operator, target: None, from, until, result });
}

fn open(segments: &mut Vec<Segment>, kind: &str, operator: &Extension, at: Timestamp) {
    if segments.len() < SEGMENTS_PER_CALL_MAX {
        let operator = Some(operator.clone());
        segments.push(Segment {
            kind: kind.into(),
            operator,
            target: None,
            from: at,
            until: None,
            result: None,
        });
    }
}

/// Ends the open segments of one operator, or of all.
fn close(segments: &mut [Segment], operator: Option<&Extension>, at: Timestamp, result: Option<&str>) {
    let concerned = |s: &&mut Segment| operator.is_none() || s.operator.as_ref() == operator;
    segments.iter_mut().filter(concerned).for_each(|s| end(s, at, result));
}

fn close_kind(segments: &mut [Segment], kind: &str, operator: &Extension, at: Timestamp) {
    let concerned = |s: &&mut Segment| s.kind == kind && s.operator.as_ref() == Some(operator);
    segments.iter_mut().filter(concerned).for_each(|s| end(s, at, None));
}

fn end(segment: &mut Segment, at: Timestamp, result: Option<&str>) {
    if segment.until.is_none() {
        segment.until = Some(at);
        segment.result = result.map(str::to_owned);
    }
}

#[cfg(test)]
mod tests;
