//! Messages that operators take for accounts.
//!
//! | role | reads | takes, acknowledges | changes a text | deletes |
//! |---|---|---|---|---|
//! | operator | all, as in the directory: any operator may get the account's next call | yes | of their own messages | |
//! | supervisor | all | yes | of their own and their team's messages | |
//! | administrator | all | yes | of all messages | yes |
//! | system | all | yes | of its own messages | |
//!
//! A message may name a call that the user sees, or for which the user does wrap-up or owes a disposition. The caller's
//! number comes from the call, and so do account and customer unless the request names others. A call that has just
//! ended may not be in the store yet: the request waits for the record up to [`RECORD_TIMEOUT`], then answers 503
//! `store-unavailable` while the store is behind, else 422.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::customers::{account_id, no_such_account};
use super::extract::{Body, NoQuery, QueryParams, RecordPath, number_key};
use super::history::visibility_filter;
use super::idempotency;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{MessageQuery, page_limit};
use super::responses::with_location;
use super::state::AppState;
use crate::contract::call::CallView;
use crate::contract::history::FinishedCall;
use crate::contract::message::{Message, MessageState, NewMessage};
use crate::contract::operator::StateView;
use crate::directory::EditError;
use crate::ids::{CallId, RecordId};
use crate::people::role::{Permission, Role};
use crate::people::viewer::Viewer;
use crate::store::StoreError;
use crate::store::messages::{ChangeOutcome, MessageCursor, MessageFilter};

/// How long a request waits for the record of a call that has just ended.
const RECORD_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which it looks for the record.
const RECORD_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A new message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TakeMessage {
    /// The account; the call's account if absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    account: Option<RecordId>,
    /// The call in which the message was taken, live or finished.
    #[schema(value_type = Option<uuid::Uuid>)]
    call: Option<CallId>,
    /// The customer of the account who left the message; the call's customer if absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    customer: Option<RecordId>,
    /// The contact of the account for whom the message is.
    #[schema(value_type = Option<uuid::Uuid>)]
    contact: Option<RecordId>,
    /// The text: 1 to 4000 characters, line breaks allowed.
    text: String,
}

/// A change; at least one of the fields is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeMessage {
    /// The new text; only while the message is open.
    text: Option<String>,
    /// `acknowledged`: the account has received the message.
    state: Option<MessageState>,
}

/// Messages, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Messages {
    /// The messages.
    items: Vec<Message>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Lists the messages that match, newest first.
#[utoipa::path(get, path = "/v1/messages", tag = "messages", params(MessageQuery), responses(
    (status = 200, description = "A page", body = Messages),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<MessageQuery>,
) -> Result<Json<Messages>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let limit = page_limit(query.limit)?;
    let after = query.cursor.as_deref().map(|text| {
        MessageCursor::parse(text)
            .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the previous page"))
    });
    let filter = MessageFilter {
        account: account_id(query.account.as_deref())?,
        state: query.state,
        call: query.call,
        caller: query.caller.map(|text| number_key(&state.app.directory, "caller", &text)).transpose()?,
    };
    let mut items = state.app.store.messages(&filter, after.transpose()?, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|message| MessageCursor::of(message).to_string());
    Ok(Json(Messages { items, next }))
}

/// Saves a new message. With an `Idempotency-Key`, a repeated request does not save a second message, not even after a
/// crash of the daemon.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", request_body = TakeMessage,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key for each repeat of the request")),
    responses(
        (status = 201, description = "The record", body = Message),
        (status = 200, description = "A repeat: the current record of the first request", body = Message),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 422, description = "invalid-body; idempotency-key-reused: the key was used for another message", body = ProblemBody),
    )
)]
pub(crate) async fn take(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    headers: HeaderMap,
    Body(request): Body<TakeMessage>,
) -> Result<Response, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let text = crate::contract::message::clean_text(&request.text).map_err(EditError::from)?;
    let user = caller.person.id;
    let key = headers.get(&idempotency::KEY).and_then(|key| key.to_str().ok());
    let id = crate::contract::message::message_id(user, key);
    let store = &state.app.store;
    if key.is_some()
        && let Some(kept) = store.message(id).await?
    {
        return repeated(&request, &text, kept);
    }
    let facts = match request.call {
        Some(call) => Some(call_facts(&state, &caller, call).await?),
        None => None,
    };
    let of_call = facts.as_ref().and_then(|facts| facts.account);
    let account =
        request.account.or(of_call).ok_or_else(|| invalid("account: the call has no account; give one"))?;
    let customer = match request.customer {
        Some(id) => {
            let known = store.customer(id).await?.filter(|customer| customer.fields.account == account);
            Some(known.ok_or_else(|| invalid("customer: the account has no such customer"))?.id)
        }
        None => facts.as_ref().filter(|_| of_call == Some(account)).and_then(|facts| facts.customer),
    };
    if let Some(id) = request.contact {
        let known = store.contact(id).await?.filter(|contact| contact.fields.account == account);
        known.ok_or_else(|| invalid("contact: the account has no such contact"))?;
    }
    let new = NewMessage {
        id,
        account,
        call: request.call,
        customer,
        contact: request.contact,
        taken_by: user,
        taken_by_name: caller.person.name.clone(),
        caller: facts.and_then(|facts| facts.caller),
        text,
    };
    let (kept, is_new) =
        store.create_message(&new, state.app.bus.own_pbx(), now(&state)).await.map_err(refused)?;
    if !is_new {
        return repeated(&request, &new.text, kept);
    }
    state.app.message_relay.wake();
    answer(StatusCode::CREATED, kept)
}

/// Returns a message.
#[utoipa::path(get, path = "/v1/messages/{message}", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Message),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    Ok(Json(find(&state, id).await?))
}

/// Changes the text of an open message, or acknowledges that the account has received it.
#[utoipa::path(patch, path = "/v1/messages/{message}", tag = "messages", request_body = ChangeMessage,
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The changed record", body = Message),
        (status = 403, description = "not-permitted: only the operator who took it, their supervisor or an administrator changes a text", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "message-not-open", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(request): Body<ChangeMessage>,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let acknowledges = match request.state {
        None => false,
        Some(MessageState::Acknowledged) => true,
        Some(_) => return Err(invalid("state: only `acknowledged` can be set")),
    };
    if request.text.is_none() && !acknowledges {
        return Err(invalid("give text, state or both"));
    }
    let text = request
        .text
        .map(|text| crate::contract::message::clean_text(&text))
        .transpose()
        .map_err(EditError::from)?;
    if text.is_some() {
        let taken_by = find(&state, id).await?.taken_by;
        if !may_rewrite(&caller, taken_by) {
            return Err(Kind::NotPermitted.with(
                "only the operator who took the message, their supervisor or an administrator may change its text",
            ));
        }
    }
    let change = crate::contract::message::MessageUpdate {
        text,
        acknowledged_by: acknowledges.then_some(caller.person.id),
    };
    match state.app.store.change_message(id, &change, now(&state)).await? {
        ChangeOutcome::Applied(message) => {
            state.app.message_relay.wake();
            if change.text.is_some() && message.taken_by != Some(caller.person.id) {
                let details = serde_json::json!({ "taken_by": message.taken_by });
                audit_trail::record(&state, &caller, "message.changed", ("", Some(id)), details).await;
            }
            Ok(Json(message))
        }
        ChangeOutcome::NotOpen(message) if message.text.is_empty() => {
            Err(Kind::MessageNotOpen.with("the message's text was removed with the data of its caller"))
        }
        ChangeOutcome::NotOpen(message) => {
            Err(Kind::MessageNotOpen.with(format!("the message is {}", message.state.as_str())))
        }
    }
}

/// Deletes a message.
#[utoipa::path(delete, path = "/v1/messages/{message}", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::DeleteMessages)?;
    state.app.store.delete_message(id).await?;
    tracing::info!(%id, by = %caller.person.id, "deleted a message");
    audit_trail::record(&state, &caller, "message.deleted", ("", Some(id)), serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What a message takes over from its call.
struct CallFacts {
    account: Option<RecordId>,
    customer: Option<RecordId>,
    caller: Option<String>,
}

impl From<FinishedCall> for CallFacts {
    fn from(call: FinishedCall) -> Self {
        let caller = call.caller.map(|key| key.to_string());
        Self { account: call.account, customer: call.customer, caller }
    }
}

/// Reads a live call, or waits for the record of a call that has just ended.
async fn call_facts(state: &AppState, caller: &Caller, id: CallId) -> Result<CallFacts, Problem> {
    let deadline = Instant::now() + RECORD_TIMEOUT;
    loop {
        let live = state.app.bus.call(&Viewer::unrestricted(Role::System), id);
        if let Some(view) = live.filter(|view| may_attach(state, caller, view)) {
            return Ok(FinishedCall::of(&view, state.app.directory.plan()).into());
        }
        let finished = state.app.store.finished_call(id).await?;
        let is_visible = |call: &FinishedCall| {
            visibility_filter(state, &caller.viewer).is_none_or(|visible| visible.allows(call))
        };
        if let Some(call) = finished.filter(|call| is_visible(call) || is_worked_on(state, caller, id)) {
            return Ok(call.into());
        }
        if Instant::now() >= deadline {
            // While the store is behind, the call may only be unknown for now: the client must try again.
            let is_behind = state.app.bus.journal_stats().is_some_and(|log| log.unwritten_records > 0);
            return Err(if is_behind {
                Kind::StoreUnavailable
                    .with("call: its record may not be in the store yet; try again in a few seconds")
            } else {
                invalid("call: there is no such call, or you may not see it")
            });
        }
        sleep(RECORD_POLL_INTERVAL).await;
    }
}

/// Whether the user sees the call, or still has work to do for it after it went to another operator.
fn may_attach(state: &AppState, caller: &Caller, view: &CallView) -> bool {
    caller.viewer.sees_call(view) || is_worked_on(state, caller, view.id)
}

/// Whether the user has the call, does wrap-up for it, or owes its disposition.
fn is_worked_on(state: &AppState, caller: &Caller, call: CallId) -> bool {
    let is_on_call = |view: &StateView| {
        let mut work = view.wrap_up.iter().chain(&view.undisposed_work);
        // A daemon of an earlier version publishes `undisposed` alone.
        [view.call, view.undisposed].contains(&Some(call)) || work.any(|work| work.call == call)
    };
    let states = state.app.bus.snapshot(&caller.viewer).operators;
    states.iter().any(|view| view.id == caller.person.id && is_on_call(view))
}

fn may_rewrite(caller: &Caller, taken_by: Option<RecordId>) -> bool {
    taken_by == Some(caller.person.id)
        || caller.person.role == Role::Admin
        || taken_by.is_some_and(|taker| caller.viewer.is_supervisor() && caller.viewer.sees_person(taker))
}

/// Answers with the record of the first request if `request` repeats it.
fn repeated(request: &TakeMessage, text: &str, kept: Message) -> Result<Response, Problem> {
    let same = request.account.is_none_or(|account| account == kept.account)
        && request.call == kept.call
        && request.contact == kept.contact
        && (kept.version > 1 || kept.text == text);
    if same { answer(StatusCode::OK, kept) } else { Err(Kind::IdempotencyKeyReused.into()) }
}

fn answer(status: StatusCode, message: Message) -> Result<Response, Problem> {
    with_location(status, format!("/v1/messages/{}", message.id), message)
}

fn refused(error: StoreError) -> Problem {
    match error {
        StoreError::Erased => invalid("call: the data of its caller was deleted; leave the call out"),
        other => no_such_account(other),
    }
}

async fn find(state: &AppState, id: RecordId) -> Result<Message, Problem> {
    let found = state.app.store.message(id).await?;
    found.ok_or_else(|| Kind::UnknownRecord.with("there is no such message"))
}

fn invalid(detail: &'static str) -> Problem {
    Kind::InvalidBody.with(detail)
}

fn now(state: &AppState) -> Timestamp {
    state.app.clock.now()
}
