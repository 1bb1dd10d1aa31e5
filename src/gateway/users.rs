//! People who may sign in: for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Body, Nothing, RecordPath};
use super::located::located;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::PageQuery;
use super::routes::Gate;
use crate::bus::event::wire_time;
use crate::ids::{Extension, RecordId};
use crate::operator::{PasswordHash, Permission, Role, person_text};
use crate::store::Page;
use crate::store::users::{TokenKind, UserChange, UserDraft, UserRecord};

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserView {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// The name to sign in with.
    name: String,
    /// Its reading.
    kana: String,
    /// What they are.
    role: Role,
    /// Where they answer.
    #[schema(value_type = Option<String>)]
    extension: Option<Extension>,
    /// Their team.
    team: Option<String>,
    /// Whether they can sign in with a password.
    has_password: bool,
    /// When the record was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    changed_at: String,
    /// Since when it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

impl From<UserRecord> for UserView {
    fn from(user: UserRecord) -> Self {
        Self {
            id: user.person.id,
            name: user.person.name,
            kana: user.person.kana,
            role: user.person.role,
            extension: user.person.extension,
            team: user.team,
            has_password: user.has_password,
            created_at: wire_time(user.created_at),
            changed_at: wire_time(user.changed_at),
            revoked_at: user.revoked_at.map(wire_time),
        }
    }
}

/// A new user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// The name to sign in with.
    name: String,
    /// Its reading.
    #[serde(default)]
    kana: String,
    /// What they are.
    role: Role,
    /// Where they answer: digits.
    extension: Option<String>,
    /// The team's name; a new one is made.
    team: Option<String>,
    /// A password of 10 to 256 characters, for those who sign in at a page.
    password: Option<String>,
}

/// What changes about a user; what is not named stays, `null` takes away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedUser {
    /// Another name.
    name: Option<String>,
    /// Another reading.
    kana: Option<String>,
    /// Another role.
    role: Option<Role>,
    /// Another extension.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    extension: Option<Option<String>>,
    /// Another team.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    team: Option<Option<String>>,
    /// Another password; ends all sessions.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    password: Option<Option<String>>,
}

/// Tells `null` from not named.
pub(crate) fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// All users, revoked ones included, in the order they were made.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(PageQuery), responses(
    (status = 200, description = "A page", body = Page<UserView>),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<UserView>>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let wanted = query.read()?;
    let found = gate.app.store.users(wanted.after, wanted.limit).await?;
    Ok(Json(Page { items: found.items.into_iter().map(UserView::from).collect(), next: found.next }))
}

/// Makes a user.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = NewUser, responses(
    (status = 201, description = "The user", body = UserView),
    (status = 409, description = "value-taken: the name or the extension", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let draft = UserDraft {
        name: text("name", &new.name)?,
        kana: optional_text("kana", &new.kana)?,
        role: new.role,
        extension: new.extension.as_deref().map(extension).transpose()?,
        team: new.team.as_deref().map(|name| text("team", name)).transpose()?,
        password: hashed(new.password).await?,
    };
    let id = gate.app.store.add_user(&draft, gate.app.clock.now()).await?;
    gate.app.refresh_people().await?;
    let user = UserView::from(user(&gate, id).await?);
    located(StatusCode::CREATED, format!("/v1/users/{id}"), user)
}

/// One user.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 200, description = "The user", body = UserView),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<UserView>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    Ok(Json(user(&gate, id).await?.into()))
}

/// Changes a user.
#[utoipa::path(patch, path = "/v1/users/{user}", tag = "users",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    request_body = ChangedUser,
    responses(
        (status = 200, description = "The user as it is now", body = UserView),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(changed): Body<ChangedUser>,
) -> Result<Json<UserView>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let password = match changed.password {
        Some(password) => Some(hashed(password).await?),
        None => None,
    };
    let sessions = if password.is_some() { gate.app.store.tokens_of(id).await? } else { Vec::new() };
    let change = UserChange {
        name: changed.name.as_deref().map(|name| text("name", name)).transpose()?,
        kana: changed.kana.as_deref().map(|kana| optional_text("kana", kana)).transpose()?,
        role: changed.role,
        extension: changed.extension.map(|e| e.as_deref().map(extension).transpose()).transpose()?,
        team: changed.team.map(|t| t.as_deref().map(|name| text("team", name)).transpose()).transpose()?,
        password,
    };
    gate.app.store.change_user(id, &change, gate.app.clock.now()).await?;
    gate.app.refresh_people().await?;
    for session in sessions.iter().filter(|token| token.kind == TokenKind::Session) {
        gate.bearers.token_revoked(session.id);
    }
    Ok(Json(user(&gate, id).await?.into()))
}

/// Revokes a user and all tokens; open streams end at once. The record stays, so that history stays true.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "users",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn revoke(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ManagePeople)?;
    gate.app.store.revoke_user(id, gate.app.clock.now()).await?;
    gate.bearers.user_revoked(id);
    gate.app.refresh_people().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn user(gate: &Gate, id: RecordId) -> Result<UserRecord, Problem> {
    gate.app.store.user(id).await?.ok_or_else(|| Kind::UnknownRecord.with("there is no such user"))
}

async fn hashed(password: Option<String>) -> Result<Option<PasswordHash>, Problem> {
    let Some(password) = password else { return Ok(None) };
    let hash = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
    let hash = hash.map_err(|error| {
        tracing::error!(%error, "hashing a password failed");
        Kind::Internal
    })?;
    hash.map(Some).map_err(|error| Kind::InvalidBody.with(format!("password: {error}")))
}

fn extension(digits: &str) -> Result<Extension, Problem> {
    Extension::parse(digits).map_err(|error| Kind::InvalidBody.with(error.to_string()))
}

fn text(field: &str, value: &str) -> Result<String, Problem> {
    person_text(field, value).map_err(|error| Kind::InvalidBody.with(error.to_string()))
}

pub(crate) fn optional_text(field: &str, value: &str) -> Result<String, Problem> {
    if value.trim().is_empty() { Ok(String::new()) } else { text(field, value) }
}
