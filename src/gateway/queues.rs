//! The queues of the PBX, as the PBX lists them, with the accounts whose callers wait in them.
//!
//! Invariant: read-only: the PBX's files stay the PBX's. A finding says what to look at there or in the configuration.

use std::collections::BTreeMap;
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
use crate::contract::operator::{PbxQueue, PbxQueueFinding, QUEUE_ACCOUNTS_MAX};
use crate::directory::QueueUsers;
use crate::ids::QueueName;
use crate::people::role::Permission;

/// The queues.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PbxQueues {
    /// Whether the PBX has listed its queues; `false` while the link to it is down.
    is_known: bool,
    /// By name: those of the PBX, and those that the configuration or callflows name.
    items: Vec<PbxQueue>,
}

/// Lists the queues of this daemon's PBX with their members, the accounts whose callers wait in them, and what is worth a look.
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
    let Answer::Queues(queues) = state.app.commands.request(caller.actor(), Command::ListQueues).await?
    else {
        return Err(Kind::Internal.into());
    };
    let users = state.app.directory.queue_users().await?;
    let is_known = queues.is_some();
    Ok(Json(PbxQueues { is_known, items: with_users(queues, users) }))
}

/// The queues with who uses them, and those that only callflows name.
fn with_users(queues: Option<Vec<PbxQueue>>, mut users: BTreeMap<String, QueueUsers>) -> Vec<PbxQueue> {
    let missing = if queues.is_some() { vec![PbxQueueFinding::Missing] } else { Vec::new() };
    let mut items = queues.unwrap_or_default();
    for queue in &mut items {
        name_users(queue, users.remove(queue.name.as_str()).unwrap_or_default());
    }
    for (name, users) in users {
        let Ok(name) = QueueName::parse(&name) else { continue };
        let mut queue = PbxQueue {
            name,
            settings: Vec::new(),
            strategy: None,
            members: Vec::new(),
            findings: missing.clone(),
            accounts: Vec::new(),
            accounts_count: 0,
            templates: Vec::new(),
        };
        name_users(&mut queue, users);
        items.push(queue);
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    items
}

fn name_users(queue: &mut PbxQueue, QueueUsers { mut accounts, templates }: QueueUsers) {
    queue.accounts_count = accounts.len();
    accounts.truncate(QUEUE_ACCOUNTS_MAX);
    (queue.accounts, queue.templates) = (accounts, templates);
}
