//! Webhook deliveries that failed or still wait.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::problem::{Problem, ProblemBody};
use super::state::AppState;
use crate::people::role::Permission;
use crate::store::webhooks::{Delivery, DeliveryState};

/// Filter of deliveries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// `failed` or `waiting`; both if absent.
    state: Option<DeliveryState>,
}

/// Deliveries, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deliveries {
    /// At most 500.
    items: Vec<Delivery>,
}

/// Lists the events that a webhook receiver has not accepted.
#[utoipa::path(get, path = "/v1/webhooks/deliveries", tag = "webhooks", params(DeliveryQuery), responses(
    (status = 200, description = "Oldest first", body = Deliveries),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<DeliveryQuery>,
) -> Result<Json<Deliveries>, Problem> {
    caller.needs(Permission::ManageWebhooks)?;
    Ok(Json(Deliveries { items: state.app.store.deliveries(query.state).await? }))
}

/// Delivers an event again, now and with the full number of attempts.
#[utoipa::path(post, path = "/v1/webhooks/deliveries/{delivery}/retry", tag = "webhooks",
    params(("delivery" = uuid::Uuid, Path, description = "The delivery")),
    responses(
        (status = 202, description = "The event will be posted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: delivered meanwhile, or there is no such delivery", body = ProblemBody),
    )
)]
pub(crate) async fn retry(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ManageWebhooks)?;
    state.app.store.retry_delivery(id, state.app.clock.now()).await?;
    audit_trail::record(&state, &caller, "webhook.retried", ("", Some(id)), serde_json::json!({})).await;
    Ok(StatusCode::ACCEPTED)
}
