//! Calls as the daemon that led before left them: what it alone knew of them goes into their history, and those that
//! ended unseen are recorded.
//!
//! Whoever follows the PBX notes by itself what can be seen there. That a desktop showed a pop, that it did not, and what
//! became of a transfer is noted by whoever leads alone, and left with the call for the next one (`bus/redis/lives.rs`).
//!
//! | a call that was left, once all channels are listed | what comes of it |
//! |---|---|
//! | lives here | what was left joins its story ([`super::journal::joined`]) |
//! | ended here before this daemon led | its record is written once more, with what was left |
//! | this daemon knows nothing of it | it ended unseen: recorded as a daemon that is started again would, inferred |
//! | was told as alive and not left (Redis lost it) | recorded as it was told, inferred |
//!
//! Invariant: each segment stands in the history once, whoever noted it, and a call is one record.

use jiff::Timestamp;

use super::core::Core;
use super::journal::{Journal, joined};
use crate::call::view::{CallView, Outcome};
use crate::call::{Input, Model, Output, Plan};
use crate::directory::numbers::NumberPlan;
use crate::ids::CallId;
use crate::store::FinishedCall;
use crate::store::log::{Keep, LiveCall};

impl Core {
    /// All channels are listed. What was told or left of calls before this daemon led is compared with them.
    pub(super) fn inherit(&mut self, now: Timestamp) {
        let told = self.parts.bus.settled(|| self.model.calls().collect(), now);
        let Some(left) = self.parts.bus.left() else {
            return self.parts.bus.publish_all(Vec::new(), self.over_as_told(&told, now)).clear();
        };
        let (mut keeps, mut nothing) = (Vec::new(), Vec::new());
        let known: Vec<CallId> = left.iter().map(|live| live.memory.id).collect();
        for live in left {
            let id = live.memory.id;
            if self.journal.adopt(id, &live.story) {
                continue;
            }
            match self.record_of_left(live, now) {
                Some(record) => keeps.push(Keep::Finished(Box::new(record))),
                None => nothing.push(id),
            }
        }
        let told: Vec<_> = told.into_iter().filter(|view| !known.contains(&view.id)).collect();
        keeps.extend(self.over_as_told(&told, now));
        // From now on how calls stand here is kept.
        let living: Vec<CallId> = self.model.calls().map(|view| view.id).collect();
        keeps.extend(living.into_iter().filter_map(|call| self.keep(call)));
        self.parts.bus.publish_all(Vec::new(), keeps);
        nothing.into_iter().for_each(|call| self.parts.bus.recorded(call));
    }

    /// The record of a call that does not live here.
    fn record_of_left(&mut self, live: LiveCall, now: Timestamp) -> Option<FinishedCall> {
        let numbers = self.parts.directory.plan();
        match self.journal.past(live.memory.id) {
            Some(record) => Some(completed(record, &live)),
            None => concluded(self.parts.plan.clone(), live, now, numbers),
        }
    }

    fn over_as_told(&self, told: &[std::sync::Arc<CallView>], now: Timestamp) -> Vec<Keep> {
        let record = |view: &CallView| {
            let outcome = Some(Outcome::unseen(view));
            let ended = CallView { ended_at: Some(now), inferred: true, outcome, ..view.clone() };
            Keep::Finished(Box::new(FinishedCall::of(&ended, self.parts.directory.plan())))
        };
        told.iter().map(|view| record(view)).collect()
    }
}

/// The record of a call that ended before this daemon led, with what was left of it.
fn completed(mut record: FinishedCall, left: &LiveCall) -> FinishedCall {
    record.segments = joined(&record.segments, &left.story);
    for open in record.segments.iter_mut().filter(|segment| segment.until.is_none()) {
        open.until = Some(record.ended_at);
    }
    record
}

/// The record of a call that is no longer there: what a daemon that remembers it concludes from an empty list.
fn concluded(plan: Plan, live: LiveCall, now: Timestamp, numbers: &NumberPlan) -> Option<FinishedCall> {
    let (mut model, mut journal) = (Model::new(plan), Journal::default());
    journal.restore(live.memory.id, live.story);
    model.remember(live.memory);
    model.handle(now, Input::ListBegan);
    model.handle(now, Input::ListEnded);
    while let Some(output) = model.poll_output() {
        if let Output::Notice(notice) = output
            && let Some(record) = journal.note(&notice, numbers)
        {
            return Some(record);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::memory::samples;
    use crate::ids::Extension;
    use crate::store::Segment;

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
        let live = LiveCall { memory: samples::talking(7), story: story.clone() };
        let record = concluded(samples::plan(), live, at(100), &NumberPlan::default()).unwrap();
        assert_eq!((record.offered_at, record.answered_at, record.ended_at), (at(0), Some(at(60)), at(100)));
        assert_eq!((record.outcome, record.inferred), (Outcome::Answered, true));
        assert_eq!((record.operators.len(), record.channels.len()), (1, 2));
        assert_eq!(record.segments, [story[0].clone(), segment("talking", Some(at(100)))]);
    }
}
