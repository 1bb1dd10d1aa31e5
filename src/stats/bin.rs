//! The sum of one quarter of an hour of one PBX.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::care::Care;
use super::facts::{CallFacts, Neighbours, WrapUpTime, is_lost};
use super::{BIN_MS, Counters, REPEAT_WINDOW_MS};
use crate::contract::call::Outcome;
use crate::contract::history::FinishedCall;
use crate::ids::{CallId, RecordId};

/// A call of a caller to an account, as far as it gives another call a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerContact {
    /// The call.
    pub call: CallId,
    /// The account.
    pub account: RecordId,
    /// The caller's number as a key.
    pub caller: String,
    /// When it was offered, in milliseconds since 1970.
    pub offered_ms: i64,
    /// How it ended.
    pub outcome: Outcome,
}

/// All that the history has of a bin.
#[derive(Debug, Clone, Default)]
pub struct BinInput {
    /// The calls that were offered in it, with their segments.
    pub calls: Vec<FinishedCall>,
    /// The after-call work of these calls.
    pub wrap_ups: HashMap<CallId, Vec<WrapUpTime>>,
    /// What became of what the callers of these calls left; none for a call whose caller left nothing.
    pub care: HashMap<CallId, Care>,
    /// The calls of known callers in and around it.
    pub contacts: Vec<CallerContact>,
    /// How many messages were taken in it for each account.
    pub messages: Vec<(RecordId, u64)>,
}

/// A person and an account: `None` is somebody whom the record does not name, or no account.
pub type OperatorKey = (Option<RecordId>, Option<RecordId>);

/// The counters of a bin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BinStats {
    /// Of all calls.
    pub total: Counters,
    /// Of each account; `None`: of calls whose account is not known.
    pub accounts: BTreeMap<Option<RecordId>, Counters>,
    /// Of each first queue.
    pub queues: BTreeMap<String, Counters>,
    /// Of each person's work, by account.
    pub operators: BTreeMap<OperatorKey, Counters>,
    /// Inbound calls.
    pub calls: u64,
    /// Those whose caller's number is known.
    pub callers: u64,
}

/// When the bin of this time begins, in milliseconds since 1970.
#[must_use]
pub fn start_of_bin(ms: i64) -> i64 {
    ms - ms.rem_euclid(BIN_MS)
}

/// The times (from, until) from which a bin's calls get their marks.
#[must_use]
pub fn context_of(bin_ms: i64) -> (i64, i64) {
    (bin_ms - REPEAT_WINDOW_MS, bin_ms + BIN_MS + REPEAT_WINDOW_MS)
}

impl BinInput {
    /// What each of the calls counts as, in their order; `None` of one that counts nowhere.
    #[must_use]
    pub fn facts(&self) -> Vec<Option<CallFacts>> {
        let contacts = Contacts::of(&self.contacts);
        let facts = |call: &FinishedCall| {
            let wrap_ups = self.wrap_ups.get(&call.id).map_or(&[][..], Vec::as_slice);
            let care = self.care.get(&call.id).copied().unwrap_or_default();
            Some(CallFacts::of(call, wrap_ups, contacts.neighbours(call))?.with_care(care))
        };
        self.calls.iter().map(facts).collect()
    }
}

impl BinStats {
    /// Counts what the history has.
    #[must_use]
    pub fn of(input: &BinInput) -> Self {
        let mut stats = Self::default();
        for (call, facts) in input.calls.iter().zip(input.facts()) {
            if let Some(facts) = facts {
                stats.add_call(call, &facts);
            }
        }
        for (account, count) in &input.messages {
            stats.total.messages += count;
            stats.accounts.entry(Some(*account)).or_default().messages += count;
        }
        stats
    }

    fn add_call(&mut self, call: &FinishedCall, facts: &CallFacts) {
        let counters = Counters::of_call(facts);
        self.total.add(&counters);
        self.accounts.entry(call.account).or_default().add(&counters);
        if let Some(queue) = &facts.queue {
            self.queues.entry(queue.clone()).or_default().add(&counters);
        }
        let people: BTreeSet<Option<RecordId>> = facts.people().collect();
        for person in people {
            let work = Counters::of_person(facts, person);
            self.operators.entry((person, call.account)).or_default().add(&work);
        }
        self.calls += 1;
        self.callers += u64::from(call.caller.is_some());
    }

    /// Adds the counters of another bin, or of other calls.
    pub fn add(&mut self, other: &Self) {
        self.total.add(&other.total);
        for (account, counters) in &other.accounts {
            self.accounts.entry(*account).or_default().add(counters);
        }
        for (queue, counters) in &other.queues {
            self.queues.entry(queue.clone()).or_default().add(counters);
        }
        for (key, counters) in &other.operators {
            self.operators.entry(*key).or_default().add(counters);
        }
        self.calls += other.calls;
        self.callers += other.callers;
    }

    /// Keeps the marks that need callers' numbers, where some of these were deleted since `before` was built.
    pub fn keep_marks(&mut self, before: &Self) {
        let keep = |now: &mut Counters, then: &Counters| {
            now.repeat = now.repeat.max(then.repeat);
            now.recovered = now.recovered.max(then.recovered);
        };
        keep(&mut self.total, &before.total);
        for (account, then) in &before.accounts {
            if let Some(now) = self.accounts.get_mut(account) {
                keep(now, then);
            }
        }
        for (queue, then) in &before.queues {
            if let Some(now) = self.queues.get_mut(queue) {
                keep(now, then);
            }
        }
    }
}

/// The calls of each caller to each account.
#[derive(Debug, Default)]
struct Contacts<'a>(HashMap<(RecordId, &'a str), Vec<&'a CallerContact>>);

impl<'a> Contacts<'a> {
    fn of(contacts: &'a [CallerContact]) -> Self {
        let mut of_callers: HashMap<_, Vec<_>> = HashMap::new();
        for contact in contacts {
            of_callers.entry((contact.account, contact.caller.as_str())).or_default().push(contact);
        }
        Self(of_callers)
    }

    /// Which marks the caller's other calls give this call.
    fn neighbours(&self, call: &FinishedCall) -> Neighbours {
        let (Some(account), Some(caller)) = (call.account, call.caller.as_deref()) else {
            return Neighbours::default();
        };
        let Some(contacts) = self.0.get(&(account, caller)) else { return Neighbours::default() };
        let own = (call.offered_at.as_millisecond(), call.id);
        let place = |one: &CallerContact| (one.offered_ms, one.call);
        let is_near = |one: &CallerContact| (one.offered_ms - own.0).abs() <= REPEAT_WINDOW_MS;
        let near = || contacts.iter().filter(|one| one.call != call.id && is_near(one));
        Neighbours {
            lost_before: near().any(|one| place(one) < own && is_lost(one.outcome)),
            answered_after: near().any(|one| place(one) > own && one.outcome == Outcome::Answered),
        }
    }
}
