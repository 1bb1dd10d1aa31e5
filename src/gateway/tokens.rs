//! Tokens of people and systems, managed by administrators.
//!
//! Invariant: the text of a token is only in the answer to its creation; that answer is not kept for repeats.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail::record;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath, record_id};
use super::idempotency::NoReplay;
use super::problem::{Kind, Problem, ProblemBody};
use super::session::fresh_token;
use super::state::AppState;
use super::users::{optional_text, user};
use crate::contract::time::time as wire_time;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::Page;
use crate::store::users::{TokenDraft, TokenKind, TokenRecord};

/// A token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// The label.
    label: String,
    /// Whether this is a session, made by a sign-in with a password.
    session: bool,
    /// When the token was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the token expires; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When the token was last used, to about one minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl From<TokenRecord> for TokenView {
    fn from(token: TokenRecord) -> Self {
        Self {
            id: token.id,
            label: token.label,
            session: token.kind == TokenKind::Session,
            created_at: wire_time(token.created_at),
            expires_at: token.expires_at.map(wire_time),
            last_used_at: token.last_used_at.map(wire_time),
        }
    }
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// The label.
    #[serde(default)]
    label: String,
    /// When the token expires; never if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new token with its text, which is shown only once.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenMade {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// The text for `Authorization: Bearer`.
    token: String,
}

/// Lists the valid and expired tokens of a user, newest first.
#[utoipa::path(get, path = "/v1/users/{user}/tokens", tag = "tokens",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 200, description = "All tokens that are not revoked", body = Page<TokenView>),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Page<TokenView>>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    user(&state, id).await?;
    let items = state.app.store.tokens_of(id).await?.into_iter().map(TokenView::from).collect();
    Ok(Json(Page { items, next: None }))
}

/// Creates a token of a user; the text of the token is only in this answer.
#[utoipa::path(post, path = "/v1/users/{user}/tokens", tag = "tokens",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    request_body = NewToken,
    responses(
        (status = 201, description = "The token", body = TokenMade),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken: the user has the largest number of tokens", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let now = state.app.clock.now();
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(Kind::InvalidBody.with("expires_at: must be in the future"));
    }
    let token = fresh_token()?;
    let draft = TokenDraft {
        user: id,
        hash: token.hash(),
        kind: TokenKind::Token,
        label: optional_text("label", &new.label)?,
        expires_at: new.expires_at,
    };
    let made = TokenMade { id: state.app.store.add_token(&draft, now).await?, token: token.expose() };
    let owner = user(&state, id).await?.person.name;
    let details = json!({
        "token": made.id, "label": draft.label, "expires_at": draft.expires_at.map(wire_time),
    });
    record(&state, &caller, "token.created", (&owner, Some(id)), details).await;
    Ok((StatusCode::CREATED, NoReplay, Json(made)).into_response())
}

/// Revokes a token; its event streams end at once.
#[utoipa::path(delete, path = "/v1/users/{user}/tokens/{token}", tag = "tokens",
    params(
        ("user" = uuid::Uuid, Path, description = "The user"),
        ("token" = uuid::Uuid, Path, description = "The token's record"),
    ),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn revoke(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path((owner, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let (Some(owner), Some(token)) = (record_id(&owner), record_id(&token)) else {
        return Err(Kind::UnknownRecord.with("the id of a record must be a UUID"));
    };
    let found = state.app.store.token_by_id(token).await?;
    let Some(found) = found.filter(|found| found.user == owner) else {
        return Err(Kind::UnknownRecord.with("there is no such token"));
    };
    let revoked = state.app.store.revoke_token(token, state.app.clock.now()).await?;
    state.active_tokens.revoke_token(token);
    if revoked {
        let name = user(&state, owner).await?.person.name;
        let details = json!({
            "token": token, "label": found.label, "is_session": found.kind == TokenKind::Session,
        });
        record(&state, &caller, "token.revoked", (&name, Some(owner)), details).await;
    }
    Ok(StatusCode::NO_CONTENT)
}
