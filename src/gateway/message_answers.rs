//! Answers of the account's people to messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::messages::find;
use super::problem::{Problem, ProblemBody};
use super::state::AppState;
use crate::contract::answer::MessageAnswer;
use crate::people::role::Permission;

/// The answers to a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageAnswers {
    /// The first one first; at most 100.
    items: Vec<MessageAnswer>,
}

/// Lists what people of the account answered to a message, the first answer first.
#[utoipa::path(get, path = "/v1/messages/{message}/answers", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The answers", body = MessageAnswers),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn answers(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<MessageAnswers>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let message = find(&state, id).await?;
    Ok(Json(MessageAnswers { items: state.app.store.message_answers(message.id).await? }))
}
