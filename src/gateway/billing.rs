//! Plans and bills (請求): what an account pays for a month ([`crate::billing`]).
//!
//! An open month is computed from the history at each request; a closed one is what was written when it was closed. The
//! bill of a month begins where a closed month before it ends, and ends where a closed month after it begins, so that no
//! call is billed twice or left out when the closing day changes.
//!
//! Invariant: a bill that may lack calls says why (`warnings`), and a month that is not over or not whole is not closed.
//!
//! Read next: `billing_file.rs` (the lines of all accounts as a file).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{PageQuery, PageRequest};
use super::state::AppState;
use super::stats::Missing;
use crate::billing::{Bill, BillingMonth, Correction, Plan, Warning, bill_of, correction_of};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::billing::{ClosedBill, StoredPlan};

/// How many closed months a bill corrects: what changes later is settled by hand.
const CORRECTED_MONTHS_MAX: usize = 3;

/// After every month.
const LAST_MONTH: &str = "9999-12";

/// The plan of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BillingPlan)]
pub(crate) struct PlanView {
    #[serde(flatten)]
    plan: Plan,
    /// Who wrote it.
    by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    changed_at: Timestamp,
}

/// The bill of an account for a month.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountBill)]
pub(crate) struct BillView {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub(super) account: RecordId,
    /// Its name; of a closed bill, that of the time when it was closed.
    pub(super) account_name: String,
    /// The month, for instance `2026-11`.
    pub(super) month: String,
    /// The beginning of its time.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    from: Timestamp,
    /// The end of its time.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    to: Timestamp,
    /// When it was closed; absent while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub(super) closed_at: Option<Timestamp>,
    /// Who closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_by: Option<String>,
    /// Of an open bill: when a PBX was not followed.
    missing: Vec<Missing>,
    #[serde(flatten)]
    pub(super) bill: Bill,
}

/// The bills of a month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bills {
    /// Of accounts with a plan or a closed bill, by the account's id, without their calls.
    items: Vec<BillView>,
    /// The cursor of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Shows the plan of an account.
#[utoipa::path(get, path = "/v1/accounts/{account}/billing-plan", tag = "billing",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The plan", body = PlanView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the account has no plan", body = ProblemBody),
    )
)]
pub(crate) async fn show_plan(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<PlanView>, Problem> {
    caller.needs(Permission::ReadBills)?;
    let StoredPlan { plan, by_name, changed_at } = plan_of(&state, account).await?;
    Ok(Json(PlanView { plan, by_name, changed_at }))
}

/// Writes the plan of an account. Closed bills keep the plan by which they were made.
#[utoipa::path(put, path = "/v1/accounts/{account}/billing-plan", tag = "billing",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    request_body = Plan,
    responses(
        (status = 200, description = "The plan", body = PlanView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write_plan(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    Body(plan): Body<Plan>,
) -> Result<Json<PlanView>, Problem> {
    caller.needs(Permission::ManageBilling)?;
    let plan = plan.checked().map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let (by_name, changed_at) = (caller.person.name.clone(), state.app.clock.now());
    let stored = StoredPlan { plan, by_name, changed_at };
    state.app.store.set_billing_plan(account, &stored).await?;
    let details = json!({ "plan": stored.plan.name });
    audit_trail::record(&state, &caller, "billing_plan.changed", ("", Some(account)), details).await;
    let StoredPlan { plan, by_name, changed_at } = stored;
    Ok(Json(PlanView { plan, by_name, changed_at }))
}

/// Removes the plan of an account: there is no bill for months that are not closed.
#[utoipa::path(delete, path = "/v1/accounts/{account}/billing-plan", tag = "billing",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 204, description = "The account has no plan"),
        (status = 403, description = "not-permitted", body = ProblemBody),
    )
)]
pub(crate) async fn remove_plan(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ManageBilling)?;
    if state.app.store.remove_billing_plan(account).await? {
        audit_trail::record(&state, &caller, "billing_plan.deleted", ("", Some(account)), json!({})).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the bill of an account for a month, with the verdict of each call.
#[utoipa::path(get, path = "/v1/accounts/{account}/bills/{month}", tag = "billing",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("month" = String, Path, description = "The month, `2026-11`"),
    ),
    responses(
        (status = 200, description = "The bill", body = BillView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the account has no plan, or that is no month", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<BillView>, Problem> {
    caller.needs(Permission::ReadBills)?;
    let (account, month) = subject(&path)?;
    Ok(Json(bill(&state, account, month).await?))
}

/// Lists the bills of a month.
#[utoipa::path(get, path = "/v1/bills/{month}", tag = "billing",
    params(("month" = String, Path, description = "The month, `2026-11`"), PageQuery),
    responses(
        (status = 200, description = "A page", body = Bills),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: that is no month", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(month): Path<String>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<Bills>, Problem> {
    caller.needs(Permission::ReadBills)?;
    let (items, next) = page(&state, month_of(&month)?, query.read()?).await?;
    Ok(Json(Bills { items, next: next.map(|id| id.to_string()) }))
}

/// Closes the bill of an account for a month. It never changes afterwards: what changes in its calls is a line of the next
/// bill. A month that is closed already stays as it is.
#[utoipa::path(post, path = "/v1/accounts/{account}/bills/{month}/close", tag = "billing",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("month" = String, Path, description = "The month, `2026-11`"),
    ),
    responses(
        (status = 200, description = "The closed bill", body = BillView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the account has no plan, or that is no month", body = ProblemBody),
        (status = 409, description = "bill-conflict: the month is not over, or retention has deleted some of it", body = ProblemBody),
    )
)]
pub(crate) async fn close(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<Json<BillView>, Problem> {
    caller.needs(Permission::ManageBilling)?;
    let (account, month) = subject(&path)?;
    let view = bill(&state, account, month).await?;
    if view.closed_at.is_some() {
        return Ok(Json(view));
    }
    if view.bill.warnings.contains(&Warning::NotOver) {
        return Err(Kind::BillConflict.with(format!("{month} is not over before {}", view.to)));
    }
    if view.bill.warnings.contains(&Warning::NotWhole) {
        return Err(Kind::BillConflict.with(format!(
            "[retention] has deleted some of {month}: its calls can no longer be counted. Close a month sooner"
        )));
    }
    let closed = ClosedBill {
        account,
        account_name: view.account_name,
        month: month.to_string(),
        from: view.from,
        to: view.to,
        bill: view.bill,
        closed_at: state.app.clock.now(),
        by_name: caller.person.name.clone(),
    };
    if state.app.store.close_bill(&closed).await? {
        let details = json!({ "month": closed.month, "yen": closed.bill.yen });
        audit_trail::record(&state, &caller, "bill.closed", ("", Some(account)), details).await;
        return Ok(Json(closed_view(closed)));
    }
    // Somebody else was faster.
    Ok(Json(bill(&state, account, month).await?))
}

/// A page of bills without their calls.
pub(super) async fn page(
    state: &AppState,
    month: BillingMonth,
    PageRequest { after, limit }: PageRequest,
) -> Result<(Vec<BillView>, Option<RecordId>), Problem> {
    let mut accounts = state.app.store.billed_accounts(&month.to_string(), after, limit + 1).await?;
    let is_more = accounts.len() > limit as usize;
    accounts.truncate(limit as usize);
    let mut items = Vec::with_capacity(accounts.len());
    for account in &accounts {
        match bill(state, *account, month).await {
            Ok(mut view) => {
                view.bill.calls.clear();
                items.push(view);
            }
            // Its plan was removed meanwhile.
            Err(problem) if problem.is(Kind::UnknownRecord) => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok((items, accounts.last().copied().filter(|_| is_more)))
}

async fn plan_of(state: &AppState, account: RecordId) -> Result<StoredPlan, Problem> {
    let plan = state.app.store.billing_plan(account).await?;
    plan.ok_or_else(|| {
        Kind::UnknownRecord
            .with("the account has no plan; write one with PUT /v1/accounts/{account}/billing-plan")
    })
}

/// The bill of an account: the closed one, or that of the history.
async fn bill(state: &AppState, account: RecordId, month: BillingMonth) -> Result<BillView, Problem> {
    let store = &state.app.store;
    let this = month.to_string();
    if let Some(closed) = store.closed_bills(account, &this, &this).await?.pop() {
        return Ok(closed_view(closed));
    }
    let StoredPlan { plan, .. } = plan_of(state, account).await?;
    let first = (0..CORRECTED_MONTHS_MAX).fold(month, |month, _| month.before());
    let closed = store.closed_bills(account, &first.to_string(), LAST_MONTH).await?;
    let (mut from, mut to) = month.time(plan.closing_day, state.app.directory.time_zone());
    if let Some(before) = closed.iter().find(|bill| bill.month == month.before().to_string()) {
        from = before.to;
    }
    if let Some(later) = closed.iter().find(|bill| bill.month > this) {
        to = to.min(later.from);
    }
    let corrections = corrections(state, account, &this, &closed).await?;
    let calls = store.billed_calls(account, from, to).await?;
    let mut bill = bill_of(&plan, &calls, corrections);
    let now = state.app.clock.now();
    let found = store.stats_state(from.as_millisecond(), to.as_millisecond(), now).await?;
    for (warning, holds) in [
        (Warning::Incomplete, !found.missing.is_empty()),
        (Warning::NotOver, to > now),
        (Warning::NotWhole, !is_whole(state, from)),
    ] {
        bill.warnings.extend(holds.then_some(warning));
    }
    let account_name =
        state.app.directory.account(account).map(|account| account.fields.name.clone()).unwrap_or_default();
    Ok(BillView {
        account,
        account_name,
        month: this,
        from,
        to,
        closed_at: None,
        closed_by: None,
        missing: found.missing.iter().map(Missing::of).collect(),
        bill,
    })
}

/// What became of the closed months before `month`, as far as no other closed bill, also of a later month, has it already.
async fn corrections(
    state: &AppState,
    account: RecordId,
    month: &str,
    closed: &[ClosedBill],
) -> Result<Vec<Correction>, Problem> {
    let mut found = Vec::new();
    let before = closed.iter().filter(|one| one.month.as_str() < month);
    for one in before.filter(|one| is_whole(state, one.from)) {
        let calls = state.app.store.billed_calls(account, one.from, one.to).await?;
        let corrected = closed
            .iter()
            .flat_map(|other| &other.bill.corrections)
            .filter(|correction| correction.month == one.month)
            .map(|correction| correction.yen)
            .sum();
        found.extend(correction_of(&one.month, &one.bill, &calls, corrected));
    }
    Ok(found)
}

/// Whether retention has left everything since this time.
fn is_whole(state: &AppState, from: Timestamp) -> bool {
    let kept = state.app.settings.history_whole_for;
    kept.is_none_or(|kept| state.app.clock.now().checked_sub(kept).is_ok_and(|whole_from| whole_from <= from))
}

fn closed_view(closed: ClosedBill) -> BillView {
    let ClosedBill { account, account_name, month, from, to, bill, closed_at, by_name } = closed;
    let (closed_at, closed_by) = (Some(closed_at), Some(by_name));
    BillView { account, account_name, month, from, to, closed_at, closed_by, missing: Vec::new(), bill }
}

pub(super) fn subject((account, month): &(String, String)) -> Result<(RecordId, BillingMonth), Problem> {
    let account =
        record_id(account).ok_or_else(|| Kind::UnknownRecord.with("the id of a record must be a UUID"))?;
    Ok((account, month_of(month)?))
}

pub(super) fn month_of(text: &str) -> Result<BillingMonth, Problem> {
    text.parse().map_err(|error: crate::billing::MonthError| Kind::UnknownRecord.with(error.to_string()))
}
