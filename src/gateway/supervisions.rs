//! Supervision: listen, whisper, barge, take over; and operators' requests for help.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Body, CallPath, Nothing, record};
use super::problem::{Kind, Problem, ProblemBody};
use super::routes::Gate;
use crate::command::{Answer, Command};
use crate::identity::printable;
use crate::ids::{CallId, Extension};
use crate::operator::Permission;
use crate::supervision::{Mode, REASON_CHARS_MAX, SupervisionId, SupervisionView, Target, Wanted};

/// The supervisions of this moment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Supervisions {
    /// Oldest first; of every PBX, where several daemons share their events.
    items: Vec<SupervisionView>,
    /// The PBXes whose daemons did not say theirs in time; absent when all did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<String>,
}

/// Whom to supervise, and how. Exactly one of `operator` and `call`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Supervise {
    /// The operator's extension.
    #[schema(value_type = Option<String>)]
    operator: Option<Extension>,
    /// The call; whichever operator has it is heard.
    #[schema(value_type = Option<uuid::Uuid>)]
    call: Option<CallId>,
    /// What to do.
    mode: Mode,
    /// The phone to call; your own where it is not said.
    #[schema(value_type = Option<String>)]
    extension: Option<Extension>,
    /// With an operator: go on with her next calls, and wait for them.
    #[serde(default)]
    follow: bool,
    /// Why; kept in the audit trail. At most 200 characters.
    reason: Option<String>,
}

/// What to do from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchTo {
    /// The mode.
    mode: Mode,
}

/// Calls a supervisor's phone and lets it hear an operator; at a phone that hears her already, switches the mode.
/// The answer comes when the PBX has taken the order; the events tell when the phone is answered and what is heard.
#[utoipa::path(post, path = "/v1/supervisions", tag = "supervisions", request_body = Supervise,
    responses(
        (status = 201, description = "The phone is being called, or the mode switched", body = SupervisionView),
        (status = 403, description = "not-permitted: not your team, or an account that is never monitored; the attempt is recorded", body = ProblemBody),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 409, description = "call-conflict: no caller now, or the phone is in use", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
        (status = 502, description = "pbx-refused", body = ProblemBody),
        (status = 503, description = "pbx-unreachable", body = ProblemBody),
    )
)]
pub(crate) async fn begin(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(Nothing {}): Asked<Nothing>,
    Body(wanted): Body<Supervise>,
) -> Result<(StatusCode, Json<SupervisionView>), Problem> {
    let target = match (wanted.operator, wanted.call) {
        (Some(operator), None) => Target::Operator { operator, follow: wanted.follow },
        (None, Some(call)) => Target::Call(call),
        _ => return Err(Kind::InvalidBody.with("name either operator or call")),
    };
    let why = wanted.reason.and_then(|reason| printable(&reason, REASON_CHARS_MAX));
    let wanted = Wanted { target, mode: wanted.mode, extension: wanted.extension, why };
    // Who may is decided beside the call, where the attempt is recorded.
    let answer = gate.app.commands.give(caller.actor(), Command::Supervise(wanted)).await?;
    Ok((StatusCode::CREATED, one(answer)?))
}

/// The supervisions that the caller may know of.
#[utoipa::path(get, path = "/v1/supervisions", tag = "supervisions", responses(
    (status = 200, description = "Oldest first", body = Supervisions),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Supervisions>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    match gate.app.commands.give(caller.actor(), Command::ListSupervisions).await? {
        Answer::Supervisions(items) => Ok(Json(Supervisions { items, unanswered: Vec::new() })),
        _ => Err(Kind::Internal.into()),
    }
}

/// Another mode, without calling the phone again.
#[utoipa::path(patch, path = "/v1/supervisions/{supervision}", tag = "supervisions", request_body = SwitchTo,
    params(("supervision" = uuid::Uuid, Path, description = "The supervision")),
    responses(
        (status = 200, description = "The PBX has taken the order; the event tells when it is so", body = SupervisionView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "call-conflict: nobody to take over from", body = ProblemBody),
    )
)]
pub(crate) async fn switch(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Body(SwitchTo { mode }): Body<SwitchTo>,
) -> Result<Json<SupervisionView>, Problem> {
    let id = supervision(&id)?;
    one(gate.app.commands.give(caller.actor(), Command::SwitchSupervision { id, mode }).await?)
}

/// Ends a supervision and frees the phone.
#[utoipa::path(delete, path = "/v1/supervisions/{supervision}", tag = "supervisions",
    params(("supervision" = uuid::Uuid, Path, description = "The supervision")),
    responses(
        (status = 204, description = "The PBX has taken the order"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn stop(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<StatusCode, Problem> {
    let id = supervision(&id)?;
    gate.app.commands.give(caller.actor(), Command::StopSupervision { id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks the supervisors for help: they get `help.requested` with the call's pop.
#[utoipa::path(post, path = "/v1/calls/{call}/help", tag = "calls",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 202, description = "They were told"),
        (status = 403, description = "not-permitted: only the operator on the call or her supervisor may", body = ProblemBody),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 409, description = "call-conflict: nobody has it", body = ProblemBody),
    )
)]
pub(crate) async fn help(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    CallPath(call): CallPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ControlCalls)?;
    gate.app.commands.give(caller.actor(), Command::AskHelp { call }).await?;
    Ok(StatusCode::ACCEPTED)
}

fn one(answer: Answer) -> Result<Json<SupervisionView>, Problem> {
    match answer {
        Answer::Supervision(view) => Ok(Json(*view)),
        _ => Err(Kind::Internal.into()),
    }
}

fn supervision(text: &str) -> Result<SupervisionId, Problem> {
    let id = record(text).map(|id| SupervisionId(id.0));
    id.ok_or_else(|| Kind::UnknownRecord.with("a supervision's id is a UUID"))
}
