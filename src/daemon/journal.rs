//! The journal: what happened inside each call, kept while it lives, so that its record tells the whole story.
//!
//! Invariant: pure; one open entry per living call, closed and handed out by `Ended`; an entry has at most
//! [`SEGMENTS_PER_CALL_MAX`] segments. The story so far is kept with each event of the call, so a restart does not
//! interrupt it.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::call::{Notice, NoticeKind};
use crate::directory::numbers::NumberPlan;
use crate::ids::{CallId, Extension};
use crate::store::{FinishedCall, Segment};
use crate::transfer;

/// Most segments that are kept of one call; a call that rings round a queue for an hour makes many.
pub(super) const SEGMENTS_PER_CALL_MAX: usize = 200;

/// The stories of all living calls.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: HashMap<CallId, Vec<Segment>>,
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

    /// Notes what became of a transfer: one segment for each target that was tried, one for the talk with it.
    pub(super) fn note_transfer(&mut self, notice: &transfer::Notice) {
        let view = &notice.view;
        let Some(story) = self.calls.get_mut(&view.call) else { return };
        match notice.kind {
            transfer::NoticeKind::Failed | transfer::NoticeKind::Completed => {
                let tried = view.attempts.last();
                let (from, until) = tried.map_or((view.requested_at, None), |a| (a.from, a.until));
                let target = tried.map(|a| &a.target).or(view.targets.first()).map(ToString::to_string);
                let result = word_of(view.outcome);
                let operator = Some(view.operator.clone());
                let until = until.or(Some(notice.at));
                add(story, Segment { kind: "transfer".into(), operator, target, from, until, result });
                if notice.kind == transfer::NoticeKind::Completed {
                    let target = tried.map(|a| a.target.to_string());
                    let kind = "transferred".into();
                    let from = notice.at;
                    add(story, Segment { kind, operator: None, target, from, until: None, result: None });
                }
            }
            transfer::NoticeKind::Returned => {
                let operator = Some(view.operator.clone());
                let (from, result) = (notice.at, word_of(view.outcome));
                let target = view.returned_to.as_ref().map(|to| match to {
                    transfer::view::ReturnedTo::Operator(extension) => format!("operator {extension}"),
                    transfer::view::ReturnedTo::Queue(queue) => format!("queue {queue}"),
                });
                let until = Some(from);
                add(story, Segment { kind: "returned".into(), operator, target, from, until, result });
            }
            transfer::NoticeKind::Over => {
                let open = |s: &&mut Segment| s.kind == "transferred" && s.until.is_none();
                story.iter_mut().filter(open).for_each(|s| end(s, notice.at, None));
            }
            _ => {}
        }
    }
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
