//! Transfers of answered calls: begin, complete, cancel, and their state.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, CallPath, NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::responses::created;
use super::state::AppState;
use crate::command::{Answer, Command};
use crate::contract::call::CallView;
use crate::contract::transfer::{Mode, TransferId, TransferView};
use crate::directory::transfer_targets::{ContactRules, LookupError};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::transfer;

/// The target and mode of a transfer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TransferWanted)]
pub(crate) struct TransferRequest {
    /// `blind` by default.
    #[serde(default = "blind")]
    mode: Mode,
    /// `contact:ID`, `on-call`, `operator:EXTENSION`, `queue:NAME`, or a number.
    to: String,
    /// Transfers to a contact who takes no calls (`no_transfer`) all the same; supervisors and administrators only. The
    /// audit trail says so.
    #[serde(default)]
    override_rules: bool,
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

/// Transfers the caller of a call. The answer is sent when the PBX has started the transfer; `call.transfer.*` events
/// report what the target does. A caller whose transfer fails returns to the operator, or to the head of the queue.
#[utoipa::path(post, path = "/v1/calls/{call}/transfers", tag = "transfers",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    request_body = TransferRequest,
    responses(
        (status = 201, description = "The PBX has started the transfer", body = TransferView),
        (status = 403, description = "not-permitted: only the operator on the call, their supervisor or an administrator may", body = ProblemBody),
        (status = 404, description = "unknown-call", body = ProblemBody),
        (status = 409, description = "call-conflict: the call is already being transferred, or no operator has it; contact-takes-no-calls", body = ProblemBody),
        (status = 422, description = "invalid-body: the target is unknown or not allowed", body = ProblemBody),
        (status = 502, description = "pbx-refused", body = ProblemBody),
        (status = 503, description = "pbx-unreachable: nothing was done", body = ProblemBody),
        (status = 504, description = "pbx-no-answer: it may have been carried out", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    Body(request): Body<TransferRequest>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let view = state.app.bus.call(&caller.viewer, call).ok_or(Kind::UnknownCall)?;
    let (plan, overridden) = plan(&state, &caller, &view, &request).await?;
    let command = transfer::Command::Begin { call, mode: request.mode, plan };
    let transfer = send(&state, &caller, command).await?;
    if let Some(contact) = overridden {
        let account = view.card.as_deref().and_then(|card| card.account.id);
        let details = json!({ "call": call, "contact": contact });
        audit_trail::record(&state, &caller, "transfer.rule_overridden", ("", account), details).await;
    }
    created(format!("/v1/transfers/{}", transfer.id), transfer)
}

/// The plan of a transfer, and the contact whose rule the caller goes beyond by it.
async fn plan(
    state: &AppState,
    caller: &Caller,
    view: &CallView,
    request: &TransferRequest,
) -> Result<(transfer::Plan, Option<RecordId>), Problem> {
    let may_override = caller.may(Permission::LeadTeam);
    if request.override_rules && !may_override {
        return Err(Kind::NotPermitted.with("override_rules: only supervisors and administrators"));
    }
    let now = state.app.clock.now();
    let of = |rules| state.app.transfers.plan(&state.app.directory, view, &request.to, (rules, now));
    match of(ContactRules::Kept).await {
        Err(LookupError::TakesNoCalls { contact, .. }) if request.override_rules => {
            Ok((of(ContactRules::Overridden).await?, Some(contact)))
        }
        planned => Ok((planned?, None)),
    }
}

/// Lists the transfers of a call.
#[utoipa::path(get, path = "/v1/calls/{call}/transfers", tag = "transfers",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses((status = 200, description = "The transfers of the call that the daemon still holds", body = Transfers))
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Transfers>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let command = Command::Transfer(transfer::Command::List(call));
    match state.app.commands.request(caller.actor(), command).await? {
        Answer::Transfers(items) => Ok(Json(Transfers { items })),
        _ => Err(Kind::Internal.into()),
    }
}

/// Returns a transfer.
#[utoipa::path(get, path = "/v1/transfers/{transfer}", tag = "transfers",
    params(("transfer" = uuid::Uuid, Path, description = "The transfer")),
    responses(
        (status = 200, description = "The transfer", body = TransferView),
        (status = 404, description = "unknown-transfer", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(id): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<TransferView>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    send(&state, &caller, transfer::Command::Show(transfer_id(&id)?)).await.map(Json)
}

/// Connects the caller with the target of a consultation, and releases the operator.
#[utoipa::path(post, path = "/v1/transfers/{transfer}/complete", tag = "transfers",
    params(("transfer" = uuid::Uuid, Path, description = "The transfer")),
    responses(
        (status = 202, description = "The PBX has accepted the action", body = TransferView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-transfer", body = ProblemBody),
        (status = 409, description = "call-conflict: the target has not answered, or the transfer is over", body = ProblemBody),
    )
)]
pub(crate) async fn complete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(id): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<(StatusCode, Json<TransferView>), Problem> {
    caller.needs(Permission::ControlCalls)?;
    let view = send(&state, &caller, transfer::Command::Complete(transfer_id(&id)?)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Returns the caller to the operator, during a consultation or while the target rings.
#[utoipa::path(post, path = "/v1/transfers/{transfer}/cancel", tag = "transfers",
    params(("transfer" = uuid::Uuid, Path, description = "The transfer")),
    responses(
        (status = 202, description = "The PBX has accepted the action", body = TransferView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-transfer", body = ProblemBody),
        (status = 409, description = "call-conflict: the caller is connected with the target, or the transfer is over", body = ProblemBody),
    )
)]
pub(crate) async fn cancel(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(id): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<(StatusCode, Json<TransferView>), Problem> {
    caller.needs(Permission::ControlCalls)?;
    let view = send(&state, &caller, transfer::Command::Cancel(transfer_id(&id)?)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

fn transfer_id(id: &str) -> Result<TransferId, Problem> {
    TransferId::parse(id).ok_or_else(|| Kind::UnknownTransfer.with("the id of a transfer must be a UUID"))
}

async fn send(
    state: &AppState,
    caller: &Caller,
    command: transfer::Command,
) -> Result<TransferView, Problem> {
    match state.app.commands.request(caller.actor(), Command::Transfer(command)).await? {
        Answer::Transfers(views) => views.into_iter().next().ok_or_else(|| Kind::UnknownTransfer.into()),
        _ => Err(Kind::Internal.into()),
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Store(error) => error.into(),
            refused @ LookupError::TakesNoCalls { .. } => Kind::ContactTakesNoCalls.with(refused.to_string()),
            other => Kind::InvalidBody.with(format!("to: {other}")),
        }
    }
}
