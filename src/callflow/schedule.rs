//! The schedule: which treatment holds from which minute on.
//!
//! Invariant: [`Schedule::at`] is [`Rules::at`] at every minute from the base until the horizon. What decides, the first that
//! applies: an override of the service, an override of the account, the account's hours. Of two overrides of the same kind
//! the one that began later decides.
//!
//! A schedule that would be longer than [`SCHEDULE_BYTES_MAX`] ends earlier: the daemon compiles it again each day.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::contract::callflow::{Override, OverrideTreatment};
use crate::contract::holidays::HolidayCalendar;
use crate::contract::hours::{Hours, HoursRule};

/// How far ahead a schedule reaches, in days.
pub const HORIZON_DAYS: i64 = 35;
/// Longest schedule, in bytes. The dialplan walks it once for each call.
pub const SCHEDULE_BYTES_MAX: usize = 1_600;

const MINUTES_PER_DAY: i64 = 24 * 60;
const SECONDS_PER_MINUTE: i64 = 60;
/// Where a schedule ends.
pub const HORIZON_LETTER: char = 'z';

/// A treatment's letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CallflowTreatment)]
pub enum Letter {
    /// Open: callers wait for an operator.
    Open,
    /// Closed.
    Closed,
    /// Closed, because it is a holiday.
    Holiday,
    /// Closed by an override.
    Override,
}

impl Letter {
    /// All letters.
    pub const ALL: [Self; 4] = [Self::Open, Self::Closed, Self::Holiday, Self::Override];

    /// The word in the public contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Holiday => "holiday",
            Self::Override => "override",
        }
    }

    /// The letter in the PBX's keys.
    #[must_use]
    pub fn as_char(self) -> char {
        match self {
            Self::Open => 'o',
            Self::Closed => 'c',
            Self::Holiday => 'h',
            Self::Override => 'x',
        }
    }
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CallflowBecause)]
pub enum Because {
    /// An override of the whole service.
    ServiceOverride,
    /// A rule of the account about this caller.
    CallerRule,
    /// An override of the account.
    AccountOverride,
    /// A date with hours of its own, or a day off of the account.
    Exception,
    /// A holiday.
    Holiday,
    /// The weekly hours.
    Weekly,
    /// The account has no hours.
    AlwaysOpen,
}

/// A treatment and what decides that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Treatment {
    /// The treatment.
    pub letter: Letter,
    /// What decides.
    pub because: Because,
}

/// From when on a treatment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// From when on.
    pub at: Timestamp,
    /// The treatment.
    pub treatment: Treatment,
}

/// What decides about an account's calls.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The account's hours; `None`: always open.
    pub hours: Option<&'a Hours>,
    /// The installation's time zone.
    pub zone: &'a TimeZone,
    /// National holidays and the installation's days off.
    pub calendar: &'a HolidayCalendar,
    /// The overrides of the whole service.
    pub of_service: &'a [Override],
    /// The overrides of the account.
    pub of_account: &'a [Override],
}

impl Rules<'_> {
    /// The treatment in the minute of `at`.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Treatment {
        let minute = minute_of(at);
        let overridden = |overrides: &[Override]| {
            let holds = overrides.iter().filter(|one| holds_in(one, minute));
            holds.max_by_key(|one| (one.from, one.id)).map(|one| one.treatment)
        };
        let by_override = |treatment, because| Treatment {
            letter: if treatment == OverrideTreatment::Open { Letter::Open } else { Letter::Override },
            because,
        };
        if let Some(treatment) = overridden(self.of_service) {
            return by_override(treatment, Because::ServiceOverride);
        }
        if let Some(treatment) = overridden(self.of_account) {
            return by_override(treatment, Because::AccountOverride);
        }
        let Some(hours) = self.hours else {
            return Treatment { letter: Letter::Open, because: Because::AlwaysOpen };
        };
        let at = timestamp(minute);
        let because = match hours.rule(at, self.zone, self.calendar) {
            HoursRule::Exception => Because::Exception,
            HoursRule::Holiday => Because::Holiday,
            HoursRule::Weekly => Because::Weekly,
        };
        let letter = match because {
            _ if hours.is_open(at, self.zone, self.calendar) => Letter::Open,
            Because::Holiday => Letter::Holiday,
            _ => Letter::Closed,
        };
        Treatment { letter, because }
    }

    /// The treatment at `from` and every change of it before `until`.
    #[must_use]
    pub fn changes(&self, from: Timestamp, until: Timestamp) -> Vec<Change> {
        let (first, end) = (minute_of(from), minute_of(until));
        let mut minutes = BTreeSet::from([first]);
        if let Some(hours) = self.hours {
            let moments = hours.moments((timestamp(first), until), self.zone, self.calendar);
            minutes.extend(moments.into_iter().map(minute_of));
        }
        for one in self.of_service.iter().chain(self.of_account) {
            minutes.insert(minute_of(one.from));
            minutes.extend(one.until.map(minute_after));
        }
        let mut changes: Vec<Change> = Vec::new();
        for minute in minutes.range(first..end.max(first + 1)) {
            let at = timestamp(*minute);
            let treatment = self.at(at);
            if changes.last().is_none_or(|last| last.treatment != treatment) {
                changes.push(Change { at, treatment });
            }
        }
        changes
    }

    /// The schedule of [`HORIZON_DAYS`] from `base`, in minutes since 1970.
    #[must_use]
    pub fn schedule(&self, base: i64) -> Schedule {
        let horizon = HORIZON_DAYS * MINUTES_PER_DAY;
        let mut changes: Vec<(i64, Variant)> = Vec::new();
        for change in self.changes(timestamp(base), timestamp(base + horizon)) {
            let variant = (change.treatment.letter, 0);
            if changes.last().is_none_or(|(_, last)| *last != variant) {
                changes.push((minute_of(change.at) - base, variant));
            }
        }
        Schedule::of(changes, horizon)
    }
}

/// A treatment with the place of the list of people on call (`on_call.rs`); 0 where it reaches nobody, or those of the usual list.
pub type Variant = (Letter, u8);

/// How a variant is written: `c`, `c1`.
pub(super) fn variant_text((letter, place): Variant) -> String {
    match place {
        0 => letter.as_char().to_string(),
        place => format!("{}{place}", letter.as_char()),
    }
}

/// A compiled schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Minutes after the base, from 0 on, each with what holds from then on.
    changes: Vec<(i64, Variant)>,
    /// The minute at which it ends.
    horizon: i64,
}

impl Schedule {
    fn of(changes: Vec<(i64, Variant)>, horizon: i64) -> Self {
        let mut schedule = Self { changes, horizon };
        while schedule.text().len() > SCHEDULE_BYTES_MAX {
            let Some((at, _)) = schedule.changes.pop() else { break };
            schedule.horizon = at;
        }
        schedule
    }

    /// The schedule whose treatments that reach people on call reach those of their time. `lists`: from which minute after the base
    /// on which list holds, from 0 on; `reaches`: whether a treatment reaches people on call.
    #[must_use]
    pub fn with_lists(&self, lists: &[(i64, u8)], reaches: impl Fn(Letter) -> bool) -> Self {
        let minutes: BTreeSet<i64> =
            self.changes.iter().map(|(at, _)| *at).chain(lists.iter().map(|(at, _)| *at)).collect();
        let list_at =
            |minute: i64| lists.iter().rev().find(|(at, _)| *at <= minute).map_or(0, |(_, list)| *list);
        let mut changes: Vec<(i64, Variant)> = Vec::new();
        for minute in minutes {
            let Some(letter) = self.at(minute) else { continue };
            let variant = (letter, if reaches(letter) { list_at(minute) } else { 0 });
            if changes.last().is_none_or(|(_, last)| *last != variant) {
                changes.push((minute, variant));
            }
        }
        Self::of(changes, self.horizon)
    }

    /// Its value in the PBX's database.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (minute, variant) in &self.changes {
            let variant = variant_text(*variant);
            // Writing to a String cannot fail.
            let _ = match minute {
                0 => write!(text, "{variant}"),
                minute => write!(text, "/{minute}:{variant}"),
            };
        }
        let _ = write!(text, "/{}:{HORIZON_LETTER}", self.horizon);
        text
    }

    /// The minute at which it ends, after its base.
    #[must_use]
    pub fn horizon(&self) -> i64 {
        self.horizon
    }

    /// The letters that it uses.
    #[must_use]
    pub fn letters(&self) -> BTreeSet<Letter> {
        self.changes.iter().map(|(_, (letter, _))| *letter).collect()
    }

    /// What it uses, with the lists of people on call.
    #[must_use]
    pub fn variants(&self) -> BTreeSet<Variant> {
        self.changes.iter().map(|(_, variant)| *variant).collect()
    }

    /// From which minute after the base on what holds.
    #[must_use]
    pub fn changes(&self) -> &[(i64, Variant)] {
        &self.changes
    }

    /// The letter that holds in a minute after the base; `None` from the horizon on.
    #[must_use]
    pub fn at(&self, minute: i64) -> Option<Letter> {
        let begun = self.changes.partition_point(|(at, _)| *at <= minute);
        let letter = self.changes.get(begun.checked_sub(1)?).map(|(_, (letter, _))| *letter);
        letter.filter(|_| minute < self.horizon)
    }
}

/// Whether an override holds in this minute: from the minute in which it begins until the one in which it has ended.
fn holds_in(one: &Override, minute: i64) -> bool {
    minute_of(one.from) <= minute && one.until.is_none_or(|until| minute < minute_after(until))
}

/// The minute since 1970 in which `at` is.
pub(super) fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(SECONDS_PER_MINUTE)
}

/// The first minute that does not begin before `at`.
pub(super) fn minute_after(at: Timestamp) -> i64 {
    minute_of(at.saturating_add(SignedDuration::from_millis(59_999)).unwrap_or(at))
}

/// The beginning of a minute since 1970.
pub(super) fn timestamp(minute: i64) -> Timestamp {
    Timestamp::from_second(minute.saturating_mul(SECONDS_PER_MINUTE)).unwrap_or(Timestamp::MAX)
}
