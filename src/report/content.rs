//! What a report says. This is also what the store keeps of a closed month, so fields are only added.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::billing::Reason;
use crate::stats::{Counters, Unit, Verdict};

/// The version of the content: what a number means never changes under the same version.
pub const REPORT_VERSION: u32 = 1;

/// The report of an account for a month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthlyReport {
    /// The version of the content.
    pub version: u32,
    /// The account's code.
    pub account_code: String,
    /// The company's name.
    pub account_name: String,
    /// The month, for instance `2026-11`.
    pub month: String,
    /// The beginning of the month.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub to: Timestamp,
    /// The time zone of days and hours.
    pub time_zone: String,
    /// Whether the month is over.
    pub is_over: bool,
    /// The version of the rules by which calls are counted.
    pub rules: i64,
    /// When a PBX was not followed; what happened then is in no number.
    pub missing: Vec<ReportSpan>,
    /// Whether retention had left the calls: without them, there are no numbers and no dispositions.
    pub has_calls: bool,
    /// The counters of the month.
    pub total: Counters,
    /// The figures, each with its formula.
    pub figures: Vec<ReportFigure>,
    /// The days of the month, in order.
    pub days: Vec<ReportDay>,
    /// Calls offered by weekday, from Monday, and hour.
    pub hours: Vec<Vec<u64>>,
    /// The account's numbers, the busiest first; calls to others stand together.
    pub numbers: Vec<ReportNumber>,
    /// The dispositions of the after-call work, the most frequent first.
    pub dispositions: Vec<ReportDisposition>,
    /// Whether the agreed goal was kept; absent: nothing was agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ReportContract>,
    /// How many calls the bill counts; absent: the account has no plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<ReportBilling>,
}

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportSpan {
    /// Its beginning.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub until: Timestamp,
}

/// A figure with its formula.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportFigure {
    /// The id of the formula.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// The arithmetic, in the names of the counters.
    pub formula: String,
    /// What the figure is.
    pub unit: Unit,
    /// The figure; `null` where the denominator is zero.
    pub value: Option<f64>,
}

/// A day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportDay {
    /// The day, for instance `2026-11-30`.
    pub day: String,
    /// Its weekday: 0 is Monday.
    pub weekday: u8,
    /// Its counters.
    pub counters: Counters,
    /// Whether every PBX was followed.
    pub is_complete: bool,
}

/// The calls to a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportNumber {
    /// The number as the account's record writes it; absent: any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Calls to it.
    pub offered: u64,
    /// Those that an operator answered.
    pub answered: u64,
    /// Those outside the hours.
    pub closed: u64,
    /// Those that the account refuses.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A disposition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportDisposition {
    /// What people read.
    pub name: String,
    /// How many after-call works have it.
    pub works: u64,
}

/// What was agreed, and whether it was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportContract {
    /// The name of the formula.
    pub name: String,
    /// The arithmetic.
    pub formula: String,
    /// The goal.
    pub goal: f64,
    /// Whether less is better.
    pub at_most: bool,
    /// The periods of the month.
    pub periods: Vec<ReportPeriod>,
}

/// A period of a contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportPeriod {
    /// The month or the day.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The figure; `null` where the denominator is zero.
    pub figure: Option<f64>,
}

/// What the bill counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportBilling {
    /// The name of the plan.
    pub plan: String,
    /// How many inbound calls have which verdict.
    pub counts: BTreeMap<Reason, u64>,
    /// Whether the bill is closed.
    pub is_closed: bool,
}

impl MonthlyReport {
    /// Whether nothing of the month is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The month in words, for instance 2026年11月.
    #[must_use]
    pub fn month_in_words(&self) -> String {
        let (year, month) = self.month.split_once('-').unwrap_or((self.month.as_str(), ""));
        format!("{year}年{}月", month.trim_start_matches('0'))
    }

    /// The figure of this formula.
    #[must_use]
    pub fn figure(&self, id: &str) -> Option<&ReportFigure> {
        self.figures.iter().find(|figure| figure.id == id)
    }
}
