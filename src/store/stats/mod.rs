//! Figures in the store: the counters of each bin of 15 minutes ([`crate::stats`]), built from the history.
//!
//! What writes into the history (a call, after-call work, a message, a gap) adds a mark for its bin in the same transaction
//! (`marks/sql.rs`). A worker ([`Store::build_stats`]) takes marked bins, the newest first, counts
//! each **whole** from the history, and writes what differs. Nothing is added to what was there: a record that is replaced,
//! or written twice, needs no thought.
//!
//! | step of building one bin | why nothing is lost |
//! |---|---|
//! | the marks are read, then the history, without a lock | a call that commits later has a mark of its own, which stays |
//! | one short transaction deletes exactly these marks and writes the rows that differ, of up to eight bins | where a mark is gone, another worker was faster: nothing of that bin is written |
//!
//! | the history of a bin | what a build does |
//! |---|---|
//! | is there | counts it |
//! | has fewer calls than were counted before, and none before the bin; or is older than retention keeps everything | keeps the bin as it is |
//! | has fewer known callers than before | counts it, and keeps the marks `repeat` and `recovered` where they were more |
//!
//! Invariant: after the marks of a bin are gone, its rows are what [`BinStats::of`] makes of its history, as long as
//! that is there ([`Store::check_stats`]).
//!
//! Read next: `sql.rs`, `input/sql.rs` and `marks/sql.rs` beside this file.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{Store, StoreError, to_ms};
use crate::contract::history::FinishedCall;
use crate::ids::{PbxId, RecordId};
use crate::stats::{BIN_MS, BinStats, CallFacts, Counters, start_of_bin};

/// Most bins that one call of [`Store::build_stats`] builds.
pub const BUILD_BINS_MAX: u32 = 32;
/// Most bins that one transaction writes: neighbours have their rows by account on the same pages, each written once.
const WRITTEN_TOGETHER: usize = 8;
/// How many such groups are built at the same time: one is counted while another one is written.
const BUILT_AT_ONCE: usize = 2;
/// Most marks of one bin that one build takes: a bin with more is built again.
pub const MARKS_PER_BIN_MAX: u32 = 500;
/// Most bins that one gap marks: 31 days. What a longer gap hides beyond that follows from the gap itself.
pub const GAP_BINS_MAX: i64 = 2_976;
/// How much of the stored counters of everything is read at once, in milliseconds: a day.
const READ_ALL_MS: i64 = 86_400_000;
/// The same of the counters of one account, of one person, or of the sums: 31 days.
const READ_ONE_MS: i64 = 31 * 86_400_000;
/// How much of the history is marked at once, in milliseconds: 28 days.
const MARK_MS: i64 = 28 * 86_400_000;
/// Most bins that a check reads at once.
const CHECK_BINS_MAX: u32 = 200;

/// One bin of one PBX.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BinKey {
    /// Its beginning, in milliseconds since 1970.
    pub bin_ms: i64,
    /// The PBX.
    pub pbx: PbxId,
}

/// A bin as it was built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StoredBin {
    pub(crate) stats: BinStats,
    pub(crate) gap_ms: i64,
    /// Whether it was built at all.
    pub(crate) is_built: bool,
    pub(crate) rules: i64,
}

/// Which counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsOf {
    /// Of all calls.
    Total,
    /// Of each account, or of one.
    Accounts(Option<RecordId>),
    /// Of each queue.
    Queues,
    /// Of each person's work, for one account or all.
    Operators(Option<RecordId>),
    /// Of one person's work.
    Person(RecordId),
}

/// Some counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsRow {
    /// When the bin begins, in milliseconds since 1970.
    pub bin_ms: i64,
    /// The account; `None`: not known, or all.
    pub account: Option<RecordId>,
    /// The person; `None`: not known, or no person's work.
    pub person: Option<RecordId>,
    /// The queue.
    pub queue: Option<String>,
    /// The counters.
    pub counters: Counters,
}

/// How complete the counters of a time are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatsState {
    /// Bins that wait to be counted.
    pub pending: u64,
    /// Times in which no daemon followed a PBX, and the bins of which only that is known.
    pub missing: Vec<(i64, i64)>,
}

/// A bin that is not what the history says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinDifference {
    /// The bin.
    pub bin: BinKey,
    /// Its counters.
    pub stored: Counters,
    /// What the history says.
    pub counted: Counters,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatsCheck {
    /// Bins that were compared.
    pub checked: u64,
    /// Bins whose history is gone.
    pub kept: u64,
    /// Bins that wait to be counted.
    pub waiting: u64,
    /// Bins that differ.
    pub differing: Vec<BinDifference>,
}

impl Store {
    /// Builds marked bins, the newest first; returns how many, 0 if none is marked. Bins that began before
    /// `kept_before` are not built again, because their history is no longer whole.
    ///
    /// # Errors
    /// The store failed.
    pub async fn build_stats(&self, kept_before: Option<Timestamp>) -> Result<u64, StoreError> {
        let kept_before = kept_before.map_or(i64::MIN, to_ms);
        let bins = each!(self, db => db.marked_bins(BUILD_BINS_MAX).await)?;
        let build = |group| async move { each!(self, db => db.build_bins(group, kept_before).await) };
        let groups: Vec<Vec<BinKey>> = bins.chunks(WRITTEN_TOGETHER).map(<[_]>::to_vec).collect();
        let building = stream::iter(groups).map(build);
        building.buffer_unordered(BUILT_AT_ONCE).try_fold(0, async |sum, built| Ok(sum + built)).await
    }

    /// Marks every bin of this time that has calls, messages or counters.
    ///
    /// # Errors
    /// The store failed.
    pub async fn mark_stats(&self, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        let (mut from, to) = (start_of_bin(to_ms(from)), to_ms(to));
        while from < to {
            // A transaction each: other writers have their turn between.
            let until = from.saturating_add(MARK_MS).min(to);
            each!(self, db => db.mark_bins(from, until).await)?;
            from = until;
        }
        Ok(())
    }

    /// Compares each bin of this time with its history.
    ///
    /// # Errors
    /// The store failed.
    pub async fn check_stats(
        &self,
        from: Timestamp,
        to: Timestamp,
        kept_before: Option<Timestamp>,
    ) -> Result<StatsCheck, StoreError> {
        let (mut after, to) = (start_of_bin(to_ms(from)), to_ms(to));
        let kept_before = kept_before.map_or(i64::MIN, to_ms);
        let mut check = StatsCheck::default();
        loop {
            let bins = each!(self, db => db.bins_of_history(after, to, CHECK_BINS_MAX).await)?;
            let Some(last) = bins.iter().map(|bin| bin.bin_ms).max() else { return Ok(check) };
            for bin in bins {
                each!(self, db => db.check_bin(bin, kept_before, &mut check).await)?;
            }
            after = last + BIN_MS;
        }
    }

    /// The counters of this time, added up by the group that `group` gives each row; rows without a group are left out.
    /// `from` and `to` are beginnings of bins.
    ///
    /// # Errors
    /// The store failed.
    pub async fn stats<K: Ord>(
        &self,
        of: StatsOf,
        from_ms: i64,
        to_ms: i64,
        group: impl Fn(&StatsRow) -> Option<K>,
    ) -> Result<BTreeMap<K, Counters>, StoreError> {
        let mut groups: BTreeMap<K, Counters> = BTreeMap::new();
        let step = match of {
            StatsOf::Total | StatsOf::Accounts(Some(_)) | StatsOf::Person(_) => READ_ONE_MS,
            StatsOf::Accounts(None) | StatsOf::Queues | StatsOf::Operators(_) => READ_ALL_MS,
        };
        let mut from = from_ms;
        while from < to_ms {
            let until = from.saturating_add(step).min(to_ms);
            for row in each!(self, db => db.stats_rows(of, from, until).await)? {
                if let Some(key) = group(&row) {
                    groups.entry(key).or_default().add(&row.counters);
                }
            }
            from = until;
        }
        Ok(groups)
    }

    /// What each of these calls counts as; with its segments. The marks `repeat` and `recovered` are looked up only where
    /// `with_marks` asks for them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn facts_of_calls(
        &self,
        calls: Vec<FinishedCall>,
        with_marks: bool,
    ) -> Result<Vec<(FinishedCall, CallFacts)>, StoreError> {
        let input = each!(self, db => db.facts_input(calls, with_marks).await)?;
        let counted = input.facts();
        let counted = input.calls.into_iter().zip(counted);
        Ok(counted.filter_map(|(call, facts)| Some((call, facts?))).collect())
    }

    /// How complete the counters of this time are. `now`: the end of what a PBX that is gone hides.
    ///
    /// # Errors
    /// The store failed.
    pub async fn stats_state(
        &self,
        from_ms: i64,
        to_ms: i64,
        now: Timestamp,
    ) -> Result<StatsState, StoreError> {
        let mut state = each!(self, db => db.stats_state(from_ms, to_ms, super::to_ms(now)).await)?;
        state.missing.retain_mut(|(from, until)| {
            (*from, *until) = ((*from).max(from_ms), (*until).min(to_ms));
            from < until
        });
        state.missing.sort_unstable();
        Ok(state)
    }
}
