//! Live calls, and the proof that a pop was shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Body, CallPath, Nothing};
use super::problem::{Kind, Problem, ProblemBody};
use super::routes::Gate;
use crate::bus::{EventId, EventKind};
use crate::call::view::CallView;
use crate::operator::Permission;

/// The calls of this moment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Calls {
    /// The last event these include: follow from here with `?after=`.
    #[schema(value_type = String)]
    id: EventId,
    /// The calls, oldest first.
    #[schema(value_type = Vec<CallView>)]
    items: Vec<Arc<CallView>>,
}

/// What was shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acknowledgement {
    /// The id of the `call.presented` event that was shown; it tells how long that took.
    event: Option<String>,
}

/// The live calls that the caller may see.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", responses(
    (status = 200, description = "The calls of this moment", body = Calls),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Calls>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let snapshot = gate.app.bus.snapshot(&caller.viewer);
    let mut items = snapshot.calls;
    items.sort_by_key(|call| (call.offered_at, call.id));
    Ok(Json(Calls { id: snapshot.id, items }))
}

/// One live call.
#[utoipa::path(get, path = "/v1/calls/{call}", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 200, description = "The call", body = CallView),
        (status = 404, description = "unknown-call: over, never there, or out of sight", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    CallPath(call): CallPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Arc<CallView>>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    gate.app.bus.call(&caller.viewer, call).map(Json).ok_or_else(|| Kind::UnknownCall.into())
}

/// Says that this desktop has shown the pop of a call.
#[utoipa::path(post, path = "/v1/calls/{call}/ack", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    request_body = Option<Acknowledgement>,
    responses(
        (status = 204, description = "Noted"),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 422, description = "invalid-body: the event is no pop of this call", body = ProblemBody),
    )
)]
pub(crate) async fn acknowledge(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    CallPath(call): CallPath,
    body: Option<Body<Acknowledgement>>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::AcknowledgePop)?;
    if gate.app.bus.call(&caller.viewer, call).is_none() {
        return Err(Kind::UnknownCall.into());
    }
    let event = body.and_then(|Body(acknowledgement)| acknowledgement.event);
    let after = match event {
        None => None,
        Some(text) => {
            let id =
                EventId::parse(&text).map_err(|error| Kind::InvalidBody.with(format!("event: {error}")))?;
            // An event that is no longer kept proves as much, only not how long it took.
            match gate.app.bus.event(&caller.viewer, &id) {
                Some(event) if event.kind() == EventKind::CallPresented && event.call() == Some(call) => {
                    Some(gate.app.clock.now().duration_since(event.at()).unsigned_abs())
                }
                Some(_) => return Err(Kind::InvalidBody.with("event: that was no pop of this call")),
                None => None,
            }
        }
    };
    gate.app.metrics.pop_acknowledged(after);
    tracing::debug!(%call, user = %caller.person.id, ?after, "a pop was shown");
    Ok(StatusCode::NO_CONTENT)
}
