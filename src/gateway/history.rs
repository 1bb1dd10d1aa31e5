//! Finished calls, and the gaps in which no daemon was connected to the PBX.
//!
//! | reader | finished calls |
//! |---|---|
//! | operator | those that this person had, at whatever phone |
//! | supervisor | those of the people of the team, and those that no operator took |
//! | administrator, system | all |
//! | a reader who sees a live call of a caller | also, in the list, the earlier calls from that number with the same account: the pop counts them, too |
//!
//! That a customer's record has the number of a live call opens nothing: operators edit these records.
//!
//! Every reader of a call reads what the operators recorded about it, disposition and notes, as well as its messages.
//!
//! A search by name or number (`q`) opens nothing: it chooses among the calls that the reader may see anyway. A withheld
//! number is in no record, and so no search finds it.
//!
//! Invariant: supervisions of a call are shown to readers who could see them while they ran, and to the supervisor. An
//! operator who was not notified that a supervisor listened does not find out here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::auth::Caller;
use super::customers::account_id;
use super::extract::{CallPath, NoQuery, QueryParams, number_key, record_id, restore_plus};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{GapQuery, HistoryQuery, page_limit};
use super::state::AppState;
use crate::contract::history::FinishedCall;
use crate::contract::pbx::Gap;
use crate::contract::supervision::SupervisionSegment;
use crate::ids::{CallId, Extension, RecordId};
use crate::journal::entry::WrapUpRecord;
use crate::numbers::NumberKind;
use crate::operators::CompletedWrapUp;
use crate::people::role::Permission;
use crate::people::viewer::Viewer;
use crate::store::CustomerFilter;
use crate::store::history::{
    HistoryCursor, HistoryFilter, PARTY_CUSTOMERS_MAX, PartyFilter, VisibilityFilter,
};
use crate::store::pbx_links::GAPS_PAGE_MAX;

/// A finished call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finished)]
pub(crate) struct FinishedCallView {
    #[serde(flatten)]
    pub(super) call: FinishedCall,
    /// The name of the account; absent if the account was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_name: Option<String>,
    /// The name of the customer; absent if nobody, or more than one customer, has the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_name: Option<String>,
    /// What the operators recorded about the call in their after-call work, in the order of its end.
    pub(super) wrap_ups: Vec<RecordedWrapUp>,
    /// The supervisions of the call that the reader may see; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    supervisions: Option<Vec<SupervisionSegment>>,
}

/// The after-call work of one operator for a finished call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordedWrapUp)]
pub(crate) struct RecordedWrapUp {
    /// The operator.
    #[schema(value_type = uuid::Uuid)]
    user: RecordId,
    /// The operator's name; absent if the user was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The disposition; absent if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) disposition: Option<SmolStr>,
    /// The notes; absent if there are none, or their retention period has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) notes: Option<SmolStr>,
    /// When the work began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    since: Timestamp,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    ended_at: Timestamp,
}

/// Finished calls, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// The calls, without their segments.
    pub(super) items: Vec<FinishedCallView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// Periods in which no daemon was connected to the PBX, newest first. What happened in them is inferred or unknown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gaps {
    /// The gaps.
    items: Vec<Gap>,
}

/// Lists the finished calls that the user may see, newest first.
#[utoipa::path(get, path = "/v1/history", tag = "history", params(HistoryQuery), responses(
    (status = 200, description = "A page", body = History),
    (status = 400, description = "invalid-query; too-many-matches: more than 500 customers have the text `q`", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<HistoryQuery>,
) -> Result<Json<History>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let limit = page_limit(query.limit)?;
    let cursor = query.cursor.as_deref().map(|text| {
        HistoryCursor::parse(text)
            .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the previous page"))
    });
    let cursor = cursor.transpose()?;
    let filter = filter_of(&state, &caller, query).await?;
    let mut calls = state.app.store.history(&filter, cursor, limit + 1).await?;
    let more = calls.len() > limit as usize;
    calls.truncate(limit as usize);
    let next = calls.last().filter(|_| more).map(|call| HistoryCursor::of(call).to_string());
    Ok(Json(History { items: views_of(&state, calls).await?, next }))
}

/// The filter of a request: what is asked for, and what the caller may see of it.
pub(super) async fn filter_of(
    state: &AppState,
    caller: &Caller,
    query: HistoryQuery,
) -> Result<HistoryFilter, Problem> {
    let operator = query.operator.as_deref().map(Extension::parse).transpose();
    let customer = query.customer.as_deref().map(|text| {
        record_id(text).ok_or_else(|| Kind::InvalidQuery.with("customer: must be the id of a customer"))
    });
    let account = account_id(query.account.as_deref())?;
    let party = match query.q.filter(|text| !text.trim().is_empty()) {
        Some(text) => Some(party_of(state, caller, account, &text).await?),
        None => None,
    };
    let mut filter = HistoryFilter {
        account,
        caller: query.caller.map(|text| number_key(&state.app.directory, "caller", &text)).transpose()?,
        customer: customer.transpose()?,
        party,
        operator: operator.map_err(|error| Kind::InvalidQuery.with(format!("operator: {error}")))?,
        direction: query.direction,
        outcome: query.outcome,
        from: query.from,
        to: query.to,
        visibility: visibility_filter(state, &caller.viewer),
    };
    if filter.caller.is_some() && filter.account.is_none() {
        // Each account has its own customers: one number can be two people.
        return Err(Kind::InvalidQuery.with("caller: requires account"));
    }
    if is_of_visible_caller(state, &caller.viewer, &filter) {
        filter.visibility = None;
    }
    Ok(filter)
}

/// Whom a text means: the line with this number, or the customers who have the text in their record. A subscriber's whole
/// number means that line alone; fewer digits may be a part of a customer's number or code.
pub(super) async fn party_of(
    state: &AppState,
    caller: &Caller,
    account: Option<RecordId>,
    text: &str,
) -> Result<PartyFilter, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let text = restore_plus(text);
    let number = state.app.directory.number(&text);
    let is_line = number.as_ref().is_some_and(|number| {
        matches!(
            number.kind(),
            NumberKind::Fixed | NumberKind::Mobile | NumberKind::Ip | NumberKind::TollFree
        )
    });
    let number = number.map(|number| number.key().to_owned());
    if is_line {
        return Ok(PartyFilter { number, customers: Vec::new() });
    }
    let filter = CustomerFilter { account, text: Some(text), ..CustomerFilter::default() };
    let page = state.app.store.customers(&filter, None, PARTY_CUSTOMERS_MAX).await?;
    if page.next.is_some() {
        return Err(Kind::TooManyMatches.with(format!(
            "q: more than {PARTY_CUSTOMERS_MAX} customers have this text; write more of it, or ask for one account"
        )));
    }
    Ok(PartyFilter { number, customers: page.items.iter().map(|customer| customer.id).collect() })
}

/// Returns a finished call with its segments, and with its supervisions as far as the user may see them.
#[utoipa::path(get, path = "/v1/history/{call}", tag = "history",
    params(("call" = uuid::Uuid, Path, description = "The call")),
    responses(
        (status = 200, description = "The call", body = FinishedCallView),
        (status = 404, description = "unknown-call: it never existed, is not over, or you may not see it", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CallPath(id): CallPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<FinishedCallView>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let call = state.app.store.finished_call(id).await?;
    let call =
        call.filter(|call| visibility_filter(&state, &caller.viewer).is_none_or(|seen| seen.allows(call)));
    let call = call.ok_or(Kind::UnknownCall)?;
    let mut supervisions = state.app.store.supervision_segments(id).await?;
    supervisions.retain(|one| one.supervisor == caller.person.id || caller.viewer.may_see(&one.audience));
    let view = views_of(&state, vec![call]).await?.pop().ok_or(Kind::UnknownCall)?;
    Ok(Json(FinishedCallView { supervisions: Some(supervisions), ..view }))
}

/// Lists the gaps in which no daemon was connected to the PBX.
#[utoipa::path(get, path = "/v1/pbx/gaps", tag = "history", params(GapQuery), responses(
    (status = 200, description = "The gaps", body = Gaps),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn gaps(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<GapQuery>,
) -> Result<Json<Gaps>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let limit = page_limit(query.limit)?.min(GAPS_PAGE_MAX);
    Ok(Json(Gaps { items: state.app.store.gaps(query.from, query.to, limit).await? }))
}

/// The calls with the names and the after-call work that belong to them.
pub(super) async fn views_of(
    state: &AppState,
    calls: Vec<FinishedCall>,
) -> Result<Vec<FinishedCallView>, Problem> {
    let ids: Vec<CallId> = calls.iter().map(|call| call.id).collect();
    let customers: BTreeSet<RecordId> = calls.iter().filter_map(|call| call.customer).collect();
    let customers: Vec<RecordId> = customers.into_iter().collect();
    let names: HashMap<RecordId, String> =
        state.app.store.customer_names(&customers).await?.into_iter().collect();
    let roster = state.app.people.current();
    let mut wrap_ups: HashMap<CallId, Vec<RecordedWrapUp>> = HashMap::new();
    for WrapUpRecord { user, finished } in state.app.store.wrap_ups(&ids).await? {
        let CompletedWrapUp { work, ended_at, disposition, notes } = finished;
        let name = roster.person(user).map(|person| person.name.clone());
        let (call, since) = (work.call, work.since);
        let recorded = RecordedWrapUp { user, name, disposition, notes, since, ended_at };
        wrap_ups.entry(call).or_default().push(recorded);
    }
    let view = |call: FinishedCall| FinishedCallView {
        account_name: call
            .account
            .and_then(|id| state.app.directory.account(id))
            .map(|account| account.fields.name.clone()),
        customer_name: call.customer.and_then(|id| names.get(&id).cloned()),
        wrap_ups: wrap_ups.remove(&call.id).unwrap_or_default(),
        call,
        supervisions: None,
    };
    Ok(calls.into_iter().map(view).collect())
}

/// Whether `viewer` sees a live call from the number and for the account in `filter`.
fn is_of_visible_caller(state: &AppState, viewer: &Viewer, filter: &HistoryFilter) -> bool {
    let Some(wanted) = filter.caller.as_ref().filter(|_| filter.visibility.is_some()) else { return false };
    let calls = state.app.bus.snapshot(viewer).calls;
    calls.iter().filter_map(|call| call.card.as_deref()).any(|card| {
        let parse = |text: &String| state.app.directory.number(text);
        let caller = card.caller.number.as_ref().and_then(parse);
        let is_caller = caller.as_ref().is_some_and(|caller| caller.key() == wanted);
        card.account.id.is_some() && card.account.id == filter.account && is_caller
    })
}

/// The finished calls that `viewer` may see; all if `None`.
pub(crate) fn visibility_filter(state: &AppState, viewer: &Viewer) -> Option<VisibilityFilter> {
    if viewer.is_unrestricted() {
        return None;
    }
    let people: Vec<RecordId> = viewer.visible_people().collect();
    let extensions = own_extensions(state, &people);
    Some(VisibilityFilter { people, extensions, unowned: viewer.is_supervisor() })
}

/// These people's own extensions, wherever they sit now.
pub(crate) fn own_extensions(state: &AppState, people: &[RecordId]) -> Vec<Extension> {
    let stored = state.app.people.stored();
    people.iter().filter_map(|id| stored.person(*id)?.extension.clone()).collect()
}
