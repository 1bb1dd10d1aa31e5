//! Whether an account is open now, and when that changes: what a pop shows as 営業時間外.
//!
//! Invariant: between `at` and the state's `until`, [`Hours::is_open`] has one value; at `until` it has the other. Moments
//! at which it can change: the ends of spans, midnight, and the moments at which the zone's offset changes.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DaySpan, Hours};
use crate::contract::holidays::HolidayCalendar;

/// How many days ahead a change is looked for.
pub const STATE_DAYS_MAX: i32 = 400;

/// Whether an account is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoursState {
    /// Whether it is open.
    pub open: bool,
    /// When it closes or opens next; absent where that is not within 400 days.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// The holiday that today is, for instance `勤労感謝の日`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holiday: Option<String>,
    /// The local time at the account, `HH:MM`, where its zone is another than the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_time: Option<String>,
}

impl Hours {
    /// The state at `at`; `zone` applies when the hours name none.
    #[must_use]
    pub fn state(&self, at: Timestamp, zone: &TimeZone, calendar: &HolidayCalendar) -> HoursState {
        let own = self.zone(zone);
        let local = at.to_zoned(own.clone());
        let today = local.date();
        let open = self.is_open(at, zone, calendar);
        let changes = |day: i32| {
            let day = today.checked_add(day.days()).ok()?;
            let mut moments = self.moments_of(day, &own, calendar).into_iter();
            moments.find(|moment| *moment > at && self.is_open(*moment, zone, calendar) != open)
        };
        HoursState {
            open,
            until: (-1..=STATE_DAYS_MAX).find_map(changes),
            holiday: calendar.name(today).map(std::borrow::Cow::into_owned),
            local_time: (own != *zone).then(|| local.strftime("%H:%M").to_string()),
        }
    }

    /// When the account opens next after `at`; `None`: not within [`STATE_DAYS_MAX`] days, or it never closes.
    #[must_use]
    pub fn next_open(&self, at: Timestamp, zone: &TimeZone, calendar: &HolidayCalendar) -> Option<Timestamp> {
        let now = self.state(at, zone, calendar);
        let closed = if now.open { now.until? } else { at };
        self.state(closed, zone, calendar).until
    }

    /// The moments from `from` until `until` at which the account may open or close, in order. Every local midnight is one
    /// of them.
    #[must_use]
    pub fn moments(
        &self,
        (from, until): (Timestamp, Timestamp),
        zone: &TimeZone,
        calendar: &HolidayCalendar,
    ) -> Vec<Timestamp> {
        let own = self.zone(zone);
        let (mut day, last) =
            (from.to_zoned(own.clone()).date(), until.to_zoned(own.clone()).date().saturating_add(1.days()));
        day = day.saturating_sub(1.days());
        let mut found = BTreeSet::new();
        while day <= last && day < Date::MAX {
            found.extend(self.moments_of(day, &own, calendar));
            day = day.saturating_add(1.days());
        }
        found.into_iter().filter(|moment| from <= *moment && *moment < until).collect()
    }

    /// The moments of a day, in order, at which the account may open or close.
    fn moments_of(&self, day: Date, zone: &TimeZone, calendar: &HolidayCalendar) -> BTreeSet<Timestamp> {
        let spans_before = day.yesterday().map(|before| self.spans_of(before, calendar)).unwrap_or_default();
        let ends = spans_before.into_iter().filter(DaySpan::is_over_midnight).map(|span| span.to);
        let own = self.spans_of(day, calendar).into_iter().flat_map(|span| {
            [Some(span.from), (!span.is_over_midnight()).then_some(span.to)].into_iter().flatten()
        });
        let times = ends.chain(own).chain([Time::midnight()]);
        let mut moments: BTreeSet<Timestamp> =
            times.flat_map(|time| moments(day.to_datetime(time), zone)).collect();
        // Where the offset changes, the local clock jumps over the end of a span, or back before it.
        let begin = |day: Date| zone.to_ambiguous_timestamp(day.to_datetime(Time::midnight())).compatible();
        if let (Ok(begin), Ok(end)) = (begin(day), day.tomorrow().and_then(begin)) {
            let changes = zone.following(begin).map(|change| change.timestamp());
            moments.extend(changes.take_while(|change| *change < end));
        }
        moments
    }
}

/// The moments at which the local clock shows `time`: two where it is set back, one otherwise.
fn moments(time: DateTime, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    let is_fold = matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. });
    let later = if is_fold { ambiguous.later().ok() } else { None };
    [ambiguous.compatible().ok(), later].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(hours: &str, at: &str) -> HoursState {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let calendar = HolidayCalendar::default();
        Hours::read(hours).unwrap().unwrap().state(at.parse().unwrap(), &zone, &calendar)
    }

    #[test]
    fn the_next_opening_is_found_over_nights_and_days_off() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let next = |hours: &str, at: &str| {
            let hours = Hours::read(hours).unwrap().unwrap();
            let opens = hours.next_open(at.parse().unwrap(), &zone, &HolidayCalendar::default());
            opens.map(|at| at.to_zoned(zone.clone()).datetime().to_string())
        };
        let week = "月-金 09:00-12:00 13:00-18:00; 土 09:00-12:00; 休 2026-12-28 2026-12-29";
        for (hours, at, expected) in [
            (week, "2026-12-25T08:59:59+09:00", Some("2026-12-25T09:00:00")),
            (week, "2026-12-25T11:00:00+09:00", Some("2026-12-25T13:00:00")),
            (week, "2026-12-26T13:00:00+09:00", Some("2026-12-30T09:00:00")),
            ("休 2026-12-31", "2026-12-30T23:00:00+09:00", Some("2027-01-01T00:00:00")),
            ("毎日 00:00-24:00; 祝 平日", "2026-12-30T23:00:00+09:00", None),
        ] {
            assert_eq!(next(hours, at).as_deref(), expected, "{hours} at {at}");
        }
    }

    #[test]
    fn the_next_opening_or_closing_is_named() {
        for (hours, at, open, until) in [
            ("月-金 09:00-18:00", "2026-11-27T17:00:00+09:00", true, Some("2026-11-27T18:00:00+09:00")),
            ("月-金 09:00-18:00", "2026-11-27T18:00:00+09:00", false, Some("2026-11-30T09:00:00+09:00")),
            // The Monday is a holiday.
            ("月-金 09:00-18:00", "2026-11-20T20:00:00+09:00", false, Some("2026-11-24T09:00:00+09:00")),
            (
                "月-金 09:00-12:00 12:00-18:00",
                "2026-11-27T11:00:00+09:00",
                true,
                Some("2026-11-27T18:00:00+09:00"),
            ),
            ("毎日 22:00-06:00", "2026-11-27T23:00:00+09:00", true, Some("2026-11-28T06:00:00+09:00")),
            ("毎日 00:00-24:00; 祝 平日", "2026-11-27T23:00:00+09:00", true, None),
            (
                "休 2026-12-30..2027-01-03",
                "2026-12-29T12:00:00+09:00",
                true,
                Some("2026-12-30T00:00:00+09:00"),
            ),
            (
                "休 2026-12-30..2027-01-03",
                "2026-12-31T12:00:00+09:00",
                false,
                Some("2027-01-04T00:00:00+09:00"),
            ),
            (
                "月 00:00-00:01; 休 2026-11-30..2027-11-29",
                "2026-11-29T12:00:00+09:00",
                false,
                Some("2027-12-06T00:00:00+09:00"),
            ),
        ] {
            let state = state(hours, at);
            let until: Option<Timestamp> = until.map(|until| until.parse().unwrap());
            assert_eq!((state.open, state.until), (open, until), "{hours} at {at}");
        }
    }

    #[test]
    fn a_holiday_and_a_clock_elsewhere_are_named() {
        let holiday = state("月-金 09:00-18:00", "2026-11-23T10:00:00+09:00");
        assert_eq!((holiday.open, holiday.holiday.as_deref()), (false, Some("勤労感謝の日")));
        let hours = Hours { time_zone: Some("Europe/Berlin".into()), ..Hours::default() };
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let at = "2026-11-23T10:00:00+09:00".parse().unwrap();
        let elsewhere = hours.state(at, &zone, &HolidayCalendar::default());
        assert_eq!(elsewhere.local_time.as_deref(), Some("02:00"));
        assert_eq!(holiday.local_time, None);
    }

    /// Over both changes of summer time, in zones with and without: the clock agrees with what the last state said.
    #[test]
    fn a_state_holds_until_its_end_and_no_longer() {
        let calendar = HolidayCalendar::default();
        let written = [
            "月-金 09:00-18:00; 土 09:00-12:00; 臨 2026-12-29 10:00-15:00; 休 2026-12-30..2027-01-03",
            "毎日 22:00-02:30; 祝 01:30-02:30",
            "日 02:00-03:00 01:15-01:45; 祝 平日",
            "火木 00:00-24:00",
        ];
        for zone in ["Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            let zone = TimeZone::get(zone).unwrap();
            for text in written {
                let hours = Hours::read(text).unwrap().unwrap();
                let mut at: Timestamp = "2026-09-20T00:00:00Z".parse().unwrap();
                let end = at + (220 * 24).hours();
                let mut state = hours.state(at, &zone, &calendar);
                while at < end {
                    if state.until.is_some_and(|until| at >= until) {
                        state = hours.state(at, &zone, &calendar);
                    }
                    assert_eq!(hours.is_open(at, &zone, &calendar), state.open, "{text} at {at} in {zone:?}");
                    at += 11.minutes();
                }
            }
        }
    }
}
