//! When to try again: pauses between attempts to reach a PBX.
//!
//! Invariant: there is always a next attempt; nothing here gives up. The pauses after a lost link double up to a
//! limit and are drawn from the upper half, so that several daemons do not return at the same instant. A refused
//! login has a pause of its own, long and constant: trying faster helps nobody and fills the PBX's security log.
//!
//! No clock and no randomness: durations come out, the seed goes in.

use std::time::Duration;

/// The lengths of the pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Upper bound of the first pause after a lost link.
    pub first: Duration,
    /// Longest pause after a lost link.
    pub max: Duration,
    /// Pause after a refused login, plus up to a quarter.
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

/// The pauses of one session.
#[derive(Debug)]
pub struct Backoff {
    schedule: Schedule,
    losses: u32,
    random: u64,
}

impl Backoff {
    /// Pauses as `schedule` says, with jitter from `seed`.
    #[must_use]
    pub fn new(schedule: Schedule, seed: u64) -> Self {
        Self { schedule, losses: 0, random: seed }
    }

    /// A login was accepted: the next pause is short again.
    pub fn succeeded(&mut self) {
        self.losses = 0;
    }

    /// The pause after a link that was lost or could not be made.
    pub fn after_loss(&mut self) -> Duration {
        let doubled = self.schedule.first.saturating_mul(1 << self.losses.min(20));
        self.losses = self.losses.saturating_add(1);
        let longest = doubled.min(self.schedule.max);
        longest / 2 + self.up_to(longest / 2)
    }

    /// The pause after a refused login.
    pub fn after_refusal(&mut self) -> Duration {
        self.losses = 0;
        self.schedule.refused + self.up_to(self.schedule.refused / 4)
    }

    fn up_to(&mut self, limit: Duration) -> Duration {
        // SplitMix64: enough to keep daemons apart.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let thousandths = u32::try_from(mixed % 1_001).unwrap_or(0);
        limit * thousandths / 1_000
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seeds_differ() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(Schedule::default(), seed);
            (0..5).map(|_| backoff.after_loss()).collect::<Vec<_>>()
        };
        assert_ne!(pauses(1), pauses(2));
        assert_eq!(pauses(3), pauses(3));
    }

    proptest! {
        #[test]
        fn pauses_stay_within_their_bounds(seed: u64, losses in 0..200_usize) {
            let schedule = Schedule::default();
            let mut backoff = Backoff::new(schedule, seed);
            let mut longest = schedule.first;
            for _ in 0..losses {
                let pause = backoff.after_loss();
                prop_assert!(pause >= longest / 2 && pause <= longest, "{pause:?}");
                longest = (longest * 2).min(schedule.max);
            }
            let refused = backoff.after_refusal();
            prop_assert!(refused >= schedule.refused && refused <= schedule.refused * 5 / 4);
            backoff.succeeded();
            prop_assert!(backoff.after_loss() <= schedule.first);
        }
    }
}
