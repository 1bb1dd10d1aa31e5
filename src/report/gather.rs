//! Reads the report of a month from the store: the same counters and formulas as `/v1/stats`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::content::{
    MonthlyReport, REPORT_VERSION, ReportBilling, ReportContract, ReportDay, ReportDisposition, ReportFigure,
    ReportNumber, ReportPeriod, ReportSpan,
};
use crate::billing::{BillingMonth, bill_of};
use crate::contract::choice::Choice;
use crate::contract::records::AccountFields;
use crate::directory::Directory;
use crate::ids::RecordId;
use crate::numbers::Number;
use crate::stats::{Counters, FORMULAS, RULES_VERSION, WITHIN_DEFAULT_S, merged};
use crate::store::contracts::StoredContract;
use crate::store::reports::NumberCount;
use crate::store::stats::StatsOf;
use crate::store::{Store, StoreError};

/// Hours of a day and days of a week.
const HOURS: usize = 24;
const WEEK: usize = 7;

/// Where a report comes from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The store.
    pub store: &'a Store,
    /// The accounts, the time zone and the number plan.
    pub directory: &'a Directory,
    /// The dispositions with their labels.
    pub dispositions: &'a [Choice],
    /// Retention has left all that began after this; `None`: it leaves everything.
    pub whole_from: Option<Timestamp>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// There is no such account.
    #[error("there is no such account")]
    NoAccount,
    /// What was written cannot be read.
    #[error("the closed report of {month} cannot be read; restore it from a backup")]
    Damaged {
        /// The month.
        month: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The report of a month as the history has it now, and how many quarters of an hour wait to be counted.
///
/// # Errors
/// [`GatherError`]
pub async fn gather(
    sources: Sources<'_>,
    account: RecordId,
    month: BillingMonth,
    now: Timestamp,
) -> Result<(MonthlyReport, u64), GatherError> {
    let Sources { store, directory, .. } = sources;
    let of = directory.account(account).ok_or(GatherError::NoAccount)?;
    let zone = directory.time_zone();
    let (from, to) = month.time(None, zone);
    // The state first: a bin that is rebuilt between the two is then still said to be pending.
    let (from_ms, to_ms) = (from.as_millisecond(), to.as_millisecond());
    let state = store.stats_state(from_ms, to_ms, now).await?;
    let missing = merged(state.missing);
    let of_account = StatsOf::Accounts(Some(account));
    let bins = store.stats(of_account, from_ms, to_ms, |row| Some(row.bin_ms)).await?;
    let mut total = Counters::default();
    bins.values().for_each(|counters| total.add(counters));
    let contract = match store.contract(account).await? {
        Some(stored) => contract_of(&stored, &bins, (from_ms, to_ms), &missing, now, zone),
        None => None,
    };
    let report = MonthlyReport {
        version: REPORT_VERSION,
        account_code: of.fields.code.clone(),
        account_name: of.fields.name.clone(),
        month: month.to_string(),
        from,
        to,
        time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        is_over: to <= now,
        rules: RULES_VERSION,
        missing: missing.iter().map(|(from, until)| span(*from, *until)).collect(),
        has_calls: sources.whole_from.is_none_or(|whole_from| whole_from <= from),
        figures: figures_of(&total),
        total,
        days: days_of(&bins, (from_ms, to_ms), &missing, zone),
        hours: hours_of(&bins, zone),
        numbers: numbers_of(store.calls_by_number(account, from, to).await?, &of.fields, directory),
        dispositions: dispositions_of(store.dispositions_of(account, from, to).await?, sources.dispositions),
        contract,
        billing: billing_of(store, account, month, zone).await?,
    };
    Ok((report, state.pending))
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

fn span(from: i64, until: i64) -> ReportSpan {
    ReportSpan { from: time(from), until: time(until) }
}

fn figures_of(total: &Counters) -> Vec<ReportFigure> {
    let figure = |formula: &crate::stats::Formula| ReportFigure {
        id: formula.id.to_owned(),
        version: formula.version,
        name: formula.ja.to_owned(),
        formula: formula.text(WITHIN_DEFAULT_S),
        unit: formula.unit,
        value: formula.figure(total, WITHIN_DEFAULT_S).value,
    };
    FORMULAS.iter().filter(|formula| !formula.is_of_states()).map(figure).collect()
}

fn days_of(
    bins: &BTreeMap<i64, Counters>,
    (from, to): (i64, i64),
    missing: &[(i64, i64)],
    zone: &TimeZone,
) -> Vec<ReportDay> {
    let (mut days, mut at) = (Vec::with_capacity(31), from);
    while at < to {
        let day = time(at).to_zoned(zone.clone());
        let next = day.checked_add(Span::new().days(1)).and_then(|next| next.start_of_day());
        let next = next.map_or(to, |next| next.timestamp().as_millisecond()).clamp(at + 1, to);
        let mut counters = Counters::default();
        bins.range(at..next).for_each(|(_, bin)| counters.add(bin));
        days.push(ReportDay {
            day: day.strftime("%Y-%m-%d").to_string(),
            weekday: u8::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default(),
            counters,
            is_complete: !missing.iter().any(|(begins, ends)| *begins < next && *ends > at),
        });
        at = next;
    }
    days
}

fn hours_of(bins: &BTreeMap<i64, Counters>, zone: &TimeZone) -> Vec<Vec<u64>> {
    let mut hours = vec![vec![0; HOURS]; WEEK];
    for (bin_ms, counters) in bins {
        let at = time(*bin_ms).to_zoned(zone.clone());
        let weekday = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or_default();
        let hour = usize::try_from(at.hour()).unwrap_or_default();
        if let Some(cell) = hours.get_mut(weekday).and_then(|row: &mut Vec<u64>| row.get_mut(hour)) {
            *cell += counters.offered;
        }
    }
    hours
}

/// The account's own numbers by name; a number that its record does not have is no number of the company.
fn numbers_of(counts: Vec<NumberCount>, fields: &AccountFields, directory: &Directory) -> Vec<ReportNumber> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for text in fields.dialled.iter().chain(&fields.forwarding) {
        if let Some(number) = Number::read(text, directory.plan()) {
            known.insert(number.key().to_owned(), text);
        }
    }
    let mut numbers: BTreeMap<Option<&str>, ReportNumber> = BTreeMap::new();
    for count in counts {
        let number = count.number.as_deref().and_then(|key| known.get(key).copied());
        let row = numbers.entry(number).or_insert_with(|| ReportNumber {
            number: number.map(str::to_owned),
            offered: 0,
            answered: 0,
            closed: 0,
            refused: 0,
        });
        row.offered += count.calls;
        match count.outcome.as_str() {
            "answered" => row.answered += count.calls,
            "closed" => row.closed += count.calls,
            "refused" => row.refused += count.calls,
            _ => {}
        }
    }
    let mut numbers: Vec<ReportNumber> = numbers.into_values().collect();
    numbers.sort_by(|a, b| {
        (a.number.is_none(), b.offered, &a.number).cmp(&(b.number.is_none(), a.offered, &b.number))
    });
    numbers
}

fn dispositions_of(counts: Vec<(Option<String>, u64)>, choices: &[Choice]) -> Vec<ReportDisposition> {
    let label = |code: Option<String>| match code {
        None => "（なし）".to_owned(),
        Some(code) => {
            let choice = choices.iter().find(|choice| choice.code == code);
            choice.map_or(code, |choice| choice.label.to_string())
        }
    };
    let named = counts.into_iter().map(|(code, works)| ReportDisposition { name: label(code), works });
    let mut named: Vec<ReportDisposition> = named.collect();
    named.sort_by(|a, b| b.works.cmp(&a.works).then_with(|| a.name.cmp(&b.name)));
    named
}

fn contract_of(
    StoredContract { contract, .. }: &StoredContract,
    bins: &BTreeMap<i64, Counters>,
    (from, to): (i64, i64),
    missing: &[(i64, i64)],
    now: Timestamp,
    zone: &TimeZone,
) -> Option<ReportContract> {
    let formula = contract.formula()?;
    let period = |(name, from, to): (String, i64, i64)| {
        let mut counters = Counters::default();
        bins.range(from..to).for_each(|(_, bin)| counters.add(bin));
        let gone: i64 =
            missing.iter().map(|(begins, ends)| ((*ends).min(to) - (*begins).max(from)).max(0)).sum();
        // A month has far fewer milliseconds than 2^52.
        let part = gone as f64 / (to - from) as f64;
        ReportPeriod {
            name,
            verdict: contract.verdict(&counters, part, to <= now.as_millisecond()),
            figure: formula.figure(&counters, contract.within_s).value,
        }
    };
    Some(ReportContract {
        name: formula.ja.to_owned(),
        formula: formula.text(contract.within_s),
        goal: contract.goal,
        at_most: contract.is_at_most(),
        periods: contract.period.parts_of(from, to, zone).into_iter().map(period).collect(),
    })
}

async fn billing_of(
    store: &Store,
    account: RecordId,
    month: BillingMonth,
    zone: &TimeZone,
) -> Result<Option<ReportBilling>, StoreError> {
    let this = month.to_string();
    if let Some(closed) = store.closed_bills(account, &this, &this).await?.pop() {
        let bill = closed.bill;
        return Ok(Some(ReportBilling { plan: bill.plan.name, counts: bill.counts, is_closed: true }));
    }
    let Some(stored) = store.billing_plan(account).await? else { return Ok(None) };
    let (from, to) = month.time(stored.plan.closing_day, zone);
    let calls = store.billed_calls(account, from, to).await?;
    let bill = bill_of(&stored.plan, &calls, Vec::new());
    Ok(Some(ReportBilling { plan: bill.plan.name, counts: bill.counts, is_closed: false }))
}
