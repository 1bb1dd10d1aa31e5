//! Account notices (本日の連絡事項): what holds for an account until a given time. Everybody who takes calls writes them.
//!
//! Invariant: when a change is answered it is in memory, so the next pop of this daemon shows it. The event follows from the
//! store (`messages/relay.rs`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail::{self, fields_of};
use super::auth::Caller;
use super::customers::{account_id, no_such_account};
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::responses::created;
use super::state::AppState;
use crate::contract::notice::{AccountNotice, NOTICES_PER_ACCOUNT_MAX, NoticeFields};
use crate::contract::records::patched;
use crate::directory::EditError;
use crate::people::role::Permission;
use crate::store::account_notices::ChangedBy;

/// Which notices.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NoticesQuery {
    /// Of the account with this id.
    account: Option<String>,
}

/// Notices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountNotices {
    /// Those that are not over, at most 500: those that begin first before the others.
    items: Vec<AccountNotice>,
}

/// Lists the notices that are not over.
#[utoipa::path(get, path = "/v1/notices", tag = "notices", params(NoticesQuery), responses(
    (status = 200, description = "The notices", body = AccountNotices),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<NoticesQuery>,
) -> Result<Json<AccountNotices>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let account = account_id(query.account.as_deref())?;
    let items = state.app.store.account_notices(account, state.app.clock.now()).await?;
    Ok(Json(AccountNotices { items }))
}

/// Writes a notice. Without times it holds for the rest of the day.
#[utoipa::path(post, path = "/v1/notices", tag = "notices", request_body = NoticeFields, responses(
    (status = 201, description = "The notice", body = AccountNotice),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken: the account has too many notices", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(fields): Body<NoticeFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::WriteNotices)?;
    let now = state.app.clock.now();
    let checked = fields.checked(now, state.app.directory.time_zone()).map_err(EditError::from)?;
    let made = state.app.store.create_account_notice(&checked, by(&state, &caller)).await;
    let made = made.map_err(no_such_account)?.ok_or_else(|| {
        Kind::ValueTaken.with(format!("at most {NOTICES_PER_ACCOUNT_MAX} notices of an account; end one"))
    })?;
    shown_from_now_on(&state).await?;
    let details = json!({ "account": made.account, "until": made.until });
    audit_trail::record(&state, &caller, "notice.created", ("", Some(made.id)), details).await;
    created(format!("/v1/notices/{}", made.id), made)
}

/// Returns a notice.
#[utoipa::path(get, path = "/v1/notices/{notice}", tag = "notices",
    params(("notice" = uuid::Uuid, Path, description = "The notice")),
    responses(
        (status = 200, description = "The notice", body = AccountNotice),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<AccountNotice>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = state.app.store.account_notice(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such notice; it may be over"))
}

/// Changes a notice by a JSON merge patch (RFC 7396): `null` sets a time to its default. The account stays.
#[utoipa::path(patch, path = "/v1/notices/{notice}", tag = "notices",
    params(("notice" = uuid::Uuid, Path, description = "The notice")),
    request_body = NoticeFields,
    responses(
        (status = 200, description = "The changed notice", body = AccountNotice),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(patch): Body<serde_json::Value>,
) -> Result<Json<AccountNotice>, Problem> {
    caller.needs(Permission::WriteNotices)?;
    let before = state.app.store.account_notice(id).await?;
    let before = before.ok_or_else(|| Kind::UnknownRecord.with("there is no such notice; it may be over"))?;
    let fields = patched(&before.fields(), &patch).map_err(EditError::from)?;
    if fields.account != before.account {
        return Err(Kind::InvalidBody.with("account: a notice stays with its account; write another one"));
    }
    let now = state.app.clock.now();
    let checked = fields.checked(now, state.app.directory.time_zone()).map_err(EditError::from)?;
    let changed = state.app.store.update_account_notice(id, &checked, by(&state, &caller)).await?;
    shown_from_now_on(&state).await?;
    let mut details = fields_of(&patch);
    details["account"] = json!(changed.account);
    audit_trail::record(&state, &caller, "notice.changed", ("", Some(id)), details).await;
    Ok(Json(changed))
}

/// Ends a notice.
#[utoipa::path(delete, path = "/v1/notices/{notice}", tag = "notices",
    params(("notice" = uuid::Uuid, Path, description = "The notice")),
    responses(
        (status = 204, description = "Ended"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn end(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::WriteNotices)?;
    let ended = state.app.store.delete_account_notice(id, by(&state, &caller)).await?;
    shown_from_now_on(&state).await?;
    let details = json!({ "account": ended.account });
    audit_trail::record(&state, &caller, "notice.ended", ("", Some(id)), details).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn shown_from_now_on(state: &AppState) -> Result<(), Problem> {
    state.app.message_relay.publish_soon();
    Ok(state.app.directory.refresh().await.map(|_| ())?)
}

/// The caller, as the author of a change that is published.
pub(super) fn by<'a>(state: &'a AppState, caller: &'a Caller) -> ChangedBy<'a> {
    ChangedBy { name: &caller.person.name, pbx: state.app.bus.own_pbx(), at: state.app.clock.now() }
}
