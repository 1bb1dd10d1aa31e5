//! Contracts (契約上の目標): what was agreed with an account about a figure, and whether each period of a month keeps it.
//!
//! Invariant: a period is judged by the same counters and formula as `/v1/stats`, and never while it is not over or more than
//! 1 % of it was not followed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::page_request;
use super::state::AppState;
use super::stats::time;
use crate::billing::BillingMonth;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::stats::{Contract, Counters, Verdict, merged};
use crate::store::contracts::StoredContract;
use crate::store::stats::StatsOf;

/// Which contracts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ContractQuery {
    /// The month, for instance `2026-11`.
    month: String,
    /// Records per page, 1 to 500; 50 by default.
    limit: Option<u32>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
}

/// A contract.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountContract)]
pub(crate) struct ContractView {
    #[serde(flatten)]
    contract: Contract,
    /// Who wrote it.
    by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    changed_at: Timestamp,
}

/// A contract with its periods in a month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JudgedContract {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    account: RecordId,
    /// Its name.
    account_name: String,
    /// What was agreed.
    contract: Contract,
    /// Whether less is better.
    at_most: bool,
    /// The arithmetic of its figure.
    formula: String,
    /// Its periods in the month that have begun.
    periods: Vec<PeriodView>,
}

/// A period of a contract.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ContractPeriod)]
pub(crate) struct PeriodView {
    /// Its month or day in the time zone of the installation, for instance `2026-11` or `2026-11-30`.
    name: String,
    /// Its beginning.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    from: Timestamp,
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    to: Timestamp,
    /// Whether it keeps the contract.
    verdict: Verdict,
    /// The figure so far; `null` where the denominator is zero.
    figure: Option<f64>,
    /// How many more calls may be lost before the goal is out of reach; `null` where it is, or without a figure.
    room: Option<u64>,
    /// How much of it was not followed, in milliseconds.
    missing_ms: i64,
}

/// The contracts of a month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Contracts {
    /// By the account's id.
    items: Vec<JudgedContract>,
    /// The cursor of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Shows the contract of an account.
#[utoipa::path(get, path = "/v1/accounts/{account}/contract", tag = "contracts",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The contract", body = ContractView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the account has no contract", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<ContractView>, Problem> {
    caller.needs(Permission::ReadContracts)?;
    let stored = state.app.store.contract(account).await?;
    let stored = stored.ok_or_else(|| Kind::UnknownRecord.with("the account has no contract"))?;
    Ok(Json(view_of(stored)))
}

/// Writes the contract of an account.
#[utoipa::path(put, path = "/v1/accounts/{account}/contract", tag = "contracts",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    request_body = Contract,
    responses(
        (status = 200, description = "The contract", body = ContractView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    Body(contract): Body<Contract>,
) -> Result<Json<ContractView>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let contract = contract.checked().map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let (by_name, changed_at) = (caller.person.name.clone(), state.app.clock.now());
    let stored = StoredContract { account, contract, by_name, changed_at };
    state.app.store.set_contract(&stored).await?;
    let details = json!({ "formula": stored.contract.formula, "goal": stored.contract.goal });
    audit_trail::record(&state, &caller, "contract.changed", ("", Some(account)), details).await;
    Ok(Json(view_of(stored)))
}

/// Removes the contract of an account.
#[utoipa::path(delete, path = "/v1/accounts/{account}/contract", tag = "contracts",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 204, description = "The account has no contract"),
        (status = 403, description = "not-permitted", body = ProblemBody),
    )
)]
pub(crate) async fn remove(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    if state.app.store.remove_contract(account).await? {
        audit_trail::record(&state, &caller, "contract.deleted", ("", Some(account)), json!({})).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Judges the contracts of all accounts in a month.
#[utoipa::path(get, path = "/v1/contracts", tag = "contracts", params(ContractQuery), responses(
    (status = 200, description = "A page", body = Contracts),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<ContractQuery>,
) -> Result<Json<Contracts>, Problem> {
    caller.needs(Permission::ReadContracts)?;
    let month: BillingMonth = query
        .month
        .parse()
        .map_err(|error: crate::billing::MonthError| Kind::InvalidQuery.with(format!("month: {error}")))?;
    let page = page_request(query.limit, query.cursor.as_deref())?;
    let mut stored = state.app.store.contracts(page.after, page.limit + 1).await?;
    let is_more = stored.len() > page.limit as usize;
    stored.truncate(page.limit as usize);
    let next = stored.last().map(|last| last.account.to_string()).filter(|_| is_more);
    let zone = state.app.directory.time_zone();
    let (from, to) = month.time(None, zone);
    let (from, to) = (from.as_millisecond(), to.as_millisecond());
    let missing = state.app.store.stats_state(from, to, state.app.clock.now()).await?.missing;
    let missing = merged(missing);
    let mut items = Vec::with_capacity(stored.len());
    for one in stored {
        items.push(judged(&state, one, (from, to), &missing).await?);
    }
    Ok(Json(Contracts { items, next }))
}

fn view_of(StoredContract { contract, by_name, changed_at, .. }: StoredContract) -> ContractView {
    ContractView { contract, by_name, changed_at }
}

/// The periods of a contract in this time, as far as they have begun.
async fn judged(
    state: &AppState,
    StoredContract { account, contract, .. }: StoredContract,
    (from, to): (i64, i64),
    missing: &[(i64, i64)],
) -> Result<JudgedContract, Problem> {
    let now = state.app.clock.now().as_millisecond();
    let zone = state.app.directory.time_zone();
    let periods = contract.period.parts_of(from, to, zone);
    let begins = |bin_ms: i64| periods.partition_point(|(_, begins, _)| *begins <= bin_ms).checked_sub(1);
    let counted =
        state.app.store.stats(StatsOf::Accounts(Some(account)), from, to, |row| begins(row.bin_ms)).await?;
    let formula = contract.formula();
    let none = Counters::default();
    let judge = |(n, (name, from, to)): (usize, &(String, i64, i64))| {
        let counters = counted.get(&n).unwrap_or(&none);
        let gone = missing.iter().map(|(begins, ends)| (*ends.min(to) - *begins.max(from)).max(0));
        let missing_ms: i64 = gone.sum();
        // A month has far fewer milliseconds than 2^52.
        let part = missing_ms as f64 / (to - from) as f64;
        PeriodView {
            name: name.clone(),
            from: time(*from),
            to: time(*to),
            verdict: contract.verdict(counters, part, *to <= now),
            figure: formula.and_then(|formula| formula.figure(counters, contract.within_s).value),
            room: contract.room(counters),
            missing_ms,
        }
    };
    let begun = periods.iter().enumerate().filter(|(_, (_, from, _))| *from <= now);
    let periods = begun.map(judge).collect();
    let account_name =
        state.app.directory.account(account).map(|account| account.fields.name.clone()).unwrap_or_default();
    Ok(JudgedContract {
        account,
        account_name,
        at_most: contract.is_at_most(),
        formula: formula.map(|formula| formula.text(contract.within_s)).unwrap_or_default(),
        contract,
        periods,
    })
}
