//! Live calls, and the proof that a pop was shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Body, CallPath, Nothing};
use super::problem::{Kind, Problem, ProblemBody};
use super::routes::Gate;
use crate::bus::{EventId, EventKind};
use crate::call::view::CallView;
use crate::command::Command;
use crate::ids::CallId;
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

/// Says that this desktop has shown the pop of a call. Where the desktops of an operator do so, a pop that none of
/// them confirms is sent to them again (`call.presented` with `repeats`), and then reported to her supervisors
/// (`pop.unacknowledged`).
#[utoipa::path(post, path = "/v1/calls/{call}/ack", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    request_body = Option<Acknowledgement>,
    responses(
        (status = 204, description = "Noted"),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 422, description = "invalid-body: the event is no pop of this call", body = ProblemBody),
        (status = 503, description = "overloaded: say it again", body = ProblemBody),
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
    gate.app.commands.tell(caller.actor(), Command::Acknowledge { call })?;
    gate.app.metrics.pop_acknowledged(after);
    tracing::debug!(%call, user = %caller.person.id, ?after, "a pop was shown");
    Ok(StatusCode::NO_CONTENT)
}

/// Does something with a call at the operator's phone. Answer, hold and resume are done by the phone itself and
/// only by phones that can (Yealink, Poly, Snom): the answer says whether it did.
#[utoipa::path(post, path = "/v1/calls/{call}/{verb}", tag = "calls",
    params(
        ("call" = uuid::Uuid, Path, description = "The call"),
        ("verb" = String, Path, description = "answer, hold, resume or hangup"),
    ),
    responses(
        (status = 202, description = "The phone has done it; of hangup: the PBX has taken the order"),
        (status = 403, description = "not-permitted: only the operator on the call, her supervisor or an admin may", body = ProblemBody),
        (status = 404, description = "unknown-call, unknown-path", body = ProblemBody),
        (status = 409, description = "call-conflict: it does not fit the call now", body = ProblemBody),
        (status = 502, description = "pbx-refused", body = ProblemBody),
        (status = 503, description = "pbx-unreachable: nothing was done", body = ProblemBody),
        (status = 504, description = "phone-did-not-follow: this phone cannot be operated so; pbx-no-answer: it may have been done", body = ProblemBody),
    )
)]
pub(crate) async fn control(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path((call, verb)): Path<(String, String)>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let call = CallId::parse(&call).map_err(|_| Kind::UnknownCall)?;
    let verb = serde_json::from_value(Value::String(verb)).map_err(|_| Kind::UnknownPath)?;
    gate.app.commands.give(caller.actor(), Command::Control { call, verb }).await?;
    Ok(StatusCode::ACCEPTED)
}
