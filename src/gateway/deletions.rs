//! What was deleted in the last ten minutes, and how it is brought back: accounts, contacts, customers, users, and customers who
//! became part of another one.
//!
//! Invariant: nothing that another record has by now (a code, a number, a name, an extension) is taken from it; then the undo is
//! refused, and can be asked for again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::people::role::Permission;
use crate::store::deletions::{DeletedKind, Deletion};

/// The deletions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deletions {
    /// Those that can be undone, newest first; at most 1,000.
    items: Vec<Deletion>,
}

/// Whose deletions are seen and undone: those who may delete such a record.
fn permission(kind: DeletedKind) -> Permission {
    match kind {
        DeletedKind::Account | DeletedKind::Contact | DeletedKind::Customer | DeletedKind::Merge => {
            Permission::EditDirectory
        }
        DeletedKind::User => Permission::ManagePeople,
    }
}

/// Lists the accounts, contacts, customers and users that were deleted in the last ten minutes and can be brought back, and the
/// customers who became part of another one.
#[utoipa::path(get, path = "/v1/deletions", tag = "deletions", operation_id = "list_deletions", responses(
    (status = 200, description = "The deletions", body = Deletions),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Deletions>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let mut items = state.app.store.deletions(state.app.clock.now()).await?;
    items.retain(|deletion| caller.person.role.may(permission(deletion.kind)));
    Ok(Json(Deletions { items }))
}

/// Brings a record back that was deleted in the last ten minutes, under its id. The tokens and sessions of a user stay revoked. Of
/// a customer who became part of another one, both are as they were before, each with its calls and messages.
#[utoipa::path(post, path = "/v1/deletions/{record}/undo", tag = "deletions", operation_id = "undo_deletion",
    params(("record" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The deletion that was undone", body = Deletion),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: it was not deleted in the last ten minutes, or it is back; or its account was deleted", body = ProblemBody),
        (status = 409, description = "value-taken: another record has its code, number, name or extension; record-changed: the customer of whom it became part was changed since", body = ProblemBody),
    )
)]
pub(crate) async fn undo(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<Json<Deletion>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let now = state.app.clock.now();
    let gone = || Kind::UnknownRecord.with("it was not deleted in the last ten minutes, or it is back");
    let listed = state.app.store.deletions(now).await?;
    let kind = listed.iter().find(|deletion| deletion.id == id).ok_or_else(gone)?.kind;
    caller.needs(permission(kind))?;
    let undone = state.app.directory.undo_deletion(id, now).await?.ok_or_else(gone)?;
    let action = match kind {
        DeletedKind::Account => "account.restored",
        DeletedKind::Contact => "contact.restored",
        DeletedKind::Customer => "customer.restored",
        DeletedKind::Merge => "customer.separated",
        DeletedKind::User => {
            state.app.refresh_people().await?;
            "user.restored"
        }
    };
    // As with the deletion: customers and contacts are not named in the audit trail.
    let name = match kind {
        DeletedKind::Account | DeletedKind::User => undone.name.as_str(),
        DeletedKind::Contact | DeletedKind::Customer | DeletedKind::Merge => "",
    };
    audit_trail::record(&state, &caller, action, (name, Some(id)), json!({})).await;
    Ok(Json(undone))
}
