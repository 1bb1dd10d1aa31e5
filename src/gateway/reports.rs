//! Monthly reports (月次報告書): what an account's company gets about a month ([`crate::report`]), and when it is mailed.
//!
//! An open month is counted at each request; a closed one is what was written when it was closed.
//!
//! Read next: `report_files.rs` (the same as a PDF and as a CSV file).

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
use super::billing::subject;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::billing::BillingMonth;
use crate::contract::choice::Choice;
use crate::contract::words::WordKind;
use crate::ids::RecordId;
use crate::mail::MailAddress;
use crate::people::role::Permission;
use crate::report::{CloseError, GatherError, MonthlyReport, ReadReport, Sources};
use crate::store::reports::{ReportPlan, StoredReportPlan};
use crate::store::service_mails::ServiceMailState;

/// Most addresses that get a report.
const ADDRESSES_MAX: usize = 10;
/// The last day of a month that every month has.
const LAST_MAIL_DAY: u8 = 28;

/// The plan of an account's reports.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountReportPlan)]
pub(crate) struct PlanView {
    #[serde(flatten)]
    plan: ReportPlan,
    /// The last month whose report was mailed, or would have been mailed before the plan was written.
    sent_month: String,
    /// Who wrote it.
    by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    changed_at: Timestamp,
}

/// The report of an account for a month.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountReport)]
pub(crate) struct ReportView {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    account: RecordId,
    #[serde(flatten)]
    report: MonthlyReport,
    /// Quarters of an hour that are being counted; a second later they are. 0 of a closed month.
    pending: u64,
    /// When it was closed; absent while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    closed_at: Option<Timestamp>,
    /// Who closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_by: Option<String>,
    /// The SHA-256 of what was written when it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// The mails that carry it.
    mails: Vec<ServiceMailState>,
}

/// Shows when and to whom the report of an account is mailed.
#[utoipa::path(get, path = "/v1/accounts/{account}/report-plan", tag = "reports",
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
    caller.needs(Permission::ReadContracts)?;
    let stored = state.app.store.report_plan(account).await?;
    let stored = stored.ok_or_else(|| {
        Kind::UnknownRecord.with(
            "no report of the account is mailed; write a plan with PUT /v1/accounts/{account}/report-plan",
        )
    })?;
    Ok(Json(view_of(stored)))
}

/// Writes when and to whom the report of an account is mailed. The first report that is mailed is that of the month before
/// the next `mail_day`.
#[utoipa::path(put, path = "/v1/accounts/{account}/report-plan", tag = "reports",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    request_body = ReportPlan,
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
    Body(plan): Body<ReportPlan>,
) -> Result<Json<PlanView>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let plan = checked(plan)?;
    let changed_at = state.app.clock.now();
    let today = changed_at.to_zoned(state.app.directory.time_zone().clone()).date();
    let this = BillingMonth::of(today);
    let is_over = plan.mail_day.is_some_and(|day| u8::try_from(today.day()).is_ok_and(|today| today >= day));
    let sent_month = if is_over { this.before() } else { this.before().before() };
    let stored = StoredReportPlan {
        account,
        plan,
        sent_month: sent_month.to_string(),
        by_name: caller.person.name.clone(),
        changed_at,
    };
    state.app.store.set_report_plan(&stored).await?;
    // The addresses are not for the audit trail, which is never purged.
    let details = json!({ "mail_day": stored.plan.mail_day, "addresses": stored.plan.to.len() });
    audit_trail::record(&state, &caller, "report_plan.changed", ("", Some(account)), details).await;
    let stored = state.app.store.report_plan(account).await?.unwrap_or(stored);
    Ok(Json(view_of(stored)))
}

/// Removes the plan: no report of the account is mailed.
#[utoipa::path(delete, path = "/v1/accounts/{account}/report-plan", tag = "reports",
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
    caller.needs(Permission::EditDirectory)?;
    if state.app.store.remove_report_plan(account).await? {
        audit_trail::record(&state, &caller, "report_plan.deleted", ("", Some(account)), json!({})).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the report of an account for a month.
#[utoipa::path(get, path = "/v1/accounts/{account}/reports/{month}", tag = "reports",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("month" = String, Path, description = "The month, `2026-11`"),
    ),
    responses(
        (status = 200, description = "The report", body = ReportView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such account, or that is no month", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<ReportView>, Problem> {
    let (account, month, read) = report_for(&state, &caller, &path).await?;
    Ok(Json(report_view(&state, account, month, read).await?))
}

/// Closes the report of an account for a month: from then on it never changes. A month that is closed already stays as it is.
#[utoipa::path(post, path = "/v1/accounts/{account}/reports/{month}/close", tag = "reports",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("month" = String, Path, description = "The month, `2026-11`"),
    ),
    responses(
        (status = 200, description = "The closed report", body = ReportView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such account, or that is no month", body = ProblemBody),
        (status = 409, description = "report-conflict: the month is not over, or some of it is not counted yet", body = ProblemBody),
    )
)]
pub(crate) async fn close(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<Json<ReportView>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let (account, month) = subject(&path)?;
    let by = (state.app.clock.now(), caller.person.name.as_str());
    let known = state.app.words.current().labels(WordKind::Disposition);
    let (read, is_new) = crate::report::close(sources(&state, &known), account, month, by).await?;
    if is_new {
        let details = json!({ "month": month.to_string() });
        audit_trail::record(&state, &caller, "report.closed", ("", Some(account)), details).await;
    }
    Ok(Json(report_view(&state, account, month, read).await?))
}

/// The report that a path names, for a caller who may read it.
pub(super) async fn report_for(
    state: &AppState,
    caller: &Caller,
    path: &(String, String),
) -> Result<(RecordId, BillingMonth, ReadReport), Problem> {
    caller.needs(Permission::ReadContracts)?;
    let (account, month) = subject(path)?;
    let known = state.app.words.current().labels(WordKind::Disposition);
    let read = crate::report::read(sources(state, &known), account, month, state.app.clock.now()).await?;
    Ok((account, month, read))
}

fn sources<'a>(state: &'a AppState, dispositions: &'a [Choice]) -> Sources<'a> {
    let kept = state.app.settings.history_whole_for;
    Sources {
        store: &state.app.store,
        directory: &state.app.directory,
        dispositions,
        whole_from: kept.and_then(|kept| state.app.clock.now().checked_sub(kept).ok()),
    }
}

async fn report_view(
    state: &AppState,
    account: RecordId,
    month: BillingMonth,
    ReadReport { report, pending, closed }: ReadReport,
) -> Result<ReportView, Problem> {
    let mails = state.app.store.report_mails(account, &month.to_string()).await?;
    let (closed_at, closed_by, sha256) = match closed {
        Some((at, by, sha256)) => (Some(at), Some(by), Some(sha256)),
        None => (None, None, None),
    };
    Ok(ReportView { account, report, pending, closed_at, closed_by, sha256, mails })
}

fn view_of(StoredReportPlan { plan, sent_month, by_name, changed_at, .. }: StoredReportPlan) -> PlanView {
    PlanView { plan, sent_month, by_name, changed_at }
}

/// The plan, if it makes sense.
fn checked(plan: ReportPlan) -> Result<ReportPlan, Problem> {
    let refuse = |detail: String| Kind::InvalidBody.with(detail);
    if plan.mail_day.is_some_and(|day| !(1..=LAST_MAIL_DAY).contains(&day)) {
        return Err(refuse(format!("mail_day: 1 to {LAST_MAIL_DAY}, a day that every month has")));
    }
    if plan.to.len() > ADDRESSES_MAX {
        return Err(refuse(format!("to: at most {ADDRESSES_MAX} addresses")));
    }
    if plan.mail_day.is_some() && plan.to.is_empty() {
        return Err(refuse("to: write at least one address, or leave out mail_day".to_owned()));
    }
    for (n, address) in plan.to.iter().enumerate() {
        if let Err(error) = address.parse::<MailAddress>() {
            return Err(refuse(format!("to[{n}]: {error}")));
        }
        if plan.to[..n].contains(address) {
            return Err(refuse(format!("to[{n}]: this address stands there twice")));
        }
    }
    Ok(plan)
}

impl From<GatherError> for Problem {
    fn from(error: GatherError) -> Self {
        match error {
            GatherError::NoAccount => Kind::UnknownRecord.with("there is no such account"),
            GatherError::Store(error) => error.into(),
            GatherError::Damaged { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "a closed report cannot be read");
                Kind::Internal.into()
            }
        }
    }
}

impl From<CloseError> for Problem {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::Gather(error) => error.into(),
            CloseError::NotOver { .. } | CloseError::Pending { .. } => {
                Kind::ReportConflict.with(error.to_string())
            }
        }
    }
}
