//! The queues of the PBX, as the PBX lists them.
//!
//! Invariant: read-only: the PBX's files stay the PBX's. A finding says what to look at there or in the configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::command::{Answer, Command};
use crate::contract::operator::PbxQueue;
use crate::people::role::Permission;

/// The queues.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PbxQueues {
    /// Whether the PBX has listed its queues; `false` while the link to it is down.
    is_known: bool,
    /// By name: those of the PBX, and those that the configuration names.
    items: Vec<PbxQueue>,
}

/// Lists the queues of this daemon's PBX with their members and with what is worth a look.
#[utoipa::path(get, path = "/v1/queues", tag = "operations", operation_id = "list_queues", responses(
    (status = 200, description = "The queues", body = PbxQueues),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<PbxQueues>, Problem> {
    caller.needs(Permission::ManageSettings)?;
    match state.app.commands.request(caller.actor(), Command::ListQueues).await? {
        Answer::Queues(queues) => {
            Ok(Json(PbxQueues { is_known: queues.is_some(), items: queues.unwrap_or_default() }))
        }
        _ => Err(Kind::Internal.into()),
    }
}
