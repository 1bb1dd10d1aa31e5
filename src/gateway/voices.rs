//! What a caller spoke, as a sound.
//!
//! Invariant: who may read the message may hear it, and who heard it is in the audit trail. The sound is sent with the headers
//! that keep a browser from running what is in it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::messages::find;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::people::role::Permission;

/// Returns the recording of a message of kind `voice`.
#[utoipa::path(get, path = "/v1/messages/{message}/audio", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The recording: WAV, 16 bit, one channel, 8,000 samples a second", content_type = "audio/wav", body = Vec<u8>),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: also if the message has no recording", body = ProblemBody),
    )
)]
pub(crate) async fn audio(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let message = find(&state, id).await?;
    let Some(recording) = state.app.store.voice_recording(id).await? else {
        return Err(Kind::UnknownRecord.with("the message has no recording"));
    };
    let details = json!({ "account": message.account, "number": message.number });
    audit_trail::record(&state, &caller, "voice.read", ("", Some(id)), details).await;
    let headers = [
        (header::CONTENT_TYPE, "audio/wav".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"voice-{id}.wav\"")),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
    ];
    Ok((headers, recording).into_response())
}
