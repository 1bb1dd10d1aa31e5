//! The bill of a month: its lines, its sum, and what it corrects.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::count::{BilledCall, Reason, Verdict, verdicts_of};
use super::plan::Plan;
use crate::contract::call::{Direction, Outcome};
use crate::ids::CallId;

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillLineKind)]
pub enum LineKind {
    /// The price of the month.
    Base,
    /// Calls that the price of the month includes.
    Included,
    /// Calls above those, at the price of one step.
    Extra,
    /// Units of long talk.
    Talk,
    /// Transfers.
    Transfer,
    /// Units of transfers' time.
    TransferTime,
    /// Calls to others.
    Outbound,
    /// Voice messages that callers left.
    VoiceMessage,
    /// What an earlier month turned out to cost more or less.
    Correction,
}

/// A line of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BillLine)]
pub struct Line {
    /// What it is for.
    pub kind: LineKind,
    /// How many.
    pub count: u64,
    /// The price of each, in yen; absent in a correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_yen: Option<u32>,
    /// The amount, in yen.
    pub yen: i64,
    /// The month that is corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
}

/// What a reader must know before the bill is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillWarning)]
pub enum Warning {
    /// The plan leaves calls out by their disposition, and half of the answered calls or more have none.
    FewDispositions,
    /// For some time no daemon followed a PBX: calls may be missing.
    Incomplete,
    /// The month is not over.
    NotOver,
    /// Retention has deleted some of the month.
    NotWhole,
}

/// A bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bill {
    /// The rules by which it was made.
    pub plan: Plan,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The sum of the lines, in yen.
    pub yen: i64,
    /// How many calls had which verdict.
    pub counts: BTreeMap<Reason, u64>,
    /// What to look at before it is sent.
    pub warnings: Vec<Warning>,
    /// What it corrects.
    pub corrections: Vec<Correction>,
    /// The verdict of each inbound call, by time; absent in a list of bills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Verdict>,
    /// How many calls to others were answered.
    pub outbound: u64,
}

/// What became of a closed month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BillCorrection)]
pub struct Correction {
    /// The closed month.
    pub month: String,
    /// What it costs more than was billed; negative: less.
    pub yen: i64,
    /// The calls whose verdict changed.
    pub calls: Vec<ChangedCall>,
}

/// A call whose verdict changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BillChangedCall)]
pub struct ChangedCall {
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    pub call: CallId,
    /// When it was offered.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub offered_at: Timestamp,
    /// Its verdict in the closed bill; absent: it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Reason>,
    /// Its verdict now; absent: it is not there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Reason>,
}

/// The bill of a month with these calls.
#[must_use]
pub fn bill_of(plan: &Plan, calls: &[BilledCall], corrections: Vec<Correction>) -> Bill {
    let verdicts = verdicts_of(plan, calls, &[]);
    let is_answered_outbound =
        |call: &&BilledCall| call.direction == Direction::Outbound && call.outcome == Outcome::Answered;
    let outbound = calls.iter().filter(is_answered_outbound).count() as u64;
    let mut lines = lines_of(plan, &verdicts, outbound);
    lines.extend(corrections.iter().map(|correction| Line {
        kind: LineKind::Correction,
        count: correction.calls.len() as u64,
        unit_yen: None,
        yen: correction.yen,
        month: Some(correction.month.clone()),
    }));
    let mut counts = BTreeMap::new();
    for verdict in &verdicts {
        *counts.entry(verdict.why).or_default() += 1;
    }
    let mut warnings = Vec::new();
    let answered = || {
        calls.iter().filter(|call| call.direction == Direction::Inbound && call.outcome == Outcome::Answered)
    };
    let (all, without) = (answered().count(), answered().filter(|call| call.disposition.is_none()).count());
    if !plan.exclude_dispositions.is_empty() && without > 0 && without * 2 >= all {
        warnings.push(Warning::FewDispositions);
    }
    let yen = lines.iter().map(|line| line.yen).sum();
    Bill { plan: plan.clone(), lines, yen, counts, warnings, corrections, calls: verdicts, outbound }
}

/// The lines without corrections.
fn lines_of(plan: &Plan, verdicts: &[Verdict], outbound: u64) -> Vec<Line> {
    let sum = |of: fn(&Verdict) -> u64| verdicts.iter().map(of).sum::<u64>();
    let units = sum(|verdict| verdict.units);
    let include = u64::from(plan.include);
    let line = |kind, count: u64, unit_yen: u32| {
        let yen = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(i64::from(unit_yen));
        Line { kind, count, unit_yen: Some(unit_yen), yen, month: None }
    };
    let mut lines =
        vec![line(LineKind::Base, 1, plan.base_yen), line(LineKind::Included, units.min(include), 0)];
    let mut steps = plan.extra.iter().peekable();
    if steps.peek().is_none() && units > include {
        lines.push(line(LineKind::Extra, units - include, 0));
    }
    for step in steps {
        let last = step.to.map_or(units, |to| units.min(u64::from(to)));
        let count = (last + 1).saturating_sub(u64::from(step.from));
        if count > 0 {
            lines.push(line(LineKind::Extra, count, step.yen));
        }
    }
    if let Some(price) = plan.talk {
        lines.push(line(LineKind::Talk, sum(|verdict| verdict.talk_units), price.yen));
    }
    if let Some(price) = plan.transfer {
        lines.push(line(LineKind::Transfer, sum(|verdict| verdict.transfers), price.yen));
        if let Some(time) = price.time {
            lines.push(line(LineKind::TransferTime, sum(|verdict| verdict.transfer_units), time.yen));
        }
    }
    if let Some(price) = plan.outbound {
        lines.push(line(LineKind::Outbound, outbound, price.yen));
    }
    if let Some(price) = plan.voice_message {
        lines.push(line(LineKind::VoiceMessage, sum(|verdict| verdict.voice_messages), price.yen));
    }
    lines
}

/// The verdict of a call in the closed bill, and now.
type Pair<'a> = (Option<&'a Verdict>, Option<&'a Verdict>);

/// What a closed month costs more or less than was billed, if its calls have changed since. `corrected_yen`: what later
/// bills have already corrected of it.
#[must_use]
pub fn correction_of(
    month: &str,
    closed: &Bill,
    calls: &[BilledCall],
    corrected_yen: i64,
) -> Option<Correction> {
    let verdicts = verdicts_of(&closed.plan, calls, &closed.calls);
    let is_answered_outbound =
        |call: &&BilledCall| call.direction == Direction::Outbound && call.outcome == Outcome::Answered;
    let outbound = calls.iter().filter(is_answered_outbound).count() as u64;
    let own = |lines: &[Line]| -> i64 {
        lines.iter().filter(|line| line.kind != LineKind::Correction).map(|line| line.yen).sum()
    };
    let yen = own(&lines_of(&closed.plan, &verdicts, outbound)) - own(&closed.lines) - corrected_yen;
    if yen == 0 {
        return None;
    }
    let mut pairs: BTreeMap<(Timestamp, CallId), Pair<'_>> = BTreeMap::new();
    let mut place = BTreeMap::new();
    for verdict in &closed.calls {
        place.insert(verdict.call, verdict.offered_at);
        pairs.entry((verdict.offered_at, verdict.call)).or_default().0 = Some(verdict);
    }
    for verdict in &verdicts {
        // An observed record may have another time than the inferred one.
        let at = place.get(&verdict.call).copied().unwrap_or(verdict.offered_at);
        pairs.entry((at, verdict.call)).or_default().1 = Some(verdict);
    }
    let price = |verdict: &Verdict| {
        let Verdict { units, talk_units, transfers, transfer_units, voice_messages, .. } = *verdict;
        (units, talk_units, transfers, transfer_units, voice_messages)
    };
    let is_changed = |before: Option<&Verdict>, now: Option<&Verdict>| before.map(price) != now.map(price);
    let calls = pairs
        .into_iter()
        .filter(|(_, (before, now))| is_changed(*before, *now))
        .map(|((offered_at, call), (before, now))| ChangedCall {
            call,
            offered_at,
            before: before.map(|verdict| verdict.why),
            now: now.map(|verdict| verdict.why),
        })
        .collect();
    Some(Correction { month: month.to_owned(), yen, calls })
}
