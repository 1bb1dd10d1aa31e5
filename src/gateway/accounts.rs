//! Accounts: list, create, read, change, delete.
//!
//! Invariant: when a change is answered it is in memory, so the next pop of this daemon shows it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::audit_trail::{self, fields_of};
use super::auth::Caller;
use super::extract::{Body, IfMatch, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::PageQuery;
use super::responses::created;
use super::state::AppState;
use crate::contract::records::{Account, AccountFields};
use crate::directory::{EditError, Edited};
use crate::people::role::Permission;
use crate::store::deletions::DeletedBy;
use crate::store::{Page, StoreError};

/// Lists the accounts, in the order of their creation.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", params(PageQuery), responses(
    (status = 200, description = "A page", body = Page<Account>),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<Page<Account>>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let page = query.read()?;
    Ok(Json(state.app.store.accounts(page.after, page.limit).await?))
}

/// Creates an account.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = AccountFields, responses(
    (status = 201, description = "The record", body = Account),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken; of a number with the account that has it", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(fields): Body<AccountFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let made = state.app.directory.create_account(fields, state.app.clock.now()).await;
    let record = made.map_err(|error| refused(&state, error))?;
    let about = (record.fields.code.as_str(), Some(record.id));
    audit_trail::record(&state, &caller, "account.created", about, json!({})).await;
    created(format!("/v1/accounts/{}", record.id), record)
}

/// Returns an account.
#[utoipa::path(get, path = "/v1/accounts/{account}", tag = "accounts",
    params(("account" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Account),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Account>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = state.app.store.account(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such account"))
}

/// Changes an account by a JSON merge patch (RFC 7396): absent fields keep their values, `null` resets a field.
#[utoipa::path(patch, path = "/v1/accounts/{account}", tag = "accounts",
    params(
        ("account" = uuid::Uuid, Path, description = "The record"),
        ("If-Match" = Option<String>, Header, description = "The `changed_at` that the client has seen, in quotes"),
    ),
    request_body = AccountFields,
    responses(
        (status = 200, description = "The changed record", body = Account),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken, of a number with the account that has it; record-changed, with the record as it is", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    IfMatch(seen): IfMatch,
    Body(patch): Body<serde_json::Value>,
) -> Result<Json<Account>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let edited = state.app.directory.edit_account(id, &patch, state.app.clock.now(), seen).await;
    let Edited { before, after } = match edited {
        Err(EditError::Store(StoreError::Changed { .. })) => {
            let current = state.app.store.account(id).await?;
            return Err(Problem::from(Kind::RecordChanged).record(&current));
        }
        edited => edited.map_err(|error| refused(&state, error))?,
    };
    let about = (after.fields.code.as_str(), Some(id));
    let mut details = fields_of(&patch);
    details["changed"] = audit_trail::differences_of(&before.fields, &after.fields);
    audit_trail::record(&state, &caller, "account.changed", about, details).await;
    Ok(Json(after))
}

/// The problem of a refused change. A number that another account has comes with that account.
fn refused(state: &AppState, error: EditError) -> Problem {
    let EditError::Store(StoreError::Taken { what, value }) = &error else { return error.into() };
    let directory = &state.app.directory;
    let owner = match *what {
        "the dialled number" => directory.account_of_number(value, true),
        "the forwarding number" => directory.account_of_number(value, false),
        _ => None,
    };
    let Some(owner) = owner else { return error.into() };
    let detail = format!("{error}, by {} {}", owner.fields.code, owner.fields.name);
    Kind::ValueTaken.with(detail).record(&*owner)
}

/// Deletes an account with its customers, contacts and messages. Its finished calls remain.
#[utoipa::path(delete, path = "/v1/accounts/{account}", tag = "accounts",
    params(
        ("account" = uuid::Uuid, Path, description = "The record"),
        ("If-Match" = Option<String>, Header, description = "The `changed_at` that the client has seen, in quotes: only if nobody changed it since"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "record-changed, with the record as it is", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    IfMatch(seen): IfMatch,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    if let Some(current) = state.app.store.account(id).await?
        && seen.is_some_and(|seen| seen != current.changed_at)
    {
        return Err(Problem::from(Kind::RecordChanged).record(&current));
    }
    let code = state.app.directory.account(id).map(|account| account.fields.code.clone());
    let by = DeletedBy { name: &caller.person.name, at: state.app.clock.now() };
    state.app.directory.delete_account_undoably(id, by).await?;
    let about = (code.as_deref().unwrap_or_default(), Some(id));
    audit_trail::record(&state, &caller, "account.deleted", about, json!({})).await;
    tracing::info!(%id, by = %caller.person.id, "deleted an account with its customers, contacts and messages");
    Ok(StatusCode::NO_CONTENT)
}
