//! Accounts over HTTP.
//! A change is in memory, and so in the next pop, when its answer is sent.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::auth::Caller;
use super::extract::{Asked, Body, Nothing, RecordPath};
use super::located::located;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::PageQuery;
use super::routes::Gate;
use crate::directory::record::{Account, AccountFields};
use crate::operator::Permission;
use crate::store::Page;

/// The accounts, in the order they were made.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", params(PageQuery), responses(
    (status = 200, description = "A page", body = Page<Account>),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Account>>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let wanted = query.read()?;
    Ok(Json(gate.app.store.accounts().page(wanted.after, wanted.limit).await?))
}

/// Makes an account.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = AccountFields, responses(
    (status = 201, description = "The record", body = Account),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Body(fields): Body<AccountFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let made = gate.app.directory.create_account(fields, gate.app.clock.now()).await?;
    located(StatusCode::CREATED, format!("/v1/accounts/{}", made.id), made)
}

/// One of them.
#[utoipa::path(get, path = "/v1/accounts/{account}", tag = "accounts",
    params(("account" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Account),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Account>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = gate.app.store.accounts().find(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such account"))
}

/// Changes an account by a JSON merge patch (RFC 7396): what is not named stays, `null` resets.
#[utoipa::path(patch, path = "/v1/accounts/{account}", tag = "accounts",
    params(("account" = uuid::Uuid, Path, description = "The record")),
    request_body = AccountFields,
    responses(
        (status = 200, description = "The record as it is now", body = Account),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(patch): Body<serde_json::Value>,
) -> Result<Json<Account>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    Ok(Json(gate.app.directory.patch_account(id, &patch, gate.app.clock.now()).await?))
}

/// Deletes an account with its customers, contacts and messages; its finished calls stay.
#[utoipa::path(delete, path = "/v1/accounts/{account}", tag = "accounts",
    params(("account" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    gate.app.directory.delete_account(id).await?;
    tracing::info!(%id, by = %caller.person.id, "an account was deleted with its customers, contacts and messages");
    Ok(StatusCode::NO_CONTENT)
}
