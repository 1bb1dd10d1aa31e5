//! Files of messages: a recording of a caller.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, record_id};
use super::messages::find;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::people::role::Permission;

/// Returns a file of a message, as a file.
#[utoipa::path(get, path = "/v1/messages/{message}/files/{position}", tag = "messages",
    params(
        ("message" = uuid::Uuid, Path, description = "The record"),
        ("position" = u32, Path, description = "Which of its `files`, from 0"),
    ),
    responses(
        (status = 200, description = "Its content", content_type = "application/octet-stream", body = Vec<u8>),
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
