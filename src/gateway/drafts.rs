//! Drafts: what the user is writing about a call. Everybody writes the own ones only; supervisors read those of their teams,
//! administrators all.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::auth::Caller;
use super::customers::no_such_account;
use super::extract::{Body, CallPath, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::StoreError;
use crate::store::drafts::{Draft, DraftOutcome, NewDraft};

/// Largest body of a draft, in bytes of JSON.
const DRAFT_BYTES_MAX: usize = 64 * 1024;

/// A draft to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteDraft {
    /// The version that it replaces; 0 or absent: there is none yet.
    #[serde(default)]
    version: u64,
    /// The account.
    #[schema(value_type = Option<uuid::Uuid>)]
    account: Option<RecordId>,
    /// The customer; the draft is deleted with what else is known about them.
    #[schema(value_type = Option<uuid::Uuid>)]
    customer: Option<RecordId>,
    /// The fields of the form, up to 64 KiB of JSON.
    #[schema(value_type = Object)]
    body: Map<String, Value>,
}

/// Whose drafts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DraftQuery {
    /// The person who writes; the user itself if absent. Supervisors read the drafts of their teams, administrators all.
    #[param(value_type = Option<uuid::Uuid>)]
    user: Option<RecordId>,
}

impl DraftQuery {
    /// The person whose drafts the caller may read.
    fn author(&self, caller: &Caller) -> Result<RecordId, Problem> {
        let own = caller.person.id;
        let user = self.user.unwrap_or(own);
        let is_of_team = caller.viewer.is_supervisor() && caller.viewer.sees_person(user);
        if user == own || is_of_team || caller.may(Permission::ServeEveryTeam) {
            return Ok(user);
        }
        Err(Kind::NotPermitted
            .with("only the person who writes, their supervisor or an administrator reads a draft"))
    }
}

/// A person's drafts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Drafts {
    /// The longest unchanged first.
    items: Vec<Draft>,
}

/// Lists the drafts of a person.
#[utoipa::path(get, path = "/v1/drafts", tag = "drafts", params(DraftQuery), responses(
    (status = 200, description = "The drafts", body = Drafts),
    (status = 403, description = "not-permitted: of another team", body = ProblemBody),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<DraftQuery>,
) -> Result<Json<Drafts>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    Ok(Json(Drafts { items: state.app.store.drafts(query.author(&caller)?).await? }))
}

/// Returns the draft of a person about a call.
#[utoipa::path(get, path = "/v1/drafts/{call}", tag = "drafts",
    params(("call" = uuid::Uuid, Path, description = "The call"), DraftQuery),
    responses(
        (status = 200, description = "The draft", body = Draft),
        (status = 403, description = "not-permitted: of another team", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no draft", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    QueryParams(query): QueryParams<DraftQuery>,
) -> Result<Json<Draft>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let draft = state.app.store.draft(query.author(&caller)?, call).await?;
    draft.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such draft"))
}

/// Writes the user's own draft about a call. It is deleted seven days after its last change.
#[utoipa::path(put, path = "/v1/drafts/{call}", tag = "drafts", request_body = WriteDraft,
    params(("call" = uuid::Uuid, Path, description = "The call; for a text without one, any id that the client makes")),
    responses(
        (status = 200, description = "The draft", body = Draft),
        (status = 409, description = "draft-changed: `draft` is the current one; too-many-drafts", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    Body(request): Body<WriteDraft>,
) -> Result<Json<Draft>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let WriteDraft { version, account, customer, body } = request;
    let is_too_long = serde_json::to_vec(&body).map_or(true, |json| json.len() > DRAFT_BYTES_MAX);
    if is_too_long {
        return Err(Kind::InvalidBody.with(format!("body: longer than {DRAFT_BYTES_MAX} bytes")));
    }
    let draft = NewDraft { user: caller.person.id, call, account, customer, body, version };
    let refused = |error: StoreError| match error {
        StoreError::Erased => Kind::InvalidBody.with("call: the data of its caller was deleted"),
        other => no_such_account(other),
    };
    match state.app.store.write_draft(&draft, state.app.clock.now()).await.map_err(refused)? {
        DraftOutcome::Written(draft) => Ok(Json(draft)),
        DraftOutcome::Changed(current) => Err(Problem::from(Kind::DraftChanged).draft(current)),
        DraftOutcome::TooMany => Err(Kind::TooManyDrafts.into()),
    }
}

/// Deletes the user's own draft about a call.
#[utoipa::path(delete, path = "/v1/drafts/{call}", tag = "drafts",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "unknown-record: there is no draft", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::TakeMessages)?;
    if state.app.store.delete_draft(caller.person.id, call).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Kind::UnknownRecord.with("there is no such draft"))
    }
}
