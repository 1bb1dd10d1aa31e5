//! What is done with a message besides taking and changing it: corrections, withdrawal, holding, its revisions and its
//! timeline; and what forms for messages are built from.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::export::may_export;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::message_patch::MessagePatch;
use super::messages::{Edit, erased, find, invalid, may_rewrite, now, shown};
use super::problem::{Kind, Problem, ProblemBody};
use super::scripts::may_edit;
use super::state::AppState;
use crate::contract::choice::Choice;
use crate::contract::message::{Message, MessageRevision};
use crate::contract::words::WordKind;
use crate::identity::printable;
use crate::ids::RecordId;
use crate::messages::RequiredMessages;
use crate::people::role::Permission;
use crate::store::messages::{MessageCounts, WithdrawOutcome};

/// Longest reason of a correction, in characters.
const WHY_CHARS_MAX: usize = 200;

/// A correction: a reason, and the fields that change, as in a change of the message.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CorrectMessage {
    /// Why, up to 200 characters.
    why: String,
    /// The version that the client last saw. If another one is current, the answer is 409 with the current message.
    version: u64,
    /// The fields.
    #[serde(flatten)]
    #[schema(value_type = MessagePatch)]
    fields: Map<String, Value>,
}

/// The contents that a message has had.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageRevisions {
    /// The first one first.
    items: Vec<MessageRevision>,
}

/// What forms for messages are built from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageOptions {
    /// Why callers call.
    reasons: Vec<Choice>,
    /// Surnames, in katakana, for which the form asks for gender and department.
    #[schema(value_type = Vec<String>)]
    common_surnames: Vec<smol_str::SmolStr>,
    /// Whether every call needs a message, a completed transfer or a reason for none. Where scripts decide, their forms say so.
    required: bool,
    /// The dispositions that are a reason for no message.
    #[schema(value_type = Vec<String>)]
    no_message_reasons: Vec<smol_str::SmolStr>,
    /// How long a message can be withdrawn, in seconds.
    undo_s: u64,
    /// Whether the user may export messages.
    may_export: bool,
    /// Whether the user may save, publish and retire scripts.
    may_edit_scripts: bool,
}

/// Until when a message is held.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldMessage {
    /// The time from which it is delivered; in the future.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

/// Returns the reasons, the common surnames and the rules of the installation.
#[utoipa::path(get, path = "/v1/messages/options", tag = "messages", responses(
    (status = 200, description = "The words as administrators left them; the rules from the configuration", body = MessageOptions),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn options(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<MessageOptions>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let (settings, words) = (&state.app.settings.messages, state.app.words.current());
    Ok(Json(MessageOptions {
        reasons: words.choices(WordKind::MessageReason),
        common_surnames: settings.common_surnames.clone(),
        required: settings.required == RequiredMessages::Answered,
        no_message_reasons: words.no_message_reasons(),
        undo_s: settings.undo.as_secs(),
        may_export: may_export(&state, &caller),
        may_edit_scripts: may_edit(&state, &caller),
    }))
}

/// Corrects a message. A message that nobody can have received is changed; otherwise the message gets another revision and is
/// open again, and the content before it stays readable as a revision.
#[utoipa::path(post, path = "/v1/messages/{message}/corrections", tag = "messages", request_body = CorrectMessage,
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The corrected record", body = Message),
        (status = 403, description = "not-permitted: only the operator who took it, their supervisor or an administrator corrects a message", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "message-changed: `message` is the current one; message-not-open: it was withdrawn, or the data of its caller was deleted", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn correct(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(request): Body<CorrectMessage>,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let why = printable(&request.why, usize::MAX).filter(|why| why.chars().count() <= WHY_CHARS_MAX);
    let why = why.ok_or_else(|| invalid("why: give a reason of 1 to 200 characters"))?;
    if request.fields.is_empty() {
        return Err(invalid("give the fields that change"));
    }
    // The reason may name the caller: it stays with the revision, where an erasure finds it.
    let mut details = audit_trail::fields_of(&Value::Object(request.fields.clone()));
    let edit = Edit {
        id,
        patch: request.fields,
        version: Some(request.version),
        acknowledges: false,
        why: Some(why.to_string()),
    };
    let message = edit.apply(&state, &caller).await?;
    details["revision"] = json!(message.revision);
    details["number"] = json!(message.number);
    audit_trail::record(&state, &caller, "message.corrected", ("", Some(id)), details).await;
    Ok(Json(shown(&state, &caller, message)))
}

/// Withdraws a message right after it was taken (`undo_s` of the options). It is in no list any more and is not delivered.
#[utoipa::path(post, path = "/v1/messages/{message}/undo", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The withdrawn record", body = Message),
        (status = 403, description = "not-permitted: only the operator who took it, their supervisor or an administrator withdraws a message", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "already-sent: the time is over, or the account may have the message; message-not-open: the data of its caller was deleted", body = ProblemBody),
    )
)]
pub(crate) async fn undo(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    if !may_rewrite(&caller, find(&state, id).await?.taken_by) {
        return Err(Kind::NotPermitted.with(
            "only the operator who took the message, their supervisor or an administrator may withdraw it",
        ));
    }
    let at = now(&state);
    let since = at.checked_sub(state.app.settings.messages.undo).unwrap_or(at);
    match state.app.store.withdraw_message(id, since, at).await? {
        WithdrawOutcome::Withdrawn(message) => {
            // Otherwise the request repeats an earlier one.
            if message.withdrawn_at.is_some_and(|then| then.as_millisecond() == at.as_millisecond()) {
                state.app.message_relay.wake();
                let details = json!({ "number": message.number });
                audit_trail::record(&state, &caller, "message.withdrawn", ("", Some(id)), details).await;
            }
            Ok(Json(shown(&state, &caller, message)))
        }
        WithdrawOutcome::TooLate(message) if message.is_erased() => Err(erased(&state, &caller, message)),
        WithdrawOutcome::TooLate(message) => {
            Err(Problem::from(Kind::AlreadySent).message(shown(&state, &caller, message)))
        }
    }
}

/// Counts the messages of the last 31 days that a person must see to.
#[utoipa::path(get, path = "/v1/messages/attention", tag = "messages", responses(
    (status = 200, description = "The counts", body = MessageCounts),
))]
pub(crate) async fn attention(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<MessageCounts>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    Ok(Json(state.app.store.messages_to_see_to(now(&state)).await?))
}

/// Lists the contents that a message has had, the first one first. A message of an earlier version has none before its first
/// change.
#[utoipa::path(get, path = "/v1/messages/{message}/revisions", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The contents", body = MessageRevisions),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn revisions(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<MessageRevisions>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let message = find(&state, id).await?;
    let mut items = state.app.store.message_revisions(id).await?;
    for revision in &mut items {
        // A person who may read the answers of the message may read those of its revisions.
        let of_revision = Message { fields: std::mem::take(&mut revision.content), ..message.clone() };
        revision.content = shown(&state, &caller, of_revision).fields;
    }
    Ok(Json(MessageRevisions { items }))
}

/// Holds an open message: it is not delivered before `until`.
#[utoipa::path(post, path = "/v1/messages/{message}/hold", tag = "messages", request_body = HoldMessage,
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The held record", body = Message),
        (status = 403, description = "not-permitted: only the operator who took it, their supervisor or an administrator holds a message", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "message-not-open: the account may have it", body = ProblemBody),
        (status = 422, description = "invalid-body: the time is past or more than a year ahead", body = ProblemBody),
    )
)]
pub(crate) async fn hold(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(HoldMessage { until }): Body<HoldMessage>,
) -> Result<Json<Message>, Problem> {
    holds(&state, &caller, id, json!(until.to_string())).await
}

/// Releases an open message that is held: it is delivered now.
#[utoipa::path(post, path = "/v1/messages/{message}/release", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The released record", body = Message),
        (status = 403, description = "not-permitted: only the operator who took it, their supervisor or an administrator releases a message", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "message-not-open: the account may have it", body = ProblemBody),
    )
)]
pub(crate) async fn release(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<Json<Message>, Problem> {
    holds(&state, &caller, id, Value::Null).await
}

/// Sets until when an open message is held.
async fn holds(
    state: &AppState,
    caller: &Caller,
    id: RecordId,
    until: Value,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let patch = Map::from_iter([("hold_until".to_owned(), until)]);
    let edit = Edit { id, patch, version: None, acknowledges: false, why: None };
    let message = edit.apply(state, caller).await?;
    if message.taken_by != Some(caller.person.id) {
        let details = json!({ "taken_by": message.taken_by });
        audit_trail::record(state, caller, "message.changed", ("", Some(id)), details).await;
    }
    Ok(Json(shown(state, caller, message)))
}
