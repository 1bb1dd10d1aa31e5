//! When an account is open: weekly spans, holidays and dated exceptions, in its own time zone.
//!
//! As JSON `{"weekly":[{"days":["mon","tue"],"from":"09:00","to":"18:00"}],"closed_on":["2026-01-01"]}`; as text, in
//! imports and tables, `月-金 09:00-18:00; 土 09:00-12:00; 祝 10:00-15:00; 臨 2026-12-29 10:00-15:00; 休 2026-12-30..2027-01-03`
//! (English words are read, too).
//!
//! | the day, first row that fits | the spans that begin on it |
//! |---|---|
//! | is in `open_on` (臨時営業) | those of the entry |
//! | is in `closed_on` (臨時休業) | none |
//! | is a holiday of the calendar, `holidays` is `closed` | none |
//! | is a holiday of the calendar, `holidays` is `spans` | `holiday_spans` |
//! | any other | those of `weekly` on its day of the week; the whole day if there are no weekly spans |
//!
//! Where `holidays` is absent, an account with weekly spans is closed on holidays (that is what 平日 means), and one
//! without is open.
//!
//! Invariant: a span whose end is not after its start crosses midnight and belongs to the day it begins on. An account
//! without hours is always open.
//!
//! Read next: `text.rs` for the text form, `state.rs` for what a pop shows.

mod state;
mod text;

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::holidays::HolidayCalendar;
pub use state::{HoursState, STATE_DAYS_MAX};

/// Maximum number of spans of one account.
pub const SPANS_MAX: usize = 28;
/// Maximum number of entries of days off of one account.
pub const DAYS_OFF_MAX: usize = 400;
/// Maximum number of days with hours of their own of one account.
pub const OPEN_DAYS_MAX: usize = 100;
/// Maximum number of spans of one such day, and of holidays.
pub const DAY_SPANS_MAX: usize = 4;
/// Longest range of days off, in days.
pub const RANGE_DAYS_MAX: i32 = 366;

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
    /// What holds on holidays; absent: `closed` if there are weekly spans, else `as_weekday`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<HolidayRule>,
    /// The open spans of holidays, where `holidays` is `spans`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holiday_spans: Vec<DaySpan>,
    /// Dates on which the account is closed: `2026-01-01`, or `2026-12-30..2027-01-03`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub closed_on: Vec<DateRange>,
    /// Dates with hours of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_on: Vec<OpenDay>,
}

/// One open span of a week.
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

/// One open span of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DaySpan {
    /// Its start, `HH:MM`.
    #[schema(value_type = String)]
    #[serde(with = "clock")]
    pub from: Time,
    /// Its end, `HH:MM`; `00:00` is midnight.
    #[schema(value_type = String)]
    #[serde(with = "clock")]
    pub to: Time,
}

/// A date with hours of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenDay {
    /// The date.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// The open spans that begin on it.
    pub spans: Vec<DaySpan>,
}

/// What holds on holidays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HolidayRule {
    /// Closed.
    Closed,
    /// As on any other day of that day of the week.
    AsWeekday,
    /// Open during `holiday_spans`.
    Spans,
}

/// The row of the table above that decides whether an account is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoursRule {
    /// A date with hours of its own, or a day off.
    Exception,
    /// A holiday of the calendar.
    Holiday,
    /// The weekly spans.
    Weekly,
}

/// A date, or the dates from a first to a last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    /// The first date.
    pub first: Date,
    /// The last date; the first one if it is a single date.
    pub last: Date,
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
#[error(
    "{0}; write hours as 月-金 09:00-18:00; 土 09:00-12:00; 祝 休; 臨 2026-12-29 10:00-15:00; 休 2026-12-30..2027-01-03"
)]
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

impl Day {
    /// The weekday.
    #[must_use]
    pub fn weekday(self) -> Weekday {
        DAYS.iter().find(|(day, ..)| *day == self).map_or(Weekday::Monday, |(.., weekday)| *weekday)
    }
}

impl Hours {
    /// Checks the limits and the time zone.
    ///
    /// # Errors
    /// Too many spans or dates, a span without days, a date with two sets of hours, spans of holidays without the rule
    /// or the rule without spans, an unknown time zone.
    pub fn check(&self) -> Result<(), HoursError> {
        let refuse = |problem: String| Err(HoursError(problem));
        if self.weekly.len() > SPANS_MAX || self.closed_on.len() > DAYS_OFF_MAX {
            return refuse(format!("at most {SPANS_MAX} spans and {DAYS_OFF_MAX} days off"));
        }
        if self.open_on.len() > OPEN_DAYS_MAX {
            return refuse(format!("at most {OPEN_DAYS_MAX} days with hours of their own"));
        }
        let day_spans = self.open_on.iter().map(|day| &day.spans).chain([&self.holiday_spans]);
        if day_spans.into_iter().any(|spans| spans.len() > DAY_SPANS_MAX) {
            return refuse(format!("at most {DAY_SPANS_MAX} spans on one day"));
        }
        if self.weekly.iter().any(|span| span.days.is_empty() || span.days.len() > DAYS.len()) {
            return refuse("each span needs its days".to_owned());
        }
        if let Some(day) = self.open_on.iter().find(|day| day.spans.is_empty()) {
            return refuse(format!("{} needs its spans", day.date));
        }
        let twice = |day: &&OpenDay| self.open_on.iter().filter(|other| other.date == day.date).count() > 1;
        if let Some(day) = self.open_on.iter().find(twice) {
            return refuse(format!("{} has hours of its own twice", day.date));
        }
        if (self.holidays == Some(HolidayRule::Spans)) == self.holiday_spans.is_empty() {
            return refuse(
                "holidays by spans need them, and spans of holidays need holidays = spans".to_owned(),
            );
        }
        match &self.time_zone {
            Some(name) if TimeZone::get(name).is_err() => refuse(format!("unknown time zone {name:?}")),
            _ => Ok(()),
        }
    }

    /// Whether the account is open at `at`; `zone` applies when the hours name none.
    #[must_use]
    pub fn is_open(&self, at: Timestamp, zone: &TimeZone, calendar: &HolidayCalendar) -> bool {
        let local = at.to_zoned(self.zone(zone)).datetime();
        let (today, now) = (local.date(), local.time());
        let began_today = |span: &DaySpan| now >= span.from && (span.is_over_midnight() || now < span.to);
        let began_yesterday = |span: &DaySpan| span.is_over_midnight() && now < span.to;
        self.spans_of(today, calendar).iter().any(began_today)
            || today.yesterday().is_ok_and(|day| self.spans_of(day, calendar).iter().any(began_yesterday))
    }

    /// Which rule decides at `at` whether the account is open.
    #[must_use]
    pub fn rule(&self, at: Timestamp, zone: &TimeZone, calendar: &HolidayCalendar) -> HoursRule {
        let local = at.to_zoned(self.zone(zone)).datetime();
        let (today, now) = (local.date(), local.time());
        // A span that began yesterday and goes on decides by yesterday's rule.
        let goes_on = |span: &DaySpan| span.is_over_midnight() && now < span.to;
        let yesterday = today.yesterday().ok();
        let decided_by = yesterday.filter(|day| self.spans_of(*day, calendar).iter().any(goes_on));
        let day = decided_by.unwrap_or(today);
        if self.open_on.iter().any(|open| open.date == day) || self.is_day_off(day) {
            HoursRule::Exception
        } else if self.holiday_rule() != HolidayRule::AsWeekday && calendar.name(day).is_some() {
            HoursRule::Holiday
        } else {
            HoursRule::Weekly
        }
    }

    /// Whether `date` is one of the account's own days off.
    #[must_use]
    pub fn is_day_off(&self, date: Date) -> bool {
        self.closed_on.iter().any(|range| range.contains(date))
    }

    /// The times of day at which a span begins or ends on some day.
    pub fn times(&self) -> impl Iterator<Item = Time> {
        let weekly = self.weekly.iter().flat_map(|span| [span.from, span.to]);
        let days = self.open_on.iter().flat_map(|day| &day.spans).chain(&self.holiday_spans);
        weekly.chain(days.flat_map(|span| [span.from, span.to]))
    }

    /// The time zone of these hours; `zone` when they name none.
    #[must_use]
    pub fn zone(&self, zone: &TimeZone) -> TimeZone {
        let own = self.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        own.unwrap_or_else(|| zone.clone())
    }

    /// The open spans that begin on `date`.
    fn spans_of(&self, date: Date, calendar: &HolidayCalendar) -> Vec<DaySpan> {
        if let Some(day) = self.open_on.iter().find(|day| day.date == date) {
            return day.spans.clone();
        }
        if self.closed_on.iter().any(|range| range.contains(date)) {
            return Vec::new();
        }
        match self.holiday_rule() {
            HolidayRule::Closed if calendar.name(date).is_some() => return Vec::new(),
            HolidayRule::Spans if calendar.name(date).is_some() => return self.holiday_spans.clone(),
            _ => {}
        }
        if self.weekly.is_empty() {
            return vec![DaySpan { from: Time::midnight(), to: Time::midnight() }];
        }
        let weekday = date.weekday();
        let day = DAYS.iter().find(|(.., known)| *known == weekday).map(|(day, ..)| *day);
        let applies = |span: &&Span| day.is_some_and(|day| span.days.contains(&day));
        self.weekly.iter().filter(applies).map(|span| DaySpan { from: span.from, to: span.to }).collect()
    }

    fn holiday_rule(&self) -> HolidayRule {
        let usual = if self.weekly.is_empty() { HolidayRule::AsWeekday } else { HolidayRule::Closed };
        self.holidays.unwrap_or(usual)
    }
}

impl DaySpan {
    fn is_over_midnight(&self) -> bool {
        self.to <= self.from
    }
}

impl DateRange {
    fn contains(self, date: Date) -> bool {
        self.first <= date && date <= self.last
    }
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
    use crate::contract::holidays::{Holiday, HolidaySource};

    fn open(hours: &str, at: &str) -> bool {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let calendar = HolidayCalendar::default();
        Hours::read(hours).unwrap().unwrap().is_open(at.parse().unwrap(), &zone, &calendar)
    }

    #[test]
    fn spans_nights_and_days_off() {
        let week = "月-金 09:00-18:00; 土 09:00-12:00; 休 2025-12-30..2026-01-01";
        for (hours, at, expected) in [
            (week, "2025-12-29T09:00:00+09:00", true),
            (week, "2025-12-29T17:59:59+09:00", true),
            (week, "2025-12-29T18:00:00+09:00", false),
            (week, "2025-12-30T10:00:00+09:00", false),
            (week, "2025-12-31T10:00:00+09:00", false),
            (week, "2026-01-01T10:00:00+09:00", false),
            (week, "2026-01-02T10:00:00+09:00", true),
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
    fn holidays_and_dated_exceptions_in_their_order() {
        // 2026-05-06 is a Wednesday and a substitute holiday.
        for (hours, at, expected) in [
            ("月-金 09:00-18:00", "2026-05-06T10:00:00+09:00", false),
            ("月-金 09:00-18:00; 祝 休", "2026-05-06T10:00:00+09:00", false),
            ("月-金 09:00-18:00; 祝 平日", "2026-05-06T10:00:00+09:00", true),
            ("月-金 09:00-18:00; 祝 10:00-15:00", "2026-05-06T09:30:00+09:00", false),
            ("月-金 09:00-18:00; 祝 10:00-15:00", "2026-05-06T14:59:00+09:00", true),
            ("月-金 09:00-18:00; 臨 2026-05-06 13:00-14:00", "2026-05-06T13:30:00+09:00", true),
            ("月-金 09:00-18:00; 臨 2026-05-06 13:00-14:00", "2026-05-06T10:00:00+09:00", false),
            ("月-金 09:00-18:00; 祝 10:00-15:00; 休 2026-05-06", "2026-05-06T11:00:00+09:00", false),
            ("休 2026-05-01..2026-05-10; 臨 2026-05-06 22:00-02:00", "2026-05-07T01:59:00+09:00", true),
            ("休 2026-05-01..2026-05-10; 臨 2026-05-06 22:00-02:00", "2026-05-07T02:00:00+09:00", false),
            ("毎日 00:00-24:00", "2026-05-06T12:00:00+09:00", false),
            ("休 2026-01-04", "2026-05-06T12:00:00+09:00", true),
            ("祝 休", "2026-05-06T12:00:00+09:00", false),
            ("祝 休", "2026-05-07T12:00:00+09:00", true),
            // The night that began before the holiday goes on.
            ("月-金 22:00-06:00", "2026-05-06T05:00:00+09:00", false),
            ("月-金 22:00-06:00", "2026-05-01T05:00:00+09:00", true),
        ] {
            assert_eq!(open(hours, at), expected, "{hours} at {at}");
        }
    }

    #[test]
    fn the_installations_own_days_off_count() {
        let day = "2026-12-29".parse().unwrap();
        let own = Holiday { day, name: "社休日".into(), source: HolidaySource::Site };
        let hours = Hours::read("月-金 09:00-18:00").unwrap().unwrap();
        let at = "2026-12-29T10:00:00+09:00".parse().unwrap();
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        assert!(hours.is_open(at, &zone, &HolidayCalendar::default()));
        assert!(!hours.is_open(at, &zone, &HolidayCalendar::of([own])));
    }

    #[test]
    fn what_an_older_version_stored_is_read() {
        let json = r#"{"weekly":[{"days":["mon"],"from":"09:00","to":"18:00"}],"closed_on":["2026-01-01"]}"#;
        let hours: Hours = serde_json::from_str(json).unwrap();
        assert_eq!(hours.to_string(), "月 09:00-18:00; 休 2026-01-01");
        assert_eq!(serde_json::to_string(&hours).unwrap(), json);
    }

    #[test]
    fn hours_that_contradict_themselves_are_refused() {
        let zone = Hours { time_zone: Some("Asia/Nowhere".into()), ..Hours::default() };
        let rule_alone = Hours { holidays: Some(HolidayRule::Spans), ..Hours::default() };
        let span = DaySpan { from: Time::midnight(), to: Time::midnight() };
        let spans_alone = Hours { holiday_spans: vec![span], ..Hours::default() };
        let date = "2026-01-01".parse().unwrap();
        let empty = OpenDay { date, spans: Vec::new() };
        let empty = Hours { open_on: vec![empty], ..Hours::default() };
        let day = OpenDay { date, spans: vec![span] };
        let twice = Hours { open_on: vec![day.clone(), day], ..Hours::default() };
        for hours in [zone, rule_alone, spans_alone, empty, twice] {
            assert!(hours.check().is_err(), "{hours:?}");
        }
    }
}
