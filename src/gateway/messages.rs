//! Messages that operators take for accounts.
//!
//! | role | reads | takes, acknowledges | changes, corrects, holds, withdraws | deletes |
//! |---|---|---|---|---|
//! | operator | all, as in the directory: any operator may get the account's next call | yes | their own messages | |
//! | supervisor | all | yes | their own and their team's messages | |
//! | administrator | all | yes | all messages | yes |
//! | system | all | yes | its own messages | |
//!
//! A sensitive answer is read by supervisors and administrators, and by the operator who has the call or does its wrap-up;
//! others read [`HIDDEN`](crate::contract::message::HIDDEN).
//!
//! A message may name a call that the user sees, or for which the user does wrap-up or owes a disposition. The caller's
//! number comes from the call, and so do account and customer unless the request names others (`call_facts.rs`).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::call_facts::{CallFacts, call_facts, is_worked_on};
use super::customers::{account_id, no_such_account};
use super::extract::{Body, NoQuery, QueryParams, RecordPath, number_key, record_id};
use super::idempotency;
use super::message_patch::MessagePatch;
use super::message_routes::plan_of;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{MessageQuery, page_limit};
use super::responses::with_location;
use super::script_forms::OfCall;
use super::state::AppState;
use crate::contract::message::{
    CheckedMessage, ContentChange, MESSAGE_FILES_MAX, Message, MessageFields, MessageKind, MessageState,
    MessageUpdate, NewMessage, NumberSource,
};
use crate::directory::EditError;
use crate::ids::{CallId, RecordId};
use crate::numbers::Number;
use crate::people::role::Permission;
use crate::store::StoreError;
use crate::store::message_files::PendingFiles;
use crate::store::messages::{ChangeOutcome, MessageCursor, MessageFilter};

/// How far back a search by text goes when the request names no time.
const SEARCH_PERIOD: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How often a change of fields is made again from a message that changed meanwhile.
const CHANGE_ATTEMPTS_MAX: u32 = 8;

/// A new message.
#[derive(Debug, Deserialize, ToSchema)]
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
    /// What it is: `message`, `report` (of a call without a message) or, from supervisors and administrators, `test`.
    #[serde(default)]
    kind: MessageKind,
    /// Files that were uploaded for it (`POST /v1/files`): at most 5, together at most 7 MiB.
    #[serde(default)]
    #[schema(value_type = Vec<uuid::Uuid>)]
    files: Vec<RecordId>,
    /// What the operator writes.
    #[serde(flatten)]
    #[schema(value_type = MessageFields)]
    fields: StrictFields,
}

/// Fields without unknown ones, also where they are flattened.
#[derive(Debug)]
struct StrictFields(MessageFields);

impl<'de> Deserialize<'de> for StrictFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        MessageFields::read(deserializer).map(Self)
    }
}

/// A change: `state`, or any of the fields of a new message but `account`, `call` and `customer`, or both. The fields are a
/// JSON merge patch: members replace, `null` resets to the default.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ChangeMessage {
    /// `acknowledged`: the account has received the message.
    state: Option<MessageState>,
    /// The version that the client last saw. If another one is current, the answer is 409 with the current message.
    version: Option<u64>,
    /// The fields; only while the message is open.
    #[serde(flatten)]
    #[schema(value_type = MessagePatch)]
    fields: Map<String, Value>,
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
    let filter = filter_of(&state, query)?;
    let mut items = state.app.store.messages(&filter, after.transpose()?, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|message| MessageCursor::of(message).to_string());
    let items = items.into_iter().map(|message| shown(&state, &caller, message)).collect();
    Ok(Json(Messages { items, next }))
}

/// From when on a search by text looks for messages that names no time. Without it a search would read every message that there
/// ever was.
pub(super) fn search_begins(state: &AppState) -> Option<Timestamp> {
    now(state).checked_sub(SEARCH_PERIOD).ok()
}

/// The filter that a query names.
pub(super) fn filter_of(state: &AppState, query: MessageQuery) -> Result<MessageFilter, Problem> {
    let id = |key: &str, text: Option<String>| {
        let read = |text: String| {
            record_id(&text)
                .ok_or_else(|| Kind::InvalidQuery.with(format!("{key}: the id of a record is a UUID")))
        };
        text.map(read).transpose()
    };
    let text = query.q.filter(|text| !text.trim().is_empty());
    let period = text.as_ref().and_then(|_| search_begins(state));
    Ok(MessageFilter {
        account: account_id(query.account.as_deref())?,
        state: query.state,
        delivery: query.delivery,
        is_unanswered: query.unanswered,
        call: query.call,
        caller: query.caller.map(|text| number_key(&state.app.directory, "caller", &text)).transpose()?,
        kind: query.kind,
        urgency: query.urgency,
        mark: query.mark,
        contact: id("contact", query.contact)?,
        taken_by: id("taken_by", query.taken_by)?,
        number: query.number,
        held: query.held.map(|is_held| (is_held, now(state))),
        from: query.from.or(period),
        to: query.to,
        text,
    })
}

/// The message as the user may read it.
pub(super) fn shown(state: &AppState, caller: &Caller, mut message: Message) -> Message {
    let is_hidden = message.fields.answers.iter().any(|answer| answer.sensitive)
        && !caller.may(Permission::LeadTeam)
        && !message.call.is_some_and(|call| is_worked_on(state, caller, call));
    if is_hidden {
        message.fields.hide_sensitive();
    }
    message
}

/// Saves a new message. With an `Idempotency-Key`, a repeated request does not save a second message, not even after a
/// crash of the daemon.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", request_body = TakeMessage,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key for each repeat of the request")),
    responses(
        (status = 201, description = "The record", body = Message),
        (status = 200, description = "A repeat: the current record of the first request", body = Message),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 422, description = "invalid-body; script-incomplete: `missing` has the questions of the script that must be answered; idempotency-key-reused: the key was used for another message", body = ProblemBody),
    )
)]
pub(crate) async fn take(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    headers: HeaderMap,
    Body(request): Body<TakeMessage>,
) -> Result<Response, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let TakeMessage { account, call, customer, kind, files, fields: StrictFields(fields) } = request;
    may_take(&caller, kind)?;
    if files.len() > MESSAGE_FILES_MAX {
        return Err(invalid("files: at most 5"));
    }
    let text = crate::contract::message::clean_text(&fields.text).map_err(EditError::from)?;
    let user = caller.person.id;
    let key = headers.get(&idempotency::KEY).and_then(|key| key.to_str().ok());
    let id = crate::contract::message::message_id(user, key);
    let store = &state.app.store;
    let repeats = Repeats { account, call, contact: fields.contact, text };
    if key.is_some()
        && let Some(kept) = store.message(id).await?
    {
        return repeats.answer(planned(&state, &caller, kept).await);
    }
    let facts = match call {
        Some(call) => Some(call_facts(&state, &caller, call).await?),
        None => None,
    };
    let of_call = facts.as_ref().and_then(|facts| facts.account);
    let account = account.or(of_call).ok_or_else(|| invalid("account: the call has no account; give one"))?;
    let customer = match customer {
        Some(id) => {
            let known = store.customer(id).await?.filter(|customer| customer.fields.account == account);
            Some(known.ok_or_else(|| invalid("customer: the account has no such customer"))?.id)
        }
        None => facts.as_ref().filter(|_| of_call == Some(account)).and_then(|facts| facts.customer),
    };
    let at = now(&state);
    let of = OfCall {
        call: facts.as_ref(),
        customer,
        at: facts.as_ref().map_or(at, |facts| facts.offered_at),
        transfer_failed: fields.transfer.is_some(),
    };
    let fields = of.hold(&state, account, fields, None).await?;
    let number = facts.and_then(|facts| facts.caller);
    let content = checked(&state, fields, None, (account, number.as_deref())).await?;
    let not_before = state.app.settings.messages.sendable_at(at, content.fields.urgency);
    let new = NewMessage {
        id,
        account,
        call,
        customer,
        kind,
        taken_by: Some(user),
        taken_by_name: caller.person.name.clone(),
        caller: number,
        content,
        day: state.app.settings.messages.day(at),
        not_before,
    };
    let files = PendingFiles { user, ids: &files };
    let (kept, is_new) =
        store.create_message_of_pending(&new, files, state.app.bus.own_pbx(), at).await.map_err(refused)?;
    let kept = planned(&state, &caller, kept).await;
    if !is_new {
        return repeats.answer(kept);
    }
    state.app.message_relay.wake();
    answer(StatusCode::CREATED, kept)
}

/// The message as the user may read it, with who gets it.
async fn planned(state: &AppState, caller: &Caller, message: Message) -> Message {
    let plan = plan_of(state, &message).await;
    let mut message = shown(state, caller, message);
    message.delivery.plan = plan;
    message
}

/// Whether the user may take a message of this kind.
fn may_take(caller: &Caller, kind: MessageKind) -> Result<(), Problem> {
    match kind {
        MessageKind::Message | MessageKind::Report => Ok(()),
        MessageKind::Test if caller.may(Permission::LeadTeam) => Ok(()),
        MessageKind::Test => {
            Err(Kind::NotPermitted.with("only supervisors and administrators test the delivery"))
        }
        MessageKind::Fax | MessageKind::Voice | MessageKind::Callback | MessageKind::Digest => Err(invalid(
            "kind: nobody takes a fax, a spoken message or a digest; `message`, `report` or `test`",
        )),
    }
}

/// Checks fields that follow `before`, of a message for `account` from a caller with the number `caller`.
pub(super) async fn checked(
    state: &AppState,
    mut fields: MessageFields,
    before: Option<&MessageFields>,
    (account, caller): (RecordId, Option<&str>),
) -> Result<CheckedMessage, Problem> {
    let settings = &state.app.settings.messages;
    if let Some(id) = fields.contact.filter(|id| before.is_none_or(|before| before.contact != Some(*id))) {
        let known = state.app.store.contact(id).await?.filter(|contact| contact.fields.account == account);
        known.ok_or_else(|| invalid("contact: the account has no such contact"))?;
    }
    let plan = state.app.directory.plan();
    if fields.from.number_is == Some(NumberSource::Call) {
        let number = caller.and_then(|key| Number::read(key, plan)).ok_or_else(|| {
            invalid(
                "from.number_is: the call shows no number; give the number that the caller told, as `told`",
            )
        })?;
        fields.from.number = Some(number.display());
    }
    fields.check_times(before, now(state)).map_err(EditError::from)?;
    // A subject that nobody wrote follows the reason and the action.
    let is_own =
        |subject: &String| before.is_none_or(|before| settings.subject(before).as_ref() != Some(subject));
    if !fields.subject.as_ref().is_some_and(is_own) {
        fields.subject = settings.subject(&fields);
    }
    Ok(fields.checked(plan).map_err(EditError::from)?)
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
    Ok(Json(shown(&state, &caller, find(&state, id).await?)))
}

/// Changes the fields of an open message, or acknowledges that the account has received it.
#[utoipa::path(patch, path = "/v1/messages/{message}", tag = "messages", request_body = ChangeMessage,
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The changed record", body = Message),
        (status = 403, description = "not-permitted: only the operator who took it, their supervisor or an administrator changes a message", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "message-not-open: correct it instead, or the data of its caller was deleted; message-changed: `message` is the current one", body = ProblemBody),
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
    let mut patch = request.fields;
    // A text cannot be reset; older clients send `null` for no change.
    if patch.get("text").is_some_and(Value::is_null) {
        patch.remove("text");
    }
    if patch.is_empty() && !acknowledges {
        return Err(invalid("give text or another field, state or both"));
    }
    let edit = Edit { id, patch, version: request.version, acknowledges, why: None };
    let message = edit.apply(&state, &caller).await?;
    if !edit.patch.is_empty() && message.taken_by != Some(caller.person.id) {
        let details = serde_json::json!({ "taken_by": message.taken_by });
        audit_trail::record(&state, &caller, "message.changed", ("", Some(id)), details).await;
    }
    Ok(Json(shown(&state, &caller, message)))
}

/// A change of a message's content or state that a request asks for.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) id: RecordId,
    /// A JSON merge patch of the fields; empty: the content stays.
    pub(super) patch: Map<String, Value>,
    /// The version that the client saw, if it names one.
    pub(super) version: Option<u64>,
    pub(super) acknowledges: bool,
    /// Why a content that may have been received is corrected.
    pub(super) why: Option<String>,
}

impl Edit {
    /// Makes the change and wakes the relay. A change that another one overtook is made again from the new content, unless
    /// the client named a version.
    pub(super) async fn apply(&self, state: &AppState, caller: &Caller) -> Result<Message, Problem> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let before = find(state, self.id).await?;
            if !self.patch.is_empty() && !may_rewrite(caller, before.taken_by) {
                return Err(Kind::NotPermitted.with(
                    "only the operator who took the message, their supervisor or an administrator may change it",
                ));
            }
            if !self.patch.is_empty() && before.is_erased() {
                return Err(erased(state, caller, before));
            }
            if self.version.is_some_and(|version| version != before.version) {
                return Err(changed(state, caller, before));
            }
            let content = match self.patch.is_empty() {
                true => None,
                false => Some(self.content(state, caller, &before).await?),
            };
            let acknowledged_by = self.acknowledges.then_some(caller.person.id);
            let update = MessageUpdate { content, acknowledged_by };
            match state.app.store.change_message(self.id, &update, now(state)).await? {
                ChangeOutcome::Applied(message) => {
                    state.app.message_relay.wake();
                    return Ok(message);
                }
                ChangeOutcome::Stale(message) if self.version.is_some() => {
                    return Err(changed(state, caller, message));
                }
                ChangeOutcome::Stale(_) => {}
                ChangeOutcome::NotOpen(message) if message.is_erased() => {
                    return Err(erased(state, caller, message));
                }
                ChangeOutcome::NotOpen(message) => {
                    let is = match message.state {
                        _ if message.withdrawn_at.is_some() => "withdrawn",
                        MessageState::Open => "being sent; correct it instead",
                        state => state.as_str(),
                    };
                    let problem = Kind::MessageNotOpen.with(format!("the message is {is}"));
                    return Err(problem.message(shown(state, caller, message)));
                }
            }
        }
        Err(Problem::from(Kind::Overloaded).retry_after(Duration::from_secs(1)))
    }

    async fn content(
        &self,
        state: &AppState,
        caller: &Caller,
        before: &Message,
    ) -> Result<ContentChange, Problem> {
        let fields = before.fields.patched(&self.patch).map_err(EditError::from)?;
        let call = match before.call {
            Some(call) => state.app.store.finished_call(call).await?.map(CallFacts::from),
            None => None,
        };
        let held = OfCall {
            call: call.as_ref(),
            customer: before.customer,
            at: call.as_ref().map_or(before.created_at, |call| call.offered_at),
            transfer_failed: fields.transfer.is_some(),
        };
        let fields = held.hold(state, before.account, fields, Some(&before.fields)).await?;
        let of = (before.account, before.caller.as_deref());
        let content = checked(state, fields, Some(&before.fields), of).await?;
        let not_before = state.app.settings.messages.sendable_at(before.created_at, content.fields.urgency);
        Ok(ContentChange {
            content,
            version: before.version,
            by: Some(caller.person.id),
            by_name: caller.person.name.clone(),
            correction: self.why.clone(),
            not_before,
        })
    }
}

fn changed(state: &AppState, caller: &Caller, message: Message) -> Problem {
    let detail = format!("the message is version {} now", message.version);
    Kind::MessageChanged.with(detail).message(shown(state, caller, message))
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

pub(super) fn may_rewrite(caller: &Caller, taken_by: Option<RecordId>) -> bool {
    taken_by == Some(caller.person.id)
        || caller.may(Permission::ServeEveryTeam)
        || taken_by.is_some_and(|taker| caller.viewer.is_supervisor() && caller.viewer.sees_person(taker))
}

/// What a repeated request has in common with the first one.
#[derive(Debug)]
struct Repeats {
    account: Option<RecordId>,
    call: Option<CallId>,
    contact: Option<RecordId>,
    text: String,
}

impl Repeats {
    /// Answers with the record of the first request if this one repeats it.
    fn answer(&self, kept: Message) -> Result<Response, Problem> {
        let is_same_content = || self.contact == kept.fields.contact && self.text == kept.fields.text;
        let same = self.account.is_none_or(|account| account == kept.account)
            && self.call == kept.call
            && (kept.version > 1 || is_same_content());
        if same {
            answer(StatusCode::OK, kept)
        } else {
            Err(Problem::from(Kind::IdempotencyKeyReused).message(kept))
        }
    }
}

fn answer(status: StatusCode, message: Message) -> Result<Response, Problem> {
    with_location(status, format!("/v1/messages/{}", message.id), message)
}

fn refused(error: StoreError) -> Problem {
    match error {
        StoreError::Erased => invalid("call: the data of its caller was deleted; leave the call out"),
        StoreError::Missing { what: "file of the person" } => {
            invalid("files: you have no such file; upload it again")
        }
        StoreError::Missing { what: "room for so many bytes of files" } => {
            invalid("files: together at most 7 MiB, which a mail may have")
        }
        other => no_such_account(other),
    }
}

/// Why a message whose caller's data was deleted does not change.
pub(super) fn erased(state: &AppState, caller: &Caller, message: Message) -> Problem {
    let problem = Kind::MessageNotOpen.with("the message's content was removed with the data of its caller");
    problem.message(shown(state, caller, message))
}

pub(super) async fn find(state: &AppState, id: RecordId) -> Result<Message, Problem> {
    let found = state.app.store.message(id).await?;
    found.ok_or_else(|| Kind::UnknownRecord.with("there is no such message"))
}

pub(super) fn invalid(detail: &'static str) -> Problem {
    Kind::InvalidBody.with(detail)
}

pub(super) fn now(state: &AppState) -> Timestamp {
    state.app.clock.now()
}
