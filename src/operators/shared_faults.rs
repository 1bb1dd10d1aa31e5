//! The queues' faults, as the core last found them, for readers outside the core (`/readyz`).
//!
//! Invariant: a reader never waits for the core; the lock is held to copy alone.

use std::sync::Arc;

use parking_lot::Mutex;

use super::queue_members::QueueFaults;
use crate::contract::operator::QueueFault;

/// The faults; clones share them.
#[derive(Debug, Clone, Default)]
pub struct SharedQueueFaults(Arc<Mutex<Vec<QueueFault>>>);

impl SharedQueueFaults {
    /// Replaces the faults. One that concerns several phones is kept once.
    pub fn set(&self, faults: &QueueFaults) {
        let mut all = faults.missing.clone();
        for fault in faults.refused.values().flatten() {
            let is_known = |known: &QueueFault| known.queue == fault.queue && known.setting == fault.setting;
            if !all.iter().any(is_known) {
                all.push(fault.clone());
            }
        }
        *self.0.lock() = all;
    }

    /// The present faults.
    #[must_use]
    pub fn present(&self) -> Vec<QueueFault> {
        self.0.lock().clone()
    }
}
