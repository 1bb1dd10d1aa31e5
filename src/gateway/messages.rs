//! Messages over HTTP.
//!
//! | who | reads | takes, acknowledges | changes a text | deletes |
//! |---|---|---|---|---|
//! | operator | all, as the directory: the account's next call may reach anybody | yes | her own | |
//! | supervisor | all | yes | her own, her team's | |
//! | administrator | all | yes | all | yes |
//! | system | all | yes | its own | |
//!
//! A message of a call is tied to it by whoever has or had the call (or sees it); the caller's number and, unless the
//! request names others, account and customer come from there.

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

use super::auth::Caller;
use super::customers::{no_such_account, of_account};
use super::extract::{Asked, Body, Nothing, RecordPath, number};
use super::history::sight;
use super::idempotency;
use super::located::located;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{MessageQuery, page_limit};
use super::routes::Gate;
use crate::call::view::CallView;
use crate::directory::EditError;
use crate::ids::{CallId, RecordId};
use crate::message::{self, Message, MessageState, NewMessage};
use crate::operator::{Permission, Role, StateView, Viewer};
use crate::store::FinishedCall;
use crate::store::messages::{After, Changed, MessageFilter};

/// How long the record of a call that has just ended may take to reach the store.
const RECORD_WAIT: Duration = Duration::from_secs(2);
/// Pause between two looks.
const RECORD_LOOK: Duration = Duration::from_millis(50);

/// A message to write down.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TakeMessage {
    /// For whom; the call's account where absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    account: Option<RecordId>,
    /// The call it was taken in, live or over.
    #[schema(value_type = Option<uuid::Uuid>)]
    call: Option<CallId>,
    /// From whom: a customer of the account; the call's where absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    customer: Option<RecordId>,
    /// For which contact of the account.
    #[schema(value_type = Option<uuid::Uuid>)]
    contact: Option<RecordId>,
    /// What to say: 1 to 4000 characters, in as many lines as it takes.
    text: String,
}

/// What is to change; at least one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeMessage {
    /// Another text, while the message is open.
    text: Option<String>,
    /// `acknowledged`: the account has had it.
    state: Option<MessageState>,
}

/// Messages, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Messages {
    /// The messages.
    items: Vec<Message>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The messages that were asked for, the newest first.
#[utoipa::path(get, path = "/v1/messages", tag = "messages", params(MessageQuery), responses(
    (status = 200, description = "A page", body = Messages),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<MessageQuery>,
) -> Result<Json<Messages>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let limit = page_limit(query.limit)?;
    let after = query.cursor.as_deref().map(|text| {
        After::parse(text)
            .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the page before"))
    });
    let filter = MessageFilter {
        account: of_account(query.account.as_deref())?,
        state: query.state,
        call: query.call,
        caller: query.caller.map(|text| number(&gate.app.directory, "caller", &text)).transpose()?,
    };
    let mut items = gate.app.store.messages().page(&filter, after.transpose()?, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|message| After::of(message).to_string());
    Ok(Json(Messages { items, next }))
}

/// Writes a message down. With an `Idempotency-Key`, a repeat makes no second one, over a crash of the daemon too.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", request_body = TakeMessage,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same for a repeat of the same request")),
    responses(
        (status = 201, description = "The record", body = Message),
        (status = 200, description = "A repeat: the record of the first request, as it is now", body = Message),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 422, description = "invalid-body; idempotency-key-reused: for another message", body = ProblemBody),
    )
)]
pub(crate) async fn take(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    headers: HeaderMap,
    Body(wanted): Body<TakeMessage>,
) -> Result<Response, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let text = message::text(&wanted.text).map_err(EditError::from)?;
    let user = caller.person.id;
    let key = headers.get(&idempotency::KEY).and_then(|key| key.to_str().ok());
    let id = message::id_of(user, key);
    let store = &gate.app.store;
    if key.is_some()
        && let Some(kept) = store.messages().find(id).await?
    {
        return repeated(&wanted, &text, kept);
    }
    let facts = match wanted.call {
        Some(call) => Some(facts(&gate, &caller, call).await?),
        None => None,
    };
    let of_call = facts.as_ref().and_then(|facts| facts.account);
    let account = wanted.account.or(of_call).ok_or_else(|| invalid("account: the call has none; name it"))?;
    let customer = match wanted.customer {
        Some(id) => {
            let known =
                store.customers().find(id).await?.filter(|customer| customer.fields.account == account);
            Some(known.ok_or_else(|| invalid("customer: the account has no such customer"))?.id)
        }
        None => facts.as_ref().filter(|_| of_call == Some(account)).and_then(|facts| facts.customer),
    };
    if let Some(id) = wanted.contact {
        let known = store.contacts().find(id).await?.filter(|contact| contact.fields.account == account);
        known.ok_or_else(|| invalid("contact: the account has no such contact"))?;
    }
    let new = NewMessage {
        id,
        account,
        call: wanted.call,
        customer,
        contact: wanted.contact,
        taken_by: user,
        taken_by_name: caller.person.name.clone(),
        caller: facts.and_then(|facts| facts.caller),
        text,
    };
    let (kept, made) =
        store.messages().create(&new, gate.app.bus.own_pbx(), now(&gate)).await.map_err(no_such_account)?;
    if !made {
        return repeated(&wanted, &new.text, kept);
    }
    gate.app.teller.wake();
    answer(StatusCode::CREATED, kept)
}

/// One of them.
#[utoipa::path(get, path = "/v1/messages/{message}", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Message),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    Ok(Json(found(&gate, id).await?))
}

/// Changes the text of an open message, or notes that the account has had it.
#[utoipa::path(patch, path = "/v1/messages/{message}", tag = "messages", request_body = ChangeMessage,
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record as it is now", body = Message),
        (status = 403, description = "not-permitted: only she, her supervisor or an admin changes a text", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "message-not-open", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(wanted): Body<ChangeMessage>,
) -> Result<Json<Message>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let acknowledges = match wanted.state {
        None => false,
        Some(MessageState::Acknowledged) => true,
        Some(_) => return Err(invalid("state: only acknowledged is set")),
    };
    if wanted.text.is_none() && !acknowledges {
        return Err(invalid("text or state must be given"));
    }
    let text = wanted.text.map(|text| message::text(&text)).transpose().map_err(EditError::from)?;
    if text.is_some() {
        let taken_by = found(&gate, id).await?.taken_by;
        if !may_rewrite(&gate, &caller, taken_by) {
            return Err(Kind::NotPermitted.with("only who took it, her supervisor or an administrator may"));
        }
    }
    let change = message::Change { text, acknowledged_by: acknowledges.then_some(caller.person.id) };
    match gate.app.store.messages().change(id, &change, now(&gate)).await? {
        Changed::Done(message) => {
            gate.app.teller.wake();
            Ok(Json(message))
        }
        Changed::NotOpen(message) => {
            Err(Kind::MessageNotOpen.with(format!("it is {}", message.state.as_str())))
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
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::DeleteMessages)?;
    gate.app.store.messages().delete(id).await?;
    tracing::info!(%id, by = %caller.person.id, "a message was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// What a call tells of a message that is taken in it.
struct Facts {
    account: Option<RecordId>,
    customer: Option<RecordId>,
    caller: Option<String>,
}

impl From<FinishedCall> for Facts {
    fn from(call: FinishedCall) -> Self {
        let caller = call.caller.map(|key| key.to_string());
        Self { account: call.account, customer: call.customer, caller }
    }
}

/// Looks at a live call, or at the record of one that is over: it may still be on its way to the store.
async fn facts(gate: &Gate, caller: &Caller, id: CallId) -> Result<Facts, Problem> {
    let deadline = Instant::now() + RECORD_WAIT;
    loop {
        let live = gate.app.bus.call(&Viewer::all_seeing(Role::System), id);
        if let Some(view) = live.filter(|view| concerns(gate, caller, view)) {
            return Ok(FinishedCall::of(&view, gate.app.directory.plan()).into());
        }
        let over = gate.app.store.finished_call(id).await?;
        let is_hers = |call: &FinishedCall| sight(&caller.viewer).is_none_or(|sight| sight.has(call));
        if let Some(call) = over.filter(|call| is_hers(call) || worked_on(gate, caller, id)) {
            return Ok(call.into());
        }
        if Instant::now() >= deadline {
            // A call that is unknown only as long as the store is behind is no reason to refuse a message for good.
            let is_behind = gate.app.bus.written().is_some_and(|log| log.unwritten_records > 0);
            return Err(if is_behind {
                Kind::StoreUnavailable.with("call: its record may not be written yet; try again later")
            } else {
                invalid("call: there is no such call in your sight")
            });
        }
        sleep(RECORD_LOOK).await;
    }
}

/// Whether the call is in sight, or goes on elsewhere after she had it.
fn concerns(gate: &Gate, caller: &Caller, view: &CallView) -> bool {
    caller.viewer.sees_call(view) || worked_on(gate, caller, view.id)
}

/// Whether she does after-call work for it, or still owes a disposition.
fn worked_on(gate: &Gate, caller: &Caller, call: CallId) -> bool {
    let works = |view: &StateView| {
        let after = view.wrap_up.as_ref().map(|work| work.call);
        [view.call, after, view.undisposed].contains(&Some(call))
    };
    let states = gate.app.bus.snapshot(&caller.viewer).operators;
    states.iter().any(|view| view.id == caller.person.id && works(view))
}

fn may_rewrite(gate: &Gate, caller: &Caller, taken_by: Option<RecordId>) -> bool {
    let seat = taken_by.and_then(|id| gate.app.people.current().person(id)?.extension.clone());
    taken_by == Some(caller.person.id)
        || caller.person.role == Role::Admin
        || seat.is_some_and(|seat| caller.viewer.is_supervisor() && caller.actor().may_act_for(&seat))
}

/// The record of the first request, if this one is its repeat.
fn repeated(wanted: &TakeMessage, text: &str, kept: Message) -> Result<Response, Problem> {
    let same = wanted.account.is_none_or(|account| account == kept.account)
        && wanted.call == kept.call
        && wanted.contact == kept.contact
        && (kept.version > 1 || kept.text == text);
    if same { answer(StatusCode::OK, kept) } else { Err(Kind::IdempotencyKeyReused.into()) }
}

fn answer(status: StatusCode, message: Message) -> Result<Response, Problem> {
    located(status, format!("/v1/messages/{}", message.id), message)
}

async fn found(gate: &Gate, id: RecordId) -> Result<Message, Problem> {
    let found = gate.app.store.messages().find(id).await?;
    found.ok_or_else(|| Kind::UnknownRecord.with("there is no such message"))
}

fn invalid(detail: &'static str) -> Problem {
    Kind::InvalidBody.with(detail)
}

fn now(gate: &Gate) -> Timestamp {
    gate.app.clock.now()
}
