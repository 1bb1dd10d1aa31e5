//! Answers of the account's people to messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::messages::{find, shown};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::answer::{ANSWER_NAME_CHARS_MAX, ANSWER_NOTE_CHARS_MAX, AnswerKind, MessageAnswer};
use crate::contract::message::Message;
use crate::identity::printable;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::answers::{AnswerOutcome, NewAnswer};

/// The answers to a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageAnswers {
    /// The first one first; at most 100.
    items: Vec<MessageAnswer>,
}

/// What a person of the account told an operator about a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToldAnswer {
    /// What. All but `not_mine` and `note` acknowledge the message; with `not_mine` its route goes on at once.
    kind: AnswerKind,
    /// The contact who said so.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    contact: Option<RecordId>,
    /// The name of somebody else who said so, up to 60 characters.
    #[serde(default)]
    by_name: Option<String>,
    /// What else they said, up to 200 characters.
    #[serde(default)]
    note: Option<String>,
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

/// Shows the sensitive answers of a message to a person who does not work on its call. The audit trail has who saw them.
#[utoipa::path(post, path = "/v1/messages/{message}/reveal", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The whole record", body = Message),
        (status = 403, description = "not-permitted: only people see them", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn reveal(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let message = find(&state, id).await?;
    // Who may see them anyhow leaves no trace.
    if shown(&state, &caller, message.clone()) != message {
        let details = json!({ "number": message.number });
        audit_trail::record(&state, &caller, "message.revealed", ("", Some(id)), details).await;
    }
    Ok(Json(message))
}

/// Notes what a person of the account told an operator about a message.
#[utoipa::path(post, path = "/v1/messages/{message}/answers", tag = "messages", request_body = ToldAnswer,
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "All answers; the same one again is not added", body = MessageAnswers),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the message, or the contact of its account", body = ProblemBody),
        (status = 409, description = "message-changed: its content was corrected meanwhile", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn answer(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(told): Body<ToldAnswer>,
) -> Result<Json<MessageAnswers>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let message = find(&state, id).await?;
    let answer = NewAnswer {
        kind: told.kind,
        other_name: text("by_name", told.by_name.as_deref(), ANSWER_NAME_CHARS_MAX)?,
        note: text("note", told.note.as_deref(), ANSWER_NOTE_CHARS_MAX)?,
        revision: message.revision,
    };
    if answer.other_name.is_none() && told.contact.is_none() {
        return Err(Kind::InvalidBody.with("name the contact who answered, or write by_name"));
    }
    let of = (message.id, told.contact);
    let outcome =
        state.app.store.answer_by_operator(of, &answer, caller.person.id, state.app.clock.now()).await?;
    match outcome {
        AnswerOutcome::Taken | AnswerOutcome::Repeated | AnswerOutcome::Early => {}
        AnswerOutcome::Changed => return Err(Kind::MessageChanged.into()),
        AnswerOutcome::TooMany => return Err(Kind::InvalidBody.with("the message has 100 answers already")),
        AnswerOutcome::Gone => return Err(Kind::UnknownRecord.with("there is no such message")),
    }
    state.app.message_relay.wake();
    Ok(Json(MessageAnswers { items: state.app.store.message_answers(message.id).await? }))
}

/// A text that a person typed; `None` for none.
fn text(field: &str, text: Option<&str>, chars: usize) -> Result<Option<String>, Problem> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let kept = printable(text, usize::MAX).filter(|text| text.chars().count() <= chars);
    let kept = kept.ok_or_else(|| Kind::InvalidBody.with(format!("{field}: at most {chars} characters")))?;
    Ok(Some(kept.to_string()))
}
