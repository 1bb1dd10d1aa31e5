//! What was agreed with an account, and whether a period keeps it.
//!
//! | verdict | when |
//! |---|---|
//! | met, missed | the figure of the period reaches the goal, or not |
//! | pending | the period is not over, or more than [`MISSING_MAX`] of it was not followed |
//! | no calls | nothing is divided by nothing: there is no figure, and nothing to judge |
//!
//! Invariant: pure. A goal is a goal of one formula with its limit; a figure that is exactly the goal keeps it. The room that
//! is left counts calls: so many may still be lost, if no other call came, before the goal is out of reach.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Counters;
use super::formula::{Formula, Unit, WITHIN_DEFAULT_S, WITHIN_S};

/// A period of which more than this part was not followed is not judged.
pub const MISSING_MAX: f64 = 0.01;

/// The goal of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgreedContract)]
pub struct Contract {
    /// The id of a formula whose figure is a part of one, for instance `AR-open` or `SL-ignore`.
    pub formula: String,
    /// The goal, for instance 0.9: at least this, or with `AB-net`, `OV` and `RC` at most this.
    pub goal: f64,
    /// The limit T of the formula, in seconds: 5, 10, 15, 20, 30, 60 or 120; 20 by default.
    #[serde(default = "default_within_s")]
    pub within_s: u32,
    /// How long a period is.
    #[serde(default)]
    pub period: Period,
}

fn default_within_s() -> u32 {
    WITHIN_DEFAULT_S
}

/// How long a period of a contract is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ContractPeriodLength)]
pub enum Period {
    /// A calendar month.
    #[default]
    Month,
    /// Each day.
    Day,
}

impl Period {
    /// The periods of a month, in milliseconds since 1970: the name of each (`2026-11` or `2026-11-30`), its beginning and
    /// its end.
    #[must_use]
    pub fn parts_of(self, from: i64, to: i64, zone: &TimeZone) -> Vec<(String, i64, i64)> {
        let local = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone.clone());
        if self == Self::Month {
            return vec![(local(from).strftime("%Y-%m").to_string(), from, to)];
        }
        let (mut periods, mut at) = (Vec::new(), from);
        while at < to {
            let day = local(at);
            let next = day.checked_add(Span::new().days(1)).and_then(|next| next.start_of_day());
            let next = next.map_or(to, |next| next.timestamp().as_millisecond()).clamp(at + 1, to);
            periods.push((day.strftime("%Y-%m-%d").to_string(), at, next));
            at = next;
        }
        periods
    }
}

/// Times that do not overlap; `spans` are in order.
#[must_use]
pub fn merged(spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (from, until) in spans {
        match merged.last_mut() {
            Some((_, reached)) if from <= *reached => *reached = (*reached).max(until),
            _ => merged.push((from, until)),
        }
    }
    merged
}

/// Whether a period keeps a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ContractVerdict)]
pub enum Verdict {
    /// It does.
    Met,
    /// It does not.
    Missed,
    /// It is not over, or too much of it was not followed.
    Pending,
    /// There was no call that counts.
    NoCalls,
}

/// Why a contract is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ContractError(&'static str);

/// Formulas of which less is better.
const LESS_IS_BETTER: [&str; 3] = ["AB-net", "OV", "RC"];

impl Contract {
    /// The contract, if it makes sense.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn checked(mut self) -> Result<Self, ContractError> {
        let formula = Formula::with_id(&self.formula)
            .filter(|formula| formula.unit == Unit::Ratio && !formula.is_of_states());
        let Some(formula) = formula else {
            return Err(ContractError(
                "formula: one of AR-open, AR-all, AR-net, AR-care, SL-ignore, SL-negative, SL-positive, SL-answered, AB-net, OV, TR, RC",
            ));
        };
        self.formula = formula.id.to_owned();
        if !(self.goal > 0.0 && self.goal < 1.0) {
            return Err(ContractError("goal: more than 0 and less than 1, for instance 0.9 for 90 %"));
        }
        if !WITHIN_S.contains(&self.within_s) {
            return Err(ContractError("within_s: 5, 10, 15, 20, 30, 60 or 120"));
        }
        Ok(self)
    }

    /// Its formula; `None` in a record of another version.
    #[must_use]
    pub fn formula(&self) -> Option<&'static Formula> {
        Formula::with_id(&self.formula)
    }

    /// Whether less is better.
    #[must_use]
    pub fn is_at_most(&self) -> bool {
        LESS_IS_BETTER.contains(&self.formula.as_str())
    }

    /// The verdict of a period. `missing`: the part of it that was not followed, 0 to 1.
    #[must_use]
    pub fn verdict(&self, counters: &Counters, missing: f64, is_over: bool) -> Verdict {
        let figure = self.formula().and_then(|formula| formula.figure(counters, self.within_s).value);
        match figure {
            _ if missing > MISSING_MAX || !is_over => Verdict::Pending,
            None => Verdict::NoCalls,
            Some(figure) if self.is_kept_by(figure) => Verdict::Met,
            Some(_) => Verdict::Missed,
        }
    }

    fn is_kept_by(&self, figure: f64) -> bool {
        if self.is_at_most() { figure <= self.goal } else { figure >= self.goal }
    }

    /// How many more calls may be lost before the figure is beyond the goal; `None` where it is beyond it already, or there
    /// is no figure.
    #[must_use]
    pub fn room(&self, counters: &Counters) -> Option<u64> {
        let (over, under) = self.formula()?.parts_of(counters, self.within_s);
        let (over, under) = (over as f64, under as f64);
        let with = |lost: f64| {
            let more = if self.is_at_most() { lost } else { 0.0 };
            self.is_kept_by((over + more) / (under + lost))
        };
        if under == 0.0 || !with(0.0) {
            return None;
        }
        let room = if self.is_at_most() {
            (self.goal * under - over) / (1.0 - self.goal)
        } else {
            over / self.goal - under
        };
        // What rounding takes or adds is less than a call; the comparison of the verdict decides.
        let nearest = (room + 1e-9).floor().max(0.0);
        let room = if with(nearest) { nearest } else { nearest - 1.0 };
        // Counts stay far below 2^52.
        Some(room.max(0.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(formula: &str, goal: f64) -> Contract {
        let contract = Contract { formula: formula.into(), goal, within_s: 20, period: Period::Month };
        contract.checked().unwrap()
    }

    fn counters(offered: u64, answered: u64) -> Counters {
        Counters { offered, answered, abandoned: offered - answered, ..Counters::default() }
    }

    #[test]
    fn the_days_of_a_month_follow_each_other_also_in_a_zone_with_summer_time() {
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        for (zone, from, to, days) in [
            ("Asia/Tokyo", "2028-02-01T00:00:00+09:00", "2028-03-01T00:00:00+09:00", 29),
            ("America/New_York", "2026-11-01T00:00:00-04:00", "2026-12-01T00:00:00-05:00", 30),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let (from, to) = (ms(from), ms(to));
            let periods = Period::Day.parts_of(from, to, &zone);
            assert_eq!((periods.len(), periods[0].1, periods[days - 1].2), (days, from, to));
            assert!(periods.windows(2).all(|pair| pair[0].2 == pair[1].1));
            assert_eq!(Period::Month.parts_of(from, to, &zone).len(), 1);
        }
    }

    #[test]
    fn times_that_overlap_are_counted_once() {
        assert_eq!(merged(vec![(0, 5), (3, 4), (5, 9), (20, 21)]), [(0, 9), (20, 21)]);
    }

    #[test]
    fn a_figure_that_is_exactly_the_goal_keeps_it() {
        for (percent, offered) in [(90_u32, 10_u64), (90, 100), (85, 20), (80, 5), (70, 1_000), (99, 300)] {
            let agreed = contract("ar-open", f64::from(percent) / 100.0);
            let answered = offered * u64::from(percent) / 100;
            assert_eq!(
                agreed.verdict(&counters(offered, answered), 0.0, true),
                Verdict::Met,
                "{percent} {offered}"
            );
            let one_less = counters(offered, answered - 1);
            assert_eq!(agreed.verdict(&one_less, 0.0, true), Verdict::Missed, "{percent} {offered}");
            assert_eq!(agreed.room(&counters(offered, answered)), Some(0), "{percent} {offered}");
            assert_eq!(agreed.room(&one_less), None, "{percent} {offered}");
        }
    }

    #[test]
    fn what_is_not_over_or_not_followed_is_not_judged() {
        let agreed = contract("AR-open", 0.9);
        let bad = counters(10, 1);
        assert_eq!(agreed.verdict(&bad, 0.0, true), Verdict::Missed);
        assert_eq!(agreed.verdict(&bad, MISSING_MAX, true), Verdict::Missed);
        assert_eq!(agreed.verdict(&bad, MISSING_MAX + 0.000_1, true), Verdict::Pending);
        assert_eq!(agreed.verdict(&bad, 0.0, false), Verdict::Pending);
        assert_eq!(agreed.verdict(&Counters::default(), 0.0, true), Verdict::NoCalls);
    }

    /// The room is the largest number of further lost calls with which the contract is still kept.
    #[test]
    fn the_room_is_what_may_still_be_lost() {
        for goal in [0.5, 0.8, 0.9, 0.95, 0.99] {
            for (formula, is_at_most) in [("AR-open", false), ("AB-net", true)] {
                let agreed = contract(formula, if is_at_most { 1.0 - goal } else { goal });
                assert_eq!(agreed.is_at_most(), is_at_most);
                for (offered, answered) in [(1, 1), (7, 7), (100, 97), (333, 320), (5_000, 4_990)] {
                    let Some(room) = agreed.room(&counters(offered, answered)) else {
                        let now = counters(offered, answered);
                        assert_eq!(
                            agreed.verdict(&now, 0.0, true),
                            Verdict::Missed,
                            "{formula} {goal} {offered}"
                        );
                        continue;
                    };
                    let with = |lost: u64| agreed.verdict(&counters(offered + lost, answered), 0.0, true);
                    assert_eq!(with(room), Verdict::Met, "{formula} {goal} {offered} {answered} {room}");
                    assert_eq!(
                        with(room + 1),
                        Verdict::Missed,
                        "{formula} {goal} {offered} {answered} {room}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_contract_that_makes_no_sense_is_refused() {
        let agreed = contract("AR-open", 0.9);
        for (wrong, field) in [
            (Contract { formula: "ASA".into(), ..agreed.clone() }, "formula"),
            (Contract { goal: 90.0, ..agreed.clone() }, "goal"),
            (Contract { goal: f64::NAN, ..agreed.clone() }, "goal"),
            (Contract { within_s: 7, ..agreed }, "within_s"),
        ] {
            assert!(wrong.checked().unwrap_err().to_string().starts_with(field));
        }
    }
}
