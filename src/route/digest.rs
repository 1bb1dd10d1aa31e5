//! Digests (まとめ報告): what an account gets at its times instead of, or besides, a mail for each message.
//!
//! ```toml
//! [[digest]]
//! name = "evening"
//! at = ["18:10"]
//! days = ["mon", "tue", "wed", "thu", "fri"]
//! to = ["endpoint:desk"]
//! include = "all"
//! if_empty = "send"
//! calls = true
//! csv = true
//! ```
//!
//! | a time of a digest | what happens |
//! |---|---|
//! | comes | a run reports the messages since the last run of that name, in one mail to each recipient |
//! | was missed by less than [`LATE_MAX`] | the run is late |
//! | was missed by more | it is left out, and the next run reports its messages and says so |
//!
//! Invariant: pure. A message whose route says `digest` waits for the next time of that digest, and is alarmed [`LATE_MAX`] later if
//! nothing came of it. Read next: [`crate::store::digests`] (the runs).

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::condition::When;
use super::document::{Need, Outside, Recipient, Route, Step, Until, mail, once};
use crate::contract::hours::Day;

/// Most digests of an account.
pub(super) const DIGESTS_MAX: usize = 5;
/// Most times of a day.
const TIMES_MAX: usize = 8;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 40;
/// Most recipients.
const RECIPIENTS_MAX: usize = 20;
/// How late a run may be.
pub const LATE_MAX: Duration = Duration::from_secs(12 * 3_600);

/// A digest of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// Its name, which routes use.
    pub name: String,
    /// The times of the day at which it is sent, in the account's time zone.
    pub at: Vec<Clock>,
    /// On which days; absent: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Who gets it, by mail.
    pub to: Vec<Recipient>,
    /// Which messages it reports. Those that wait for it are always in it.
    #[serde(default)]
    pub include: Include,
    /// What happens when there is nothing to report.
    #[serde(default)]
    pub if_empty: IfEmpty,
    /// Whether it counts the account's calls.
    #[serde(default)]
    pub calls: bool,
    /// Whether the messages are attached as a table, too.
    #[serde(default)]
    pub csv: bool,
}

/// Which messages a digest reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Include {
    /// All.
    #[default]
    All,
    /// Those of low urgency.
    Low,
    /// Those that nobody has confirmed.
    Unacknowledged,
}

impl Include {
    /// The word in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Low => "low",
            Self::Unacknowledged => "unacknowledged",
        }
    }
}

/// What happens when there is nothing to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfEmpty {
    /// The digest says that there was nothing.
    #[default]
    Send,
    /// Nothing is sent.
    Skip,
}

/// A time of the day: `"18:10"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Clock(Time);

impl TryFrom<String> for Clock {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (hour, minute) = text.trim().split_once(':')?;
            Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
        };
        read().map(Self).ok_or_else(|| format!("{text:?} is no time of the day: write it as \"18:10\""))
    }
}

impl From<Clock> for String {
    fn from(clock: Clock) -> Self {
        clock.0.strftime("%H:%M").to_string()
    }
}

impl Digest {
    /// The next time after `after`; `None` beyond the end of time.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let today = after.to_zoned(zone.clone()).date();
        // A week ahead has each day, and the day after it has the times that are over today.
        (0..=7_i32).find_map(|days| {
            let date = today.checked_add(days.days()).ok()?;
            let is_day = self.days.is_empty() || self.days.iter().any(|day| day.weekday() == date.weekday());
            let at = |clock: &Clock| Some(date.to_datetime(clock.0).to_zoned(zone.clone()).ok()?.timestamp());
            self.at.iter().filter(|_| is_day).filter_map(at).filter(|time| *time > after).min()
        })
    }

    /// The route of a run: a mail to each recipient.
    #[must_use]
    pub fn route(&self) -> Route {
        let step = Step {
            to: self.to.clone(),
            via: mail(),
            also: Vec::new(),
            until: Until::Sent,
            wait_min: None,
            need: Need::Any,
            one_by_one: None,
            repeat: once(),
            outside: Outside::Send,
        };
        Route { name: self.name.clone(), when: When::default(), steps: vec![step], digest: None }
    }

    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<String> {
        let chars = self.name.chars().count();
        // It is a part of paths.
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        if chars == 0 || chars > NAME_CHARS_MAX || !self.name.chars().all(is_plain) {
            return Some(format!("give it a name of 1 to {NAME_CHARS_MAX} letters, digits, \"-\" and \"_\""));
        }
        if self.at.is_empty() || self.at.len() > TIMES_MAX {
            return Some(format!("`at` has 1 to {TIMES_MAX} times of the day"));
        }
        if self.to.is_empty() || self.to.len() > RECIPIENTS_MAX {
            return Some(format!("`to` names 1 to {RECIPIENTS_MAX} recipients"));
        }
        let is_mailed = |recipient: &Recipient| {
            !matches!(recipient, Recipient::Named | Recipient::Taker | Recipient::Supervisors)
        };
        if !self.to.iter().all(is_mailed) {
            return Some(
                "a digest is mailed to \"contact:CODE\", \"endpoint:CODE\", \"on-call\" or \"account\""
                    .into(),
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    fn digest(rest: &str) -> Digest {
        let text = format!("format = 1\n[[digest]]\nname = \"evening\"\nto = [\"account\"]\n{rest}");
        Document::read(&text).unwrap().digests.remove(0)
    }

    #[test]
    fn the_next_time_is_the_next_of_its_days_in_the_accounts_time_zone() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let weekdays =
            digest("at = [\"18:10\", \"12:00\"]\ndays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]");
        let daily = digest("at = [\"00:00\"]");
        let weekly = digest("at = [\"09:00\"]\ndays = [\"mon\"]");
        for (digest, after, next) in [
            (&weekdays, "2026-11-30T11:59:59+09:00", "2026-11-30T12:00:00+09:00"),
            (&weekdays, "2026-11-30T12:00:00+09:00", "2026-11-30T18:10:00+09:00"),
            (&weekdays, "2026-12-04T18:10:00+09:00", "2026-12-07T12:00:00+09:00"),
            (&daily, "2026-11-30T00:00:00+09:00", "2026-12-01T00:00:00+09:00"),
            (&weekly, "2026-11-30T09:00:00+09:00", "2026-12-07T09:00:00+09:00"),
        ] {
            assert_eq!(digest.next_after(at(after), &zone), Some(at(next)), "after {after}");
        }
        // A time that the clocks leave out comes an hour later; one that they repeat comes once.
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let night = digest("at = [\"02:30\"]");
        for (after, next) in [
            ("2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ] {
            assert_eq!(night.next_after(at(after), &berlin), Some(at(next)), "after {after}");
        }
    }

    #[test]
    fn a_digest_that_cannot_work_is_refused_with_its_place() {
        let document = |digest: &str| format!("format = 1\n[[digest]]\n{digest}");
        for (text, line, column, words) in [
            ("name = \"a\"\nat = [\"25:00\"]\nto = [\"account\"]", 4, 6, "is no time of the day"),
            ("name = \"a\"\nat = []\nto = [\"account\"]", 2, 1, "1 to 8 times"),
            ("name = \"a/b\"\nat = [\"18:00\"]\nto = [\"account\"]", 2, 1, "letters, digits"),
            ("name = \"a\"\nat = [\"18:00\"]\nto = []", 2, 1, "1 to 20 recipients"),
            ("name = \"a\"\nat = [\"18:00\"]\nto = [\"named\"]", 2, 1, "is mailed to"),
            ("name = \"a\"\nat = [\"18:00\"]\nto = [\"account\"]\ncolour = 1", 6, 1, "colour"),
            ("name = \"a\"\nat = [\"18:00\"]\nto = [\"account\"]\ninclude = \"some\"", 6, 11, "some"),
        ] {
            let error = Document::read(&document(text)).unwrap_err();
            assert!(error.reason.contains(words), "{error} is not about {words:?}");
            assert_eq!((error.line, error.column), (line, column), "{error} in\n{text}");
        }
        let twice = "format = 1\n[[digest]]\nname = \"a\"\nat = [\"18:00\"]\nto = [\"account\"]\n".to_owned()
            + "[[digest]]\nname = \"a\"\nat = [\"18:00\"]\nto = [\"account\"]";
        assert!(Document::read(&twice).unwrap_err().reason.contains("two digests have this name"));
        for (route, words) in [
            ("digest = \"b\"", "there is no [[digest]] with the name \"b\""),
            ("digest = \"a\"\n[[route.step]]\nto = [\"named\"]", "either `digest` or steps"),
        ] {
            let text = format!(
                "format = 1\n[[digest]]\nname = \"a\"\nat = [\"18:00\"]\nto = [\"account\"]\n[[route]]\nname = \"low\"\n{route}"
            );
            let error = Document::read(&text).unwrap_err();
            assert!(error.reason.contains(words), "{error} is not about {words:?}");
            assert_eq!((error.line, error.column), (6, 1));
        }
    }
}
