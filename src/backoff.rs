//! The one way to wait between attempts: delays that double up to a limit.
//!
//! | who retries | first delay | longest | gives up |
//! |---|---|---|---|
//! | AMI connection (`ami/reconnect.rs`, with jitter; a refused login has a delay of its own) | 200 ms | `pbx.reconnect_delay_limit_s`, 10 s | never |
//! | store: opening it, journal, records, link state of the predecessor, webhook outbox, token uses | 50 ms | 5 s | when the daemon ends, or the store refuses the record |
//! | webhook delivery (`webhook/delivery.rs`) | 1 s | 1 h | after 20 attempts |
//! | queue membership (`operators/queue_members.rs`) | 1 s | 60 s | never |
//! | Redis (`bus/redis`) | 200 ms, constant: the lease decides, not the delay | | never |
//!
//! Invariant: pure; no clock and no randomness. A seed of 0 means no jitter.

use std::time::Duration;

/// First delay after the store failed.
pub const STORE_FIRST_DELAY: Duration = Duration::from_millis(50);
/// Longest delay after the store failed.
pub const STORE_LONGEST_DELAY: Duration = Duration::from_secs(5);

/// The delay after the `failures`-th failure in a row, counted from 0: `first`, doubled each time up to `longest`.
#[must_use]
pub fn doubled(first: Duration, longest: Duration, failures: u32) -> Duration {
    first.saturating_mul(1_u32 << failures.min(30)).min(longest)
}

/// The delays of one thing that is retried.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Delays from `first` to `longest`. With a `seed` other than 0 each is drawn from the upper half of its range, so that
    /// several daemons do not retry at the same instant.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, failures: 0, random: seed }
    }

    /// Delays after a failure of the store.
    #[must_use]
    pub fn of_store() -> Self {
        Self::new(STORE_FIRST_DELAY, STORE_LONGEST_DELAY, 0)
    }

    /// The delay after another failure; each call lengthens the next.
    pub fn next_delay(&mut self) -> Duration {
        let longest = doubled(self.first, self.longest, self.failures);
        self.failures = self.failures.saturating_add(1);
        if self.random == 0 { longest } else { longest / 2 + self.jitter(longest / 2) }
    }

    /// Makes the next delay the first again, as after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// A part of `limit`, drawn at random.
    pub fn jitter(&mut self, limit: Duration) -> Duration {
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
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_again_after_a_success() {
        let mut backoff = Backoff::of_store();
        let delays: Vec<_> = (0..9).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        backoff.reset();
        assert_eq!(backoff.next_delay(), STORE_FIRST_DELAY);
        assert_eq!(doubled(STORE_FIRST_DELAY, STORE_LONGEST_DELAY, u32::MAX), STORE_LONGEST_DELAY);
    }
}
