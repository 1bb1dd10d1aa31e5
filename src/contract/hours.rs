//! When an account is open: weekly spans and days off, in its own time zone.
//!
//! As JSON `{"weekly":[{"days":["mon","tue"],"from":"09:00","to":"18:00"}],"closed_on":["2026-01-01"]}`; as
//! text, in imports and tables, `月-金 09:00-18:00; 土 09:00-12:00; 休 2026-01-01` (English day names are read, too).
//!
//! Invariant: a span whose end is not after its start crosses midnight and belongs to the day it starts on. Without spans
//! an account is open all day, except on its days off. An account without hours is always open.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Maximum number of spans of one account.
pub const SPANS_MAX: usize = 28;
/// Maximum number of days off of one account.
pub const DAYS_OFF_MAX: usize = 400;
/// How many days ahead the next opening is searched.
const NEXT_OPEN_DAYS_MAX: usize = 400;

/// The hours of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The time zone's IANA name; absent: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The open spans of each week.
    #[serde(default)]
    pub weekly: Vec<Span>,
    /// Dates on which the account is closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub closed_on: Vec<Date>,
}

/// One open span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The days on which it starts.
    pub days: Vec<Day>,
    /// Its start, `HH:MM`.
    #[schema(value_type = String)]
    #[serde(with = "clock")]
    pub from: Time,
    /// Its end, `HH:MM`; `00:00` is midnight.
    #[schema(value_type = String)]
    #[serde(with = "clock")]
    pub to: Time,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Why hours are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write hours as 月-金 09:00-18:00; 土 09:00-12:00; 休 2026-01-01")]
pub struct HoursError(String);

const DAYS: [(Day, &str, &str, Weekday); 7] = [
    (Day::Mon, "月", "mon", Weekday::Monday),
    (Day::Tue, "火", "tue", Weekday::Tuesday),
    (Day::Wed, "水", "wed", Weekday::Wednesday),
    (Day::Thu, "木", "thu", Weekday::Thursday),
    (Day::Fri, "金", "fri", Weekday::Friday),
    (Day::Sat, "土", "sat", Weekday::Saturday),
    (Day::Sun, "日", "sun", Weekday::Sunday),
];

impl Hours {
    /// Parses the text form; `None` (always open) for an empty text.
    ///
    /// # Errors
    /// A part that is neither days with spans nor days off.
    pub fn read(text: &str) -> Result<Option<Self>, HoursError> {
        let mut hours = Self::default();
        for part in text.split([';', '；']).map(str::trim).filter(|part| !part.is_empty()) {
            let (days, rest) = part.split_once([' ', '\u{3000}']).unwrap_or((part, ""));
            if matches!(days, "休" | "休日" | "closed") {
                for day in rest.split_whitespace() {
                    let date = day.parse().map_err(|_| HoursError(format!("{day:?} is not a date")))?;
                    hours.closed_on.push(date);
                }
            } else {
                let days = read_days(days)?;
                for span in rest.split_whitespace() {
                    let (from, to) = read_span(span)?;
                    hours.weekly.push(Span { days: days.clone(), from, to });
                }
            }
        }
        let hours = (hours != Self::default()).then_some(hours);
        hours.as_ref().map_or(Ok(()), Self::check)?;
        Ok(hours)
    }

    /// Checks the limits and the time zone.
    ///
    /// # Errors
    /// Too many spans or days off, a span without days, an unknown time zone.
    pub fn check(&self) -> Result<(), HoursError> {
        if self.weekly.len() > SPANS_MAX || self.closed_on.len() > DAYS_OFF_MAX {
            return Err(HoursError(format!("at most {SPANS_MAX} spans and {DAYS_OFF_MAX} days off")));
        }
        if self.weekly.iter().any(|span| span.days.is_empty() || span.days.len() > DAYS.len()) {
            return Err(HoursError("each span needs its days".to_owned()));
        }
        match &self.time_zone {
            Some(name) if TimeZone::get(name).is_err() => {
                Err(HoursError(format!("unknown time zone {name:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the account is open at `at`; `zone` applies when the hours name none.
    #[must_use]
    pub fn is_open(&self, at: Timestamp, zone: &TimeZone) -> bool {
        let local = at.to_zoned(self.zone(zone)).datetime();
        let (today, now) = (local.date(), local.time());
        let yesterday = today.yesterday().unwrap_or(today);
        if self.weekly.is_empty() {
            return !self.closed_on.contains(&today);
        }
        self.weekly.iter().any(|span| {
            let over_midnight = span.to <= span.from;
            let open_today =
                self.applies_on(span, today) && now >= span.from && (over_midnight || now < span.to);
            open_today || (over_midnight && self.applies_on(span, yesterday) && now < span.to)
        })
    }

    /// When the account opens next after `at`: the next start of a span, or the next day that is no day off. `None`: not
    /// within [`NEXT_OPEN_DAYS_MAX`] days.
    #[must_use]
    pub fn next_open(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone(zone);
        let mut date = at.to_zoned(zone.clone()).date();
        for _ in 0..=NEXT_OPEN_DAYS_MAX {
            let starts: Vec<Time> = if self.weekly.is_empty() {
                (!self.closed_on.contains(&date)).then_some(Time::midnight()).into_iter().collect()
            } else {
                self.weekly.iter().filter(|span| self.applies_on(span, date)).map(|span| span.from).collect()
            };
            let opens = starts.into_iter().filter_map(|time| {
                let opens = date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
                (opens > at).then_some(opens)
            });
            if let Some(first) = opens.min() {
                return Some(first);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Whether `date` is a day off.
    #[must_use]
    pub fn is_day_off(&self, date: Date) -> bool {
        self.closed_on.contains(&date)
    }

    /// The time zone of these hours; `zone` when they name none.
    #[must_use]
    pub fn zone(&self, zone: &TimeZone) -> TimeZone {
        let own = self.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        own.unwrap_or_else(|| zone.clone())
    }

    fn applies_on(&self, span: &Span, date: Date) -> bool {
        let weekday = date.weekday();
        let day = DAYS.iter().find(|(.., known)| *known == weekday).map(|(day, ..)| *day);
        day.is_some_and(|day| span.days.contains(&day)) && !self.closed_on.contains(&date)
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut days = &[][..];
        for span in &self.weekly {
            let (from, to) = (span.from.strftime("%H:%M"), span.to.strftime("%H:%M"));
            if span.days == days {
                write!(f, " {from}-{to}")?;
            } else {
                write!(f, "{separator}{} {from}-{to}", days_text(&span.days))?;
            }
            (separator, days) = ("; ", &span.days);
        }
        if !self.closed_on.is_empty() {
            write!(f, "{separator}休")?;
            self.closed_on.iter().try_for_each(|date| write!(f, " {date}"))?;
        }
        Ok(())
    }
}

/// `月-金` for a run of days, `月火木` otherwise.
fn days_text(days: &[Day]) -> String {
    let positions: Vec<usize> =
        days.iter().filter_map(|day| DAYS.iter().position(|known| known.0 == *day)).collect();
    let name = |position: &usize| DAYS.get(*position).map_or("", |known| known.1);
    let is_run = positions.windows(2).all(|pair| matches!(pair, [a, b] if (a + 1) % DAYS.len() == *b));
    match positions.as_slice() {
        [first, _, .., last] if is_run => format!("{}-{}", name(first), name(last)),
        _ => positions.iter().map(name).collect(),
    }
}

/// `月-金`, `月火木`, `mon,wed`, `mon-fri`, `毎日`.
fn read_days(text: &str) -> Result<Vec<Day>, HoursError> {
    if matches!(text, "毎日" | "daily") {
        return Ok(DAYS.iter().map(|d| d.0).collect());
    }
    let wrong = || HoursError(format!("{text:?} does not name days"));
    let lower = text.to_lowercase();
    let mut days = Vec::new();
    for part in lower.split([',', '、', '・', '/']) {
        if let Some((first, last)) = part.split_once(['-', '〜', '～', '－']) {
            let (first, last) = (position(first).ok_or_else(wrong)?, position(last).ok_or_else(wrong)?);
            let span = (last + DAYS.len() - first) % DAYS.len();
            days.extend((0..=span).filter_map(|step| DAYS.get((first + step) % DAYS.len())).map(|d| d.0));
        } else if let Some(position) = position(part) {
            days.extend(DAYS.get(position).map(|d| d.0));
        } else {
            for c in part.chars() {
                let position = position(&c.to_string()).ok_or_else(wrong)?;
                days.extend(DAYS.get(position).map(|d| d.0));
            }
        }
    }
    days.dedup();
    if days.is_empty() { Err(wrong()) } else { Ok(days) }
}

fn position(name: &str) -> Option<usize> {
    DAYS.iter().position(|(_, japanese, english, _)| name == *japanese || name == *english)
}

fn read_span(text: &str) -> Result<(Time, Time), HoursError> {
    let wrong = || HoursError(format!("{text:?} is not a span of hours"));
    let (from, to) = text.split_once(['-', '〜', '～', '－']).ok_or_else(wrong)?;
    Ok((clock::read(from).ok_or_else(wrong)?, clock::read(to).ok_or_else(wrong)?))
}

/// `HH:MM`, with `24:00` for midnight.
mod clock {
    use jiff::civil::Time;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn read(text: &str) -> Option<Time> {
        let (hour, minute) = text.trim().split_once([':', '：'])?;
        let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
        Time::new(if (hour, minute) == (24, 0) { 0 } else { hour }, minute, 0, 0).ok()
    }

    pub(crate) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.strftime("%H:%M"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).ok_or_else(|| de::Error::custom("write times as HH:MM"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(hours: &str, at: &str) -> bool {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        Hours::read(hours).unwrap().unwrap().is_open(at.parse().unwrap(), &zone)
    }

    #[test]
    fn spans_nights_and_days_off() {
        let week = "月-金 09:00-18:00; 土 09:00-12:00; 休 2026-01-01";
        for (hours, at, expected) in [
            (week, "2025-12-31T09:00:00+09:00", true),
            (week, "2025-12-31T17:59:59+09:00", true),
            (week, "2025-12-31T18:00:00+09:00", false),
            (week, "2026-01-01T10:00:00+09:00", false),
            (week, "2026-01-03T11:00:00+09:00", true),
            (week, "2026-01-04T11:00:00+09:00", false),
            ("fri-mon 22:00-06:00", "2026-01-03T05:59:00+09:00", true),
            ("fri 22:00-06:00", "2026-01-03T05:59:00+09:00", true),
            ("fri 22:00-06:00", "2026-01-02T05:59:00+09:00", false),
            ("毎日 00:00-24:00", "2026-01-04T23:59:59+09:00", true),
            ("休 2026-01-04", "2026-01-04T12:00:00+09:00", false),
            ("休 2026-01-04", "2026-01-05T12:00:00+09:00", true),
            ("月水 09:00-12:00 13:00-17:00", "2026-01-05T12:30:00+09:00", false),
        ] {
            assert_eq!(open(hours, at), expected, "{hours} at {at}");
        }
    }

    #[test]
    fn the_next_opening_is_found_over_nights_and_days_off() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let next = |hours: &str, at: &str| {
            let hours = Hours::read(hours).unwrap().unwrap();
            let opens = hours.next_open(at.parse().unwrap(), &zone);
            opens.map(|at| at.to_zoned(zone.clone()).datetime().to_string())
        };
        let week = "月-金 09:00-12:00 13:00-18:00; 土 09:00-12:00; 休 2026-01-01 2026-01-02";
        for (hours, at, expected) in [
            (week, "2025-12-31T08:59:59+09:00", Some("2025-12-31T09:00:00")),
            (week, "2025-12-31T12:30:00+09:00", Some("2025-12-31T13:00:00")),
            (week, "2025-12-31T13:00:00+09:00", Some("2026-01-03T09:00:00")),
            ("休 2026-01-01", "2025-12-31T23:00:00+09:00", Some("2026-01-02T00:00:00")),
            ("月 09:00-10:00; 休 2026-01-05", "2026-01-05T08:00:00+09:00", Some("2026-01-12T09:00:00")),
        ] {
            assert_eq!(next(hours, at).as_deref(), expected, "{hours} at {at}");
        }
    }

    #[test]
    fn text_and_json_go_both_ways() {
        let text = "月-金 09:00-12:00 13:00-18:00; 土日 09:00-12:00; 休 2026-01-01 2026-01-02";
        let hours = Hours::read(text).unwrap().unwrap();
        assert_eq!(hours.to_string(), text);
        let json = serde_json::to_string(&hours).unwrap();
        assert!(json.contains("\"from\":\"09:00\""), "{json}");
        assert_eq!(serde_json::from_str::<Hours>(&json).unwrap(), hours);
        assert_eq!(Hours::read(" ").unwrap(), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["9-18", "月 9時-18時", "某日 09:00-18:00", "月 25:00-26:00", "休 明日", "月 0900"]
        {
            assert!(Hours::read(text).is_err(), "{text}");
        }
        let zone = Hours { time_zone: Some("Asia/Nowhere".into()), ..Hours::default() };
        assert!(zone.check().is_err());
    }
}
