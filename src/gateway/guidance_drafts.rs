//! Guidance that was recorded by telephone and that callers do not hear yet: lists, confirms and discards it.
//!
//! Invariant: what is confirmed or discarded is the recording that the request names, so nobody confirms one that was not heard.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::event::EventKind;
use crate::contract::guidance_draft::{ConfirmGuidance, GuidanceDraft};
use crate::contract::sound::SoundOrigin;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::publish;
use crate::store::guidance_drafts::NamedOutcome;

/// The recordings that wait.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GuidanceDrafts {
    /// The earliest first.
    items: Vec<GuidanceDraft>,
}

/// Which recording somebody discards.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DiscardQuery {
    /// The id of the sound that was heard.
    #[param(value_type = uuid::Uuid)]
    sound: RecordId,
}

/// Lists the guidance that accounts recorded by telephone and that callers do not hear yet. `GET /v1/sounds/{sound}/audio` plays it.
#[utoipa::path(get, path = "/v1/guidance-drafts", tag = "guidance_pins", responses(
    (status = 200, description = "The recordings", body = GuidanceDrafts),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<GuidanceDrafts>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    Ok(Json(GuidanceDrafts { items: state.app.store.guidance_drafts().await? }))
}

/// Confirms guidance that an account recorded by telephone: callers hear it out of hours from the next call on.
#[utoipa::path(post, path = "/v1/accounts/{account}/guidance-draft/confirm", tag = "guidance_pins",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    request_body = ConfirmGuidance,
    responses(
        (status = 200, description = "The callflow names it", body = GuidanceDraft),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: nothing waits, or the account has no callflow", body = ProblemBody),
        (status = 409, description = "guidance-changed: another recording waits", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn confirm(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    Body(heard): Body<ConfirmGuidance>,
) -> Result<Json<GuidanceDraft>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let draft = waiting(&state, account, heard.sound).await?;
    let (store, now) = (&state.app.store, state.app.clock.now());
    let named = store.name_closed_guidance((account, &draft.name), &caller.person.name, now).await?;
    let NamedOutcome::Named(before) = named else {
        return Err(Kind::UnknownRecord.with("the account has no callflow that could name it"));
    };
    store.end_guidance_draft(account, draft.sound).await?;
    let details = json!({ "name": draft.name, "before": before });
    let about = (draft.account_name.as_str(), Some(account));
    audit_trail::record(&state, &caller, "guidance.used", about, details).await;
    state.app.bus.publish(publish::guidance(EventKind::GuidanceUsed, &draft, now));
    Ok(Json(draft))
}

/// Discards guidance that an account recorded by telephone: callers hear what they heard before. Its sound is deleted, unless a
/// callflow names it.
#[utoipa::path(delete, path = "/v1/accounts/{account}/guidance-draft", tag = "guidance_pins",
    params(("account" = uuid::Uuid, Path, description = "The account"), DiscardQuery),
    responses(
        (status = 204, description = "It waits no longer"),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: nothing waits", body = ProblemBody),
        (status = 409, description = "guidance-changed: another recording waits", body = ProblemBody),
    )
)]
pub(crate) async fn discard(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(query): QueryParams<DiscardQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let draft = waiting(&state, account, query.sound).await?;
    let (store, now) = (&state.app.store, state.app.clock.now());
    store.end_guidance_draft(account, draft.sound).await?;
    let sound = store.sound(draft.sound).await?;
    // One that was uploaded sounds the same: somebody wants it.
    let is_recorded = sound.is_some_and(|(sound, _)| sound.origin == SoundOrigin::Phone);
    if is_recorded && state.app.directory.callflows_naming(&draft.name).await?.is_empty() {
        store.delete_sound(draft.sound).await?;
    }
    let about = (draft.account_name.as_str(), Some(account));
    audit_trail::record(&state, &caller, "guidance.discarded", about, json!({ "name": draft.name })).await;
    state.app.bus.publish(publish::guidance(EventKind::GuidanceDiscarded, &draft, now));
    Ok(StatusCode::NO_CONTENT)
}

/// The recording of the account, if it is the one that was heard.
async fn waiting(state: &AppState, account: RecordId, heard: RecordId) -> Result<GuidanceDraft, Problem> {
    let draft = state.app.store.guidance_draft(account).await?;
    let draft = draft.ok_or_else(|| Kind::UnknownRecord.with("no recording of the account waits"))?;
    if draft.sound == heard { Ok(draft) } else { Err(Kind::GuidanceChanged.into()) }
}
