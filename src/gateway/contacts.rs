//! Contacts over HTTP.

use std::sync::Arc;

use super::auth::Caller;
use super::customers::{no_such_account, of_account};
use super::extract::{Asked, Body, Nothing, RecordPath};
use super::located::located;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{ContactQuery, wanted};
use super::routes::Gate;
use crate::directory::record::{Contact, ContactFields};
use crate::operator::Permission;
use crate::store::Page;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

/// The contacts that were asked for, in the order they were made.
#[utoipa::path(get, path = "/v1/contacts", tag = "contacts", params(ContactQuery), responses(
    (status = 200, description = "A page", body = Page<Contact>),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<ContactQuery>,
) -> Result<Json<Page<Contact>>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let wanted = wanted(query.limit, query.cursor.as_deref())?;
    let account = of_account(query.account.as_deref())?;
    Ok(Json(gate.app.store.contacts().page(account, wanted.after, wanted.limit).await?))
}

/// Makes a contact.
#[utoipa::path(post, path = "/v1/contacts", tag = "contacts", request_body = ContactFields, responses(
    (status = 201, description = "The record", body = Contact),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Body(fields): Body<ContactFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let made =
        gate.app.directory.create_contact(fields, gate.app.clock.now()).await.map_err(no_such_account)?;
    located(StatusCode::CREATED, format!("/v1/contacts/{}", made.id), made)
}

/// One of them.
#[utoipa::path(get, path = "/v1/contacts/{contact}", tag = "contacts",
    params(("contact" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Contact),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Contact>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = gate.app.store.contacts().find(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such contact"))
}

/// Changes a contact by a JSON merge patch (RFC 7396): what is not named stays, `null` resets.
#[utoipa::path(patch, path = "/v1/contacts/{contact}", tag = "contacts",
    params(("contact" = uuid::Uuid, Path, description = "The record")),
    request_body = ContactFields,
    responses(
        (status = 200, description = "The record as it is now", body = Contact),
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
) -> Result<Json<Contact>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    Ok(Json(gate.app.directory.patch_contact(id, &patch, gate.app.clock.now()).await?))
}

/// Deletes a contact.
#[utoipa::path(delete, path = "/v1/contacts/{contact}", tag = "contacts",
    params(("contact" = uuid::Uuid, Path, description = "The record")),
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
    gate.app.directory.delete_contact(id).await?;
    tracing::info!(%id, by = %caller.person.id, "a contact was deleted");
    Ok(StatusCode::NO_CONTENT)
}
