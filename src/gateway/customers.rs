//! Customers: list, create, read, change, delete. Operators create and change them during a call.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::audit_trail::{self, fields_of};
use super::auth::Caller;
use super::customer_changes;
use super::extract::{Body, IfMatch, NoQuery, QueryParams, RecordPath, number_key, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{CustomerQuery, page_request};
use super::responses::created;
use super::state::AppState;
use crate::contract::records::{Customer, CustomerFields};
use crate::directory::{EditError, Edited};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::customer_changes::CustomerAction;
use crate::store::deletions::DeletedBy;
use crate::store::{CustomerFilter, Page, StoreError};
use serde_json::json;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

/// Lists the customers that match, in the order of their creation.
#[utoipa::path(get, path = "/v1/customers", tag = "customers", params(CustomerQuery), responses(
    (status = 200, description = "A page", body = Page<Customer>),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<CustomerQuery>,
) -> Result<Json<Page<Customer>>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let page = page_request(query.limit, query.cursor.as_deref())?;
    let filter = CustomerFilter {
        account: account_id(query.account.as_deref())?,
        number_key: query.number.map(|text| number_key(&state.app.directory, "number", &text)).transpose()?,
        text: query.q.filter(|text| !text.trim().is_empty()),
    };
    Ok(Json(state.app.store.customers(&filter, page.after, page.limit).await?))
}

/// Creates a customer.
#[utoipa::path(post, path = "/v1/customers", tag = "customers", request_body = CustomerFields, responses(
    (status = 201, description = "The record", body = Customer),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(fields): Body<CustomerFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditCustomers)?;
    let record =
        state.app.directory.create_customer(fields, state.app.clock.now()).await.map_err(no_such_account)?;
    customer_changes::note(&state, &caller, (CustomerAction::Created, record.created_at), None, &record)
        .await;
    let details = json!({ "account": record.fields.account });
    audit_trail::record(&state, &caller, "customer.created", ("", Some(record.id)), details).await;
    created(format!("/v1/customers/{}", record.id), record)
}

/// Returns a customer.
#[utoipa::path(get, path = "/v1/customers/{customer}", tag = "customers",
    params(("customer" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Customer),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Customer>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = state.app.store.customer(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such customer"))
}

/// Changes a customer by a JSON merge patch (RFC 7396): absent fields keep their values, `null` resets a field. Only
/// administrators move a customer to another account.
#[utoipa::path(patch, path = "/v1/customers/{customer}", tag = "customers",
    params(
        ("customer" = uuid::Uuid, Path, description = "The record"),
        ("If-Match" = Option<String>, Header, description = "The `changed_at` that the client has seen, in quotes"),
    ),
    request_body = CustomerFields,
    responses(
        (status = 200, description = "The changed record", body = Customer),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken; record-changed, with the record as it is", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    IfMatch(seen): IfMatch,
    Body(patch): Body<serde_json::Value>,
) -> Result<Json<Customer>, Problem> {
    caller.needs(Permission::EditCustomers)?;
    let before = state.app.store.customer(id).await?;
    let before = before.ok_or_else(|| Kind::UnknownRecord.with("there is no such customer"))?.fields.account;
    let moves =
        patch.get("account").is_some_and(|account| account.as_str().and_then(record_id) != Some(before));
    if moves && !caller.person.role.may(Permission::EditDirectory) {
        return Err(Kind::NotPermitted.with(
            "account: only administrators move a customer to another account; leave the field out, or create a \
             customer of that account",
        ));
    }
    let edited = state.app.directory.edit_customer(id, &patch, state.app.clock.now(), seen).await;
    let Edited { before: earlier, after: record } = match edited {
        Err(EditError::Store(StoreError::Changed { .. })) => {
            let current = state.app.store.customer(id).await?;
            return Err(Problem::from(Kind::RecordChanged).record(&current));
        }
        edited => edited?,
    };
    let change = (CustomerAction::Changed, record.changed_at);
    customer_changes::note(&state, &caller, change, Some(&earlier), &record).await;
    let mut details = fields_of(&patch);
    details["account"] = json!(record.fields.account);
    if record.fields.account != before {
        details["account_before"] = json!(before);
    }
    audit_trail::record(&state, &caller, "customer.changed", ("", Some(id)), details).await;
    Ok(Json(record))
}

/// Deletes a customer. What was sent about the customer is in `GET /v1/customers/{customer}/sent`, before and after.
#[utoipa::path(delete, path = "/v1/customers/{customer}", tag = "customers",
    params(
        ("customer" = uuid::Uuid, Path, description = "The record"),
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
    if let Some(current) = state.app.store.customer(id).await?
        && seen.is_some_and(|seen| seen != current.changed_at)
    {
        return Err(Problem::from(Kind::RecordChanged).record(&current));
    }
    let by = DeletedBy { name: &caller.person.name, at: state.app.clock.now() };
    let sent = state.app.store.sent_copies(id).await?;
    state.app.directory.delete_customer(id, by).await?;
    tracing::info!(%id, by = %caller.person.id, sent = sent.items.len(), "deleted a customer");
    // What left the house is not deleted by that; the audit trail names the messages, and neither customer nor recipient.
    let numbers: BTreeSet<&str> = sent.items.iter().filter_map(|copy| copy.number.as_deref()).collect();
    let details = if numbers.is_empty() { json!({}) } else { json!({ "sent": numbers }) };
    audit_trail::record(&state, &caller, "customer.deleted", ("", Some(id)), details).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Parses the query key `account`.
pub(crate) fn account_id(text: Option<&str>) -> Result<Option<RecordId>, Problem> {
    let read = |text| {
        record_id(text).ok_or_else(|| Kind::InvalidQuery.with("account: must be the id of an account"))
    };
    text.map(read).transpose()
}

/// The problem of a record whose account does not exist: the body is wrong, not the path.
pub(crate) fn no_such_account(error: impl Into<EditError>) -> Problem {
    match error.into() {
        EditError::Store(StoreError::Missing { what: "account" }) => {
            Kind::InvalidBody.with("account: there is no such account")
        }
        other => other.into(),
    }
}
