//! Conditions: an inline table in which every key must hold.
//!
//! | key | holds when |
//! |---|---|
//! | `reason`, `action`, `urgency`, `mark` | it is one of these |
//! | `hours` | the account is `open` or `closed` |
//! | `day`, `time` | the account's local day (`mon`…`sun`, `holiday`: a national holiday or a day off) or time (`18:00-09:00`) is one of these |
//! | `customer`, `flag`, `caller` | the caller is `known` or `new`, has the flag, shows the number so |
//! | `surname` | the caller's surname is `common` or `other` |
//! | `transfer` | a transfer of this call has `failed` |
//! | `f.ID` | the answer is one of these, is given (`{ filled = true }`), is `over` or `under` a number |
//! | `any`, `not` | one of these conditions holds, this condition does not |
//!
//! Invariant: `any` without a condition does not hold; a condition without a key does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use smol_str::SmolStr;

use crate::contract::holidays::HolidayCalendar;
use crate::contract::hours::{Day, Hours};
use crate::contract::message::{Action, Mark, Urgency};
use crate::identity::Presentation;
use crate::text::kana::kana;

/// What is known of a call before anybody answers a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The moment of the call.
    pub at: Timestamp,
    /// The time zone of accounts that name none.
    pub zone: TimeZone,
    /// The account's hours; absent: always open.
    pub hours: Option<Hours>,
    /// National holidays and the installation's days off.
    pub calendar: HolidayCalendar,
    /// The account's name.
    pub company: String,
    /// The operator's name; absent: talk keeps `{operator}` for the reader to fill.
    pub operator: Option<String>,
    /// Who calls.
    pub caller: Caller,
    /// Whether a transfer of this call failed.
    pub transfer_failed: bool,
    /// Surnames that so many people have that the operator asks for more, in katakana.
    pub common_surnames: Vec<SmolStr>,
    /// The offers that were made in this call, in other messages.
    pub offered: Vec<String>,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// Whether the number is shown.
    pub presentation: Presentation,
    /// Whether the account knows the caller as a customer.
    pub is_known: bool,
    /// The customer's flags.
    pub flags: Vec<String>,
}

impl Facts {
    /// Facts of a moment at which nothing is known of a caller.
    #[must_use]
    pub fn at(at: Timestamp, zone: TimeZone) -> Self {
        Self {
            at,
            zone,
            hours: None,
            calendar: HolidayCalendar::default(),
            company: String::new(),
            operator: None,
            caller: Caller::default(),
            transfer_failed: false,
            common_surnames: Vec::new(),
            offered: Vec::new(),
        }
    }

    /// Whether the account is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.is_open(self.at, &self.zone, &self.calendar))
    }

    /// The account's time zone.
    pub(super) fn own_zone(&self) -> TimeZone {
        self.hours.as_ref().map_or_else(|| self.zone.clone(), |hours| hours.zone(&self.zone))
    }

    pub(super) fn local(&self) -> (Date, Time) {
        let local = self.at.to_zoned(self.own_zone()).datetime();
        (local.date(), local.time())
    }

    /// Whether the surname in `name` is common.
    pub(super) fn has_common_surname(&self, name: &str) -> bool {
        let kana = kana(name);
        let surname = kana.split('\u{3000}').next().unwrap_or_default();
        !surname.is_empty() && self.common_surnames.iter().any(|known| known == surname)
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct When {
    /// All of these.
    pub(super) tests: Vec<Test>,
}

/// One key of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Reason(Vec<String>),
    Open(Vec<bool>),
    Day(Vec<DayIs>),
    Time(Vec<(Time, Time)>),
    Known(Vec<bool>),
    Flag(Vec<String>),
    Caller(Vec<Presentation>),
    CommonSurname(Vec<bool>),
    Action(Vec<Action>),
    Urgency(Vec<Urgency>),
    Mark(Vec<Mark>),
    TransferFailed,
    Field(String, Vec<FieldIs>),
    Any(Vec<When>),
    Not(When),
}

/// A day of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayIs {
    On(Day),
    Off,
}

/// What an answer must be; all of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldIs {
    OneOf(Vec<String>),
    Filled(bool),
    Over(i64),
    Under(i64),
}

/// What is known so far of the form.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) reason: Option<&'a str>,
    pub(super) action: Option<Action>,
    pub(super) urgency: Urgency,
    pub(super) mark: Option<Mark>,
    pub(super) has_common_surname: bool,
    /// The questions that were asked so far. Answers to others do not count.
    pub(super) asked: BTreeSet<&'a str>,
    pub(super) values: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> State<'a> {
    /// The answer to a question that was asked.
    pub(super) fn value(&self, id: &str) -> &'a [String] {
        let known = if self.asked.contains(id) { self.values.get(id) } else { None };
        known.map_or(&[], Vec::as_slice)
    }
}

impl When {
    pub(super) fn holds(&self, facts: &Facts, state: &State<'_>) -> bool {
        self.tests.iter().all(|test| test.holds(facts, state))
    }

    /// Every test, also inside `any` and `not`.
    pub(super) fn each<'a>(&'a self, see: &mut impl FnMut(&'a Test)) {
        for test in &self.tests {
            see(test);
            match test {
                Test::Any(list) => list.iter().for_each(|when| when.each(see)),
                Test::Not(when) => when.each(see),
                _ => {}
            }
        }
    }
}

impl Test {
    fn holds(&self, facts: &Facts, state: &State<'_>) -> bool {
        match self {
            Self::Reason(list) => state.reason.is_some_and(|reason| list.iter().any(|known| known == reason)),
            Self::Open(list) => list.contains(&facts.is_open()),
            Self::Day(list) => {
                let (date, _) = facts.local();
                let is_own = facts.hours.as_ref().is_some_and(|hours| hours.is_day_off(date));
                let is_off = is_own || facts.calendar.name(date).is_some();
                list.iter().any(|day| match day {
                    DayIs::On(day) => weekday(*day) == date.weekday(),
                    DayIs::Off => is_off,
                })
            }
            Self::Time(list) => {
                let (_, now) = facts.local();
                list.iter().any(|(from, to)| is_within(now, *from, *to))
            }
            Self::Known(list) => list.contains(&facts.caller.is_known),
            Self::Flag(list) => list.iter().any(|flag| facts.caller.flags.contains(flag)),
            Self::Caller(list) => list.contains(&facts.caller.presentation),
            Self::CommonSurname(list) => list.contains(&state.has_common_surname),
            Self::Action(list) => state.action.is_some_and(|action| list.contains(&action)),
            Self::Urgency(list) => list.contains(&state.urgency),
            Self::Mark(list) => state.mark.is_some_and(|mark| list.contains(&mark)),
            Self::TransferFailed => facts.transfer_failed,
            Self::Field(id, all) => {
                let value = state.value(id);
                all.iter().all(|is| is.holds(value))
            }
            Self::Any(list) => list.iter().any(|when| when.holds(facts, state)),
            Self::Not(when) => !when.holds(facts, state),
        }
    }
}

impl FieldIs {
    fn holds(&self, value: &[String]) -> bool {
        let number = || value.first().and_then(|text| text.parse::<i64>().ok());
        match self {
            Self::OneOf(list) => value.iter().any(|text| list.contains(text)),
            Self::Filled(filled) => value.iter().any(|text| !text.is_empty()) == *filled,
            Self::Over(limit) => number().is_some_and(|number| number > *limit),
            Self::Under(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

/// Whether `now` is in a span of the day; one whose end is not after its start crosses midnight.
pub(super) fn is_within(now: Time, from: Time, to: Time) -> bool {
    if from < to { from <= now && now < to } else { now >= from || now < to }
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(test: Test, at: &str, value: &[&str]) -> bool {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let hours = Hours::read("月-金 09:00-18:00; 休 2026-11-30").unwrap();
        let caller =
            Caller { presentation: Presentation::Withheld, is_known: true, flags: vec!["vip".to_owned()] };
        let facts = Facts { hours, caller, ..Facts::at(at.parse().unwrap(), zone) };
        let values = BTreeMap::from([("x".to_owned(), value.iter().map(ToString::to_string).collect())]);
        let state = State {
            reason: Some("order"),
            action: None,
            urgency: Urgency::Normal,
            mark: None,
            has_common_surname: false,
            asked: BTreeSet::from(["x"]),
            values: &values,
        };
        When { tests: vec![test] }.holds(&facts, &state)
    }

    #[test]
    fn each_key_has_its_meaning() {
        let time = |text: &str| text.parse::<Time>().unwrap();
        let night = || Test::Time(vec![(time("18:00"), time("09:00"))]);
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        // 2026-11-30 is a Monday and a day off; the time in Tokyo is nine hours ahead.
        let (monday, tuesday) = ("2026-11-30T03:00:00Z", "2026-12-01T03:00:00Z");
        for (test, at, value, expected) in [
            (Test::Open(vec![true]), tuesday, &[][..], true),
            (Test::Open(vec![true]), monday, &[], false),
            (Test::Day(vec![DayIs::Off]), monday, &[], true),
            (Test::Day(vec![DayIs::On(Day::Mon)]), monday, &[], true),
            (Test::Day(vec![DayIs::On(Day::Sun), DayIs::Off]), tuesday, &[], false),
            (night(), "2026-11-30T09:00:00Z", &[], true),
            (night(), "2026-11-30T23:59:59Z", &[], true),
            (night(), "2026-12-01T00:00:00Z", &[], false),
            (Test::Known(vec![true]), tuesday, &[], true),
            (Test::Flag(words(&["claim", "vip"])), tuesday, &[], true),
            (Test::Caller(vec![Presentation::Allowed]), tuesday, &[], false),
            (Test::Reason(words(&["order"])), tuesday, &[], true),
            (Test::Action(vec![Action::None]), tuesday, &[], false),
            (Test::TransferFailed, tuesday, &[], false),
            (Test::Field("x".into(), vec![FieldIs::OneOf(words(&["a", "b"]))]), tuesday, &["c", "b"], true),
            (Test::Field("x".into(), vec![FieldIs::Filled(false)]), tuesday, &[""], true),
            (Test::Field("y".into(), vec![FieldIs::Filled(true)]), tuesday, &["a"], false),
            (Test::Field("x".into(), vec![FieldIs::Over(1), FieldIs::Under(3)]), tuesday, &["2"], true),
            (Test::Field("x".into(), vec![FieldIs::Over(1)]), tuesday, &["many"], false),
            (Test::Any(Vec::new()), tuesday, &[], false),
            (Test::Any(vec![When::default()]), tuesday, &[], true),
            (Test::Not(When::default()), tuesday, &[], false),
        ] {
            assert_eq!(holds(test.clone(), at, value), expected, "{test:?} at {at}");
        }
    }

    #[test]
    fn a_surname_is_compared_in_its_kana_form() {
        let common_surnames = vec!["サトウ".into()];
        let facts = Facts { common_surnames, ..Facts::at(Timestamp::UNIX_EPOCH, TimeZone::UTC) };
        assert!(facts.has_common_surname("さとう 花子") && facts.has_common_surname("ｻﾄｳ"));
        assert!(!facts.has_common_surname("サトウハナコ") && !facts.has_common_surname(""));
    }
}
