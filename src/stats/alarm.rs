//! Alarms (警報): thresholds at which somebody is called, raised once and cleared once.
//!
//! | the value has been beyond the threshold | an alarm that is not raised | an alarm that is raised |
//! |---|---|---|
//! | for less than `for_s` | waits | stays |
//! | for `for_s` | **is raised**, if the last one is [`RAISE_INTERVAL`] ago | stays |
//! | no longer, for less than `clear_for_s` | waits | stays |
//! | no longer, for `clear_for_s` | - | **is cleared** |
//!
//! Invariant: pure. A value that does not exist (0/0, too few calls) is not beyond a threshold. A value that goes to and fro
//! faster than the two times raises nothing and clears nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::formula::{Formula, Unit, WITHIN_DEFAULT_S};
use super::{Contract, Counters};
use crate::ids::RecordId;
use crate::mail::MailAddress;

/// A rule raises at most one alarm in this time.
pub const RAISE_INTERVAL: Duration = Duration::from_secs(60);
/// Longest time that a value must stay beyond its threshold, in seconds.
const FOR_S_MAX: u32 = 3_600;
/// Most addresses of a rule.
const ADDRESSES_MAX: usize = 10;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 60;

/// What an alarm looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmMetric {
    /// Callers whom nobody has answered yet.
    Waiting,
    /// How long the first of them has been there, in seconds.
    LongestWaitS,
    /// Operators who take the next call.
    Ready,
    /// Callers who gave up in this and the last quarter of an hour.
    AbandonedLately,
    /// The figure of `formula` of today: a part of one.
    Figure,
    /// How many more calls may be lost before the account's contract is out of reach in its present period; 0 if it is.
    Room,
    /// Messages of the last 31 days that did not reach their accounts by themselves: not delivered, without a recipient, or not
    /// confirmed until their route was over.
    Undelivered,
}

/// A threshold, and who is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlarmRule)]
pub struct AlarmRule {
    /// What people call it.
    pub name: String,
    /// What it looks at.
    pub metric: AlarmMetric,
    /// The id of the formula, for the metric `figure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// Only this account's calls; absent: all. The metrics `ready` and `undelivered` have no account, `room` needs one.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<RecordId>,
    /// The alarm is raised above this value; either this or `below`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// The alarm is raised below this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Fewest calls of which a figure is looked at; 10 by default.
    #[serde(default = "default_calls_min")]
    pub calls_min: u64,
    /// How long the value must stay beyond the threshold, in seconds: 0 to 3600; 30 by default.
    #[serde(default = "default_for_s")]
    pub for_s: u32,
    /// How long it must stay on this side before the alarm is cleared, in seconds: 0 to 3600; 60 by default.
    #[serde(default = "default_clear_for_s")]
    pub clear_for_s: u32,
    /// Addresses that get a mail when it is raised and when it is cleared.
    #[serde(default)]
    pub to: Vec<String>,
}

fn default_calls_min() -> u64 {
    10
}

fn default_for_s() -> u32 {
    30
}

fn default_clear_for_s() -> u32 {
    60
}

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AlarmRuleError(String);

/// What the values of rules come from.
#[derive(Debug, Clone, Copy)]
pub struct AlarmInput<'a> {
    /// Callers whom nobody has answered yet.
    pub waiting: u64,
    /// How long the first of them has been there, in milliseconds.
    pub longest_wait_ms: Option<i64>,
    /// Operators who take the next call.
    pub ready: u64,
    /// The counters of today.
    pub today: &'a Counters,
    /// Those of this and the last quarter of an hour.
    pub lately: &'a Counters,
    /// The contract of the account, and the counters of its present period.
    pub contract: Option<(&'a Contract, &'a Counters)>,
    /// Messages that did not reach their accounts by themselves, if a rule looks at them.
    pub undelivered: Option<u64>,
}

impl AlarmRule {
    /// The rule, if it makes sense.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn checked(mut self) -> Result<Self, AlarmRuleError> {
        let refuse = |text: &str| Err(AlarmRuleError(text.to_owned()));
        let name = crate::identity::printable(&self.name, NAME_CHARS_MAX);
        let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
            return refuse("name: 1 to 60 characters in one line");
        };
        self.name = name.trim().to_owned();
        match (self.metric, self.formula.take()) {
            (AlarmMetric::Figure, Some(id)) => {
                let formula = Formula::with_id(&id)
                    .filter(|formula| formula.unit == Unit::Ratio && !formula.is_of_states());
                let Some(formula) = formula else {
                    return refuse(
                        "formula: one whose figure is a part of one, for instance AR-open or SL-ignore",
                    );
                };
                self.formula = Some(formula.id.to_owned());
            }
            (AlarmMetric::Figure, None) => {
                return refuse("formula: the metric figure needs one, for instance AR-open");
            }
            (_, Some(_)) => return refuse("formula: only for the metric figure"),
            (_, None) => {}
        }
        match (self.metric, self.account) {
            (AlarmMetric::Room, None) => {
                return refuse("account: the metric room needs an account with a contract");
            }
            (AlarmMetric::Undelivered, Some(_)) => {
                return refuse("account: the metric undelivered is of all accounts; leave it out");
            }
            (AlarmMetric::Ready, Some(_)) => {
                return refuse("account: operators are ready for all accounts; leave it out");
            }
            _ => {}
        }
        let ((Some(threshold), None) | (None, Some(threshold))) = (self.above, self.below) else {
            return refuse("above, below: write one of them");
        };
        let most = if self.metric == AlarmMetric::Figure { 1.0 } else { 1e9 };
        if !(0.0..=most).contains(&threshold) {
            return refuse("above, below: 0 or more; of a figure 0 to 1, for instance 0.9 for 90 %");
        }
        if self.for_s > FOR_S_MAX || self.clear_for_s > FOR_S_MAX {
            return refuse("for_s, clear_for_s: 0 to 3600");
        }
        if self.to.len() > ADDRESSES_MAX {
            return refuse("to: at most 10 addresses");
        }
        for (n, address) in self.to.iter().enumerate() {
            if let Err(error) = address.parse::<MailAddress>() {
                return Err(AlarmRuleError(format!("to[{n}]: {error}")));
            }
        }
        Ok(self)
    }

    /// The value that the rule looks at; `None`: there is none.
    #[must_use]
    pub fn value(&self, input: AlarmInput<'_>) -> Option<f64> {
        // Counts stay far below 2^52.
        match self.metric {
            AlarmMetric::Waiting => Some(input.waiting as f64),
            AlarmMetric::LongestWaitS => Some(input.longest_wait_ms.unwrap_or(0) as f64 / 1_000.0),
            AlarmMetric::Ready => Some(input.ready as f64),
            AlarmMetric::AbandonedLately => Some(input.lately.abandoned as f64),
            AlarmMetric::Undelivered => input.undelivered.map(|count| count as f64),
            AlarmMetric::Figure => {
                let formula = Formula::with_id(self.formula.as_deref()?)?;
                let (_, calls) = formula.parts_of(input.today, WITHIN_DEFAULT_S);
                (calls >= self.calls_min).then(|| formula.figure(input.today, WITHIN_DEFAULT_S).value)?
            }
            AlarmMetric::Room => {
                let (contract, counters) = input.contract?;
                let (_, calls) = contract.formula()?.parts_of(counters, contract.within_s);
                (calls >= self.calls_min).then(|| contract.room(counters).unwrap_or(0) as f64)
            }
        }
    }

    /// Whether a value is beyond the threshold.
    #[must_use]
    pub fn is_beyond(&self, value: Option<f64>) -> bool {
        let above = |value| self.above.is_some_and(|threshold| value > threshold);
        let below = |value| self.below.is_some_and(|threshold| value < threshold);
        value.is_some_and(|value| above(value) || below(value))
    }
}

/// What happens to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmChange {
    /// It is raised.
    Raised,
    /// It is cleared.
    Cleared,
}

/// What is remembered of a rule between two looks at its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlarmClock {
    /// Since when the value has been where the alarm is to change, in milliseconds.
    since: Option<i64>,
    /// When the last alarm was raised.
    raised: Option<i64>,
}

impl AlarmClock {
    /// Looks at a value; what happens to the alarm. `is_raised`: whether it is raised now.
    pub fn step(
        &mut self,
        rule: &AlarmRule,
        is_raised: bool,
        is_beyond: bool,
        now_ms: i64,
    ) -> Option<AlarmChange> {
        if is_raised == is_beyond {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now_ms);
        let held_s = if is_raised { rule.clear_for_s } else { rule.for_s };
        if now_ms - since < i64::from(held_s) * 1_000 {
            return None;
        }
        if is_raised {
            self.since = None;
            return Some(AlarmChange::Cleared);
        }
        let interval = i64::try_from(RAISE_INTERVAL.as_millis()).unwrap_or(i64::MAX);
        if self.raised.is_some_and(|raised| now_ms - raised < interval) {
            return None;
        }
        (self.since, self.raised) = (None, Some(now_ms));
        Some(AlarmChange::Raised)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::Period;

    fn rule(metric: AlarmMetric, above: Option<f64>, below: Option<f64>) -> AlarmRule {
        AlarmRule {
            name: "待ち呼".into(),
            metric,
            formula: (metric == AlarmMetric::Figure).then(|| "ar-open".into()),
            account: (metric == AlarmMetric::Room).then(|| RecordId(uuid::Uuid::from_u128(1))),
            above,
            below,
            calls_min: 10,
            for_s: 30,
            clear_for_s: 60,
            to: Vec::new(),
        }
        .checked()
        .unwrap()
    }

    fn input<'a>(today: &'a Counters, contract: Option<(&'a Contract, &'a Counters)>) -> AlarmInput<'a> {
        AlarmInput {
            waiting: 3,
            longest_wait_ms: Some(12_500),
            ready: 0,
            today,
            lately: today,
            contract,
            undelivered: Some(2),
        }
    }

    #[test]
    fn an_alarm_is_raised_and_cleared_once_after_its_times() {
        let rule = rule(AlarmMetric::Waiting, Some(2.0), None);
        let (mut clock, mut is_raised, mut changes) = (AlarmClock::default(), false, Vec::new());
        // Beyond from 10 s to 100 s but for a dip at 20 s, then not but for a peak at 120 s.
        for second in 0..300_i64 {
            let is_beyond = (10..100).contains(&second) && second != 20 || second == 120;
            if let Some(change) = clock.step(&rule, is_raised, is_beyond, second * 1_000) {
                is_raised = change == AlarmChange::Raised;
                changes.push((second, change));
            }
        }
        assert_eq!(changes, [(51, AlarmChange::Raised), (181, AlarmChange::Cleared)]);
    }

    #[test]
    fn the_rule_of_the_documentation_is_one() {
        let page = include_str!("../../docs/statistics.md");
        let block = page.split_once("```toml rule\n").unwrap().1.split_once("```").unwrap().0;
        let rule: AlarmRule = toml::from_str(block).unwrap();
        let checked = rule.clone().checked().unwrap();
        assert_eq!((checked.metric, checked.below, checked.to.len()), (AlarmMetric::Figure, Some(0.9), 1));
        assert_eq!(checked, rule);
    }

    #[test]
    fn each_metric_has_its_value() {
        let today = Counters { offered: 20, answered: 16, abandoned: 4, ..Counters::default() };
        let few = Counters { offered: 9, answered: 0, abandoned: 9, ..Counters::default() };
        let agreed = Contract { formula: "AR-open".into(), goal: 0.75, within_s: 20, period: Period::Month };
        let of =
            |rule: &AlarmRule, counters: &Counters| rule.value(input(counters, Some((&agreed, counters))));
        for (metric, value) in [
            (AlarmMetric::Waiting, 3.0),
            (AlarmMetric::LongestWaitS, 12.5),
            (AlarmMetric::Ready, 0.0),
            (AlarmMetric::AbandonedLately, 4.0),
            (AlarmMetric::Figure, 0.8),
            (AlarmMetric::Room, 1.0),
            (AlarmMetric::Undelivered, 2.0),
        ] {
            assert_eq!(of(&rule(metric, Some(0.5), None), &today), Some(value), "{metric:?}");
        }
        // Nine calls are too few to judge, and no contract has no room.
        assert_eq!(of(&rule(AlarmMetric::Figure, None, Some(0.9)), &few), None);
        assert_eq!(of(&rule(AlarmMetric::Room, None, Some(2.0)), &few), None);
        assert_eq!(rule(AlarmMetric::Room, None, Some(2.0)).value(input(&today, None)), None);
        let below = rule(AlarmMetric::Figure, None, Some(0.8));
        assert!(!below.is_beyond(Some(0.8)) && below.is_beyond(Some(0.79)) && !below.is_beyond(None));
        let above = rule(AlarmMetric::Waiting, Some(2.0), None);
        assert!(!above.is_beyond(Some(2.0)) && above.is_beyond(Some(3.0)));
    }

    #[test]
    fn a_rule_that_makes_no_sense_says_what_to_write() {
        let good = rule(AlarmMetric::Figure, None, Some(0.9));
        let account = Some(RecordId(uuid::Uuid::from_u128(1)));
        for (rule, words) in [
            (AlarmRule { name: " ".into(), ..good.clone() }, "name: "),
            (AlarmRule { formula: None, ..good.clone() }, "formula: the metric figure needs one"),
            (AlarmRule { formula: Some("ASA".into()), ..good.clone() }, "formula: one whose figure"),
            (AlarmRule { formula: Some("OCC".into()), ..good.clone() }, "formula: one whose figure"),
            (AlarmRule { metric: AlarmMetric::Waiting, ..good.clone() }, "formula: only for"),
            (AlarmRule { above: Some(0.1), ..good.clone() }, "above, below: write one"),
            (AlarmRule { below: None, ..good.clone() }, "above, below: write one"),
            (AlarmRule { below: Some(90.0), ..good.clone() }, "above, below: 0 or more"),
            (AlarmRule { below: Some(f64::NAN), ..good.clone() }, "above, below: 0 or more"),
            (AlarmRule { for_s: 3_601, ..good.clone() }, "for_s"),
            (AlarmRule { to: vec!["a".into()], ..good.clone() }, "to[0]: "),
            (
                AlarmRule { metric: AlarmMetric::Room, formula: None, ..good.clone() },
                "account: the metric room",
            ),
            (
                AlarmRule { metric: AlarmMetric::Ready, formula: None, account, ..good.clone() },
                "account: operators",
            ),
        ] {
            let error = rule.checked().unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }

    proptest! {
        /// Whatever the value does, alarms are raised and cleared in turn, at most one a minute, and never sooner than their
        /// times.
        #[test]
        fn alarms_alternate(values in prop::collection::vec(any::<bool>(), 1..400), for_s in 0_u32..40, clear_for_s in 0_u32..40) {
            let rule = AlarmRule { for_s, clear_for_s, ..rule(AlarmMetric::Waiting, Some(2.0), None) };
            let (mut clock, mut is_raised, mut raised_at) = (AlarmClock::default(), false, Vec::new());
            for (second, is_beyond) in (0_i64..).zip(values.iter().flat_map(|value| [*value; 9])) {
                match clock.step(&rule, is_raised, is_beyond, second * 1_000) {
                    Some(AlarmChange::Raised) => {
                        prop_assert!(!is_raised && is_beyond);
                        raised_at.push(second);
                        is_raised = true;
                    }
                    Some(AlarmChange::Cleared) => {
                        prop_assert!(is_raised && !is_beyond);
                        is_raised = false;
                    }
                    None => {}
                }
            }
            prop_assert!(raised_at.windows(2).all(|pair| pair[1] - pair[0] >= 60));
            prop_assert!(raised_at.first().is_none_or(|first| *first >= i64::from(for_s)));
        }
    }
}
