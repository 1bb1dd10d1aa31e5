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
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::problem::{Problem, ProblemBody};
use super::state::AppState;
use crate::contract::delivery::{Delivery, DeliveryState};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::deliveries::DeliveryFilter;

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
    let filter = DeliveryFilter {
        state: query.state,
        message: query.message,
        account: account_id(query.account.as_deref())?,
    };
    Ok(Json(Deliveries { items: state.app.store.message_deliveries(filter).await? }))
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
