//! The pause of a mail server: while it refuses everybody, nobody is sent there.
//!
//! | input | not paused | paused |
//! |---|---|---|
//! | it failed, and not because of a recipient | paused for [`PAUSE`] | paused again, twice as long, up to [`PAUSE_LONGEST`] |
//! | it took a mail, or refused a recipient | | not paused |
//!
//! When a pause is over, one mail is tried; the others wait for its outcome. Why: a wrong password would otherwise be tried
//! with every mail, and providers lock accounts for that.

use std::time::Duration;

use jiff::Timestamp;

use super::machine::later;

/// The first pause.
pub const PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
pub const PAUSE_LONGEST: Duration = Duration::from_secs(300);
/// A server that has been paused for so long is reported.
pub const PAUSE_ALARM_DELAY: Duration = Duration::from_secs(60);

/// A server that is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPause {
    /// Since when it has refused everybody.
    pub since: Timestamp,
    /// When the next mail is tried.
    pub until: Timestamp,
    /// What it said last.
    pub why: String,
}

impl ServerPause {
    /// The pause after a failure at `now`.
    #[must_use]
    pub fn after(before: Option<&Self>, now: Timestamp, why: String) -> Self {
        let Some(before) = before else { return Self { since: now, until: later(now, PAUSE), why } };
        // The time that it has been paused in all doubles with each pause.
        let elapsed = Duration::try_from(now.duration_since(before.since)).unwrap_or(PAUSE);
        Self { since: before.since, until: later(now, elapsed.clamp(PAUSE, PAUSE_LONGEST)), why }
    }

    /// Whether nobody may be sent there yet.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Whether it has been paused for so long that people must know.
    #[must_use]
    pub fn is_alarming(&self, now: Timestamp) -> bool {
        later(self.since, PAUSE_ALARM_DELAY) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let start = Timestamp::from_second(1_000).unwrap();
        let mut pause = ServerPause::after(None, start, "535".into());
        let mut lengths = vec![5];
        for _ in 0..8 {
            let now = pause.until;
            assert!(!pause.holds(now));
            pause = ServerPause::after(Some(&pause), now, "535".into());
            lengths.push(pause.until.as_second() - now.as_second());
        }
        assert_eq!(lengths, [5, 5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pause.since, start);
    }

    #[test]
    fn people_learn_of_it_after_a_minute() {
        let start = Timestamp::from_second(1_000).unwrap();
        let pause = ServerPause::after(None, start, "535".into());
        assert!(!pause.is_alarming(later(start, Duration::from_secs(59))));
        assert!(pause.is_alarming(later(start, PAUSE_ALARM_DELAY)));
    }
}
