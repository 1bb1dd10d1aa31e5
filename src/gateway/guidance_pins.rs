//! The PINs with which people of accounts record guidance by telephone.
//!
//! Invariant: no answer and no entry of the audit trail has a PIN. Hashing runs on a thread for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::guidance_pin::{GuidancePinView, NewGuidancePin};
use crate::people::password::PasswordHash;
use crate::people::role::Permission;
use crate::store::StoreError;
use crate::store::guidance_pins::StoredGuidancePin;

/// Shows that an account has a PIN for recording guidance, and what is entered for the account.
#[utoipa::path(get, path = "/v1/accounts/{account}/guidance-pin", tag = "guidance_pins",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The PIN is set", body = GuidancePinView),
        (status = 404, description = "unknown-record: the account has no PIN", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<GuidancePinView>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let stored = state.app.store.guidance_pin(account).await?;
    let stored =
        stored.ok_or_else(|| Kind::UnknownRecord.with("the account has no PIN; set one with PUT"))?;
    Ok(Json(stored.view))
}

/// Sets the PIN with which somebody of the account records what callers hear out of hours, by telephone. It needs a callflow, from
/// a number of the account (one that forwards its calls, or that of a contact) or a phone of the PBX.
#[utoipa::path(put, path = "/v1/accounts/{account}/guidance-pin", tag = "guidance_pins",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    request_body = NewGuidancePin,
    responses(
        (status = 200, description = "The PIN is set", body = GuidancePinView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken: the same is entered for another account", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn set(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(new): Body<NewGuidancePin>,
) -> Result<Json<GuidancePinView>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let account = state.app.store.account(id).await?;
    let account = account.ok_or_else(|| Kind::UnknownRecord.with("there is no such account"))?;
    let checked = new.checked(&account.fields.code);
    let (pin, entry) = checked.map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let hash = tokio::task::spawn_blocking(move || PasswordHash::of_pin(&pin)).await;
    let hash =
        hash.map_err(|error| error.to_string()).and_then(|hash| hash.map_err(|error| error.to_string()));
    let hash = hash.map_err(|error| {
        tracing::error!(error, "a PIN cannot be hashed");
        Kind::Internal
    })?;
    let view = GuidancePinView {
        account: id,
        entry,
        by_name: caller.person.name.clone(),
        changed_at: state.app.clock.now(),
    };
    let stored = StoredGuidancePin { view, hash };
    state.app.store.set_guidance_pin(&stored).await.map_err(refused)?;
    let details = json!({ "entry": stored.view.entry });
    audit_trail::record(&state, &caller, "guidance_pin.set", ("", Some(id)), details).await;
    Ok(Json(stored.view))
}

/// Removes the PIN of an account: nobody records its guidance by telephone.
#[utoipa::path(delete, path = "/v1/accounts/{account}/guidance-pin", tag = "guidance_pins",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 204, description = "The account has no PIN"),
        (status = 403, description = "not-permitted", body = ProblemBody),
    )
)]
pub(crate) async fn remove(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    if state.app.store.remove_guidance_pin(account).await? {
        audit_trail::record(&state, &caller, "guidance_pin.removed", ("", Some(account)), json!({})).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn refused(error: StoreError) -> Problem {
    match error {
        StoreError::Taken { value, .. } => Kind::ValueTaken
            .with(format!("{value} is entered for another account: set entry to another number")),
        error => error.into(),
    }
}
