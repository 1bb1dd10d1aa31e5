//! Recorded pronunciations of accounts' names, which the page plays beside the name.
//!
//! Invariant: what is served is sound of a known kind and is never anything else in a browser (`nosniff`, a policy that allows
//! nothing).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::customers::no_such_account;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::people::role::Permission;
use crate::store::StoreError;
use crate::store::account_clips::{CLIP_BYTES_MAX, clip_kind};

/// A recording.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteClip {
    /// The file, in Base64: MP3, Ogg, WAV, WebM or MP4, at most 256 KiB.
    content: String,
}

/// What a clip is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClipInfo {
    /// Its media type.
    kind: String,
    /// Its size, in bytes.
    bytes: u64,
}

/// Which recording; clients that keep it name another one after each change.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClipQuery {
    /// The time of the recording, as the card's path has it; decides nothing.
    #[serde(rename = "v")]
    _v: Option<i64>,
}

/// Returns the recorded pronunciation of the account's name.
#[utoipa::path(get, path = "/v1/accounts/{account}/pronunciation", tag = "pronunciations",
    params(("account" = uuid::Uuid, Path, description = "The account"), ClipQuery),
    responses(
        (status = 200, description = "The sound", content(
            (Vec<u8> = "audio/mpeg"), (Vec<u8> = "audio/ogg"), (Vec<u8> = "audio/wav"), (Vec<u8> = "audio/webm"),
            (Vec<u8> = "audio/mp4"),
        )),
        (status = 404, description = "unknown-record: the account has none", body = ProblemBody),
    )
)]
pub(crate) async fn play(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(_query): QueryParams<ClipQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let clip = state.app.store.account_clip(account).await?;
    let (kind, content) =
        clip.ok_or_else(|| Kind::UnknownRecord.with("the account has no recorded pronunciation"))?;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
        (header::CACHE_CONTROL, "private, max-age=86400".to_owned()),
    ];
    Ok((headers, content).into_response())
}

/// Records how the account's name is pronounced. It replaces an earlier recording.
#[utoipa::path(put, path = "/v1/accounts/{account}/pronunciation", tag = "pronunciations", request_body = WriteClip,
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "What was recorded", body = ClipInfo),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 422, description = "invalid-body: no sound that browsers play, too large, or no such account", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    Body(WriteClip { content }): Body<WriteClip>,
) -> Result<Json<ClipInfo>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let bytes = STANDARD.decode(content.trim());
    let bytes = bytes.map_err(|_| Kind::InvalidBody.with("content: must be Base64"))?;
    if bytes.len() > CLIP_BYTES_MAX {
        return Err(Kind::InvalidBody
            .with(format!("content: at most {CLIP_BYTES_MAX} bytes; some seconds are enough")));
    }
    let kind = clip_kind(&bytes)
        .ok_or_else(|| Kind::InvalidBody.with("content: must be a file of MP3, Ogg, WAV, WebM or MP4"))?;
    let at = state.app.clock.now();
    state.app.store.write_account_clip(account, kind, &bytes, at).await.map_err(no_such_account)?;
    state.app.directory.refresh().await?;
    let details = json!({ "kind": kind, "bytes": bytes.len() });
    audit_trail::record(&state, &caller, "pronunciation.changed", ("", Some(account)), details).await;
    Ok(Json(ClipInfo { kind: kind.to_owned(), bytes: bytes.len() as u64 }))
}

/// Deletes the recorded pronunciation.
#[utoipa::path(delete, path = "/v1/accounts/{account}/pronunciation", tag = "pronunciations",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the account has none", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    match state.app.store.delete_account_clip(account).await {
        Err(StoreError::Missing { .. }) => {
            return Err(Kind::UnknownRecord.with("the account has no recorded pronunciation"));
        }
        deleted => deleted?,
    }
    state.app.directory.refresh().await?;
    audit_trail::record(&state, &caller, "pronunciation.deleted", ("", Some(account)), json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}
