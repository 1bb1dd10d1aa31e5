//! Transfers after answer: passing a caller on, and how that stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Body, CallPath, Nothing};
use super::located::located;
use super::problem::{Kind, Problem, ProblemBody};
use super::routes::Gate;
use crate::command::{Answer, Command};
use crate::operator::Permission;
use crate::transfer::{self, LookupError, Mode, TransferId, TransferView};

/// To whom a caller is passed on, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TransferWanted)]
pub(crate) struct Wanted {
    /// `blind` unless said otherwise.
    #[serde(default = "blind")]
    mode: Mode,
    /// `contact:ID`, `on-call`, `operator:EXTENSION`, `queue:NAME`, or a number.
    to: String,
}

fn blind() -> Mode {
    Mode::Blind
}

/// The transfers of a call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transfers {
    /// Oldest first.
    items: Vec<TransferView>,
}

/// Passes the caller of a call on. The answer says that the PBX has begun; what the target really does follows as
/// `call.transfer.*`. A caller whom nobody takes comes back to the operator, or to the queue in front of all.
#[utoipa::path(post, path = "/v1/calls/{call}/transfers", tag = "transfers",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    request_body = Wanted,
    responses(
        (status = 201, description = "The PBX has begun", body = TransferView),
        (status = 403, description = "not-permitted: only the operator on the call, her supervisor or an admin may", body = ProblemBody),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 409, description = "call-conflict: it is being transferred already, or nobody has it", body = ProblemBody),
        (status = 422, description = "invalid-body: nobody can be transferred to that target", body = ProblemBody),
        (status = 502, description = "pbx-refused", body = ProblemBody),
        (status = 503, description = "pbx-unreachable: nothing was done", body = ProblemBody),
        (status = 504, description = "pbx-no-answer: it may have been done", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    CallPath(call): CallPath,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let view = gate.app.bus.call(&caller.viewer, call).ok_or(Kind::UnknownCall)?;
    let plan = gate.app.transfers.plan(&gate.app.directory, &view, &wanted.to).await?;
    let command = transfer::Command::Begin { call, mode: wanted.mode, plan };
    let made = give(&gate, &caller, command).await?;
    located(StatusCode::CREATED, format!("/v1/transfers/{}", made.id), made)
}

/// The transfers of a live call.
#[utoipa::path(get, path = "/v1/calls/{call}/transfers", tag = "transfers",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses((status = 200, description = "Those that are remembered", body = Transfers))
)]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    CallPath(call): CallPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Transfers>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let command = Command::Transfer(transfer::Command::List(call));
    match gate.app.commands.give(caller.actor(), command).await? {
        Answer::Transfers(items) => Ok(Json(Transfers { items })),
        _ => Err(Kind::Internal.into()),
    }
}

/// One transfer.
#[utoipa::path(get, path = "/v1/transfers/{transfer}", tag = "transfers",
    params(("transfer" = uuid::Uuid, Path, description = "The transfer")),
    responses(
        (status = 200, description = "How it stands", body = TransferView),
        (status = 404, description = "unknown-transfer", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<TransferView>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    give(&gate, &caller, transfer::Command::Show(read(&id)?)).await.map(Json)
}

/// Puts caller and target of a consultation together; the operator is released.
#[utoipa::path(post, path = "/v1/transfers/{transfer}/complete", tag = "transfers",
    params(("transfer" = uuid::Uuid, Path, description = "The transfer")),
    responses(
        (status = 202, description = "The PBX has taken the order", body = TransferView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-transfer", body = ProblemBody),
        (status = 409, description = "call-conflict: the target has not answered, or it is over", body = ProblemBody),
    )
)]
pub(crate) async fn complete(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<(StatusCode, Json<TransferView>), Problem> {
    caller.needs(Permission::ControlCalls)?;
    let view = give(&gate, &caller, transfer::Command::Complete(read(&id)?)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Takes the caller back, from a consultation or while the target rings.
#[utoipa::path(post, path = "/v1/transfers/{transfer}/cancel", tag = "transfers",
    params(("transfer" = uuid::Uuid, Path, description = "The transfer")),
    responses(
        (status = 202, description = "The PBX has taken the order", body = TransferView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-transfer", body = ProblemBody),
        (status = 409, description = "call-conflict: the caller is with the target, or it is over", body = ProblemBody),
    )
)]
pub(crate) async fn cancel(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<(StatusCode, Json<TransferView>), Problem> {
    caller.needs(Permission::ControlCalls)?;
    let view = give(&gate, &caller, transfer::Command::Cancel(read(&id)?)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

fn read(id: &str) -> Result<TransferId, Problem> {
    TransferId::parse(id).ok_or_else(|| Kind::UnknownTransfer.with("a transfer's id is a UUID"))
}

async fn give(gate: &Gate, caller: &Caller, command: transfer::Command) -> Result<TransferView, Problem> {
    match gate.app.commands.give(caller.actor(), Command::Transfer(command)).await? {
        Answer::Transfers(views) => views.into_iter().next().ok_or_else(|| Kind::UnknownTransfer.into()),
        _ => Err(Kind::Internal.into()),
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Store(error) => error.into(),
            other => Kind::InvalidBody.with(format!("to: {other}")),
        }
    }
}
