//! Operators and supervisors: their states, wrap-up, state history, and their calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::script_forms::script_wants_message;
use super::state::AppState;
use crate::command::{Answer, Command};
use crate::contract::call::{CallState, CallView};
use crate::contract::history::FinishedCall;
use crate::contract::operator::StateView;
use crate::identity::printable;
use crate::ids::{CallId, Extension, RecordId};
use crate::messages::RequiredMessages;
use crate::operators as operator;
use crate::operators::{Options, StateRequest};
use crate::people::role::{Permission, Role};
use crate::people::roster::{Person, Roster};
use crate::store::messages::MessageFilter;
use crate::store::operators::{STATE_CHANGES_MAX, StateHistoryEntry};
use crate::transfer;

/// Longest name of a desktop, in characters.
const DESKTOP_CHARS_MAX: usize = 64;

/// The operators and supervisors that the user may see: by extension, then those without one, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operators {
    /// The people.
    items: Vec<OperatorView>,
}

/// An operator or supervisor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorView {
    /// The state, as in `operator.state` events.
    #[serde(flatten)]
    state: StateView,
    /// The reading of the name.
    kana: String,
    /// The role.
    role: Role,
    /// The name of the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// Calls that ring at this person or that this person has.
    calls: Vec<OperatorCall>,
}

/// A call of an operator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorCall {
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    id: CallId,
    /// The state of the call.
    state: CallState,
}

/// A request to change an operator's state.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetState {
    /// `ready`, `not_ready` or `logged_out`. While a call rings or is active, and during wrap-up, it becomes the pending state.
    state: crate::contract::operator::State,
    /// The reason for `not_ready`: a code of `not_ready_reasons`.
    reason: Option<String>,
    /// The version that the client last saw. If another version is current, the answer is 409 with the current state.
    version: u64,
    /// On login, the phone; if absent the operator's own phone, else the last one. While logged in, another phone.
    #[schema(value_type = Option<String>)]
    extension: Option<Extension>,
    /// The name of this desktop; the event repeats it for the operator's other desktops.
    desktop: Option<String>,
}

/// An extension of the wrap-up time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendWrapUp {
    /// The call of the wrap-up.
    #[schema(value_type = uuid::Uuid)]
    call: CallId,
    /// The additional seconds.
    seconds: u32,
    /// The reason.
    reason: String,
    /// The name of this desktop.
    desktop: Option<String>,
}

/// Notes on a call whose wrap-up ended by its time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoteWrapUp {
    /// The call: one of `undisposed_work`.
    #[schema(value_type = uuid::Uuid)]
    call: CallId,
    /// Notes about the call, up to 2000 characters; they replace earlier notes.
    notes: String,
    /// The name of this desktop.
    desktop: Option<String>,
}

/// The end of wrap-up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinishWrapUp {
    /// The call of the wrap-up.
    #[schema(value_type = uuid::Uuid)]
    call: CallId,
    /// The disposition: a code of `dispositions`.
    disposition: String,
    /// Notes about the call.
    notes: Option<String>,
    /// The name of this desktop.
    desktop: Option<String>,
}

/// Lists the operators and supervisors that the user may see.
#[utoipa::path(get, path = "/v1/operators", tag = "operators", responses(
    (status = 200, description = "By extension, then those without one", body = Operators),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Operators>, Problem> {
    caller.needs(Permission::ReadPeople)?;
    let roster = state.app.people.current();
    let snapshot = state.app.bus.snapshot(&caller.viewer);
    let people = roster.operators(&caller.viewer).into_iter().chain(roster.without_extension(&caller.viewer));
    let view = |person: Arc<Person>| view_of(&person, &roster, &snapshot.operators, &snapshot.calls);
    Ok(Json(Operators { items: people.map(view).collect() }))
}

fn view_of(
    person: &Person,
    roster: &Roster,
    states: &[Arc<StateView>],
    calls: &[Arc<CallView>],
) -> OperatorView {
    let known =
        states.binary_search_by_key(&person.id, |view| view.id).ok().map(|index| (*states[index]).clone());
    let state = known.unwrap_or_else(|| {
        StateView::unknown(person.id, SmolStr::new(&person.name), person.extension.clone())
    });
    OperatorView {
        state,
        kana: person.kana.clone(),
        role: person.role,
        team: person.team.and_then(|id| roster.team(id)).map(|team| team.name.clone()),
        calls: calls_of(person, calls),
    }
}

fn calls_of(person: &Person, calls: &[Arc<CallView>]) -> Vec<OperatorCall> {
    let Some(extension) = &person.extension else { return Vec::new() };
    let concern = calls.iter().filter(|call| call.operators().any(|operator| operator == extension));
    concern.map(|call| OperatorCall { id: call.id, state: call.state }).collect()
}

/// Returns the options: reasons, dispositions and phones.
#[utoipa::path(get, path = "/v1/operators/options", tag = "operators", responses(
    (status = 200, description = "From the configuration and the PBX", body = Options),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn options(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Options>, Problem> {
    caller.needs(Permission::ReadPeople)?;
    let user = caller.person.id;
    match send(&state, &caller, user, None, operator::Request::Options).await? {
        Answer::OperatorOptions(options) => Ok(Json(*options)),
        _ => Err(Kind::Internal.into()),
    }
}

/// Sets an operator's state. The operator, their supervisor or an administrator may do so. To log in, set `ready` or
/// `not_ready` while `logged_out`, at any free phone.
#[utoipa::path(put, path = "/v1/operators/{operator}/state", tag = "operators", request_body = SetState,
    params(("operator" = uuid::Uuid, Path, description = "The person's record")),
    responses(
        (status = 200, description = "The state was set, or is pending", body = StateView),
        (status = 403, description = "not-permitted: only the operator, their supervisor or an administrator may", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
        (status = 409, description = "state-changed: `current` is the current state; state-conflict: the phone is in use", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn set_state(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(operator): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
    Body(request): Body<SetState>,
) -> Result<Json<StateView>, Problem> {
    let SetState { state: target, reason, version, extension, desktop } = request;
    let action = operator::Request::Set(StateRequest { state: target, reason, extension, version });
    state_view(send(&state, &caller, operator_id(&operator)?, desktop, action).await?)
}

/// The time span of the history.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StateHistoryQuery {
    /// The start; 24 hours before the end if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// The end; now if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// An operator's states in a time span.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperatorHistory)]
pub(crate) struct StateHistory {
    /// The state changes, oldest first, with the one in force at the start. Each state lasts until the next change.
    items: Vec<StateHistoryEntry>,
    /// Seconds in each state within the span, for occupancy.
    seconds: BTreeMap<&'static str, f64>,
    /// Whether there are more changes than `items` holds: ask for a shorter span.
    cut: bool,
}

/// Returns an operator's state history. The operator, their supervisor or an administrator may read it.
#[utoipa::path(get, path = "/v1/operators/{operator}/history", tag = "operators",
    params(("operator" = uuid::Uuid, Path, description = "The person's record"), StateHistoryQuery),
    responses(
        (status = 200, description = "The state changes, and the time in each state", body = StateHistory),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
    )
)]
pub(crate) async fn history(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(operator): Path<String>,
    QueryParams(StateHistoryQuery { from, until }): QueryParams<StateHistoryQuery>,
) -> Result<Json<StateHistory>, Problem> {
    caller.needs(Permission::ReadStateHistory)?;
    let (user, now) = (operator_id(&operator)?, state.app.clock.now());
    let states = state.app.bus.snapshot(&caller.viewer).operators;
    if user != caller.person.id && !states.iter().any(|view| view.id == user) {
        return Err(Kind::UnknownOperator.into());
    }
    let until = until.unwrap_or(now).min(now);
    let from = from.unwrap_or_else(|| until - SignedDuration::from_hours(24));
    let items = state.app.store.state_changes(user, from, until).await?;
    let cut = items.len() >= STATE_CHANGES_MAX as usize;
    let mut seconds = BTreeMap::new();
    let ends = items.iter().skip(1).map(|next| next.at).chain([until]);
    for (change, end) in items.iter().zip(ends) {
        let lasted = end.duration_since(change.at.max(from)).as_millis().max(0);
        *seconds.entry(change.state.as_str()).or_insert(0.0) += lasted as f64 / 1_000.0;
    }
    Ok(Json(StateHistory { items, seconds, cut }))
}

/// Extends the time of a wrap-up.
#[utoipa::path(post, path = "/v1/operators/{operator}/wrap-up/extend", tag = "operators", request_body = ExtendWrapUp,
    params(("operator" = uuid::Uuid, Path, description = "The person's record")),
    responses(
        (status = 200, description = "The time was extended", body = StateView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
        (status = 409, description = "state-conflict: there is no wrap-up for this call", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn extend(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(operator): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
    Body(request): Body<ExtendWrapUp>,
) -> Result<Json<StateView>, Problem> {
    let ExtendWrapUp { call, seconds, reason, desktop } = request;
    let action = operator::Request::Extend { call, seconds, reason };
    state_view(send(&state, &caller, operator_id(&operator)?, desktop, action).await?)
}

/// Stores notes on a call whose wrap-up ended by its time, and leaves its disposition open. A desktop saves what was
/// written until then.
#[utoipa::path(post, path = "/v1/operators/{operator}/wrap-up/notes", tag = "operators", request_body = NoteWrapUp,
    params(("operator" = uuid::Uuid, Path, description = "The person's record")),
    responses(
        (status = 200, description = "The notes are stored", body = StateView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
        (status = 409, description = "state-conflict: no wrap-up for this call ended by its time and waits for its disposition", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn note(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(operator): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
    Body(request): Body<NoteWrapUp>,
) -> Result<Json<StateView>, Problem> {
    let NoteWrapUp { call, notes, desktop } = request;
    let action = operator::Request::Note { call, notes };
    state_view(send(&state, &caller, operator_id(&operator)?, desktop, action).await?)
}

/// Ends a wrap-up with its disposition, or adds the disposition after the time has run out (`undisposed`).
#[utoipa::path(post, path = "/v1/operators/{operator}/wrap-up/finish", tag = "operators", request_body = FinishWrapUp,
    params(("operator" = uuid::Uuid, Path, description = "The person's record")),
    responses(
        (status = 200, description = "The wrap-up has ended", body = StateView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
        (status = 409, description = "state-conflict: there is no wrap-up for this call; message-owed: see `required` in the options of messages", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn finish(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(operator): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
    Body(request): Body<FinishWrapUp>,
) -> Result<Json<StateView>, Problem> {
    let FinishWrapUp { call, disposition, notes, desktop } = request;
    let user = operator_id(&operator)?;
    if owes_message(&state, &caller, call, &disposition).await? {
        return Err(Kind::MessageOwed.into());
    }
    let action = operator::Request::Finish { call, disposition, notes };
    state_view(send(&state, &caller, user, desktop, action).await?)
}

/// Whether the call has neither a message nor a completed transfer, and the disposition is no reason for none.
async fn owes_message(
    state: &AppState,
    caller: &Caller,
    call: CallId,
    disposition: &str,
) -> Result<bool, Problem> {
    let settings = &state.app.settings.messages;
    let is_reason = state.app.words.current().no_message_reasons().iter().any(|reason| reason == disposition);
    if settings.required == RequiredMessages::Off || is_reason {
        return Ok(false);
    }
    if settings.required == RequiredMessages::Script && !script_wants_message(state, caller, call).await? {
        return Ok(false);
    }
    let store = &state.app.store;
    let taken = MessageFilter { call: Some(call), ..MessageFilter::default() };
    if !store.messages(&taken, None, 1).await?.is_empty() {
        return Ok(false);
    }
    // The core knows the transfers of live calls and of those that ended a moment ago; the store those of the others.
    let list = Command::Transfer(transfer::Command::List(call));
    if let Answer::Transfers(transfers) = state.app.commands.request(caller.actor(), list).await?
        && transfers.iter().any(|transfer| transfer.completed_at.is_some())
    {
        return Ok(false);
    }
    let finished = store.finished_call(call).await?;
    let is_transferred = |call: FinishedCall| call.segments.iter().any(|part| part.kind == "transferred");
    Ok(!finished.is_some_and(is_transferred))
}

/// Sends a request about `user` to the core, and waits for its answer.
async fn send(
    state: &AppState,
    caller: &Caller,
    user: RecordId,
    desktop: Option<String>,
    action: operator::Request,
) -> Result<Answer, Problem> {
    let desktop = desktop.and_then(|name| printable(&name, DESKTOP_CHARS_MAX));
    let command = operator::Command { user, session: caller.token, desktop, request: action };
    Ok(state.app.commands.request(caller.actor(), Command::Operator(command)).await?)
}

fn state_view(answer: Answer) -> Result<Json<StateView>, Problem> {
    match answer {
        Answer::Operator(view) => Ok(Json(*view)),
        _ => Err(Kind::Internal.into()),
    }
}

fn operator_id(text: &str) -> Result<RecordId, Problem> {
    record_id(text).ok_or_else(|| Kind::UnknownOperator.with("the id of an operator must be a UUID"))
}
