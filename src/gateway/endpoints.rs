//! Endpoints of messages: list, create, read, change, delete, test.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::audit_trail::{self, fields_of};
use super::auth::Caller;
use super::customers::account_id;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{ContactQuery, page_request};
use super::responses::created;
use super::state::AppState;
use crate::contract::delivery::Delivery;
use crate::contract::message::{MessageFields, MessageKind, NewMessage};
use crate::contract::records::{
    CheckedMessageEndpoint, EndpointKind, MessageEndpoint, MessageEndpointFields, patched,
};
use crate::directory::EditError;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::deliveries::SendTo;
use crate::store::{Page, StoreError};

/// Lists the endpoints (of an account), in the order of their creation. A contact's `email` is an endpoint without a record and
/// is not among them.
#[utoipa::path(get, path = "/v1/endpoints", tag = "endpoints", params(ContactQuery), responses(
    (status = 200, description = "A page", body = Page<MessageEndpoint>),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<ContactQuery>,
) -> Result<Json<Page<MessageEndpoint>>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let page = page_request(query.limit, query.cursor.as_deref())?;
    let account = account_id(query.account.as_deref())?;
    Ok(Json(state.app.store.message_endpoints(account, page.after, page.limit).await?))
}

/// Creates an endpoint. Of an address that is a secret, the answer shows a part.
#[utoipa::path(post, path = "/v1/endpoints", tag = "endpoints", request_body = MessageEndpointFields, responses(
    (status = 201, description = "The record", body = MessageEndpoint),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(fields): Body<MessageEndpointFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let checked = checked(&state, fields, None)?;
    let made = state.app.store.create_message_endpoint(&checked, state.app.clock.now()).await;
    let record = made.map_err(wrong_body)?;
    let details = json!({ "account": record.fields.account });
    audit_trail::record(&state, &caller, "endpoint.created", ("", Some(record.id)), details).await;
    created(format!("/v1/endpoints/{}", record.id), record)
}

/// Returns an endpoint.
#[utoipa::path(get, path = "/v1/endpoints/{endpoint}", tag = "endpoints",
    params(("endpoint" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = MessageEndpoint),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<MessageEndpoint>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = state.app.store.message_endpoint(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such endpoint"))
}

/// Changes an endpoint by a JSON merge patch (RFC 7396): absent fields keep their values, `null` resets a field.
#[utoipa::path(patch, path = "/v1/endpoints/{endpoint}", tag = "endpoints",
    params(("endpoint" = uuid::Uuid, Path, description = "The record")),
    request_body = MessageEndpointFields,
    responses(
        (status = 200, description = "The changed record", body = MessageEndpoint),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(patch): Body<serde_json::Value>,
) -> Result<Json<MessageEndpoint>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let current = state.app.store.message_endpoint(id).await?;
    let current = current.ok_or_else(|| Kind::UnknownRecord.with("there is no such endpoint"))?;
    let fields = patched(&current.fields, &patch).map_err(EditError::from)?;
    let checked = checked(&state, fields, Some(&current.fields))?;
    let changed = state.app.store.update_message_endpoint(id, &checked, state.app.clock.now()).await;
    let record = changed.map_err(wrong_body)?;
    let mut details = fields_of(&patch);
    details["account"] = json!(record.fields.account);
    audit_trail::record(&state, &caller, "endpoint.changed", ("", Some(id)), details).await;
    Ok(Json(record))
}

/// Deletes an endpoint. Mails that wait for it are sent all the same; what waits for a chat is not.
#[utoipa::path(delete, path = "/v1/endpoints/{endpoint}", tag = "endpoints",
    params(("endpoint" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    state.app.store.delete_message_endpoint(id).await?;
    tracing::info!(%id, by = %caller.person.id, "deleted an endpoint");
    audit_trail::record(&state, &caller, "endpoint.deleted", ("", Some(id)), json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test to an endpoint, whatever its hours say, and ends the suspension of its address. The answer is the delivery,
/// which `GET /v1/deliveries` shows on its way.
#[utoipa::path(post, path = "/v1/endpoints/{endpoint}/test", tag = "endpoints",
    params(("endpoint" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The delivery that is queued", body = Delivery),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "no-mail-server", body = ProblemBody),
    )
)]
pub(crate) async fn test(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Delivery>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let store = &state.app.store;
    let endpoint = store.message_endpoint(id).await?;
    let endpoint = endpoint.ok_or_else(|| Kind::UnknownRecord.with("there is no such endpoint"))?;
    let (at, settings) = (state.app.clock.now(), &state.app.settings.messages);
    let what = if endpoint.fields.kind == EndpointKind::Mail { "メール" } else { "の通知" };
    let text = format!("{} への試験{what}です。", endpoint.fields.address);
    let fields = MessageFields { contact: endpoint.fields.contact, text, ..MessageFields::default() };
    let new = NewMessage {
        id: RecordId(uuid::Uuid::now_v7()),
        account: endpoint.fields.account,
        call: None,
        customer: None,
        kind: MessageKind::Test,
        taken_by: Some(caller.person.id),
        taken_by_name: caller.person.name.clone(),
        caller: None,
        content: fields.checked(state.app.directory.plan()).map_err(EditError::from)?,
        day: settings.day(at),
        not_before: at,
    };
    let (message, _) = store.create_message(&new, state.app.bus.own_pbx(), at).await?;
    let queued = store.send_to(message.id, SendTo::Endpoint(id), at).await?;
    let queued = queued.ok_or_else(|| {
        Kind::NoMailServer.with("the configuration names no mail server: set mail.host and mail.from")
    })?;
    state.app.message_relay.wake();
    let details = json!({ "account": endpoint.fields.account });
    audit_trail::record(&state, &caller, "endpoint.tested", ("", Some(id)), details).await;
    Ok(Json(queued))
}

fn checked(
    state: &AppState,
    fields: MessageEndpointFields,
    present: Option<&MessageEndpointFields>,
) -> Result<CheckedMessageEndpoint, Problem> {
    let settings = &state.app.settings.messages;
    Ok(fields.checked(&settings.time_zone, &settings.channels, present).map_err(EditError::from)?)
}

/// What an endpoint names and does not exist is a fault of the body, not of the path.
fn wrong_body(error: StoreError) -> Problem {
    match error {
        StoreError::Missing { what: "account" } => {
            Kind::InvalidBody.with("account: there is no such account")
        }
        StoreError::Missing { what: "contact of the account" } => {
            Kind::InvalidBody.with("contact: the account has no such contact")
        }
        StoreError::Missing { what: "room for another endpoint of the account" } => {
            Kind::InvalidBody.with("the account has 200 endpoints: delete one first")
        }
        other => other.into(),
    }
}
