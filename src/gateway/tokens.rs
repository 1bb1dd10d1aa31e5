//! The tokens of people and systems: for administrators.
//!
//! Invariant: a token's text is in the answer that makes it and nowhere else, not even in a kept answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Body, Nothing, RecordPath, record};
use super::idempotency::Secretive;
use super::problem::{Kind, Problem, ProblemBody};
use super::routes::Gate;
use super::session::fresh_token;
use super::users::{optional_text, user};
use crate::bus::event::wire_time;
use crate::ids::RecordId;
use crate::operator::Permission;
use crate::store::Page;
use crate::store::users::{TokenDraft, TokenKind, TokenRecord};

/// A token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// What it is called.
    label: String,
    /// Whether a page's sign-in made it.
    session: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was last used, give or take a minute.
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
    /// What to call it.
    #[serde(default)]
    label: String,
    /// When it ends; never, when not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new token's text: shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenMade {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// What to write after `Authorization: Bearer`.
    token: String,
}

/// The valid and expired tokens of a user, newest first.
#[utoipa::path(get, path = "/v1/users/{user}/tokens", tag = "tokens",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 200, description = "All of them", body = Page<TokenView>),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Page<TokenView>>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    user(&gate, id).await?;
    let items = gate.app.store.tokens_of(id).await?.into_iter().map(TokenView::from).collect();
    Ok(Json(Page { items, next: None }))
}

/// Gives a user another token; its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/users/{user}/tokens", tag = "tokens",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    request_body = NewToken,
    responses(
        (status = 201, description = "The token", body = TokenMade),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken: as many tokens as may be", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let now = gate.app.clock.now();
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(Kind::InvalidBody.with("expires_at: this is past"));
    }
    let token = fresh_token()?;
    let draft = TokenDraft {
        user: id,
        hash: token.hash(),
        kind: TokenKind::Token,
        label: optional_text("label", &new.label)?,
        expires_at: new.expires_at,
    };
    let made = TokenMade { id: gate.app.store.add_token(&draft, now).await?, token: token.expose() };
    Ok((StatusCode::CREATED, Secretive, Json(made)).into_response())
}

/// Revokes a token; streams that it opened end at once.
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
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path((user, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let (Some(user), Some(token)) = (record(&user), record(&token)) else {
        return Err(Kind::UnknownRecord.with("a record's id is a UUID"));
    };
    let found = gate.app.store.token_by_id(token).await?;
    if found.is_none_or(|found| found.user != user) {
        return Err(Kind::UnknownRecord.with("there is no such token"));
    }
    gate.app.store.revoke_token(token, gate.app.clock.now()).await?;
    gate.bearers.token_revoked(token);
    Ok(StatusCode::NO_CONTENT)
}
