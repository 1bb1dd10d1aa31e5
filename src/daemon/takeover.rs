//! Takeover of the predecessor's calls: their checkpoints complete the histories of this daemon, and calls whose end
//! nobody saw are recorded.
//!
//! Every daemon that follows the PBX records the segments that it can see there. Only the leader records that a desktop
//! showed a pop or did not, and the outcome of a transfer; it stores these segments in the call's checkpoint for the next
//! leader (`bus/redis/`).
//!
//! | call in the checkpoints, after this leader's first complete channel list | action |
//! |---|---|
//! | alive in this daemon's model | the checkpoint's segments are merged into its timeline ([`crate::journal::timelines::merge`]) |
//! | ended here before this daemon led | its record is written again, completed with the checkpoint |
//! | unknown to this daemon | it ended unseen: recorded as after a restart of the daemon, marked `inferred` |
//! | not in the checkpoints, but published as alive (Redis lost the checkpoint) | recorded in its published state, marked `inferred` |
//!
//! Invariant: the history has each segment once, whichever daemon recorded it, and each call as one record.

use jiff::Timestamp;

use super::core::Core;
use crate::call::{EndpointRules, Input, Model, Output};
use crate::contract::call::{CallView, Outcome};
use crate::contract::history::FinishedCall;
use crate::ids::CallId;
use crate::journal::entry::{CallCheckpoint, JournalEntry};
use crate::journal::timelines::{CallTimelines, merge};
use crate::numbers::NumberPlan;

impl Core {
    /// All channels are listed: compares the model with the published calls, and on the first list of a new leader with
    /// the predecessor's checkpoints.
    pub(super) fn adopt_predecessor_calls(&mut self, now: Timestamp) {
        let ended = self.deps.bus.reconcile_calls(|| self.model.calls().collect(), now);
        let Some(checkpoints) = self.deps.bus.predecessor_checkpoints() else {
            return self.deps.bus.publish_all(Vec::new(), self.records_as_published(&ended, now)).clear();
        };
        let (mut entries, mut unrecorded) = (Vec::new(), Vec::new());
        let known: Vec<CallId> = checkpoints.iter().map(|live| live.snapshot.id).collect();
        for live in checkpoints {
            let id = live.snapshot.id;
            if self.timelines.adopt(id, &live.segments) {
                continue;
            }
            match self.predecessor_record(live, now) {
                Some(record) => entries.push(JournalEntry::Finished(Box::new(record))),
                None => unrecorded.push(id),
            }
        }
        let ended: Vec<_> = ended.into_iter().filter(|view| !known.contains(&view.id)).collect();
        entries.extend(self.records_as_published(&ended, now));
        // From now on the checkpoints are those of this daemon.
        let living: Vec<CallId> = self.model.calls().map(|view| view.id).collect();
        entries.extend(living.into_iter().filter_map(|call| self.checkpoint_entry(call)));
        self.deps.bus.publish_all(Vec::new(), entries);
        unrecorded.into_iter().for_each(|call| self.deps.bus.mark_recorded(call));
    }

    /// The record of a call that is not alive in this daemon's model.
    fn predecessor_record(&mut self, live: CallCheckpoint, now: Timestamp) -> Option<FinishedCall> {
        let numbers = self.deps.directory.plan();
        match self.timelines.finished(live.snapshot.id) {
            Some(record) => Some(complete_record(record, &live)),
            None => conclude_call(self.deps.plan.clone(), live, now, numbers),
        }
    }

    fn records_as_published(&self, calls: &[std::sync::Arc<CallView>], now: Timestamp) -> Vec<JournalEntry> {
        let record = |view: &CallView| {
            let outcome = Some(Outcome::inferred_from(view));
            let ended = CallView { ended_at: Some(now), inferred: true, outcome, ..view.clone() };
            JournalEntry::Finished(Box::new(FinishedCall::of(&ended, self.deps.directory.plan())))
        };
        calls.iter().map(|view| record(view)).collect()
    }
}

/// The record of a call that ended before this daemon led, completed with the predecessor's checkpoint.
fn complete_record(mut record: FinishedCall, checkpoint: &CallCheckpoint) -> FinishedCall {
    record.segments = merge(&record.segments, &checkpoint.segments);
    for open in record.segments.iter_mut().filter(|segment| segment.until.is_none()) {
        open.until = Some(record.ended_at);
    }
    record
}

/// The record of a call that the PBX no longer has: a model that remembers the call concludes its end from an empty
/// channel list.
fn conclude_call(
    plan: EndpointRules,
    live: CallCheckpoint,
    now: Timestamp,
    numbers: &NumberPlan,
) -> Option<FinishedCall> {
    let (mut model, mut timelines) = (Model::new(plan), CallTimelines::default());
    timelines.restore(live.snapshot.id, live.segments);
    model.restore(live.snapshot);
    model.handle(now, Input::ListBegan);
    model.handle(now, Input::ListEnded);
    while let Some(output) = model.poll_output() {
        if let Output::Notice(notice) = output
            && let Some(record) = timelines.record_notice(&notice, numbers)
        {
            return Some(record);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::snapshot::samples;
    use crate::contract::history::Segment;
    use crate::ids::Extension;

    #[test]
    fn a_call_nobody_knows_of_is_recorded_with_its_story_and_inferred() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let segment = |kind: &str, until| Segment {
            kind: kind.into(),
            operator: Extension::parse("1001").ok(),
            target: None,
            from: at(1),
            until,
            result: None,
        };
        let story = vec![segment("shown", Some(at(2))), segment("talking", None)];
        let live = CallCheckpoint { snapshot: samples::talking(7), segments: story.clone() };
        let record = conclude_call(samples::rules(), live, at(100), &NumberPlan::default()).unwrap();
        assert_eq!((record.offered_at, record.answered_at, record.ended_at), (at(0), Some(at(60)), at(100)));
        assert_eq!((record.outcome, record.inferred), (Outcome::Answered, true));
        assert_eq!((record.operators.len(), record.channels.len()), (1, 2));
        assert_eq!(record.segments, [story[0].clone(), segment("talking", Some(at(100)))]);
    }
}
