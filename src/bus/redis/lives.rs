//! How each living call stands, in Redis beside the events: what the next daemon remembers of it, and the story of
//! the call so far, in which only whoever leads notes what desktops showed and what became of transfers.
//!
//! | a call | its entry |
//! |---|---|
//! | goes on | is written in the step that brings its last event, never before it |
//! | is over | stays, with its whole story, until its record is in the store |
//! | is recorded | goes |
//!
//! | this daemon | what was left |
//! |---|---|
//! | has taken the lead | is held, and nothing is written over it |
//! | has compared it with a complete list of channels (`daemon/inherit.rs`) | was taken; from then on its own entries are written |
//!
//! So at whatever instant whoever leads is killed, an entry holds no less than was told and not recorded, and the
//! successor has it whole: one that followed the PBX adds it to what it saw, one that is started later begins with it.
//!
//! Invariant: pure but for [`left_in`]; an entry may be older than the last event in the stream (after a backlog), which
//! the next list of channels makes good, but never newer.

use std::collections::{BTreeMap, HashMap};

use super::client::{Connection, in_time};
use super::hub::Hub;
use super::scripts::Keys;
use super::{RedisSettings, wire};
use crate::ids::{CallId, PbxId};
use crate::store::FinishedCall;
use crate::store::log::LiveCall;

/// Most calls that are kept so: those that live, and those that wait for the store. Beyond that a record is what one
/// daemon saw.
pub const LIVES_MAX: usize = 20_000;
/// Most entries of one step.
pub(super) const LIVES_PER_STEP_MAX: usize = 256;

/// The entries of one PBX, as whoever leads has them.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// By whoever led before; nothing is written until it was taken.
    left: Option<Vec<LiveCall>>,
    calls: HashMap<CallId, LiveCall>,
    /// What Redis does not have yet, by when it changed.
    changed: BTreeMap<u64, CallId>,
    /// The same the other way round.
    changes: HashMap<CallId, u64>,
    steps: u64,
}

/// What is to be written next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Calls and how they stand; nothing: the entry goes.
    pub(super) entries: Vec<(String, String)>,
    up_to: u64,
}

impl Lives {
    /// The lead was taken from a daemon that left this.
    pub(super) fn begin(&mut self, left: Vec<LiveCall>) {
        *self = Self { left: Some(left), ..Self::default() };
    }

    /// Those that this daemon follows.
    pub(super) fn calls(self) -> impl Iterator<Item = CallId> {
        self.calls.into_keys()
    }

    /// What was left; once.
    pub(super) fn take_left(&mut self) -> Option<Vec<LiveCall>> {
        self.left.take()
    }

    pub(super) fn goes_on(&mut self, live: LiveCall) {
        let id = live.memory.id;
        if self.left.is_some() || (self.calls.len() >= LIVES_MAX && !self.calls.contains_key(&id)) {
            return;
        }
        self.calls.insert(id, live);
        self.has_changed(id);
    }

    /// Its record is on the way to the store.
    pub(super) fn is_over(&mut self, record: &FinishedCall) {
        if let Some(live) = self.calls.get_mut(&record.id) {
            live.story.clone_from(&record.segments);
            self.has_changed(record.id);
        }
    }

    /// Its record is in the store.
    pub(super) fn is_recorded(&mut self, call: CallId) {
        if self.left.is_some() {
            // Perhaps without what was left of it: it is recorded once more.
            return;
        }
        self.calls.remove(&call);
        self.has_changed(call);
    }

    fn has_changed(&mut self, call: CallId) {
        self.steps += 1;
        if let Some(before) = self.changes.insert(call, self.steps) {
            self.changed.remove(&before);
        }
        self.changed.insert(self.steps, call);
    }

    /// What Redis does not have, oldest first.
    pub(super) fn step(&self) -> Step {
        let next = || self.changed.iter().take(LIVES_PER_STEP_MAX);
        let words = |call: &CallId| self.calls.get(call).map(wire::json).unwrap_or_default();
        Step {
            entries: next().map(|(_, call)| (call.to_string(), words(call))).collect(),
            up_to: next().next_back().map_or(0, |(step, _)| *step),
        }
    }

    /// Redis has that step.
    pub(super) fn has(&mut self, step: &Step) {
        let later = self.changed.split_off(&(step.up_to + 1));
        for call in std::mem::replace(&mut self.changed, later).into_values() {
            self.changes.remove(&call);
        }
    }

    /// Every entry, for a Redis that has forgotten them.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let left = self.left.iter().flatten().map(|live| (live.memory.id, live));
        let calls = self.calls.iter().map(|(call, live)| (*call, live));
        left.chain(calls).map(|(call, live)| (call.to_string(), wire::json(live))).collect()
    }
}

impl Hub {
    /// Calls as whoever led before left them: once after the lead was taken. The caller then publishes how its own
    /// stand.
    pub(in crate::bus) fn left(&self) -> Option<Vec<LiveCall>> {
        let mut outbox = self.outbox();
        if outbox.leads() { outbox.lives.take_left() } else { None }
    }

    /// The record of this call is in the store.
    pub(in crate::bus) fn recorded(&self, call: CallId) {
        let mut outbox = self.outbox();
        if outbox.leads() {
            outbox.lives.is_recorded(call);
            drop(outbox);
            self.wake.notify_one();
        }
    }
}

/// The entries of a PBX. What cannot be read (another version wrote it) is left out.
pub(super) async fn left_in(
    redis: &mut Connection,
    keys: &Keys,
    pbx: &PbxId,
) -> Result<Vec<LiveCall>, redis::RedisError> {
    let ask = redis::cmd("HVALS").arg(keys.lives(pbx)).to_owned();
    let entries: Vec<Vec<u8>> = in_time(ask.query_async(redis)).await?;
    let read = |entry: &Vec<u8>| match serde_json::from_slice::<LiveCall>(entry) {
        Ok(live) => Some(live),
        Err(error) => {
            tracing::warn!(%pbx, %error, "how a call stood cannot be read and is left out");
            None
        }
    };
    Ok(entries.iter().filter_map(read).take(LIVES_MAX).collect())
}

/// How the calls of this PBX stand, for a daemon that is just being started. A Redis that does not answer is not waited
/// for.
///
/// # Errors
/// Redis does not answer.
pub async fn calls_left(settings: &RedisSettings, pbx: &PbxId) -> Result<Vec<LiveCall>, redis::RedisError> {
    let mut redis = settings.address.connect(false).await?;
    left_in(&mut redis, &Keys::new(&settings.prefix), pbx).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Model;
    use crate::call::memory::CallMemory;
    use crate::store::Segment;

    fn memory(n: u32) -> CallMemory {
        crate::call::memory::samples::talking(n)
    }

    fn live(n: u32, kinds: &[&str]) -> LiveCall {
        LiveCall { memory: memory(n), story: kinds.iter().map(|kind| segment(kind)).collect() }
    }

    fn segment(kind: &str) -> Segment {
        let from = jiff::Timestamp::UNIX_EPOCH;
        Segment { kind: kind.into(), operator: None, target: None, from, until: None, result: None }
    }

    fn stories(step: &Step) -> Vec<Option<usize>> {
        let story = |(_, words): &(String, String)| {
            serde_json::from_str::<LiveCall>(words).ok().map(|live| live.story.len())
        };
        step.entries.iter().map(story).collect()
    }

    #[test]
    fn an_entry_stays_until_the_record_is_in_the_store() {
        let mut lives = Lives::default();
        lives.goes_on(live(1, &["presented"]));
        lives.goes_on(live(2, &["presented"]));
        lives.goes_on(live(1, &["presented", "shown"]));
        let step = lives.step();
        assert_eq!(stories(&step), [Some(1), Some(2)], "of each call the latest");
        lives.goes_on(live(2, &["presented", "shown", "talking"]));
        lives.has(&step);
        let step = lives.step();
        assert_eq!(stories(&step), [Some(3)], "what changed meanwhile is not taken as written");
        lives.has(&step);
        assert_eq!(lives.step(), Step::default());
        let plan = crate::call::memory::samples::plan();
        let numbers = crate::directory::numbers::NumberPlan::default();
        let mut model = Model::new(plan);
        model.remember(memory(1));
        let view = model.calls().next().unwrap();
        let record =
            FinishedCall { segments: vec![segment("shown"); 4], ..FinishedCall::of(&view, &numbers) };
        lives.is_over(&record);
        assert_eq!(stories(&lives.step()), [Some(4)]);
        assert_eq!(lives.all().len(), 2);
        lives.is_recorded(record.id);
        assert_eq!(lives.step().entries, [(record.id.to_string(), String::new())]);
        assert_eq!(lives.all().len(), 1);
    }

    #[test]
    fn nothing_is_written_over_what_was_left_until_it_was_taken() {
        let mut lives = Lives::default();
        lives.begin(vec![live(1, &["shown"])]);
        lives.goes_on(live(1, &[]));
        lives.is_recorded(memory(1).id);
        assert_eq!(lives.step(), Step::default());
        assert_eq!(lives.all().len(), 1, "a Redis that was emptied gets it back");
        assert_eq!(lives.take_left().map(|left| left.len()), Some(1));
        assert!(lives.take_left().is_none());
        lives.goes_on(live(1, &["shown"]));
        assert_eq!(stories(&lives.step()), [Some(1)]);
    }
}
