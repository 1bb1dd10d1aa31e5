//! Supervision sessions (listen, whisper, barge, take over), and operators' requests for help.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Body, CallPath, NoQuery, QueryParams, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::command::{Answer, Command};
use crate::contract::supervision::{Mode, REASON_CHARS_MAX, SupervisionId, SupervisionView, Target};
use crate::identity::printable;
use crate::ids::{CallId, Extension};
use crate::people::role::Permission;
use crate::supervision::SupervisionRequest;

/// The running supervisions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Supervisions {
    /// Oldest first; of every PBX, where there are several daemons.
    items: Vec<SupervisionView>,
    /// The PBXes whose daemons did not answer in time; absent if all answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<String>,
}

/// A request to supervise. Exactly one of `operator` and `call` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Supervise {
    /// The operator's extension.
    #[schema(value_type = Option<String>)]
    operator: Option<Extension>,
    /// The call; the operator who has it is supervised.
    #[schema(value_type = Option<uuid::Uuid>)]
    call: Option<CallId>,
    /// The mode.
    mode: Mode,
    /// The supervisor's phone to call; the user's own phone if absent.
    #[schema(value_type = Option<String>)]
    extension: Option<Extension>,
    /// With `operator`: wait for this operator's next calls, and supervise them as well.
    #[serde(default)]
    follow: bool,
    /// The reason, for the audit trail; at most 200 characters.
    reason: Option<String>,
}

/// A change of the mode.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchTo {
    /// The new mode.
    mode: Mode,
}

/// Starts a supervision: calls the supervisor's phone and connects it to an operator's call. If that phone already
/// supervises the operator, switches the mode. The answer is sent when the PBX has accepted the action; events report
/// when the phone is answered and what is monitored.
#[utoipa::path(post, path = "/v1/supervisions", tag = "supervisions", request_body = Supervise,
    responses(
        (status = 201, description = "The phone is being called, or the mode is being switched", body = SupervisionView),
        (status = 403, description = "not-permitted: an operator of another team, or an account that must not be monitored; the attempt is in the audit trail", body = ProblemBody),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 409, description = "call-conflict: the operator has no caller now, or the phone is in use", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
        (status = 502, description = "pbx-refused", body = ProblemBody),
        (status = 503, description = "pbx-unreachable", body = ProblemBody),
    )
)]
pub(crate) async fn begin(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
    Body(request): Body<Supervise>,
) -> Result<(StatusCode, Json<SupervisionView>), Problem> {
    let target = match (request.operator, request.call) {
        (Some(operator), None) => Target::Operator { operator, follow: request.follow },
        (None, Some(call)) => Target::Call(call),
        _ => return Err(Kind::InvalidBody.with("give exactly one of operator and call")),
    };
    let why = request.reason.and_then(|reason| printable(&reason, REASON_CHARS_MAX));
    let wanted = SupervisionRequest { target, mode: request.mode, extension: request.extension, reason: why };
    // The core checks the permission, because it also records a refused attempt.
    let answer = state.app.commands.request(caller.actor(), Command::Supervise(wanted)).await?;
    Ok((StatusCode::CREATED, view_of(answer)?))
}

/// Lists the running supervisions that the user may know of.
#[utoipa::path(get, path = "/v1/supervisions", tag = "supervisions", responses(
    (status = 200, description = "Oldest first", body = Supervisions),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Supervisions>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    match state.app.commands.request(caller.actor(), Command::ListSupervisions).await? {
        Answer::Supervisions(items) => Ok(Json(Supervisions { items, unanswered: Vec::new() })),
        _ => Err(Kind::Internal.into()),
    }
}

/// Switches the mode without calling the phone again.
#[utoipa::path(patch, path = "/v1/supervisions/{supervision}", tag = "supervisions", request_body = SwitchTo,
    params(("supervision" = uuid::Uuid, Path, description = "The supervision")),
    responses(
        (status = 200, description = "The PBX has accepted the action; an event reports when the mode has changed", body = SupervisionView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "call-conflict: there is no operator to take over from", body = ProblemBody),
    )
)]
pub(crate) async fn switch(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(id): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
    Body(SwitchTo { mode }): Body<SwitchTo>,
) -> Result<Json<SupervisionView>, Problem> {
    let id = supervision_id(&id)?;
    view_of(state.app.commands.request(caller.actor(), Command::SwitchSupervision { id, mode }).await?)
}

/// Ends a supervision and frees the phone.
#[utoipa::path(delete, path = "/v1/supervisions/{supervision}", tag = "supervisions",
    params(("supervision" = uuid::Uuid, Path, description = "The supervision")),
    responses(
        (status = 204, description = "The PBX has accepted the action"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn stop(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(id): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    let id = supervision_id(&id)?;
    state.app.commands.request(caller.actor(), Command::StopSupervision { id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Requests help from the supervisors: they get `help.requested` with the call's pop.
#[utoipa::path(post, path = "/v1/calls/{call}/help", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 202, description = "The request was published"),
        (status = 403, description = "not-permitted: only the operator on the call or their supervisor may", body = ProblemBody),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 409, description = "call-conflict: no operator has the call", body = ProblemBody),
    )
)]
pub(crate) async fn help(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ControlCalls)?;
    state.app.commands.request(caller.actor(), Command::AskHelp { call }).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Withdraws a request for help: the supervisors get `help.withdrawn`.
#[utoipa::path(delete, path = "/v1/calls/{call}/help", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 204, description = "The withdrawal was published"),
        (status = 403, description = "not-permitted: only the operator on the call or their supervisor may", body = ProblemBody),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 409, description = "call-conflict: no operator has the call", body = ProblemBody),
    )
)]
pub(crate) async fn withdraw_help(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ControlCalls)?;
    state.app.commands.request(caller.actor(), Command::WithdrawHelp { call }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view_of(answer: Answer) -> Result<Json<SupervisionView>, Problem> {
    match answer {
        Answer::Supervision(view) => Ok(Json(*view)),
        _ => Err(Kind::Internal.into()),
    }
}

fn supervision_id(text: &str) -> Result<SupervisionId, Problem> {
    let id = record_id(text).map(|id| SupervisionId(id.0));
    id.ok_or_else(|| Kind::UnknownRecord.with("the id of a supervision must be a UUID"))
}
