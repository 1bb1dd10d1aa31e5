//! Sounds that people upload: guidance for callers, announcements for operators.
//!
//! Invariant: what is kept is what the PBX plays (`callflow/guidance.rs`); a sound that a callflow names is not deleted.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_trail;
use super::auth::Caller;
use super::customers::{account_id, no_such_account};
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::callflow::guidance::Guidance;
use crate::contract::sound::{Sound, SoundKind, SoundOrigin, checked_texts};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::sounds::{SOUNDS_MAX, SoundOutcome};

/// Every sound.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sounds {
    /// The newest first.
    items: Vec<Sound>,
}

/// What is uploaded.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SoundQuery {
    /// How people call it: 1 to 60 characters.
    title: String,
    /// What it is for; guidance if absent.
    #[serde(default)]
    kind: SoundKind,
    /// What is spoken, up to 1,000 characters.
    #[serde(default)]
    words: String,
    /// The account that it is for; absent: all.
    account: Option<String>,
}

/// Lists the sounds that people uploaded.
#[utoipa::path(get, path = "/v1/sounds", tag = "sounds", responses(
    (status = 200, description = "The sounds", body = Sounds),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Sounds>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    Ok(Json(Sounds { items: state.app.store.sounds().await? }))
}

/// Uploads a sound: a WAV file (PCM, float, µ-law or A-law; 8 to 96 kHz), at most as large as `gateway.body_bytes_max`. It is
/// converted to what a telephone carries, at one level; its `name` is what callflows name, and its file is at the PBX within
/// two seconds.
#[utoipa::path(post, path = "/v1/sounds", tag = "sounds", params(SoundQuery),
    request_body(content = Vec<u8>, content_type = "audio/wav"),
    responses(
        (status = 201, description = "The sound", body = Sound),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 409, description = "sounds-off; value-taken: there is a sound that sounds the same, or there are too many", body = ProblemBody),
        (status = 422, description = "invalid-body: what the file is, and what is read", body = ProblemBody),
    )
)]
pub(crate) async fn upload(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<SoundQuery>,
    file: Bytes,
) -> Result<(StatusCode, Json<Sound>), Problem> {
    caller.needs(Permission::EditDirectory)?;
    if !state.app.settings.brings_sounds {
        return Err(Kind::SoundsOff.into());
    }
    let account = account_id(query.account.as_deref())?;
    let texts = checked_texts(&query.title, &query.words);
    let (title, words) = texts.map_err(|error| Kind::InvalidQuery.with(error.to_string()))?;
    let kind = query.kind;
    // A minute of a recording studio takes part of a second.
    let converted = tokio::task::spawn_blocking(move || Guidance::of_wav(&file, kind)).await;
    let converted = converted.map_err(|_| Kind::InvalidBody.with("the file cannot be read"))?;
    let guidance = converted.map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let sound = Sound {
        id: RecordId(Uuid::now_v7()),
        account,
        kind,
        origin: SoundOrigin::Upload,
        title,
        words,
        name: guidance.name(),
        ms: guidance.ms(),
        by_name: caller.person.name.clone(),
        created_at: state.app.clock.now(),
    };
    let outcome = state.app.store.create_sound(&sound, &guidance.ulaw).await.map_err(no_such_account)?;
    match outcome {
        SoundOutcome::Kept => {}
        SoundOutcome::There(other) => {
            let detail = format!("{} is the same sound: use {}", other.title, other.name);
            return Err(Kind::ValueTaken.with(detail));
        }
        SoundOutcome::TooMany => {
            return Err(Kind::ValueTaken.with(format!("at most {SOUNDS_MAX} sounds; delete some")));
        }
    }
    let details = json!({ "name": sound.name, "title": sound.title, "ms": sound.ms });
    audit_trail::record(&state, &caller, "sound.uploaded", ("", Some(sound.id)), details).await;
    Ok((StatusCode::CREATED, Json(sound)))
}

/// Plays a sound as the PBX plays it.
#[utoipa::path(get, path = "/v1/sounds/{sound}/audio", tag = "sounds",
    params(("sound" = uuid::Uuid, Path, description = "The sound")),
    responses(
        (status = 200, description = "A WAV file", body = Vec<u8>, content_type = "audio/wav"),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn play(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = state.app.store.sound(id).await?;
    let (_, ulaw) = found.ok_or_else(|| Kind::UnknownRecord.with("there is no such sound"))?;
    let headers = [
        (header::CONTENT_TYPE, "audio/wav"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (header::CACHE_CONTROL, "private, max-age=86400"),
    ];
    Ok((headers, Guidance { ulaw }.to_wav()).into_response())
}

/// Deletes a sound that no callflow and no template names. Its file at the PBX goes with it.
#[utoipa::path(delete, path = "/v1/sounds/{sound}", tag = "sounds",
    params(("sound" = uuid::Uuid, Path, description = "The sound")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "sound-in-use: a callflow or a template names it", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let found = state.app.store.sound(id).await?;
    let (sound, _) = found.ok_or_else(|| Kind::UnknownRecord.with("there is no such sound"))?;
    let named_by = state.app.directory.callflows_naming(&sound.name).await?;
    if !named_by.is_empty() {
        return Err(Kind::SoundInUse.with(format!("{} name it: {}", named_by.len(), named_by.join(", "))));
    }
    if let Some(sound) = state.app.store.delete_sound(id).await? {
        let details = json!({ "name": sound.name, "title": sound.title });
        audit_trail::record(&state, &caller, "sound.deleted", ("", Some(id)), details).await;
    }
    Ok(StatusCode::NO_CONTENT)
}
