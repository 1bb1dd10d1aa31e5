//! Which of the daemon's writers the store holds up. `/readyz` reports it: a store that takes a small write may still
//! have no room for what waits.
//!
//! Invariant: a writer that has written what waited, or given up, is not in the set.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// The set; clones share it.
#[derive(Debug, Clone, Default)]
pub struct StalledWriters(Arc<Mutex<BTreeSet<&'static str>>>);

impl StalledWriters {
    /// The last attempt of this writer failed; what it holds waits.
    pub fn stall(&self, writer: &'static str) {
        self.0.lock().insert(writer);
    }

    /// The writer has written what waited.
    pub fn resume(&self, writer: &'static str) {
        self.0.lock().remove(writer);
    }

    /// Whether no writer waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
