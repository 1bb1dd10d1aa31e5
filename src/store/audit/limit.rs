//! Keeps one person, or one network without a sign-in, from burying the audit trail under equal entries.
//!
//! | entries of one key | what is written |
//! |---|---|
//! | the first [`ENTRIES_PER_WINDOW_MAX`] in [`WINDOW`] | each |
//! | further ones | at the end of the window one entry with their number, time and subjects |
//! | while window follows upon window with further ones | one entry for each window |
//!
//! The owner chooses the key: usually the actor and the action. Actions of administrators do not pass through here.
//!
//! Invariant: pure, and no entry goes uncounted. At most [`KEYS_MAX`] keys have a window of their own; beyond them all
//! others share one.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::contract::audit::AuditEntry;
use crate::contract::time::time as wire_time;

/// Entries of one key in a window that are written as they are.
pub const ENTRIES_PER_WINDOW_MAX: u32 = 20;
/// Length of a window.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// Most keys with a window of their own.
pub const KEYS_MAX: usize = 1_000;
/// Most subjects that the entry about withheld entries names.
pub const SUBJECTS_MAX: usize = 200;
/// The key that all others share when there are [`KEYS_MAX`] of them.
const OTHERS: &str = "";

/// The windows of all keys.
#[derive(Debug, Default)]
pub struct AuditLimit {
    windows: HashMap<String, Window>,
}

#[derive(Debug)]
struct Window {
    ends_at: Timestamp,
    /// How many entries may still be written as they are.
    left: u32,
    withheld: Option<Withheld>,
}

/// Entries that are counted and not written.
#[derive(Debug)]
struct Withheld {
    last: AuditEntry,
    since: Timestamp,
    entries: u64,
    subjects: BTreeSet<String>,
}

impl AuditLimit {
    /// Takes an entry; returns it if it is to be written now.
    pub fn admit(&mut self, now: Timestamp, key: &str, entry: AuditEntry) -> Option<AuditEntry> {
        let is_known = self.windows.contains_key(key);
        let key = if is_known || self.windows.len() < KEYS_MAX { key } else { OTHERS };
        let ends_at = now.checked_add(WINDOW).unwrap_or(Timestamp::MAX);
        let new = || Window { ends_at, left: ENTRIES_PER_WINDOW_MAX, withheld: None };
        let window = self.windows.entry(key.to_owned()).or_insert_with(new);
        // A window without withheld entries ends by itself; the others end in `handle_timeout`.
        if window.withheld.is_none() && window.ends_at <= now {
            *window = new();
        }
        if window.left > 0 {
            window.left -= 1;
            return Some(entry);
        }
        let subject = entry.subject_id.map_or_else(|| entry.subject.clone(), |id| id.to_string());
        let since = entry.at;
        let withheld = window.withheld.get_or_insert_with(|| Withheld {
            last: entry.clone(),
            since,
            entries: 0,
            subjects: BTreeSet::new(),
        });
        withheld.entries += 1;
        withheld.last = entry;
        if withheld.subjects.len() < SUBJECTS_MAX && !subject.is_empty() {
            withheld.subjects.insert(subject);
        }
        None
    }

    /// When the first window with withheld entries ends.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = self.windows.values().filter(|window| window.withheld.is_some());
        due.map(|window| window.ends_at).min()
    }

    /// Ends the windows that are over; returns the entries about what was withheld in them.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Vec<AuditEntry> {
        let mut summaries = Vec::new();
        self.windows.retain(|_, window| {
            if window.ends_at > now {
                return true;
            }
            let Some(withheld) = window.withheld.take() else { return false };
            summaries.push(withheld.summary());
            // An actor who goes on gets one entry for each window.
            (window.ends_at, window.left) = (now.checked_add(WINDOW).unwrap_or(Timestamp::MAX), 0);
            true
        });
        summaries
    }

    /// The entries about everything withheld so far, at the end of the daemon.
    pub fn finish(&mut self) -> Vec<AuditEntry> {
        self.windows.drain().filter_map(|(_, window)| window.withheld).map(Withheld::summary).collect()
    }
}

impl Withheld {
    fn summary(self) -> AuditEntry {
        let Self { last, since, entries, subjects } = self;
        let details = json!({
            "repeated": entries, "since": wire_time(since), "until": wire_time(last.at), "subjects": subjects,
            "last": last.details,
        });
        AuditEntry { details, ..last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RecordId;
    use uuid::Uuid;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn entry(second: i64) -> AuditEntry {
        AuditEntry {
            at: at(second),
            actor: Some(RecordId(Uuid::from_u128(1))),
            actor_name: "佐藤".into(),
            action: "supervision.refused".into(),
            subject: (1000 + second % 3).to_string(),
            subject_id: None,
            call: None,
            details: json!({ "n": second }),
        }
    }

    #[test]
    fn a_flood_becomes_a_few_entries_that_account_for_all_of_it() {
        let mut limit = AuditLimit::default();
        let window = WINDOW.as_secs();
        let written: Vec<_> =
            (0..3_000).filter_map(|n| limit.admit(at(n / 100), "a", entry(n / 100))).collect();
        assert_eq!(written.len(), usize::try_from(ENTRIES_PER_WINDOW_MAX).unwrap());
        assert!(limit.admit(at(29), "b", entry(29)).is_some(), "another person's entries are written");
        assert_eq!(limit.poll_timeout(), Some(at(window)));
        assert_eq!(limit.handle_timeout(at(window - 1)), []);
        let summaries = limit.handle_timeout(at(window));
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].details["repeated"], 3_000 - i64::from(ENTRIES_PER_WINDOW_MAX));
        assert_eq!(summaries[0].details["subjects"], json!(["1000", "1001", "1002"]));
        assert_eq!((summaries[0].at, summaries[0].actor), (at(29), entry(0).actor));
        // An actor who goes on gets one entry for each window; one who stops, a new allowance.
        assert!((0..50).all(|n| limit.admit(at(window + n), "a", entry(window + n)).is_none()));
        assert_eq!(limit.handle_timeout(at(2 * window)).len(), 1);
        assert_eq!(limit.poll_timeout(), None);
        assert!(limit.admit(at(3 * window), "a", entry(3 * window)).is_some());
    }

    #[test]
    fn what_is_withheld_at_the_end_is_written_and_the_number_of_keys_is_bounded() {
        let mut limit = AuditLimit::default();
        for n in 0..2 * KEYS_MAX {
            for _ in 0..=ENTRIES_PER_WINDOW_MAX {
                limit.admit(at(0), &n.to_string(), entry(0));
            }
        }
        assert_eq!(limit.windows.len(), KEYS_MAX + 1);
        let withheld: u64 = limit.finish().iter().map(|e| e.details["repeated"].as_u64().unwrap()).sum();
        let others = (KEYS_MAX as u64) * u64::from(ENTRIES_PER_WINDOW_MAX + 1);
        assert_eq!(withheld, KEYS_MAX as u64 + others - u64::from(ENTRIES_PER_WINDOW_MAX));
        assert!(limit.windows.is_empty());
    }
}
