//! National holidays of Japan (国民の祝日) and the installation's own days off (社休日).
//!
//! | the year of a day | the day is a holiday if |
//! |---|---|
//! | has a table of the Cabinet Office | the table has the day |
//! | has none, 2007 to 2099 | the law names it: fixed days, Mondays, equinoxes, the substitutes of holidays on a Sunday (振替休日), a day between two holidays (国民の休日) |
//! | any | it is one of the installation's own days off |
//!
//! The law as amended in 2005 holds from 2007. The equinoxes of a year are official only from 1 February of the year
//! before, and single laws moved days in 2019 to 2021: that is why a table replaces the computed year as a whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Years whose holidays are computed.
pub const COMPUTED_YEARS: std::ops::RangeInclusive<i16> = 2007..=2099;

/// Longest name of a holiday, in characters.
pub const HOLIDAY_NAME_MAX: usize = 60;

/// Where a holiday comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HolidaySource {
    /// Computed by the law, because the year has no table.
    Law,
    /// The table of the Cabinet Office.
    Cabinet,
    /// The installation's own day off.
    Site,
}

/// A holiday.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Holiday {
    /// The day.
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// Its name, for instance `元日`.
    pub name: String,
    /// Where it comes from.
    pub source: HolidaySource,
}

/// The holidays of all years.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HolidayCalendar {
    /// The days of each year that has a table.
    tables: BTreeMap<i16, BTreeMap<Date, String>>,
    site: BTreeMap<Date, String>,
}

impl HolidayCalendar {
    /// A calendar of the stored days; days of [`HolidaySource::Law`] are not stored and are ignored.
    #[must_use]
    pub fn of(days: impl IntoIterator<Item = Holiday>) -> Self {
        let mut calendar = Self::default();
        for Holiday { day, name, source } in days {
            match source {
                HolidaySource::Law => continue,
                HolidaySource::Cabinet => calendar.tables.entry(day.year()).or_default().insert(day, name),
                HolidaySource::Site => calendar.site.insert(day, name),
            };
        }
        calendar
    }

    /// The name of the holiday on `day`; `None` on any other day.
    #[must_use]
    pub fn name(&self, day: Date) -> Option<Cow<'_, str>> {
        if let Some(name) = self.site.get(&day) {
            return Some(Cow::Borrowed(name));
        }
        match self.tables.get(&day.year()) {
            Some(table) => table.get(&day).map(|name| Cow::Borrowed(name.as_str())),
            None => BY_LAW.get(&day).map(|name| Cow::Borrowed(*name)),
        }
    }

    /// The holidays of a year, by day; a day that is also the installation's own is named once, as its own.
    #[must_use]
    pub fn year(&self, year: i16) -> Vec<Holiday> {
        let holiday = |source| move |(day, name): (Date, String)| Holiday { day, name, source };
        let national: Vec<Holiday> = match self.tables.get(&year) {
            Some(table) => table.clone().into_iter().map(holiday(HolidaySource::Cabinet)).collect(),
            None => {
                let of_year = BY_LAW.iter().filter(|(day, _)| day.year() == year);
                of_year
                    .map(|(day, name)| (*day, (*name).to_owned()))
                    .map(holiday(HolidaySource::Law))
                    .collect()
            }
        };
        let own = self.site.clone().into_iter().filter(|(day, _)| day.year() == year);
        let mut days: BTreeMap<Date, Holiday> =
            national.into_iter().map(|found| (found.day, found)).collect();
        days.extend(own.map(|(day, name)| (day, holiday(HolidaySource::Site)((day, name)))));
        days.into_values().collect()
    }
}

/// Month, day, first and last year.
const FIXED: [(i8, i8, i16, i16, &str); 20] = [
    (1, 1, 2007, 2099, "元日"),
    (2, 11, 2007, 2099, "建国記念の日"),
    (2, 23, 2020, 2099, "天皇誕生日"),
    (4, 29, 2007, 2099, "昭和の日"),
    (5, 1, 2019, 2019, "即位の日"),
    (5, 3, 2007, 2099, "憲法記念日"),
    (5, 4, 2007, 2099, "みどりの日"),
    (5, 5, 2007, 2099, "こどもの日"),
    (7, 22, 2021, 2021, "海の日"),
    (7, 23, 2020, 2020, "海の日"),
    (7, 23, 2021, 2021, "スポーツの日"),
    (7, 24, 2020, 2020, "スポーツの日"),
    (8, 8, 2021, 2021, "山の日"),
    (8, 10, 2020, 2020, "山の日"),
    (8, 11, 2016, 2019, "山の日"),
    (8, 11, 2022, 2099, "山の日"),
    (10, 22, 2019, 2019, "即位礼正殿の儀の行われる日"),
    (11, 3, 2007, 2099, "文化の日"),
    (11, 23, 2007, 2099, "勤労感謝の日"),
    (12, 23, 2007, 2018, "天皇誕生日"),
];

/// Month, which Monday of it, first and last year.
const MONDAYS: [(i8, i8, i16, i16, &str); 6] = [
    (1, 2, 2007, 2099, "成人の日"),
    (7, 3, 2007, 2019, "海の日"),
    (7, 3, 2022, 2099, "海の日"),
    (9, 3, 2007, 2099, "敬老の日"),
    (10, 2, 2007, 2019, "体育の日"),
    (10, 2, 2022, 2099, "スポーツの日"),
];

/// The holidays of [`COMPUTED_YEARS`]. Computed once: a pop asks for the name of many days.
static BY_LAW: LazyLock<BTreeMap<Date, &str>> = LazyLock::new(|| COMPUTED_YEARS.flat_map(by_law).collect());

/// The holidays of a year by the law.
fn by_law(year: i16) -> BTreeMap<Date, &'static str> {
    let in_force = |first: i16, last: i16| (first..=last).contains(&year);
    let fixed = FIXED.iter().filter(|(_, _, first, last, _)| in_force(*first, *last));
    let mut days: BTreeMap<Date, &str> =
        fixed.map(|(month, day, .., name)| (date(year, *month, *day), *name)).collect();
    for (month, nth, first, last, name) in MONDAYS {
        if in_force(first, last)
            && let Ok(day) = date(year, month, 1).nth_weekday_of_month(nth, Weekday::Monday)
        {
            days.insert(day, name);
        }
    }
    let (spring, autumn) = equinoxes(year);
    days.insert(date(year, 3, spring), "春分の日");
    days.insert(date(year, 9, autumn), "秋分の日");
    let named: Vec<Date> = days.keys().copied().collect();
    for day in named.iter().filter(|day| day.weekday() == Weekday::Sunday) {
        let mut substitute = day.saturating_add(1.day());
        while days.contains_key(&substitute) {
            substitute = substitute.saturating_add(1.day());
        }
        days.insert(substitute, "振替休日");
    }
    for pair in named.windows(2) {
        if let [before, after] = pair
            && before.saturating_add(2.days()) == *after
        {
            days.entry(before.saturating_add(1.day())).or_insert("国民の休日");
        }
    }
    days
}

/// The days of March and September on which the equinoxes fall, by the usual approximation for 1980 to 2099.
fn equinoxes(year: i16) -> (i8, i8) {
    let years = i64::from(year) - 1980;
    let day = |at_1980: i64| i8::try_from((at_1980 + 242_194 * years) / 1_000_000 - years / 4).unwrap_or(21);
    (day(20_843_100), day(23_248_800))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(calendar: &HolidayCalendar, year: i16) -> Vec<String> {
        calendar.year(year).iter().map(|h| format!("{} {}", h.day.strftime("%m-%d"), h.name)).collect()
    }

    #[test]
    fn the_law_names_the_days_of_2026() {
        assert_eq!(
            names(&HolidayCalendar::default(), 2026),
            [
                "01-01 元日",
                "01-12 成人の日",
                "02-11 建国記念の日",
                "02-23 天皇誕生日",
                "03-20 春分の日",
                "04-29 昭和の日",
                "05-03 憲法記念日",
                "05-04 みどりの日",
                "05-05 こどもの日",
                "05-06 振替休日",
                "07-20 海の日",
                "08-11 山の日",
                "09-21 敬老の日",
                "09-22 国民の休日",
                "09-23 秋分の日",
                "10-12 スポーツの日",
                "11-03 文化の日",
                "11-23 勤労感謝の日",
            ]
        );
    }

    #[test]
    fn single_laws_substitutes_and_days_between() {
        let calendar = HolidayCalendar::default();
        for (day, expected) in [
            (date(2009, 9, 22), Some("国民の休日")),
            (date(2015, 9, 22), Some("国民の休日")),
            (date(2019, 4, 30), Some("国民の休日")),
            (date(2019, 5, 1), Some("即位の日")),
            (date(2019, 5, 2), Some("国民の休日")),
            (date(2019, 5, 6), Some("振替休日")),
            (date(2019, 10, 22), Some("即位礼正殿の儀の行われる日")),
            (date(2019, 12, 23), None),
            (date(2020, 2, 24), Some("振替休日")),
            (date(2020, 7, 20), None),
            (date(2020, 7, 24), Some("スポーツの日")),
            (date(2020, 10, 12), None),
            (date(2021, 8, 9), Some("振替休日")),
            (date(2021, 8, 11), None),
            (date(2023, 1, 2), Some("振替休日")),
            (date(2024, 3, 20), Some("春分の日")),
            (date(2024, 9, 22), Some("秋分の日")),
            (date(2024, 9, 23), Some("振替休日")),
            (date(2027, 3, 22), Some("振替休日")),
            (date(2032, 9, 21), Some("国民の休日")),
            (date(2006, 1, 1), None),
            (date(2100, 1, 1), None),
        ] {
            assert_eq!(calendar.name(day).as_deref(), expected, "{day}");
        }
    }

    #[test]
    fn a_table_replaces_its_year_and_own_days_are_added() {
        let day = |day, name: &str, source| Holiday { day, name: name.to_owned(), source };
        let calendar = HolidayCalendar::of([
            day(date(2027, 3, 20), "春分の日", HolidaySource::Cabinet),
            day(date(2027, 12, 29), "社休日", HolidaySource::Site),
            day(date(2026, 1, 1), "創立記念日", HolidaySource::Site),
        ]);
        assert_eq!(names(&calendar, 2027), ["03-20 春分の日", "12-29 社休日"]);
        assert_eq!(calendar.name(date(2027, 3, 21)), None, "the table of the year wins");
        let new_year = calendar.year(2026).remove(0);
        assert_eq!((new_year.name.as_str(), new_year.source), ("創立記念日", HolidaySource::Site));
        assert_eq!(calendar.name(date(2026, 2, 11)).as_deref(), Some("建国記念の日"));
    }
}
