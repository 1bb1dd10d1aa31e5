//! Makes the PBX's keys the wanted ones, and proves it by reading.
//!
//! Writing is not believed: an order to the PBX is answered before the dialplan carries it out. So each group of changes is
//! read back, and the next group is written when the last one is there. Of a large group the last key of each order is
//! read, since an order is carried out in its order; all keys are read once before anything depends on them.
//!
//! Keys change in three kinds of groups, each kind proven before the next:
//!
//! 1. what is new below `times/` and `do/`: nothing refers to it yet;
//! 2. `plan/`, then the numbers, then plans and numbers that nobody wants any more: one key switches one account;
//! 3. what nobody refers to below `times/` and `do/`, [`OLD_VERSION_TTL`] later: a call may have read the old plan.
//!
//! So a daemon that is killed, or a link that breaks, at any point leaves each account with its old plan or its new one.
//!
//! | state | input | next | output |
//! |---|---|---|---|
//! | offline | link up | reading | read all |
//! | reading | all keys | writing, or level | the first group |
//! | level | wanted keys changed | writing, or level | the first group |
//! | level | [`AUDIT_INTERVAL`] | reading | read all: another user may have written |
//! | level | an old version's time is over | writing | the third group |
//! | writing | accepted | proving | read what was written |
//! | writing | not accepted | waiting | – |
//! | proving | it is there | writing, or level | the next group |
//! | proving | it is there; the kind is complete, and was read in part | reading | read all |
//! | reading | what was written is not there after all | waiting | – |
//! | proving | it is not | proving after [`PROOF_DELAY`] | read again |
//! | proving | it is not after [`PROOF_TIMEOUT`] | waiting | – |
//! | reading, proving | the list failed | waiting | – |
//! | waiting | its delay is over (1 s, doubled up to 60 s) | reading | read all |
//! | any | wanted keys changed | the same | – |
//! | any | link down | offline | – |
//!
//! Invariants: pure. Only keys of the five trees of [`TREES`] are changed: what the PBX itself keeps (`night`) stays. At most
//! one output is being carried out; an input that answers none is ignored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Entries, Key, SeenAtPbx, Value, plans_end_at};
use crate::backoff::doubled;

/// Most changes of one order to the PBX.
pub const BATCH_CHANGES_MAX: usize = 38;
/// Orders that are carried out at the same time.
pub const BATCHES_AT_ONCE: usize = 4;
/// How long a change may take until it can be read.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an old version stays after the switch, for calls that read the plan before it.
pub const OLD_VERSION_TTL: Duration = Duration::from_secs(600);
/// How often all keys are read.
pub const AUDIT_INTERVAL: Duration = Duration::from_secs(600);

/// Delay between two attempts to read a change.
const PROOF_DELAY: Duration = Duration::from_millis(20);
/// Of more changed keys than this, the last of each order is read.
const KEYS_READ_ONE_BY_ONE_MAX: usize = 8;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// The trees below the family that belong to the daemon.
const TREES: [&str; 5] = ["plan", "dialled", "forwarding", "times", "do"];

/// A key to write, or without a value to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The key.
    pub key: Key,
    /// Its value; `None`: it is deleted.
    pub value: Option<Value>,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every key below the family.
    All,
    /// These keys.
    Keys(Vec<Key>),
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// This daemon leads and follows the PBX.
    LinkUp,
    /// It does not.
    LinkDown,
    /// The keys that the PBX must have.
    Wanted(Arc<Entries>),
    /// What was read.
    Read(Result<Entries, String>),
    /// The orders of [`Output::Write`] were accepted, or why not.
    Written(Result<(), String>),
}

/// What the owner must do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Read these keys, and answer with [`Input::Read`].
    Read(Scope),
    /// Write these changes, each list as one order and in its order, and answer with [`Input::Written`].
    Write(Vec<Vec<KeyChange>>),
}

#[derive(Debug)]
enum State {
    Offline,
    Reading,
    Level { audit_at: Instant },
    Writing(Group),
    Proving { group: Group, until: Instant, again_at: Option<Instant> },
    Waiting { until: Instant },
}

/// Changes that are under way, by order.
#[derive(Debug, Clone)]
struct Group(Vec<Vec<KeyChange>>);

/// What a change needs before it may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Staged,
    Switched,
    Cleaned,
}

/// Whether the PBX has the wanted keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// This daemon does not write: it does not lead, or does not follow the PBX.
    #[default]
    Offline,
    /// The PBX's keys were not read yet.
    Unread,
    /// Each key was read as it is wanted.
    Level,
    /// Changes are being written.
    Writing,
    /// The last attempt failed; it is repeated.
    Behind,
}

/// How the PBX's plans compare with the records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(as = CallflowSync)]
pub struct PlanStatus {
    /// In one word.
    pub state: PlanState,
    /// The keys that the PBX must have.
    pub wanted: usize,
    /// Those of them that it lacks or has otherwise; 0 as long as its keys were not read.
    pub missing: usize,
    /// The version of the directory that the keys were compiled from.
    #[serde(skip)]
    pub version: i64,
    /// What was seen of the PBX beside its plans.
    #[serde(skip)]
    pub seen: SeenAtPbx,
    /// When the first of the PBX's plans ends; from then on it treats the account as open. Absent without plans.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends_at: Option<Timestamp>,
    /// How far the PBX's clock is ahead of the daemon's, in seconds; absent as long as it was not read. Plans follow the PBX's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead_s: Option<i64>,
    /// Why the last attempt failed; absent once one succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A clock of the PBX that is off by more is reported, in seconds: treatments change at wrong times.
pub const CLOCK_OFF_MAX_S: i64 = 60;

/// The status for readers outside the task that writes; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SharedPlanStatus(Arc<Mutex<PlanStatus>>);

impl SharedPlanStatus {
    /// Replaces it.
    pub fn set(&self, status: PlanStatus) {
        *self.0.lock() = status;
    }

    /// The status now.
    #[must_use]
    pub fn get(&self) -> PlanStatus {
        self.0.lock().clone()
    }
}

/// The machine; see the module.
#[derive(Debug)]
pub struct PlanSync {
    state: State,
    wanted: Arc<Entries>,
    /// The keys of [`TREES`] as they were last read.
    present: Entries,
    /// The kind of the last group and what was wanted then, while keys that were written have not been read.
    unread: Option<(Kind, Arc<Entries>)>,
    /// Since when a key below `times/` or `do/` is not wanted.
    unwanted_since: BTreeMap<Key, Instant>,
    /// When the first plan ends, of the keys as they were when all were read, or were as wanted.
    ends_at: Option<Timestamp>,
    failures: u32,
    problem: Option<String>,
    outputs: VecDeque<Output>,
}

impl Default for PlanSync {
    fn default() -> Self {
        Self {
            state: State::Offline,
            wanted: Arc::default(),
            present: Entries::new(),
            unread: None,
            unwanted_since: BTreeMap::new(),
            ends_at: None,
            failures: 0,
            problem: None,
            outputs: VecDeque::new(),
        }
    }
}

impl PlanSync {
    /// Handles an input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::LinkUp => {
                if matches!(self.state, State::Offline) {
                    self.read_all();
                }
            }
            Input::LinkDown => {
                self.state = State::Offline;
                self.outputs.clear();
                (self.failures, self.unread, self.problem) = (0, None, None);
            }
            Input::Wanted(wanted) => {
                self.wanted = wanted;
                self.mark_unwanted(now);
                if matches!(self.state, State::Level { .. }) {
                    self.go_on(now);
                }
            }
            Input::Read(read) => self.on_read(now, read),
            Input::Written(written) => {
                let State::Writing(group) = &self.state else { return };
                match written {
                    Ok(()) => {
                        let group = group.clone();
                        self.prove(group, now + PROOF_TIMEOUT);
                    }
                    Err(problem) => self.wait(now, problem),
                }
            }
        }
    }

    /// Handles due timers.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.state {
            State::Level { audit_at } if *audit_at <= now => self.read_all(),
            State::Level { .. } if self.clean_at().is_some_and(|at| at <= now) => self.go_on(now),
            State::Waiting { until } if *until <= now => self.read_all(),
            State::Proving { group, until, again_at: Some(again_at) } if *again_at <= now => {
                let (group, until) = (group.clone(), *until);
                self.prove(group, until);
            }
            _ => {}
        }
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Level { audit_at } => Some(self.clean_at().map_or(*audit_at, |at| at.min(*audit_at))),
            State::Waiting { until } => Some(*until),
            State::Proving { again_at, .. } => *again_at,
            State::Offline | State::Reading | State::Writing(_) => None,
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The status for people.
    #[must_use]
    pub fn status(&self) -> PlanStatus {
        let state = match &self.state {
            State::Offline => PlanState::Offline,
            State::Waiting { .. } => PlanState::Behind,
            _ if self.problem.is_some() => PlanState::Behind,
            State::Reading => PlanState::Unread,
            State::Level { .. } => PlanState::Level,
            State::Writing(_) | State::Proving { .. } => PlanState::Writing,
        };
        let is_missing = |(key, value): &(&Key, &Value)| self.present.get(key) != Some(value);
        let is_known = !matches!(state, PlanState::Offline | PlanState::Unread);
        let missing = if is_known { self.wanted.iter().filter(is_missing).count() } else { 0 };
        PlanStatus {
            state,
            wanted: self.wanted.len(),
            missing,
            version: 0,
            clock_ahead_s: None,
            seen: SeenAtPbx::default(),
            ends_at: self.ends_at,
            problem: self.problem.clone(),
        }
    }

    fn on_read(&mut self, now: Instant, read: Result<Entries, String>) {
        let scope = match &self.state {
            State::Reading => Scope::All,
            State::Proving { group, again_at: None, .. } => group.scope(),
            _ => return,
        };
        let read = match read {
            Ok(read) => read,
            Err(problem) => return self.wait(now, problem),
        };
        let ours = read.into_iter().filter(|(key, _)| TREES.contains(&key.tree()));
        match scope {
            Scope::All => {
                self.present = ours.collect();
                self.ends_at = plans_end_at(&self.present);
            }
            Scope::Keys(keys) => {
                self.present.retain(|key, _| !keys.contains(key));
                self.present.extend(ours.filter(|(key, _)| keys.contains(key)));
            }
        }
        self.mark_unwanted(now);
        let State::Proving { group, until, .. } = &self.state else {
            let written = self.unread.take();
            return match self.next_group(now) {
                Some((kind, _))
                    if written.is_some_and(|(written, wanted)| {
                        kind <= written && Arc::ptr_eq(&wanted, &self.wanted)
                    }) =>
                {
                    self.wait(now, "the PBX has another plan than the one that was written".to_owned());
                }
                _ => self.go_on(now),
            };
        };
        if group.read_keys().all(|change| self.present.get(&change.key) == change.value.as_ref()) {
            let group = group.clone();
            self.present_is(&group);
            return self.go_on(now);
        }
        if now >= *until {
            return self.wait(
                now,
                format!(
                    "the PBX did not write the plan within {} s: is the context toritsugi-plan of toritsugi-dialplan.conf loaded there?",
                    PROOF_TIMEOUT.as_secs()
                ),
            );
        }
        let (group, until) = (group.clone(), *until);
        self.state = State::Proving { group, until, again_at: Some(now + PROOF_DELAY) };
    }

    /// Writes the next group, or is level.
    fn go_on(&mut self, now: Instant) {
        let next = self.next_group(now);
        let next_kind = next.as_ref().map(|(kind, _)| *kind);
        let is_complete = |(written, _): &(Kind, _)| next_kind.is_none_or(|kind| kind > *written);
        if self.unread.as_ref().is_some_and(is_complete) {
            return self.read_all();
        }
        let Some((kind, changes)) = next else {
            (self.failures, self.problem) = (0, None);
            self.ends_at = plans_end_at(&self.present);
            let audit_at = match &self.state {
                // Writing a key is no reason to read all of them later.
                State::Level { audit_at } => *audit_at,
                _ => now + AUDIT_INTERVAL,
            };
            self.state = State::Level { audit_at };
            return;
        };
        let group = Group(changes.chunks(BATCH_CHANGES_MAX).map(<[KeyChange]>::to_vec).collect());
        if !group.is_read_whole() {
            self.unread = Some((kind, Arc::clone(&self.wanted)));
        }
        self.state = State::Writing(group.clone());
        self.outputs.push_back(Output::Write(group.0));
    }

    /// The changes that come next, at most as many as are written at once.
    fn next_group(&self, now: Instant) -> Option<(Kind, Vec<KeyChange>)> {
        let write = |(key, value): (&Key, &Value)| KeyChange { key: key.clone(), value: Some(value.clone()) };
        let delete = |key: &Key| KeyChange { key: key.clone(), value: None };
        let differs = |(key, value): &(&Key, &Value)| self.present.get(key) != Some(value);
        let limit = BATCH_CHANGES_MAX * BATCHES_AT_ONCE;
        let staged = self.wanted.iter().filter(|(key, _)| is_version(key)).filter(differs).map(write);
        let wanted_of = |tree: &'static str| {
            self.wanted.iter().filter(move |(key, _)| key.tree() == tree).filter(differs).map(write)
        };
        let gone_of = |tree: &'static str| {
            let keys = self.present.keys().filter(move |key| key.tree() == tree);
            keys.filter(|key| !self.wanted.contains_key(*key)).map(delete)
        };
        let numbers = wanted_of("dialled").chain(wanted_of("forwarding"));
        let gone = gone_of("dialled").chain(gone_of("forwarding")).chain(gone_of("plan"));
        let is_over = |(_, since): &(&Key, &Instant)| **since + OLD_VERSION_TTL <= now;
        let old = self.unwanted_since.iter().filter(is_over).map(|(key, _)| key);
        let groups: [(Kind, Vec<KeyChange>); 3] = [
            (Kind::Staged, staged.take(limit).collect()),
            (Kind::Switched, wanted_of("plan").chain(numbers).chain(gone).take(limit).collect()),
            (Kind::Cleaned, old.map(delete).take(limit).collect()),
        ];
        groups.into_iter().find(|(_, changes)| !changes.is_empty())
    }

    /// What was read in part counts as written, until all keys are read.
    fn present_is(&mut self, group: &Group) {
        for KeyChange { key, value } in group.0.iter().flatten().cloned() {
            match value {
                Some(value) => self.present.insert(key, value),
                None => self.present.remove(&key),
            };
        }
    }

    fn mark_unwanted(&mut self, now: Instant) {
        let (present, wanted) = (&self.present, &self.wanted);
        self.unwanted_since.retain(|key, _| present.contains_key(key) && !wanted.contains_key(key));
        for key in present.keys().filter(|key| is_version(key) && !wanted.contains_key(*key)) {
            self.unwanted_since.entry(key.clone()).or_insert(now);
        }
    }

    fn clean_at(&self) -> Option<Instant> {
        self.unwanted_since.values().min().map(|since| *since + OLD_VERSION_TTL)
    }

    fn read_all(&mut self) {
        self.state = State::Reading;
        self.outputs.push_back(Output::Read(Scope::All));
    }

    fn prove(&mut self, group: Group, until: Instant) {
        self.outputs.push_back(Output::Read(group.scope()));
        self.state = State::Proving { group, until, again_at: None };
    }

    fn wait(&mut self, now: Instant, problem: String) {
        let delay = doubled(FIRST_DELAY, LONGEST_DELAY, self.failures);
        self.failures = self.failures.saturating_add(1);
        (self.problem, self.unread) = (Some(problem), None);
        self.state = State::Waiting { until: now + delay };
    }
}

impl Group {
    fn is_read_whole(&self) -> bool {
        self.0.iter().map(Vec::len).sum::<usize>() <= KEYS_READ_ONE_BY_ONE_MAX
    }

    /// The changes whose keys are read.
    fn read_keys(&self) -> impl Iterator<Item = &KeyChange> {
        let is_whole = self.is_read_whole();
        self.0
            .iter()
            .flat_map(move |order| &order[if is_whole { 0 } else { order.len().saturating_sub(1) }..])
    }

    fn scope(&self) -> Scope {
        Scope::Keys(self.read_keys().map(|change| change.key.clone()).collect())
    }
}

/// Whether the key belongs to a version: nothing but a plan's key refers to it.
fn is_version(key: &Key) -> bool {
    matches!(key.tree(), "times" | "do")
}
