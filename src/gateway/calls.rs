//! Live calls: lists, call control at the operator's phone, and acknowledgements of screen pops.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Body, CallPath, NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::command::Command;
use crate::contract::call::CallView;
use crate::contract::event::EventKind;
use crate::contract::event_id::EventId;
use crate::ids::CallId;
use crate::people::role::Permission;

/// The live calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Calls {
    /// The id of the last event that the list includes; follow the events from here with `?after=`.
    #[schema(value_type = String)]
    id: EventId,
    /// The calls, oldest first.
    #[schema(value_type = Vec<CallView>)]
    items: Vec<Arc<CallView>>,
}

/// An acknowledgement: the desktop has shown the pop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acknowledgement {
    /// The id of the `call.presented` event that was shown; the time since then is measured.
    event: Option<String>,
}

/// Lists the live calls that the user may see.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", responses(
    (status = 200, description = "The live calls", body = Calls),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Calls>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let snapshot = state.app.bus.snapshot(&caller.viewer);
    let mut items = snapshot.calls;
    items.sort_by_key(|call| (call.offered_at, call.id));
    Ok(Json(Calls { id: snapshot.id, items }))
}

/// Returns a live call.
#[utoipa::path(get, path = "/v1/calls/{call}", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 200, description = "The call", body = CallView),
        (status = 404, description = "unknown-call: it has ended, never existed, or you may not see it", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Arc<CallView>>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    state.app.bus.call(&caller.viewer, call).map(Json).ok_or_else(|| Kind::UnknownCall.into())
}

/// Acknowledges that this desktop has shown the pop of a call. If an operator's desktops acknowledge pops, a pop that
/// none of them acknowledges is sent again (`call.presented` with `repeats`), and then reported to the operator's
/// supervisors (`pop.unacknowledged`).
#[utoipa::path(post, path = "/v1/calls/{call}/ack", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    request_body = Option<Acknowledgement>,
    responses(
        (status = 204, description = "Acknowledged"),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 422, description = "invalid-body: the event is not a pop of this call", body = ProblemBody),
        (status = 503, description = "overloaded: try again", body = ProblemBody),
    )
)]
pub(crate) async fn acknowledge(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    body: Option<Body<Acknowledgement>>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::AcknowledgePop)?;
    if state.app.bus.call(&caller.viewer, call).is_none() {
        return Err(Kind::UnknownCall.into());
    }
    let event = body.and_then(|Body(acknowledgement)| acknowledgement.event);
    let after = match event {
        None => None,
        Some(text) => {
            let id =
                EventId::parse(&text).map_err(|error| Kind::InvalidBody.with(format!("event: {error}")))?;
            // An event that is no longer in memory counts as acknowledged, too; only the time since then is unknown.
            match state.app.bus.event(&caller.viewer, &id) {
                Some(event) if event.kind() == EventKind::CallPresented && event.call() == Some(call) => {
                    Some(state.app.clock.now().duration_since(event.at()).unsigned_abs())
                }
                Some(_) => {
                    return Err(
                        Kind::InvalidBody.with("event: must be a `call.presented` event of this call")
                    );
                }
                None => None,
            }
        }
    };
    state.app.commands.send(caller.actor(), Command::Acknowledge { call })?;
    state.app.metrics.record_pop_acknowledgement(after);
    tracing::debug!(%call, user = %caller.person.id, ?after, "a desktop acknowledged a pop");
    Ok(StatusCode::NO_CONTENT)
}

/// Answers, holds, resumes or hangs up a call at the operator's phone. The phone itself answers, holds and resumes, if
/// it supports remote control (Yealink, Poly, Snom); the response says whether it did.
#[utoipa::path(post, path = "/v1/calls/{call}/{verb}", tag = "calls",
    params(
        ("call" = uuid::Uuid, Path, description = "The call"),
        ("verb" = String, Path, description = "answer, hold, resume or hangup"),
    ),
    responses(
        (status = 202, description = "The phone has carried it out; for hangup: the PBX has accepted the action"),
        (status = 403, description = "not-permitted: only the operator on the call, their supervisor or an administrator may", body = ProblemBody),
        (status = 404, description = "unknown-call, unknown-path", body = ProblemBody),
        (status = 409, description = "call-conflict: the state of the call does not allow it", body = ProblemBody),
        (status = 502, description = "pbx-refused", body = ProblemBody),
        (status = 503, description = "pbx-unreachable: nothing was done", body = ProblemBody),
        (status = 504, description = "phone-did-not-follow: the phone does not support it; pbx-no-answer: it may have been carried out", body = ProblemBody),
    )
)]
pub(crate) async fn control(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path((call, verb)): Path<(String, String)>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let call = CallId::parse(&call).map_err(|_| Kind::UnknownCall)?;
    let verb = serde_json::from_value(Value::String(verb)).map_err(|_| Kind::UnknownPath)?;
    state.app.commands.request(caller.actor(), Command::Control { call, verb }).await?;
    Ok(StatusCode::ACCEPTED)
}
