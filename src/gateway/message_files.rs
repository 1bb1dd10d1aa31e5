//! Files of messages: a recording of a caller, and what people upload before they save a message.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body as RequestBody, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath, record_id};
use super::messages::find;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::message::{MESSAGE_FILE_BYTES_MAX, MessageFile, NewFile};
use crate::ids::RecordId;
use crate::people::role::Permission;

/// What a file is called.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadQuery {
    /// Its name, with the ending of its type.
    name: String,
}

/// A file that waits for its message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingFile)]
pub(crate) struct Pending {
    /// Its id, for `files` of a new message.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// What is known of it.
    #[serde(flatten)]
    file: MessageFile,
}

/// Uploads a file for a message that is not saved yet: PDF, PNG, JPEG, TIFF, WAV, MP3, or text in UTF-8 (`.txt`, `.csv`), at most 5 MiB.
/// It is deleted after seven days unless `files` of a new message names it.
#[utoipa::path(post, path = "/v1/files", tag = "messages", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "The file", body = Pending),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 409, description = "too-many-files: throw some away, or save their messages", body = ProblemBody),
        (status = 413, description = "body-too-large: more than 5 MiB", body = ProblemBody),
        (status = 422, description = "invalid-body: it is no file of these types, or its name says something else", body = ProblemBody),
    )
)]
pub(crate) async fn upload(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(UploadQuery { name }): QueryParams<UploadQuery>,
    body: RequestBody,
) -> Result<(StatusCode, Json<Pending>), Problem> {
    caller.needs(Permission::TakeMessages)?;
    let content =
        to_bytes(body, MESSAGE_FILE_BYTES_MAX).await.map_err(|_| Problem::from(Kind::BodyTooLarge))?;
    let new =
        NewFile::new(&name, content.to_vec()).map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let at = state.app.clock.now();
    let id = state.app.store.add_pending_file(caller.person.id, &new, at).await?;
    let id = id.ok_or_else(|| {
        Kind::TooManyFiles
            .with("20 of your files wait for their messages: throw some away, or save the messages")
    })?;
    Ok((StatusCode::CREATED, Json(Pending { id, file: new.file })))
}

/// Throws a file away that waits for its message.
#[utoipa::path(delete, path = "/v1/files/{file}", tag = "messages",
    params(("file" = uuid::Uuid, Path, description = "The file")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: you have no such file", body = ProblemBody),
    )
)]
pub(crate) async fn discard(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(file): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::TakeMessages)?;
    state.app.store.delete_pending_file(caller.person.id, file).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns a file of a message, as a file.
#[utoipa::path(get, path = "/v1/messages/{message}/files/{position}", tag = "messages",
    params(
        ("message" = uuid::Uuid, Path, description = "The record"),
        ("position" = u32, Path, description = "Which of its `files`, from 0"),
    ),
    responses(
        (status = 200, description = "Its content", content(
            (Vec<u8> = "application/pdf"), (Vec<u8> = "audio/wav"), (Vec<u8> = "audio/mpeg"), (Vec<u8> = "image/png"),
            (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/tiff"), (Vec<u8> = "text/plain"), (Vec<u8> = "text/csv"),
        )),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: also if the message has no such file", body = ProblemBody),
    )
)]
pub(crate) async fn content(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path((message, position)): Path<(String, String)>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let missing = || Kind::UnknownRecord.with("the message has no such file");
    let message = find(&state, record_id(&message).ok_or_else(missing)?).await?;
    let position: usize = position.parse().map_err(|_| missing())?;
    let files = state.app.store.message_files(message.id).await?;
    let (file, content) = files.into_iter().nth(position).ok_or_else(missing)?;
    let details = json!({ "account": message.account, "number": message.number });
    audit_trail::record(&state, &caller, "message.file_read", ("", Some(message.id)), details).await;
    let name = format!("message-{}-{position}", message.number.as_deref().unwrap_or_default());
    let headers = [
        (header::CONTENT_TYPE, file.file_type.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
    ];
    Ok((headers, content).into_response())
}
