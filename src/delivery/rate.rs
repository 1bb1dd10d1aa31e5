//! A limit of mails per minute (a token bucket): a tenth of a minute's mails at once, and then evenly.

use std::time::Duration;

/// The limit, and what is left of it.
#[derive(Debug, Clone)]
pub struct RateLimit {
    per_minute: u32,
    /// Mails that may go at once, in thousandths.
    left_milli: u64,
    /// When that was counted: the time since an arbitrary moment.
    counted_at: Duration,
}

impl RateLimit {
    /// A full limit.
    #[must_use]
    pub fn new(per_minute: u32, now: Duration) -> Self {
        let mut limit = Self { per_minute, left_milli: 0, counted_at: now };
        limit.left_milli = limit.burst_milli();
        limit
    }

    fn burst_milli(&self) -> u64 {
        u64::from(self.per_minute.div_ceil(10).max(1)) * 1000
    }

    /// Takes one mail out of the limit.
    ///
    /// # Errors
    /// How long to wait until there is one.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let elapsed_ms = u64::try_from(now.saturating_sub(self.counted_at).as_millis()).unwrap_or(u64::MAX);
        let gained = elapsed_ms.saturating_mul(u64::from(self.per_minute)) / 60;
        if gained > 0 {
            self.left_milli = self.left_milli.saturating_add(gained).min(self.burst_milli());
            self.counted_at = now;
        }
        match self.left_milli.checked_sub(1000) {
            Some(left) => {
                self.left_milli = left;
                Ok(())
            }
            None => Err(Duration::from_millis(
                ((1000 - self.left_milli) * 60).div_ceil(u64::from(self.per_minute.max(1))),
            )),
        }
    }

    /// Gives back a mail that was not sent.
    pub fn give_back(&mut self) {
        self.left_milli = (self.left_milli + 1000).min(self.burst_milli());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as the limit allows for an hour.
    #[test]
    fn an_hour_has_sixty_minutes_of_mails() {
        for per_minute in [1, 7, 60, 3_000] {
            let mut limit = RateLimit::new(per_minute, Duration::ZERO);
            let (mut now, mut sent) = (Duration::ZERO, 0);
            while now < Duration::from_secs(3_600) {
                match limit.take(now) {
                    Ok(()) => sent += 1,
                    Err(wait) => now += wait,
                }
            }
            let expected = per_minute * 60;
            let burst = per_minute.div_ceil(10);
            assert!((expected..=expected + burst + 1).contains(&sent), "{sent} of {expected}");
        }
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let mut limit = RateLimit::new(10, Duration::ZERO);
        assert_eq!(limit.take(Duration::ZERO), Ok(()));
        assert_eq!(limit.take(Duration::ZERO), Err(Duration::from_secs(6)));
        limit.give_back();
        limit.give_back();
        assert_eq!(limit.take(Duration::ZERO), Ok(()));
        assert!(limit.take(Duration::ZERO).is_err(), "the limit does not grow");
    }
}
