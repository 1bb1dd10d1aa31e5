//! Passwords: the own one, and the links by which a person sets one once.
//!
//! Invariants: the text of a link is only in the answer to its creation, and in the fragment of an address, which browsers
//! send nowhere. A wrong present password counts as a failed sign-in. A password that was set ends the sessions of its user.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail::record;
use super::auth::Caller;
use super::extract::{Body, RecordPath};
use super::idempotency::NoReplay;
use super::problem::{Kind, Problem, ProblemBody};
use super::session::{fresh_token, verify_own};
use super::state::AppState;
use super::users::{password_hash, user};
use crate::contract::time::time as wire_time;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::people::token::{Token, TokenHash};
use crate::store::users::UserChange;

/// How long a link can be used.
const LINK_TTL: SignedDuration = SignedDuration::from_hours(24);

/// A link that sets a password, once.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordLink {
    /// The text of the link; the page takes it behind `#/password/`.
    token: String,
    /// When it no longer works.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Sets the password of a link's user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkPassword {
    /// The text of the link.
    token: String,
    /// The new password, 10 to 256 characters.
    password: String,
}

/// Changes the own password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnPassword {
    /// The present password.
    current: String,
    /// The new password, 10 to 256 characters.
    password: String,
}

/// Makes a link by which the user sets a password within 24 hours; an earlier link no longer works.
#[utoipa::path(post, path = "/v1/users/{user}/password-link", tag = "users",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 201, description = "The link, shown once", body = PasswordLink),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn create_link(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<Response, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let person = user(&state, id).await?.person;
    let now = state.app.clock.now();
    let (token, expires) = (fresh_token()?, now + LINK_TTL);
    state.app.store.add_password_link(id, &token.hash(), expires).await?;
    let details = json!({ "expires_at": wire_time(expires) });
    record(&state, &caller, "password.link_created", (&person.name, Some(id)), details).await;
    let made = PasswordLink { token: token.expose(), expires_at: wire_time(expires) };
    Ok((StatusCode::CREATED, NoReplay, Json(made)).into_response())
}

/// Sets a password by a link. It needs no token: whoever has the link is the person.
#[utoipa::path(post, path = "/v1/session/password-link", tag = "session", request_body = LinkPassword, security(()),
    responses(
        (status = 204, description = "Set; the sessions of the user have ended"),
        (status = 404, description = "unknown-record: the link was used or replaced, or has expired", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn use_link(
    State(state): State<Arc<AppState>>,
    Body(link): Body<LinkPassword>,
) -> Result<StatusCode, Problem> {
    let gone =
        || Kind::UnknownRecord.with("this link was used or replaced, or has expired; ask for another one");
    let hash = Token::parse(&link.token).map_err(|_| gone())?.hash();
    let now = state.app.clock.now();
    // A password is hashed for whoever has a link, and for nobody else: it takes much of the processor.
    state.app.store.password_link(&hash, now).await?.ok_or_else(gone)?;
    let user = set_by_link(&state, &hash, link.password, now).await?.ok_or_else(gone)?;
    state.app.refresh_people().await?;
    tracing::info!(%user, "a password was set by a link");
    Ok(StatusCode::NO_CONTENT)
}

async fn set_by_link(
    state: &AppState,
    link: &TokenHash,
    password: String,
    now: Timestamp,
) -> Result<Option<RecordId>, Problem> {
    let _check = state.password_checks.checks.acquire().await.map_err(|_| Kind::ShuttingDown)?;
    let Some(password) = password_hash(Some(password)).await? else { return Ok(None) };
    let Some(owner) = state.app.store.password_link(link, now).await? else { return Ok(None) };
    let sessions = state.app.store.tokens_of(owner).await?;
    let Some(user) = state.app.store.use_password_link(link, &password, now).await? else { return Ok(None) };
    state.active_tokens.revoke_sessions(&sessions);
    Ok(Some(user))
}

/// Changes the own password; every session of the person ends, this one too.
#[utoipa::path(put, path = "/v1/session/password", tag = "session", request_body = OwnPassword, responses(
    (status = 204, description = "Changed; sign in again"),
    (status = 422, description = "invalid-body: also a wrong present password", body = ProblemBody),
    (status = 429, description = "too-many-failures", body = ProblemBody),
))]
pub(crate) async fn change_own(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(own): Body<OwnPassword>,
) -> Result<StatusCode, Problem> {
    verify_own(&state, &caller, own.current).await?;
    let Some(password) = password_hash(Some(own.password)).await? else { return Err(Kind::Internal.into()) };
    let id = caller.person.id;
    let sessions = state.app.store.tokens_of(id).await?;
    let change = UserChange { password: Some(Some(password)), ..UserChange::default() };
    state.app.store.change_user(id, &change, state.app.clock.now()).await?;
    let details = json!({ "password": "set" });
    record(&state, &caller, "user.changed", (&caller.person.name, Some(id)), details).await;
    state.active_tokens.revoke_sessions(&sessions);
    Ok(StatusCode::NO_CONTENT)
}
