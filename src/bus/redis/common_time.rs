//! The time that all daemons agree upon: Redis's, so that hosts whose clocks differ can compare what each did when.
//!
//! Invariant: at most [`super::REDIS_ANSWER_MAX`] behind Redis's own clock. While Redis is away it goes on as this
//! host's steady clock does; before Redis ever answered it is this host's time.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;

/// When Redis said last what time it is.
#[derive(Debug, Default)]
pub(in crate::bus) struct CommonTime(Mutex<Option<(Timestamp, Instant)>>);

impl CommonTime {
    /// Redis says that it is now `at`.
    pub(super) fn is(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, Instant::now()));
    }

    /// What it is now.
    pub(in crate::bus) fn now(&self) -> Option<Timestamp> {
        let (at, heard) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        at.checked_add(heard.elapsed()).ok()
    }
}
