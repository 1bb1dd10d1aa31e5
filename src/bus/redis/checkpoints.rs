//! Checkpoints of calls, kept in Redis for the next leader: the call's snapshot, and its history segments, some of which
//! only the leader records (what desktops showed, how transfers ended).
//!
//! | event | the call's checkpoint |
//! |---|---|
//! | the call changes | is written in the same script call as the event, or after it, never before |
//! | the call ends | stays, with all segments, until the store has the call's record |
//! | the store has the record | is deleted |
//!
//! | this daemon | the predecessor's checkpoints |
//! |---|---|
//! | acquires leadership | are read and held; this daemon writes none of its own |
//! | has compared them with a complete channel list (`daemon/takeover.rs`) | were taken; this daemon writes its own from now on |
//!
//! If the leader dies at any point, the checkpoint covers at least every published event that is not yet in the store, so
//! the next leader loses nothing: a standby merges it into what it observed itself, a daemon that starts later restores
//! the call from it.
//!
//! Invariants: [`CallCheckpoints`] is pure; [`load`] and [`load_checkpoints`] read Redis. A checkpoint is never newer than
//! the call's last event in the stream. It may be older (after a backlog); the next channel list corrects that.

use std::collections::{BTreeMap, HashMap};

use super::client::{Connection, RedisAddress, with_timeout};
use super::scripts::Keys;
use super::{RedisSettings, wire};
use crate::contract::history::FinishedCall;
use crate::ids::{CallId, PbxId};
use crate::journal::entry::CallCheckpoint;

/// Most calls with a checkpoint: those that live, and those whose record the store does not have yet. The record of a
/// call beyond that has only what one daemon observed.
pub const CHECKPOINTS_MAX: usize = 20_000;
/// Most checkpoints of one append.
pub(super) const BATCH_CHECKPOINTS_MAX: usize = 256;

/// The checkpoints of one PBX, on its leader.
#[derive(Debug, Default)]
pub(super) struct CallCheckpoints {
    /// The predecessor's; nothing is written until they were taken.
    predecessor: Option<Vec<CallCheckpoint>>,
    calls: HashMap<CallId, CallCheckpoint>,
    /// Checkpoints that Redis does not have yet, by version.
    dirty: BTreeMap<u64, CallId>,
    /// The inverse of `dirty`.
    versions: HashMap<CallId, u64>,
    version: u64,
}

/// Checkpoints to write next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CheckpointBatch {
    /// Call and checkpoint; an empty text deletes the checkpoint.
    pub(super) entries: Vec<(String, String)>,
    up_to: u64,
}

impl CallCheckpoints {
    /// Starts with the predecessor's checkpoints.
    pub(super) fn start(&mut self, predecessor: Vec<CallCheckpoint>) {
        *self = Self { predecessor: Some(predecessor), ..Self::default() };
    }

    /// The calls that this daemon has checkpoints of.
    pub(super) fn into_call_ids(self) -> impl Iterator<Item = CallId> {
        self.calls.into_keys()
    }

    /// The predecessor's checkpoints; once.
    pub(super) fn take_predecessor(&mut self) -> Option<Vec<CallCheckpoint>> {
        self.predecessor.take()
    }

    /// The call has changed.
    pub(super) fn upsert(&mut self, live: CallCheckpoint) {
        let id = live.snapshot.id;
        let is_full = self.calls.len() >= CHECKPOINTS_MAX && !self.calls.contains_key(&id);
        if self.predecessor.is_some() || is_full {
            return;
        }
        self.calls.insert(id, live);
        self.mark_dirty(id);
    }

    /// The call has ended; its record is on the way to the store.
    pub(super) fn finish(&mut self, record: &FinishedCall) {
        if let Some(live) = self.calls.get_mut(&record.id) {
            live.segments.clone_from(&record.segments);
            self.mark_dirty(record.id);
        }
    }

    /// The store has the call's record.
    pub(super) fn remove(&mut self, call: CallId) {
        if self.predecessor.is_some() {
            // The record may lack the predecessor's segments: the call is recorded once more.
            return;
        }
        self.calls.remove(&call);
        self.mark_dirty(call);
    }

    fn mark_dirty(&mut self, call: CallId) {
        self.version += 1;
        if let Some(before) = self.versions.insert(call, self.version) {
            self.dirty.remove(&before);
        }
        self.dirty.insert(self.version, call);
    }

    /// What Redis does not have, oldest first.
    pub(super) fn next_batch(&self) -> CheckpointBatch {
        let next = || self.dirty.iter().take(BATCH_CHECKPOINTS_MAX);
        let text = |call: &CallId| self.calls.get(call).map(wire::json).unwrap_or_default();
        CheckpointBatch {
            entries: next().map(|(_, call)| (call.to_string(), text(call))).collect(),
            up_to: next().next_back().map_or(0, |(version, _)| *version),
        }
    }

    /// Redis has this batch.
    pub(super) fn ack(&mut self, batch: &CheckpointBatch) {
        let later = self.dirty.split_off(&(batch.up_to + 1));
        for call in std::mem::replace(&mut self.dirty, later).into_values() {
            self.versions.remove(&call);
        }
    }

    /// Every checkpoint, for a Redis that has lost them.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let predecessor = self.predecessor.iter().flatten().map(|live| (live.snapshot.id, live));
        let calls = self.calls.iter().map(|(call, live)| (*call, live));
        predecessor.chain(calls).map(|(call, live)| (call.to_string(), wire::json(live))).collect()
    }
}

/// Reads the checkpoints of a PBX. One that cannot be parsed (another version wrote it) is skipped.
pub(super) async fn load(
    redis: &mut Connection,
    keys: &Keys,
    pbx: &PbxId,
) -> Result<Vec<CallCheckpoint>, redis::RedisError> {
    let command = redis::cmd("HVALS").arg(keys.checkpoints(pbx)).to_owned();
    let entries: Vec<Vec<u8>> = with_timeout(command.query_async(redis)).await?;
    let parse = |entry: &Vec<u8>| match serde_json::from_slice::<CallCheckpoint>(entry) {
        Ok(live) => Some(live),
        Err(error) => {
            tracing::warn!(%pbx, %error, "skipping a call checkpoint that cannot be parsed");
            None
        }
    };
    Ok(entries.iter().filter_map(parse).take(CHECKPOINTS_MAX).collect())
}

/// Reads the checkpoints of this PBX, for a daemon that starts. Fails at once if Redis cannot be reached.
///
/// # Errors
/// Redis does not answer.
pub async fn load_checkpoints(
    settings: &RedisSettings,
    pbx: &PbxId,
) -> Result<Vec<CallCheckpoint>, redis::RedisError> {
    let mut redis = settings.address.connect(false).await?;
    load(&mut redis, &Keys::new(&settings.prefix), pbx).await
}

/// Reads the checkpoints of every PBX of the group: calls whose record is not in the store yet. Fails at once if Redis cannot
/// be reached.
///
/// # Errors
/// Redis does not answer.
pub async fn load_all_checkpoints(
    address: &RedisAddress,
    prefix: &str,
) -> Result<Vec<CallCheckpoint>, redis::RedisError> {
    let mut redis = address.connect(false).await?;
    let keys = Keys::new(prefix);
    let command = redis::cmd("HKEYS").arg(keys.heads()).to_owned();
    let names: Vec<String> = with_timeout(command.query_async(&mut redis)).await?;
    let mut found = Vec::new();
    for pbx in names.iter().filter_map(|name| PbxId::parse(name).ok()) {
        found.extend(load(&mut redis, &keys, &pbx).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Model;
    use crate::call::snapshot::CallSnapshot;
    use crate::contract::history::Segment;

    fn memory(n: u32) -> CallSnapshot {
        crate::call::snapshot::samples::talking(n)
    }

    fn live(n: u32, kinds: &[&str]) -> CallCheckpoint {
        CallCheckpoint { snapshot: memory(n), segments: kinds.iter().map(|kind| segment(kind)).collect() }
    }

    fn segment(kind: &str) -> Segment {
        let from = jiff::Timestamp::UNIX_EPOCH;
        Segment { kind: kind.into(), operator: None, target: None, from, until: None, result: None }
    }

    fn segment_counts(batch: &CheckpointBatch) -> Vec<Option<usize>> {
        let count = |(_, text): &(String, String)| {
            serde_json::from_str::<CallCheckpoint>(text).ok().map(|live| live.segments.len())
        };
        batch.entries.iter().map(count).collect()
    }

    #[test]
    fn a_checkpoint_stays_until_the_record_is_in_the_store() {
        let mut checkpoints = CallCheckpoints::default();
        checkpoints.upsert(live(1, &["presented"]));
        checkpoints.upsert(live(2, &["presented"]));
        checkpoints.upsert(live(1, &["presented", "shown"]));
        let batch = checkpoints.next_batch();
        assert_eq!(segment_counts(&batch), [Some(1), Some(2)], "the latest of each call");
        checkpoints.upsert(live(2, &["presented", "shown", "talking"]));
        checkpoints.ack(&batch);
        let batch = checkpoints.next_batch();
        assert_eq!(segment_counts(&batch), [Some(3)], "a change after the batch is still to be written");
        checkpoints.ack(&batch);
        assert_eq!(checkpoints.next_batch(), CheckpointBatch::default());
        let plan = crate::call::snapshot::samples::rules();
        let numbers = crate::numbers::NumberPlan::default();
        let mut model = Model::new(plan);
        model.restore(memory(1));
        let view = model.calls().next().unwrap();
        let record =
            FinishedCall { segments: vec![segment("shown"); 4], ..FinishedCall::of(&view, &numbers) };
        checkpoints.finish(&record);
        assert_eq!(segment_counts(&checkpoints.next_batch()), [Some(4)]);
        assert_eq!(checkpoints.all().len(), 2);
        checkpoints.remove(record.id);
        assert_eq!(checkpoints.next_batch().entries, [(record.id.to_string(), String::new())]);
        assert_eq!(checkpoints.all().len(), 1);
    }

    #[test]
    fn nothing_is_written_over_the_predecessors_checkpoints_until_they_were_taken() {
        let mut checkpoints = CallCheckpoints::default();
        checkpoints.start(vec![live(1, &["shown"])]);
        checkpoints.upsert(live(1, &[]));
        checkpoints.remove(memory(1).id);
        assert_eq!(checkpoints.next_batch(), CheckpointBatch::default());
        assert_eq!(checkpoints.all().len(), 1, "an empty Redis gets it back");
        assert_eq!(checkpoints.take_predecessor().map(|calls| calls.len()), Some(1));
        assert!(checkpoints.take_predecessor().is_none());
        checkpoints.upsert(live(1, &["shown"]));
        assert_eq!(segment_counts(&checkpoints.next_batch()), [Some(1)]);
    }
}
