//! Events that other systems have not taken.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Nothing, RecordPath};
use super::problem::{Problem, ProblemBody};
use super::routes::Gate;
use crate::operator::Permission;
use crate::store::webhooks::{Delivery, DeliveryState};

/// Which deliveries are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `failed` or `waiting`; both where absent.
    state: Option<DeliveryState>,
}

/// Deliveries, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deliveries {
    /// At most 500.
    items: Vec<Delivery>,
}

/// The events that receivers of webhooks have not taken.
#[utoipa::path(get, path = "/v1/webhooks/deliveries", tag = "webhooks", params(Which), responses(
    (status = 200, description = "Oldest first", body = Deliveries),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(Which { state }): Asked<Which>,
) -> Result<Json<Deliveries>, Problem> {
    caller.needs(Permission::ManageWebhooks)?;
    Ok(Json(Deliveries { items: gate.app.store.deliveries(state).await? }))
}

/// Sends an event again, from now on and with all its attempts.
#[utoipa::path(post, path = "/v1/webhooks/deliveries/{delivery}/retry", tag = "webhooks",
    params(("delivery" = uuid::Uuid, Path, description = "The delivery")),
    responses(
        (status = 202, description = "It will be posted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: taken meanwhile, or never there", body = ProblemBody),
    )
)]
pub(crate) async fn retry(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ManageWebhooks)?;
    gate.app.store.send_again(id, gate.app.clock.now()).await?;
    Ok(StatusCode::ACCEPTED)
}
