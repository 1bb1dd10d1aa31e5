//! How often a PIN may be entered: [`TRIES_MAX`] wrong ones in [`TRIES_WINDOW`] for each account, and for each caller.
//!
//! Invariants: pure. A try is counted before the PIN is checked and taken back if it was right, so tries at the same time do not
//! go beyond the limit. At most [`ENTRIES_MAX`] accounts and callers are remembered; beyond them, no try is permitted.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Wrong tries of an account or a caller.
pub const TRIES_MAX: usize = 5;
/// In this time.
pub const TRIES_WINDOW: Duration = Duration::from_secs(3600);
/// Most accounts, and most callers, that are remembered.
const ENTRIES_MAX: usize = 4_096;

/// The tries of the last hour. Times are those since an arbitrary moment, by a clock that is never set.
#[derive(Debug)]
pub struct Tries<K>(HashMap<K, Vec<Duration>>);

impl<K> Default for Tries<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Tries<K> {
    /// Counts a try; false if it is one too many.
    pub fn count(&mut self, key: K, now: Duration) -> bool {
        let is_recent = |at: &Duration| now.saturating_sub(*at) < TRIES_WINDOW;
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, tries| tries.iter().any(is_recent));
            if self.0.len() >= ENTRIES_MAX {
                return false;
            }
        }
        let tries = self.0.entry(key).or_default();
        tries.retain(is_recent);
        let is_permitted = tries.len() < TRIES_MAX;
        if is_permitted {
            tries.push(now);
        }
        is_permitted
    }

    /// Takes back the newest try: it was right.
    pub fn take_back(&mut self, key: &K) {
        if let Some(tries) = self.0.get_mut(key) {
            tries.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_wrong_try_of_an_hour_is_refused_and_right_ones_do_not_count() {
        let mut tries = Tries::default();
        let minute = |n: u64| Duration::from_secs(60 * n);
        for n in 0..20 {
            assert!(tries.count("a", minute(n)), "right ones");
            tries.take_back(&"a");
        }
        for n in 20..25 {
            assert!(tries.count("a", minute(n)), "{n}");
        }
        assert!(!tries.count("a", minute(26)));
        assert!(tries.count("b", minute(26)), "another one");
        assert!(!tries.count("a", minute(79)));
        // An hour after the first.
        assert!(tries.count("a", minute(80)));
        assert!(!tries.count("a", minute(80)));
    }

    #[test]
    fn no_more_are_remembered_than_fit_and_those_of_an_hour_ago_make_room() {
        let mut tries = Tries::default();
        for n in 0..ENTRIES_MAX {
            assert!(tries.count(n, Duration::ZERO));
        }
        assert!(!tries.count(ENTRIES_MAX, Duration::ZERO));
        assert!(tries.count(0, Duration::ZERO));
        assert!(tries.count(ENTRIES_MAX, TRIES_WINDOW));
    }
}
