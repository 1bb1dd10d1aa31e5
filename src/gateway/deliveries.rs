//! Deliveries of messages: which are under way, which failed and why, and sending one again.
//!
//! Supervisors and administrators use them, for the messages of all operators: a message that does not arrive is everybody's.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::customers::account_id;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::delivery::{Delivery, DeliveryState};
use crate::ids::RecordId;
use crate::mail::MailAddress;
use crate::people::role::Permission;
use crate::store::deliveries::{DeliveryFilter, SendTo};
use crate::store::mail_servers::{BACKUP_SERVER, MAIL_SERVER, servers};

/// Filter of deliveries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// In this state.
    state: Option<DeliveryState>,
    /// Of this message.
    #[param(value_type = Option<uuid::Uuid>)]
    message: Option<RecordId>,
    /// Of the account with this id.
    account: Option<String>,
    /// Over this server: `main`, one of `[mail.hosts]`, `slack`, `teams`, `chatwork`, `line_works`, `line_works_bot`, `google_chat` or `sms`.
    server: Option<String>,
}

/// Deliveries, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageDeliveries)]
pub(crate) struct Deliveries {
    /// At most 500.
    items: Vec<Delivery>,
}

/// Lists the deliveries of messages that match, newest first.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", params(DeliveriesQuery), responses(
    (status = 200, description = "Newest first", body = Deliveries),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<DeliveriesQuery>,
) -> Result<Json<Deliveries>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    if let Some(name) = &query.server {
        check_server(&state, name).await?;
    }
    let filter = DeliveryFilter {
        state: query.state,
        message: query.message,
        account: account_id(query.account.as_deref())?,
        server: query.server.as_deref(),
    };
    Ok(Json(Deliveries { items: state.app.store.message_deliveries(filter).await? }))
}

/// Checks the query key `server`. The backup has no deliveries of its own.
async fn check_server(state: &AppState, name: &str) -> Result<(), Problem> {
    let mut known: Vec<String> = servers().into_iter().map(str::to_owned).collect();
    let hosts = state.app.store.mail_servers().await?.into_iter();
    known.extend(hosts.filter(|name| name != MAIL_SERVER && name != BACKUP_SERVER));
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(Kind::InvalidQuery.with(format!("server: no delivery goes over it; write one of {known}")))
}

/// Sends a message again to the recipient of a delivery, now. If the recipient's system has taken it before, the answer is a
/// new delivery.
#[utoipa::path(post, path = "/v1/deliveries/{delivery}/retry", tag = "deliveries",
    params(("delivery" = uuid::Uuid, Path, description = "The delivery")),
    responses(
        (status = 200, description = "The delivery that is queued", body = Delivery),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such delivery, or its address was purged", body = ProblemBody),
    )
)]
pub(crate) async fn retry(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Delivery>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let queued = state.app.store.send_again(id, state.app.clock.now()).await?;
    state.app.message_relay.wake();
    let details = serde_json::json!({ "message": queued.message, "again": queued.again });
    audit_trail::record(&state, &caller, "delivery.retried", ("", Some(queued.id)), details).await;
    Ok(Json(queued))
}

/// Where a message is sent once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendMessage {
    /// To this endpoint of the message's account.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    endpoint: Option<RecordId>,
    /// Or to this mail address, for this message alone: no record keeps it.
    #[serde(default)]
    address: Option<String>,
}

/// Cancels a delivery that waits. The message's route goes on as if the recipient could not be reached.
#[utoipa::path(post, path = "/v1/deliveries/{delivery}/cancel", tag = "deliveries",
    params(("delivery" = uuid::Uuid, Path, description = "The delivery")),
    responses(
        (status = 200, description = "The delivery, cancelled", body = Delivery),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such delivery", body = ProblemBody),
        (status = 409, description = "delivery-not-waiting: it is being sent, or over", body = ProblemBody),
    )
)]
pub(crate) async fn cancel(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Delivery>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let store = &state.app.store;
    let Some(cancelled) = store.cancel_delivery(id, state.app.clock.now()).await? else {
        let known = store.message_delivery(id).await?;
        return Err(match known {
            Some(delivery) => Kind::NotWaiting.with(format!("the delivery is {}", delivery.state.as_str())),
            None => Kind::UnknownRecord.with("there is no such delivery"),
        });
    };
    state.app.message_relay.wake();
    let details = serde_json::json!({ "message": cancelled.message });
    audit_trail::record(&state, &caller, "delivery.cancelled", ("", Some(id)), details).await;
    Ok(Json(cancelled))
}

/// Sends a message, as it is now, to another endpoint of its account or to another address. Its route goes on as it was.
#[utoipa::path(post, path = "/v1/messages/{message}/resend", tag = "deliveries", request_body = ResendMessage,
    params(("message" = uuid::Uuid, Path, description = "The message")),
    responses(
        (status = 200, description = "The delivery that is queued", body = Delivery),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such message, or it was withdrawn", body = ProblemBody),
        (status = 409, description = "no-mail-server", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn resend(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(request): Body<ResendMessage>,
) -> Result<Json<Delivery>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let (store, now) = (&state.app.store, state.app.clock.now());
    let wrong = |text: &str| Kind::InvalidBody.with(text);
    let address = match (request.endpoint, request.address) {
        (Some(_), None) => None,
        (None, Some(address)) => {
            let address: Result<MailAddress, _> = address.trim().parse();
            Some(address.map_err(|_| wrong("address: write a mail address, for instance sato@example.jp"))?)
        }
        _ => return Err(wrong("give either `endpoint` or `address`")),
    };
    let text = address.as_ref().map(ToString::to_string);
    let to = match (&text, request.endpoint) {
        (Some(address), _) => SendTo::Address(address),
        (None, Some(endpoint)) => {
            let message = super::messages::find(&state, id).await?;
            let endpoints = store.message_endpoint(endpoint).await?;
            let is_known = endpoints.is_some_and(|one| one.fields.account == message.account);
            if !is_known {
                return Err(wrong("endpoint: the message's account has no such endpoint"));
            }
            SendTo::Endpoint(endpoint)
        }
        (None, None) => return Err(wrong("give either `endpoint` or `address`")),
    };
    let queued = store.send_to(id, to, now).await?;
    let queued = queued.ok_or_else(|| {
        Kind::NoMailServer.with("the configuration names no mail server: set mail.host and mail.from")
    })?;
    state.app.message_relay.wake();
    let details =
        serde_json::json!({ "delivery": queued.id, "address": address.map(|address| address.masked()) });
    audit_trail::record(&state, &caller, "message.resent", ("", Some(id)), details).await;
    Ok(Json(queued))
}
