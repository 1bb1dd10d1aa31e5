//! A clock that stands still until the test moves it.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use toritsugi::gateway::Clock;

/// 2026-01-05 09:00 in Tokyo.
const MORNING_MS: i64 = 1_767_571_200_000;

/// A clock that begins on the morning of a working day.
#[derive(Debug, Clone)]
pub(crate) struct TestClock {
    now_ms: Arc<AtomicI64>,
    elapsed_ms: Arc<AtomicU64>,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self { now_ms: Arc::new(AtomicI64::new(MORNING_MS)), elapsed_ms: Arc::default() }
    }

    /// The same clock as the product reads it.
    pub(crate) fn reader(&self) -> Clock {
        let (now_ms, elapsed_ms) = (Arc::clone(&self.now_ms), Arc::clone(&self.elapsed_ms));
        Clock::with_elapsed(
            move || Timestamp::from_millisecond(now_ms.load(Ordering::Relaxed)).unwrap(),
            move || Duration::from_millis(elapsed_ms.load(Ordering::Relaxed)),
        )
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, time: Duration) {
        self.now_ms.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
        self.elapsed_ms.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Sets the time of day back; time goes on.
    pub(crate) fn set_back(&self, time: Duration) {
        self.now_ms.fetch_sub(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}
