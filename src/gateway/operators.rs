//! Operators and supervisors: who is there, in which state, and which calls concern them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Body, Nothing, record};
use super::problem::{Kind, Problem, ProblemBody};
use super::routes::Gate;
use crate::call::view::{CallState, CallView};
use crate::command::{Answer, Command};
use crate::identity::printable;
use crate::ids::{CallId, Extension, RecordId};
use crate::operator::{self, Options, Permission, Person, Role, Roster, StateView, Wanted};
use crate::store::operators::{PastState, STATE_CHANGES_MAX};

/// Longest name that a desktop gives itself, in characters.
const DESKTOP_CHARS_MAX: usize = 64;

/// Everybody whom the caller may see: by extension, then those who sit nowhere, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operators {
    /// The people.
    items: Vec<OperatorView>,
}

/// An operator or supervisor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorView {
    /// How she is: as in `operator.state` events.
    #[serde(flatten)]
    state: StateView,
    /// The reading of the name.
    kana: String,
    /// What they are.
    role: Role,
    /// Their team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// Calls that ring at them or that they have.
    calls: Vec<OperatorCall>,
}

/// A call of an operator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorCall {
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    id: CallId,
    /// How far it has come.
    state: CallState,
}

/// A state that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetState {
    /// `ready`, `not_ready` or `logged_out`. While a call has to do with her it becomes the pending state.
    state: operator::State,
    /// Why not ready: a code of `not_ready_reasons`.
    reason: Option<String>,
    /// The version that was seen; another one now is answered with 409 and the present state.
    version: u64,
    /// On a login, the phone she sits at; her own, else her last, where absent. While logged in: another phone.
    #[schema(value_type = Option<String>)]
    extension: Option<Extension>,
    /// What this desktop calls itself; the event says it, so that her other desktops know.
    desktop: Option<String>,
}

/// More time for after-call work.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendWrapUp {
    /// After which call.
    #[schema(value_type = uuid::Uuid)]
    call: CallId,
    /// How much.
    seconds: u32,
    /// What for.
    reason: String,
    /// What this desktop calls itself.
    desktop: Option<String>,
}

/// The end of after-call work.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinishWrapUp {
    /// After which call.
    #[schema(value_type = uuid::Uuid)]
    call: CallId,
    /// What came of the call: a code of `dispositions`.
    disposition: String,
    /// More about it.
    notes: Option<String>,
    /// What this desktop calls itself.
    desktop: Option<String>,
}

/// The operators and supervisors that the caller may see.
#[utoipa::path(get, path = "/v1/operators", tag = "operators", responses(
    (status = 200, description = "By extension, then those who sit nowhere", body = Operators),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Operators>, Problem> {
    caller.needs(Permission::ReadPeople)?;
    let roster = gate.app.people.current();
    let snapshot = gate.app.bus.snapshot(&caller.viewer);
    let people = roster.operators(&caller.viewer).into_iter().chain(roster.unseated(&caller.viewer));
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

/// What there is to choose from: reasons, dispositions, phones to sit at.
#[utoipa::path(get, path = "/v1/operators/options", tag = "operators", responses(
    (status = 200, description = "As the configuration and the PBX have it", body = Options),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn options(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Options>, Problem> {
    caller.needs(Permission::ReadPeople)?;
    let user = caller.person.id;
    match give(&gate, &caller, user, None, operator::Asked::Options).await? {
        Answer::OperatorOptions(options) => Ok(Json(*options)),
        _ => Err(Kind::Internal.into()),
    }
}

/// Sets an operator's state: her own, or her supervisor or an administrator does. Logging in is to set `ready` or
/// `not_ready` from `logged_out`, at any free phone.
#[utoipa::path(put, path = "/v1/operators/{operator}/state", tag = "operators", request_body = SetState,
    params(("operator" = uuid::Uuid, Path, description = "The person's record")),
    responses(
        (status = 200, description = "The state is now so, or pending", body = StateView),
        (status = 403, description = "not-permitted: only she, her supervisor or an admin may", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
        (status = 409, description = "state-changed: `current` is how she is now; state-conflict: the phone is taken", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn set_state(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(operator): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Body(wanted): Body<SetState>,
) -> Result<Json<StateView>, Problem> {
    let SetState { state, reason, version, extension, desktop } = wanted;
    let asked = operator::Asked::Set(Wanted { state, reason, extension, version });
    one(give(&gate, &caller, person(&operator)?, desktop, asked).await?)
}

/// The time an operator's changes are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Span {
    /// From when; a day ago where absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Until when; now where absent.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// What an operator did in a span of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// Each change, oldest first, the one in force at the beginning included; each lasts until the next.
    items: Vec<PastState>,
    /// Seconds in each state within the span: what occupancy is made of.
    seconds: BTreeMap<&'static str, f64>,
    /// There were more changes than are given: ask for less at a time.
    cut: bool,
}

/// What an operator did: her own, or her supervisor or an administrator asks.
#[utoipa::path(get, path = "/v1/operators/{operator}/history", tag = "operators",
    params(("operator" = uuid::Uuid, Path, description = "The person's record"), Span),
    responses(
        (status = 200, description = "Her changes and how long she was in each state", body = History),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
    )
)]
pub(crate) async fn history(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(operator): Path<String>,
    Asked(Span { from, until }): Asked<Span>,
) -> Result<Json<History>, Problem> {
    caller.needs(Permission::ReadPeople)?;
    let (user, now) = (person(&operator)?, gate.app.clock.now());
    let states = gate.app.bus.snapshot(&caller.viewer).operators;
    if user != caller.person.id && !states.iter().any(|view| view.id == user) {
        return Err(Kind::UnknownOperator.into());
    }
    let until = until.unwrap_or(now).min(now);
    let from = from.unwrap_or_else(|| until - SignedDuration::from_hours(24));
    let items = gate.app.store.state_changes(user, from, until).await?;
    let cut = items.len() >= STATE_CHANGES_MAX as usize;
    let mut seconds = BTreeMap::new();
    let ends = items.iter().skip(1).map(|next| next.at).chain([until]);
    for (change, end) in items.iter().zip(ends) {
        let lasted = end.duration_since(change.at.max(from)).as_millis().max(0);
        *seconds.entry(change.state.as_str()).or_insert(0.0) += lasted as f64 / 1_000.0;
    }
    Ok(Json(History { items, seconds, cut }))
}

/// Gives after-call work more time.
#[utoipa::path(post, path = "/v1/operators/{operator}/wrap-up/extend", tag = "operators", request_body = ExtendWrapUp,
    params(("operator" = uuid::Uuid, Path, description = "The person's record")),
    responses(
        (status = 200, description = "It has more time", body = StateView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
        (status = 409, description = "state-conflict: there is none for this call", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn extend(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(operator): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Body(more): Body<ExtendWrapUp>,
) -> Result<Json<StateView>, Problem> {
    let ExtendWrapUp { call, seconds, reason, desktop } = more;
    let asked = operator::Asked::Extend { call, seconds, reason };
    one(give(&gate, &caller, person(&operator)?, desktop, asked).await?)
}

/// Ends after-call work with its disposition; also later, where its time was over first (`undisposed`).
#[utoipa::path(post, path = "/v1/operators/{operator}/wrap-up/finish", tag = "operators", request_body = FinishWrapUp,
    params(("operator" = uuid::Uuid, Path, description = "The person's record")),
    responses(
        (status = 200, description = "It is over", body = StateView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-operator", body = ProblemBody),
        (status = 409, description = "state-conflict: there is none for this call", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn finish(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Path(operator): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
    Body(end): Body<FinishWrapUp>,
) -> Result<Json<StateView>, Problem> {
    let FinishWrapUp { call, disposition, notes, desktop } = end;
    let asked = operator::Asked::Finish { call, disposition, notes };
    one(give(&gate, &caller, person(&operator)?, desktop, asked).await?)
}

async fn give(
    gate: &Gate,
    caller: &Caller,
    user: RecordId,
    desktop: Option<String>,
    asked: operator::Asked,
) -> Result<Answer, Problem> {
    let desktop = desktop.and_then(|name| printable(&name, DESKTOP_CHARS_MAX));
    let command = operator::Command { user, session: caller.token, desktop, asked };
    Ok(gate.app.commands.give(caller.actor(), Command::Operator(command)).await?)
}

fn one(answer: Answer) -> Result<Json<StateView>, Problem> {
    match answer {
        Answer::Operator(view) => Ok(Json(*view)),
        _ => Err(Kind::Internal.into()),
    }
}

fn person(text: &str) -> Result<RecordId, Problem> {
    record(text).ok_or_else(|| Kind::UnknownOperator.with("an operator's id is a UUID"))
}
