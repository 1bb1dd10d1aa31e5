//! How long callers waited, one by one: percentiles, and the service level for any limit T.
//!
//! Counters of quarters of an hour add up, percentiles do not: they come from the calls themselves, by the same facts as the
//! counters. So there are none of a time whose calls retention has deleted.
//!
//! Invariant: a request looks at up to [`CALLS_MAX`] calls, and refuses more.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::customers::account_id;
use super::extract::QueryParams;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::StatsWaitsQuery;
use super::state::AppState;
use crate::contract::call::{Direction, Outcome};
use crate::people::role::Permission;
use crate::stats::{BIN_MS, Counters, WITHIN_DEFAULT_S, start_of_bin};
use crate::store::PAGE_RECORDS_MAX;
use crate::store::history::{HistoryCursor, HistoryFilter};
use crate::store::stats::StatsOf;

/// Most calls that one request looks at.
const CALLS_MAX: usize = 20_000;

/// How long callers waited.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsWaits)]
pub(crate) struct WaitsView {
    /// Of the calls that an operator answered.
    answered: Waits,
    /// Of the calls that the caller abandoned.
    abandoned: Waits,
    /// The limit T, in seconds.
    within_s: u32,
    /// Calls that were answered within T.
    answered_within: u64,
    /// Calls that were abandoned within T.
    abandoned_within: u64,
    /// `SL-ignore` with this T: answered within T / (offered - closed - refused - abandoned within T); `null` where that is nothing.
    service_level: Option<f64>,
}

/// Waits of some calls, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Waits)]
pub(crate) struct Waits {
    /// How many calls.
    calls: u64,
    /// Half of them waited at most so long; `null` of no calls.
    p50_ms: Option<u64>,
    /// Nine of ten.
    p90_ms: Option<u64>,
    /// The longest wait.
    max_ms: Option<u64>,
}

/// Reads how long callers waited.
#[utoipa::path(get, path = "/v1/stats/waits", tag = "stats", params(StatsWaitsQuery), responses(
    (status = 200, description = "Percentiles of the wait, and the service level for any T", body = WaitsView),
    (status = 400, description = "invalid-query; too-many-matches: ask for a shorter time or one account", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn waits(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<StatsWaitsQuery>,
) -> Result<Json<WaitsView>, Problem> {
    caller.needs(Permission::ReadContracts)?;
    let within_s = query.within.unwrap_or(WITHIN_DEFAULT_S);
    if !(1..=3_600).contains(&within_s) {
        return Err(Kind::InvalidQuery.with("within: 1 to 3600 seconds"));
    }
    let zone = state.app.directory.time_zone();
    let filter = HistoryFilter {
        direction: Some(Direction::Inbound),
        account: account_id(query.account.as_deref())?,
        from: Some(query.from.at(zone)),
        to: Some(query.to.at(zone)),
        ..HistoryFilter::default()
    };
    if counted(&state, &filter).await? > CALLS_MAX as u64 {
        return Err(too_many());
    }
    let (mut answered, mut abandoned, mut open, mut looked_at) = (Vec::new(), Vec::new(), 0, 0);
    let mut cursor = None;
    loop {
        let calls = state.app.store.history(&filter, cursor, PAGE_RECORDS_MAX).await?;
        let is_last = calls.len() < PAGE_RECORDS_MAX as usize;
        cursor = calls.last().map(HistoryCursor::of);
        looked_at += calls.len();
        if looked_at > CALLS_MAX {
            return Err(too_many());
        }
        for (_, facts) in state.app.store.facts_of_calls(calls, false).await? {
            if query.queue.as_ref().is_some_and(|queue| facts.queue.as_ref() != Some(queue)) {
                continue;
            }
            open += Counters::of_call(&facts).open();
            match facts.outcome {
                Outcome::Answered if facts.to_answer_ms.is_some() => answered.push(facts.wait_ms),
                Outcome::Abandoned => abandoned.push(facts.wait_ms),
                _ => {}
            }
        }
        if is_last {
            break;
        }
    }
    let within = |waits: &[u64]| waits.iter().filter(|ms| **ms <= u64::from(within_s) * 1_000).count() as u64;
    let (answered_within, abandoned_within) = (within(&answered), within(&abandoned));
    let of = open.saturating_sub(abandoned_within);
    Ok(Json(WaitsView {
        answered: Waits::of(answered),
        abandoned: Waits::of(abandoned),
        within_s,
        answered_within,
        abandoned_within,
        service_level: (of > 0).then(|| answered_within as f64 / of as f64),
    }))
}

fn too_many() -> Problem {
    let detail = format!("more than {CALLS_MAX} calls: ask for a shorter time, or for one account");
    Kind::TooManyMatches.with(detail)
}

/// How many calls the counters have in the full quarters of an hour of this time: what is refused costs no reading of calls.
async fn counted(state: &AppState, filter: &HistoryFilter) -> Result<u64, Problem> {
    let (Some(from), Some(to)) = (filter.from, filter.to) else { return Ok(0) };
    let from = start_of_bin(from.as_millisecond() + BIN_MS - 1);
    let of = filter.account.map_or(StatsOf::Total, |account| StatsOf::Accounts(Some(account)));
    let groups = state.app.store.stats(of, from, start_of_bin(to.as_millisecond()), |_| Some(())).await?;
    Ok(groups.get(&()).and_then(|counters| counters.get("offered")).unwrap_or(0))
}

impl Waits {
    fn of(mut waits: Vec<u64>) -> Self {
        waits.sort_unstable();
        // The nearest rank: the smallest wait that so many of a hundred calls do not exceed.
        let at = |percent: usize| waits.get((waits.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Self { calls: waits.len() as u64, p50_ms: at(50), p90_ms: at(90), max_ms: waits.last().copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_wait_that_somebody_had() {
        for (waits, p50, p90) in [
            (vec![], None, None),
            (vec![7], Some(7), Some(7)),
            (vec![1, 9], Some(1), Some(9)),
            ((1..=10).rev().collect(), Some(5), Some(9)),
            ((1..=100).collect(), Some(50), Some(90)),
        ] {
            let of = Waits::of(waits);
            assert_eq!((of.p50_ms, of.p90_ms), (p50, p90), "{of:?}");
        }
    }
}
