//! The journal: what happened inside each call, kept while it lives, so that its record tells the whole story.
//!
//! Invariant: pure; one open entry per living call, closed and handed out by `Ended`; an entry has at most
//! [`SEGMENTS_PER_CALL_MAX`] segments. The story so far is kept with each event of the call, so a restart does not
//! interrupt it.
//!
//! Over a change of daemons two stories of one call meet ([`joined`]):
//!
//! | segment | in the joined story |
//! |---|---|
//! | `presented`, `talking`, `held`: whoever follows the PBX notes it | as this daemon has it |
//! | `shown`, `unacknowledged`: whoever leads notes it | as the other one had it, and as this one has it since |
//! | `transfer`, `transferred`, `returned`: whoever leads notes it; one found under way is told anew | of each target as often as the one that has it more often says; the other one's words first |
//!
//! And a transfer that is found under way adds nothing that the story has of it ([`Journal::note_transfer`]).

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use crate::call::{Notice, NoticeKind};
use crate::directory::numbers::NumberPlan;
use crate::ids::{CallId, Extension};
use crate::store::{FinishedCall, Segment};
use crate::transfer;
use crate::transfer::view::{ReturnedTo, TransferView};

/// Most segments that are kept of one call; a call that rings round a queue for an hour makes many.
pub(super) const SEGMENTS_PER_CALL_MAX: usize = 200;
/// Most records of calls that are over that are remembered, in case the daemon that led before knew more of them.
const PAST_MAX: usize = 256;
/// What only whoever leads knows.
const LEADERS_OWN: [&str; 5] = ["shown", "unacknowledged", TRANSFER, TRANSFERRED, RETURNED];
const TRANSFER: &str = "transfer";
const TRANSFERRED: &str = "transferred";
const RETURNED: &str = "returned";

/// The stories of all living calls.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: HashMap<CallId, Vec<Segment>>,
    /// The latest that are over.
    past: VecDeque<FinishedCall>,
}

impl Journal {
    /// Notes what happened; the record of a call that has ended comes out.
    pub(super) fn note(&mut self, notice: &Notice, plan: &NumberPlan) -> Option<FinishedCall> {
        let at = notice.at;
        let story = self.calls.entry(notice.view.id).or_default();
        match &notice.kind {
            NoticeKind::Presented { operator } => open(story, "presented", operator, at),
            NoticeKind::Rescinded { operator, reason } => {
                let result = serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned));
                close(story, Some(operator), at, result.as_deref());
            }
            NoticeKind::Answered { operator } => {
                close(story, Some(operator), at, Some("answered"));
                story.iter_mut().filter(|s| s.kind != "presented").for_each(|s| end(s, at, None));
                open(story, "talking", operator, at);
            }
            NoticeKind::Held { operator } => open(story, "held", operator, at),
            NoticeKind::Resumed { operator } => close_kind(story, "held", operator, at),
            NoticeKind::Offered => {}
            NoticeKind::Updated => {
                if notice.view.operator.is_none() {
                    story.iter_mut().filter(|s| s.kind != "presented").for_each(|s| end(s, at, None));
                }
            }
            NoticeKind::Ended { operators, channels, .. } => {
                close(story, None, at, None);
                let segments = self.calls.remove(&notice.view.id).unwrap_or_default();
                let mut record = FinishedCall::of(&notice.view, plan);
                record.operators.clone_from(operators);
                record.channels.clone_from(channels);
                record.segments = segments;
                self.past.truncate(PAST_MAX - 1);
                self.past.push_front(record.clone());
                return Some(record);
            }
        }
        None
    }

    /// Notes what became of a pop.
    pub(super) fn note_pop(
        &mut self,
        call: CallId,
        kind: &str,
        operator: &Extension,
        from: Timestamp,
        until: Timestamp,
        result: Option<&str>,
    ) {
        let Some(story) = self.calls.get_mut(&call) else { return };
        let (operator, until, result) = (Some(operator.clone()), Some(until), result.map(str::to_owned));
        add(story, Segment { kind: kind.into(), operator, target: None, from, until, result });
    }

    /// Whether a desktop of this operator has shown the call's pop.
    pub(super) fn was_shown(&self, call: CallId, operator: &Extension) -> bool {
        let story = self.calls.get(&call).into_iter().flatten();
        story.filter(|s| s.kind == "shown").any(|s| s.operator.as_ref() == Some(operator))
    }

    /// What happened inside a living call so far.
    pub(super) fn story(&self, call: CallId) -> Vec<Segment> {
        self.calls.get(&call).cloned().unwrap_or_default()
    }

    /// Takes back the story of a call that an earlier run followed.
    pub(super) fn restore(&mut self, call: CallId, story: Vec<Segment>) {
        self.calls.insert(call, story);
    }

    /// Adds what the daemon that led before had noted; false when the call does not live here.
    pub(super) fn adopt(&mut self, call: CallId, left: &[Segment]) -> bool {
        let Some(story) = self.calls.get_mut(&call) else { return false };
        *story = joined(story, left);
        true
    }

    /// The record of a call that ended not long ago.
    pub(super) fn past(&self, call: CallId) -> Option<FinishedCall> {
        self.past.iter().find(|record| record.id == call).cloned()
    }

    /// Notes what became of a transfer: one segment for each target that was tried, one for the talk with it.
    pub(super) fn note_transfer(&mut self, notice: &transfer::Notice) {
        let view = &notice.view;
        let Some(story) = self.calls.get_mut(&view.call) else { return };
        let known = Known::of(story, view);
        match notice.kind {
            transfer::NoticeKind::Failed | transfer::NoticeKind::Completed => {
                let tried = view.attempts.last();
                let (from, until) = tried.map_or((view.requested_at, None), |a| (a.from, a.until));
                let target = tried.map(|a| &a.target).or(view.targets.first()).map(ToString::to_string);
                let result = word_of(view.outcome);
                let operator = Some(view.operator.clone());
                let until = until.or(Some(notice.at));
                if !known.attempt {
                    add(story, Segment { kind: TRANSFER.into(), operator, target, from, until, result });
                }
                if notice.kind == transfer::NoticeKind::Completed && !known.completed {
                    let target = tried.map(|a| a.target.to_string());
                    let kind = TRANSFERRED.into();
                    let from = notice.at;
                    add(story, Segment { kind, operator: None, target, from, until: None, result: None });
                }
            }
            transfer::NoticeKind::Returned if !known.returned => {
                let operator = Some(view.operator.clone());
                let (from, result) = (notice.at, word_of(view.outcome));
                let target = view.returned_to.as_ref().map(returned_word);
                let until = Some(from);
                add(story, Segment { kind: RETURNED.into(), operator, target, from, until, result });
            }
            transfer::NoticeKind::Over => {
                let open = |s: &&mut Segment| s.kind == TRANSFERRED && s.until.is_none();
                story.iter_mut().filter(open).for_each(|s| end(s, notice.at, None));
            }
            _ => {}
        }
    }
}

/// What a story has of a transfer that this daemon did not begin, but found.
#[derive(Default)]
struct Known {
    /// What became of the target that was tried last.
    attempt: bool,
    /// That the caller was with the target.
    completed: bool,
    /// That she came back to where she is on the way to.
    returned: bool,
}

impl Known {
    fn of(story: &[Segment], view: &TransferView) -> Self {
        if !view.inferred {
            return Self::default();
        }
        let count = |kind: &str, target: Option<&str>| {
            let is_it = |s: &&Segment| {
                s.kind == kind
                    && s.from >= view.requested_at
                    && target.is_none_or(|to| s.target.as_deref() == Some(to))
            };
            story.iter().filter(is_it).count()
        };
        let returned_to = view.returned_to.as_ref().map(returned_word);
        Self {
            attempt: count(TRANSFER, None) >= view.attempts.len().max(1),
            completed: count(TRANSFERRED, None) > 0,
            returned: count(RETURNED, Some(returned_to.as_deref().unwrap_or_default())) > 0,
        }
    }
}

fn returned_word(to: &ReturnedTo) -> String {
    match to {
        ReturnedTo::Operator(extension) => format!("operator {extension}"),
        ReturnedTo::Queue(queue) => format!("queue {queue}"),
    }
}

/// A daemon's own story of a call with what the one that led before it had `left`. Both saw the same in the same order,
/// and by that order, not by their clocks, what was left finds its place.
pub(super) fn joined(own: &[Segment], left: &[Segment]) -> Vec<Segment> {
    let is_leaders = |s: &Segment| LEADERS_OWN.contains(&s.kind.as_str());
    let same =
        |a: &Segment, b: &Segment| (&a.kind, &a.operator, &a.target) == (&b.kind, &b.operator, &b.target);
    // What only whoever leads notes, each with how much was seen before it.
    let noted = |story: &[Segment]| {
        let mut seen = 0_usize;
        let mut noted = Vec::new();
        for segment in story {
            if is_leaders(segment) {
                noted.push((seen, segment.clone()));
            } else {
                seen += 1;
            }
        }
        noted
    };
    let mut notes = noted(left);
    let mut met = vec![false; notes.len()];
    for (seen, segment) in noted(own) {
        match (0..met.len()).find(|at| !met[*at] && same(&notes[*at].1, &segment)) {
            Some(at) => {
                met[at] = true;
                let known = &mut notes[at].1;
                if known.until.is_none() {
                    (known.until, known.result) = (segment.until, segment.result);
                }
            }
            None => notes.push((seen, segment)),
        }
    }
    notes.sort_by_key(|(seen, _)| *seen);
    let mut notes = notes.into_iter().peekable();
    let mut story = Vec::new();
    let seen = own.iter().filter(|s| !is_leaders(s)).cloned();
    for (n, segment) in seen.enumerate() {
        while let Some((_, note)) = notes.next_if(|(seen, _)| *seen <= n) {
            story.push(note);
        }
        story.push(segment);
    }
    story.extend(notes.map(|(_, note)| note));
    story.truncate(SEGMENTS_PER_CALL_MAX);
    story
}

fn word_of(outcome: Option<transfer::view::Outcome>) -> Option<String> {
    serde_json::to_value(outcome?).ok()?.as_str().map(str::to_owned)
}

fn add(story: &mut Vec<Segment>, segment: Segment) {
    if story.len() < SEGMENTS_PER_CALL_MAX {
        story.push(segment);
    }
}

fn open(story: &mut Vec<Segment>, kind: &str, operator: &Extension, at: Timestamp) {
    if story.len() < SEGMENTS_PER_CALL_MAX {
        let operator = Some(operator.clone());
        story.push(Segment {
            kind: kind.into(),
            operator,
            target: None,
            from: at,
            until: None,
            result: None,
        });
    }
}

/// Ends what is open, of one operator or of all.
fn close(story: &mut [Segment], operator: Option<&Extension>, at: Timestamp, result: Option<&str>) {
    let concerned = |s: &&mut Segment| operator.is_none() || s.operator.as_ref() == operator;
    story.iter_mut().filter(concerned).for_each(|s| end(s, at, result));
}

fn close_kind(story: &mut [Segment], kind: &str, operator: &Extension, at: Timestamp) {
    let concerned = |s: &&mut Segment| s.kind == kind && s.operator.as_ref() == Some(operator);
    story.iter_mut().filter(concerned).for_each(|s| end(s, at, None));
}

fn end(segment: &mut Segment, at: Timestamp, result: Option<&str>) {
    if segment.until.is_none() {
        segment.until = Some(at);
        segment.result = result.map(str::to_owned);
    }
}

#[cfg(test)]
mod tests;
