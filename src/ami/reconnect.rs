//! How long to wait before the next attempt to reach a PBX.
//!
//! Invariant: there is always a next attempt; nothing here gives up. The delays after a lost connection double up to a
//! limit and are drawn from the upper half, so that several daemons do not reconnect at the same instant. A refused
//! login has a delay of its own, long and nearly constant: a faster attempt would fail again and fill the PBX's
//! security log.
//!
//! No clock and no randomness: durations come out, the seed goes in.

use std::time::Duration;

use crate::backoff::Backoff;

/// The lengths of the delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Upper bound of the first delay after a lost connection.
    pub first: Duration,
    /// Longest delay after a lost connection.
    pub max: Duration,
    /// Delay after a refused login; up to a quarter of it is added.
    pub refused: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            max: Duration::from_secs(10),
            refused: Duration::from_secs(60),
        }
    }
}

/// The delays of one session.
#[derive(Debug)]
pub struct ReconnectDelays {
    refused: Duration,
    backoff: Backoff,
}

impl ReconnectDelays {
    /// Delays by `schedule`, with jitter from `seed`.
    #[must_use]
    pub fn new(schedule: Schedule, seed: u64) -> Self {
        Self { refused: schedule.refused, backoff: Backoff::new(schedule.first, schedule.max, seed.max(1)) }
    }

    /// Makes the next delay short again, as after a login.
    pub fn reset(&mut self) {
        self.backoff.reset();
    }

    /// The delay after a connection that was lost or could not be made; each call lengthens the next.
    pub fn delay_after_loss(&mut self) -> Duration {
        self.backoff.next_delay()
    }

    /// The delay after a refused login; resets the delay after a loss.
    pub fn delay_after_refusal(&mut self) -> Duration {
        self.backoff.reset();
        self.refused + self.backoff.jitter(self.refused / 4)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seeds_differ() {
        let delays = |seed| {
            let mut backoff = ReconnectDelays::new(Schedule::default(), seed);
            (0..5).map(|_| backoff.delay_after_loss()).collect::<Vec<_>>()
        };
        assert_ne!(delays(1), delays(2));
        assert_eq!(delays(3), delays(3));
    }

    proptest! {
        #[test]
        fn pauses_stay_within_their_bounds(seed: u64, losses in 0..200_usize) {
            let schedule = Schedule::default();
            let mut backoff = ReconnectDelays::new(schedule, seed);
            let mut longest = schedule.first;
            for _ in 0..losses {
                let delay = backoff.delay_after_loss();
                prop_assert!(delay >= longest / 2 && delay <= longest, "{delay:?}");
                longest = (longest * 2).min(schedule.max);
            }
            let refused = backoff.delay_after_refusal();
            prop_assert!(refused >= schedule.refused && refused <= schedule.refused * 5 / 4);
            backoff.reset();
            prop_assert!(backoff.delay_after_loss() <= schedule.first);
        }
    }
}
