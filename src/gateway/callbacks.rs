//! Callers who hung up before anybody answered, as a list of who is to be called back; and how many callers wait now.
//!
//! Invariant: the list follows from the finished calls of the last day that the reader may see, so a caller who was answered
//! later is off it by that alone. Nobody is on it who withholds the number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::account_notices::by;
use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, CallPath, NoQuery, QueryParams};
use super::history::{FinishedCallView, views_of, visibility_filter};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::call::Outcome;
use crate::contract::callback::{Callback, CallbackMark, CallbackState};
use crate::ids::{CallId, RecordId};
use crate::people::role::{Permission, Role};
use crate::people::viewer::Viewer;
use crate::store::callbacks::{CallbackChange, CallbackOutcome};
use crate::store::history::HistoryFilter;

/// How far the list goes back.
const LISTED: Duration = Duration::from_secs(24 * 3_600);
/// Most abandoned calls that the list is made of.
const CALLS_MAX: u32 = 500;

/// Callers to be called back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Callbacks {
    /// Those of the last 24 hours, the newest call first; of one caller to one account, one entry.
    items: Vec<Callback>,
}

/// How far a callback is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkCallback {
    /// How far.
    state: CallbackState,
}

/// Who waits now, over all accounts; nobody is named.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueNow {
    /// Callers whom nobody has answered yet.
    waiting: u64,
    /// When the first of them came; absent where nobody waits.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
}

/// Lists the callers who hung up in the last 24 hours and were not answered since.
#[utoipa::path(get, path = "/v1/callbacks", tag = "callbacks", responses(
    (status = 200, description = "The callers", body = Callbacks),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Callbacks>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let filter = HistoryFilter {
        outcome: Some(Outcome::Abandoned),
        from: state.app.clock.now().checked_sub(LISTED).ok(),
        visibility: visibility_filter(&state, &caller.viewer),
        ..HistoryFilter::default()
    };
    let calls = state.app.store.history(&filter, None, CALLS_MAX).await?;
    let calls = views_of(&state, calls).await?;
    let mut latest: Vec<(FinishedCallView, u32)> = Vec::new();
    let mut places: HashMap<(Option<RecordId>, SmolStr), usize> = HashMap::new();
    for view in calls {
        let Some(number) = view.call.caller.clone() else { continue };
        let place = *places.entry((view.call.account, number)).or_insert(latest.len());
        match latest.get_mut(place) {
            Some((_, times)) => *times += 1,
            None => latest.push((view, 1)),
        }
    }
    let ids: Vec<CallId> = latest.iter().map(|(view, _)| view.call.id).collect();
    let answered = state.app.store.answered_later(&ids).await?;
    let marks = state.app.store.callback_marks(&ids).await?;
    let open = latest.into_iter().filter(|(view, _)| !answered.contains(&view.call.id));
    let items = open.filter_map(|(view, times)| {
        let mark = marks.iter().find(|mark| mark.call == view.call.id);
        callback_of(view, times, mark)
    });
    Ok(Json(Callbacks { items: items.collect() }))
}

fn callback_of(view: FinishedCallView, times: u32, mark: Option<&CallbackMark>) -> Option<Callback> {
    let FinishedCallView { call, account_name, customer_name, .. } = view;
    Some(Callback {
        call: call.id,
        account: call.account,
        account_name,
        caller: call.caller?,
        customer_name,
        offered_at: call.offered_at,
        waited_ms: (call.ended_at.as_millisecond() - call.offered_at.as_millisecond()).max(0),
        times,
        state: mark.map(|mark| mark.state).unwrap_or_default(),
        by_name: mark.map(|mark| mark.by_name.clone()),
        at: mark.map(|mark| mark.at),
    })
}

/// Says how far it is to call the caller of this call back: taken by the user, done, or open again.
#[utoipa::path(put, path = "/v1/callbacks/{call}", tag = "callbacks", request_body = MarkCallback,
    params(("call" = uuid::Uuid, Path, description = "The abandoned call")),
    responses(
        (status = 204, description = "It is written"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-call: there is no such abandoned call", body = ProblemBody),
        (status = 409, description = "callback-taken: another person is at it; a supervisor may take it from them", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn mark(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(call): CallPath,
    Body(MarkCallback { state: wanted }): Body<MarkCallback>,
) -> Result<axum::http::StatusCode, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let found = state.app.store.finished_call(call).await?;
    let visibility = visibility_filter(&state, &caller.viewer);
    let is_seen = |found: &crate::contract::history::FinishedCall| {
        found.outcome == Outcome::Abandoned && visibility.as_ref().is_none_or(|filter| filter.allows(found))
    };
    let found = found.filter(is_seen).ok_or(Kind::UnknownCall)?;
    let change = CallbackChange {
        call,
        account: found.account,
        state: wanted,
        user: caller.person.id,
        is_supervisor: caller.may(Permission::LeadTeam),
    };
    if let CallbackOutcome::TakenBy(other) =
        state.app.store.mark_callback(change, by(&state, &caller)).await?
    {
        return Err(Kind::CallbackTaken.with(format!("{} is at it", other.by_name)));
    }
    state.app.message_relay.publish_soon();
    let details = json!({ "call": call, "state": wanted });
    audit_trail::record(&state, &caller, "callback.marked", ("", found.account), details).await;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// How many callers wait now, and since when: what everybody at a desk may know.
#[utoipa::path(get, path = "/v1/queue", tag = "callbacks", responses(
    (status = 200, description = "Who waits now", body = QueueNow),
))]
pub(crate) async fn queue(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<QueueNow>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let everybody = Viewer::unrestricted(Role::Admin);
    let figures = state.app.bus.snapshot(&everybody).live_figures();
    Ok(Json(QueueNow { waiting: figures.waiting, since: figures.oldest }))
}
