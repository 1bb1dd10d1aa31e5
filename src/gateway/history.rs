//! Finished calls, and the times in which nobody followed the PBX.
//!
//! Invariant: somebody reads of a finished call what she would have seen of it while it lived: an operator her own,
//! a supervisor those of her team and those that nobody took, administrators and systems all. While a caller is in
//! front of her she reads what came before between that caller and the account, whoever had it: the pop counts
//! those calls, too. Which supervisor heard what of a call is shown to those who were told of it then, and to herself:
//! an operator who was not told that somebody listened does not read it here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::customers::of_account;
use super::extract::{Asked, CallPath, Nothing, number, record};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{GapQuery, HistoryQuery, page_limit};
use super::routes::Gate;
use crate::directory::Directory;
use crate::ids::Extension;
use crate::operator::{Permission, Viewer};
use crate::store::history::{Before, HistoryFilter, Sight};
use crate::store::links::GAPS_PAGE_MAX;
use crate::store::{FinishedCall, Gap, Hearing};

/// A finished call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finished {
    #[serde(flatten)]
    call: FinishedCall,
    /// The account's name, while there is such an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_name: Option<String>,
    /// Which supervisors heard it, and how, as far as the reader may know; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    supervisions: Option<Vec<Hearing>>,
}

/// Finished calls, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// The calls, without their segments.
    items: Vec<Finished>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Times in which nobody followed the PBX, the newest first: what happened in them is inferred or not known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gaps {
    /// The gaps.
    items: Vec<Gap>,
}

/// The finished calls that the caller may see, the newest first.
#[utoipa::path(get, path = "/v1/history", tag = "history", params(HistoryQuery), responses(
    (status = 200, description = "A page", body = History),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<HistoryQuery>,
) -> Result<Json<History>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let limit = page_limit(query.limit)?;
    let operator = query.operator.as_deref().map(Extension::parse).transpose();
    let cursor = query.cursor.as_deref().map(|text| {
        Before::parse(text)
            .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the page before"))
    });
    let customer = query.customer.as_deref().map(|text| {
        record(text).ok_or_else(|| Kind::InvalidQuery.with("customer: must be the id of a customer"))
    });
    let mut filter = HistoryFilter {
        account: of_account(query.account.as_deref())?,
        caller: query.caller.map(|text| number(&gate.app.directory, "caller", &text)).transpose()?,
        customer: customer.transpose()?,
        operator: operator.map_err(|error| Kind::InvalidQuery.with(format!("operator: {error}")))?,
        outcome: query.outcome,
        from: query.from,
        to: query.to,
        sight: sight(&caller.viewer),
    };
    if filter.caller.is_some() && filter.account.is_none() {
        // The same caller is somebody else for another company.
        return Err(Kind::InvalidQuery.with("caller: name the account, too"));
    }
    if is_of_a_caller_in_sight(&gate, &caller.viewer, &filter) {
        filter.sight = None;
    }
    let mut calls = gate.app.store.history(&filter, cursor.transpose()?, limit + 1).await?;
    let more = calls.len() > limit as usize;
    calls.truncate(limit as usize);
    let next = calls.last().filter(|_| more).map(|call| Before::of(call).to_string());
    let items = calls.into_iter().map(|call| dressed(&gate.app.directory, call)).collect();
    Ok(Json(History { items, next }))
}

/// One finished call, with all that happened inside it, and who supervised it as far as the caller may know.
#[utoipa::path(get, path = "/v1/history/{call}", tag = "history",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 200, description = "The call", body = Finished),
        (status = 404, description = "unknown-call: never there, not over, or out of sight", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    CallPath(id): CallPath,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Finished>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let call = gate.app.store.finished_call(id).await?;
    let call = call.filter(|call| sight(&caller.viewer).is_none_or(|sight| sight.has(call)));
    let call = call.ok_or(Kind::UnknownCall)?;
    let mut hearings = gate.app.store.hearings(id).await?;
    hearings.retain(|heard| heard.supervisor == caller.person.id || caller.viewer.may_see(&heard.audience));
    Ok(Json(Finished { supervisions: Some(hearings), ..dressed(&gate.app.directory, call) }))
}

/// The times in which nobody followed the PBX.
#[utoipa::path(get, path = "/v1/pbx/gaps", tag = "history", params(GapQuery), responses(
    (status = 200, description = "The gaps", body = Gaps),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn gaps(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<GapQuery>,
) -> Result<Json<Gaps>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let limit = page_limit(query.limit)?.min(GAPS_PAGE_MAX);
    Ok(Json(Gaps { items: gate.app.store.gaps(query.from, query.to, limit).await? }))
}

fn dressed(directory: &Directory, call: FinishedCall) -> Finished {
    let account = call.account.and_then(|id| directory.account(id));
    Finished { account_name: account.map(|account| account.fields.name.clone()), call, supervisions: None }
}

/// Whether a live call that `viewer` sees is from the caller, or of the customer, and for the account asked for.
fn is_of_a_caller_in_sight(gate: &Gate, viewer: &Viewer, filter: &HistoryFilter) -> bool {
    if filter.sight.is_none() || filter.caller.is_none() && filter.customer.is_none() {
        return false;
    }
    let calls = gate.app.bus.snapshot(viewer).calls;
    calls.iter().filter_map(|call| call.card.as_deref()).any(|card| {
        let read = |text: &String| gate.app.directory.number(text);
        let caller = card.caller.number.as_ref().and_then(read);
        let is_caller = |key: &String| caller.as_ref().is_some_and(|caller| caller.key() == key);
        card.account.id.is_some()
            && card.account.id == filter.account
            && filter.caller.as_ref().is_none_or(is_caller)
            && filter.customer.is_none_or(|id| card.customers.iter().any(|customer| customer.id == id))
    })
}

/// What of the history is in sight; everything when `None`.
pub(crate) fn sight(viewer: &Viewer) -> Option<Sight> {
    let operators = viewer.watched().cloned().collect();
    (!viewer.sees_everything()).then(|| Sight { operators, unowned: viewer.is_supervisor() })
}
