//! The daemon's clock: wall time that never goes back.
//!
//! Invariant: each reading is at least the previous one plus the time that has passed on the monotonic clock, so timers
//! fire even after the host's clock was set back. A host clock set forward is followed at once.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::Instant as TokioInstant;

/// A clock, owned by the one task that reads it.
#[derive(Debug)]
pub(super) struct Clock {
    last: Timestamp,
    read_at: Instant,
}

impl Clock {
    /// A clock that starts at the host's time.
    pub(super) fn start() -> Self {
        Self { last: Timestamp::now(), read_at: Instant::now() }
    }

    /// The current time.
    pub(super) fn now(&mut self) -> Timestamp {
        let read_at = Instant::now();
        let elapsed = read_at.duration_since(self.read_at);
        let earliest = self.last.checked_add(elapsed).unwrap_or(self.last);
        self.last = earliest.max(Timestamp::now());
        self.read_at = read_at;
        self.last
    }

    /// The instant at which [`Self::now`] returns `at`.
    pub(super) fn instant_of(&self, at: Timestamp) -> TokioInstant {
        let wait = Duration::try_from(at.duration_since(self.last)).unwrap_or(Duration::ZERO);
        TokioInstant::from_std(self.read_at + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let mut clock = Clock::start();
        let ahead = clock.last.checked_add(Duration::from_secs(3600)).unwrap();
        clock.last = ahead;
        assert!(clock.now() >= ahead);
        let due = clock.last.checked_add(Duration::from_secs(5)).unwrap();
        assert_eq!(clock.instant_of(due), TokioInstant::from_std(clock.read_at + Duration::from_secs(5)));
        assert_eq!(clock.instant_of(ahead), TokioInstant::from_std(clock.read_at));
    }
}
