//! Customers over HTTP.
//! Operators make and change them while they talk.

use std::sync::Arc;

use super::auth::Caller;
use super::extract::{Asked, Body, Nothing, RecordPath, number, record};
use super::located::located;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{CustomerQuery, wanted};
use super::routes::Gate;
use crate::directory::EditError;
use crate::directory::record::{Customer, CustomerFields};
use crate::ids::RecordId;
use crate::operator::Permission;
use crate::store::{CustomerFilter, Page, StoreError};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

/// The customers that were asked for, in the order they were made.
#[utoipa::path(get, path = "/v1/customers", tag = "customers", params(CustomerQuery), responses(
    (status = 200, description = "A page", body = Page<Customer>),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<CustomerQuery>,
) -> Result<Json<Page<Customer>>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let wanted = wanted(query.limit, query.cursor.as_deref())?;
    let filter = CustomerFilter {
        account: of_account(query.account.as_deref())?,
        number_key: query.number.map(|text| number(&gate.app.directory, "number", &text)).transpose()?,
        text: query.q.filter(|text| !text.trim().is_empty()),
    };
    Ok(Json(gate.app.store.customers().page(&filter, wanted.after, wanted.limit).await?))
}

/// Makes a customer.
#[utoipa::path(post, path = "/v1/customers", tag = "customers", request_body = CustomerFields, responses(
    (status = 201, description = "The record", body = Customer),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Body(fields): Body<CustomerFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditCustomers)?;
    let made =
        gate.app.directory.create_customer(fields, gate.app.clock.now()).await.map_err(no_such_account)?;
    located(StatusCode::CREATED, format!("/v1/customers/{}", made.id), made)
}

/// One of them.
#[utoipa::path(get, path = "/v1/customers/{customer}", tag = "customers",
    params(("customer" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Customer),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Customer>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = gate.app.store.customers().find(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such customer"))
}

/// Changes a customer by a JSON merge patch (RFC 7396): what is not named stays, `null` resets.
#[utoipa::path(patch, path = "/v1/customers/{customer}", tag = "customers",
    params(("customer" = uuid::Uuid, Path, description = "The record")),
    request_body = CustomerFields,
    responses(
        (status = 200, description = "The record as it is now", body = Customer),
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
) -> Result<Json<Customer>, Problem> {
    caller.needs(Permission::EditCustomers)?;
    Ok(Json(gate.app.directory.patch_customer(id, &patch, gate.app.clock.now()).await?))
}

/// Deletes a customer.
#[utoipa::path(delete, path = "/v1/customers/{customer}", tag = "customers",
    params(("customer" = uuid::Uuid, Path, description = "The record")),
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
    gate.app.directory.delete_customer(id).await?;
    tracing::info!(%id, by = %caller.person.id, "a customer was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the query key `account`.
pub(crate) fn of_account(text: Option<&str>) -> Result<Option<RecordId>, Problem> {
    let read =
        |text| record(text).ok_or_else(|| Kind::InvalidQuery.with("account: must be the id of an account"));
    text.map(read).transpose()
}

/// A record for an account that is not there: the body is wrong, not the path.
pub(crate) fn no_such_account(error: impl Into<EditError>) -> Problem {
    match error.into() {
        EditError::Store(StoreError::Missing { what: "account" }) => {
            Kind::InvalidBody.with("account: there is no such account")
        }
        other => other.into(),
    }
}
