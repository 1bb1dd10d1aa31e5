//! Times as people write them: `today`, `-2h`, `14:30`, `2026-11-29`.
//!
//! | written | is |
//! |---|---|
//! | `now`, 今 | now |
//! | `today`, `yesterday`, `tomorrow`, 今日, 昨日, 明日 | that day |
//! | `2026-11-29`, `2026/11/29`, `11-29`, `11/29` | that day, without a year that of this year |
//! | `14:30`, `14:30:05` | that time of today |
//! | a day and a time, with a space or T between them | that time of that day |
//! | `-90s`, `-30m`, `-2h`, `-7d`, `-1w`, and with `+` | so long before or after now |
//! | `2026-11-29T14:30:00+09:00` | RFC 3339 |
//!
//! A day alone is its beginning, also behind `--to`: `--to 2026-12-01` is all of November. Without an offset a time is one of
//! this machine's time zone.
//!
//! Invariant: a text is one time or an error that lists the forms; nothing is guessed.

use std::fmt;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// What `--help` says about a time.
const FORMS: &str =
    "write today, yesterday, 2026-11-29, \"2026-11-29 14:30\", 14:30, -2h, -7d or 2026-11-29T14:30:00+09:00";

/// A text that names a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A time.
    At(Timestamp),
    /// A day.
    Day(Date),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::At(at) => at.fmt(f),
        }
    }
}

/// A time, for clap.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    at(text, &Zoned::now())
}

/// A time, as seen from `now`.
pub(super) fn time_from(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    at(text, &now.to_zoned(TimeZone::system()))
}

/// A day or a time, for clap: the server knows the beginning of a day in its own time zone.
pub(super) fn day_or_time(text: &str) -> Result<Moment, String> {
    let now = Zoned::now();
    moment(text.trim(), &now).ok_or_else(|| wrong(text))
}

fn wrong(text: &str) -> String {
    format!("{text:?} is not a time: {FORMS}")
}

fn at(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    match moment(text.trim(), now).ok_or_else(|| wrong(text))? {
        Moment::At(at) => Ok(at),
        Moment::Day(day) => Ok(day.to_zoned(now.time_zone().clone()).map_err(|_| wrong(text))?.timestamp()),
    }
}

fn moment(text: &str, now: &Zoned) -> Option<Moment> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Moment::At(at));
    }
    if matches!(text, "now" | "今") {
        return Some(Moment::At(now.timestamp()));
    }
    if let Some(distance) = distance(text) {
        return now.timestamp().checked_add(distance).ok().map(Moment::At);
    }
    if let Some(day) = day(text, now) {
        return Some(Moment::Day(day));
    }
    let (day, time) = match text.split_once([' ', 'T', '\u{3000}']) {
        Some((first, second)) => (day(first, now)?, clock(second.trim())?),
        None => (now.date(), clock(text)?),
    };
    let at = day.to_datetime(time).to_zoned(now.time_zone().clone()).ok()?;
    Some(Moment::At(at.timestamp()))
}

/// `-2h`: a sign, a number, a unit.
fn distance(text: &str) -> Option<SignedDuration> {
    let sign = match text.chars().next()? {
        '-' => -1,
        '+' => 1,
        _ => return None,
    };
    let unit = text.chars().last()?;
    let number = text.get(1..text.len().checked_sub(unit.len_utf8())?)?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let seconds = number.parse::<i64>().ok()?.checked_mul(seconds)?;
    Some(SignedDuration::from_secs(sign * seconds))
}

fn day(text: &str, now: &Zoned) -> Option<Date> {
    let today = now.date();
    match text {
        "today" | "今日" | "本日" => return Some(today),
        "yesterday" | "昨日" => return today.yesterday().ok(),
        "tomorrow" | "明日" => return today.tomorrow().ok(),
        _ => {}
    }
    let parts: Vec<&str> = text.split(['-', '/']).collect();
    if !parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    match parts.as_slice() {
        [year, month, day] if year.len() == 4 => {
            Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
        }
        [month, day] if month.len() <= 2 => {
            Date::new(today.year(), month.parse().ok()?, day.parse().ok()?).ok()
        }
        _ => None,
    }
}

fn clock(text: &str) -> Option<Time> {
    let parts: Vec<&str> = text.split(':').collect();
    if !parts.iter().all(|part| matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (hour, minute, &"0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    Time::new(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Zoned = "2026-11-29T10:00:00+09:00[Asia/Tokyo]".parse().unwrap();
        let cases = [
            ("now", "2026-11-29T01:00:00Z"),
            ("today", "2026-11-28T15:00:00Z"),
            ("本日", "2026-11-28T15:00:00Z"),
            ("yesterday", "2026-11-27T15:00:00Z"),
            ("明日", "2026-11-29T15:00:00Z"),
            ("2026-11-01", "2026-10-31T15:00:00Z"),
            ("2026/11/1", "2026-10-31T15:00:00Z"),
            ("11/1", "2026-10-31T15:00:00Z"),
            ("14:30", "2026-11-29T05:30:00Z"),
            ("9:05:07", "2026-11-29T00:05:07Z"),
            ("2026-11-28 14:30", "2026-11-28T05:30:00Z"),
            ("昨日 8:00", "2026-11-27T23:00:00Z"),
            ("2026-11-28T14:30", "2026-11-28T05:30:00Z"),
            ("-2h", "2026-11-28T23:00:00Z"),
            ("-7d", "2026-11-22T01:00:00Z"),
            ("+30m", "2026-11-29T01:30:00Z"),
            ("2026-04-01T00:00:00+09:00", "2026-03-31T15:00:00Z"),
        ];
        for (text, is) in cases {
            assert_eq!(at(text, &now).unwrap().to_string(), is, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_an_error_that_lists_the_forms() {
        let now: Zoned = "2026-11-29T10:00:00+09:00[Asia/Tokyo]".parse().unwrap();
        let hostile = [
            "",
            "-",
            "-h",
            "-2",
            "2h",
            "24:00",
            "12:60",
            "2026-13-01",
            "2026-02-30",
            "13/01",
            "1/2/3/4",
            "昨年",
            "-9223372036854775807w",
            "-１d",
            "today tomorrow",
            "tomorrow 25:00",
            "\u{0}",
        ];
        for text in hostile {
            let error = at(text, &now).unwrap_err();
            assert!(error.contains("is not a time: write today"), "{text:?}: {error}");
        }
    }
}
