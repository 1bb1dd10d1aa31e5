//! Users, managed by administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::audit_trail::record;
use super::auth::Caller;
use super::extract::{Body, IfMatch, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::PageQuery;
use super::responses::created;
use super::state::AppState;
use crate::contract::time::time as wire_time;
use crate::ids::{Extension, RecordId};
use crate::people::password::PasswordHash;
use crate::people::role::{Permission, Role};
use crate::people::roster::person_text;
use crate::store::deletions::{DeletedBy, DeletedKind};
use crate::store::users::{UserChange, UserDraft, UserRecord};
use crate::store::{Page, StoreError};

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserView {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// The name to sign in with.
    name: String,
    /// The reading of the name.
    kana: String,
    /// The role.
    role: Role,
    /// The extension at which the user answers calls.
    #[schema(value_type = Option<String>)]
    extension: Option<Extension>,
    /// The name of the team.
    team: Option<String>,
    /// Whether the user has a password.
    has_password: bool,
    /// When the user was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the user was last changed.
    #[schema(format = DateTime)]
    changed_at: String,
    /// When the user was revoked; absent if the user is not revoked.
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
    /// The reading of the name.
    #[serde(default)]
    kana: String,
    /// The role.
    role: Role,
    /// The extension at which the user answers calls: digits.
    extension: Option<String>,
    /// The name of the team; a new team is created.
    team: Option<String>,
    /// A password of 10 to 256 characters, for users who sign in at the page.
    password: Option<String>,
}

/// Changes of a user. Absent fields keep their values, `null` removes a value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedUser {
    /// The new name.
    name: Option<String>,
    /// The new reading.
    kana: Option<String>,
    /// The new role.
    role: Option<Role>,
    /// The new extension.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    extension: Option<Option<String>>,
    /// The name of the new team.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    team: Option<Option<String>>,
    /// The new password; all sessions of the user end.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    password: Option<Option<String>>,
}

/// Reads a field that is present, so that `null` differs from an absent field.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// Lists all users, revoked ones included, in the order of their creation.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(PageQuery), responses(
    (status = 200, description = "A page", body = Page<UserView>),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<Page<UserView>>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let page = query.read()?;
    let found = state.app.store.users(page.after, page.limit).await?;
    Ok(Json(Page { items: found.items.into_iter().map(UserView::from).collect(), next: found.next }))
}

/// Creates a user.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = NewUser, responses(
    (status = 201, description = "The user", body = UserView),
    (status = 409, description = "value-taken: the name or the extension", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
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
        password: password_hash(new.password).await?,
    };
    let id = state.app.store.add_user(&draft, state.app.clock.now()).await?;
    state.app.refresh_people().await?;
    let user = user(&state, id).await?;
    let details = json!({
        "role": user.person.role, "extension": user.person.extension, "team": user.team,
        "password": user.has_password,
    });
    record(&state, &caller, "user.created", (&user.person.name, Some(id)), details).await;
    let user = UserView::from(user);
    created(format!("/v1/users/{id}"), user)
}

/// Returns a user.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 200, description = "The user", body = UserView),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<UserView>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    Ok(Json(user(&state, id).await?.into()))
}

/// Changes a user.
#[utoipa::path(patch, path = "/v1/users/{user}", tag = "users",
    params(
        ("user" = uuid::Uuid, Path, description = "The user"),
        ("If-Match" = Option<String>, Header, description = "The `changed_at` that the client has seen, in quotes"),
    ),
    request_body = ChangedUser,
    responses(
        (status = 200, description = "The changed user", body = UserView),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken; last-administrator; record-changed, with the user as it is", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    IfMatch(seen): IfMatch,
    Body(changed): Body<ChangedUser>,
) -> Result<Json<UserView>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let password = match changed.password {
        Some(password) => Some(password_hash(password).await?),
        None => None,
    };
    let sessions = if password.is_some() { state.app.store.tokens_of(id).await? } else { Vec::new() };
    let change = UserChange {
        name: changed.name.as_deref().map(|name| text("name", name)).transpose()?,
        kana: changed.kana.as_deref().map(|kana| optional_text("kana", kana)).transpose()?,
        role: changed.role,
        extension: changed.extension.map(|e| e.as_deref().map(extension).transpose()).transpose()?,
        team: changed.team.map(|t| t.as_deref().map(|name| text("team", name)).transpose()).transpose()?,
        password,
        seen,
    };
    let before = user(&state, id).await?;
    match state.app.store.change_user(id, &change, state.app.clock.now()).await {
        Err(StoreError::Changed { .. }) => {
            let current = UserView::from(user(&state, id).await?);
            return Err(Problem::from(Kind::RecordChanged).record(&current));
        }
        changed => changed?,
    }
    state.app.refresh_people().await?;
    state.active_tokens.revoke_sessions(&sessions);
    let after = user(&state, id).await?;
    let details = differences(&before, &after, change.password.is_some());
    record(&state, &caller, "user.changed", (&before.person.name, Some(id)), details).await;
    Ok(Json(after.into()))
}

/// Revokes a user and all tokens of the user; open event streams end at once. The record remains, because the call
/// history refers to it.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "users",
    params(("user" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "last-administrator", body = ProblemBody),
    )
)]
pub(crate) async fn revoke(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let at = state.app.clock.now();
    let revoked = state.app.store.revoke_user(id, at).await?;
    state.active_tokens.revoke_user(id);
    if revoked {
        let by = DeletedBy { name: &caller.person.name, at };
        state.app.store.delete_undoably(DeletedKind::User, id, by).await?;
        let user = user(&state, id).await?;
        let details = json!({ "role": user.person.role, "extension": user.person.extension });
        record(&state, &caller, "user.revoked", (&user.person.name, Some(id)), details).await;
    }
    state.app.refresh_people().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a change made of a user, for the audit trail: each field that differs, before and after.
fn differences(before: &UserRecord, after: &UserRecord, password: bool) -> Value {
    let fields = |user: &UserRecord| {
        let UserRecord { person, team, .. } = user;
        [
            ("name", json!(person.name)),
            ("kana", json!(person.kana)),
            ("role", json!(person.role)),
            ("extension", json!(person.extension)),
            ("team", json!(team)),
        ]
    };
    let mut changed = Map::new();
    for ((field, before), (_, after)) in fields(before).into_iter().zip(fields(after)) {
        if before != after {
            changed.insert(field.into(), json!({ "before": before, "after": after }));
        }
    }
    if password {
        changed.insert("password".into(), json!(if after.has_password { "set" } else { "removed" }));
    }
    Value::Object(changed)
}

/// The user with this id.
pub(crate) async fn user(state: &AppState, id: RecordId) -> Result<UserRecord, Problem> {
    state.app.store.user(id).await?.ok_or_else(|| Kind::UnknownRecord.with("there is no such user"))
}

pub(crate) async fn password_hash(password: Option<String>) -> Result<Option<PasswordHash>, Problem> {
    let Some(password) = password else { return Ok(None) };
    let hash = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
    let hash = hash.map_err(|error| {
        tracing::error!(%error, "the task that hashes a password failed");
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

/// `value` as in [`person_text`], or an empty text.
pub(crate) fn optional_text(field: &str, value: &str) -> Result<String, Problem> {
    if value.trim().is_empty() { Ok(String::new()) } else { text(field, value) }
}
