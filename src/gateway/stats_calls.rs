//! The calls behind a figure: those that add to one counter, for the same account, operator, team, queue and time.
//!
//! The calls are counted one by one by the same code as the figures, so their number is the counter (of counters of calls),
//! and the sum of what they add is the counter (of times). A reader gets those calls that the reader may open: a supervisor
//! sees the totals of all accounts, and the calls of the own team and of nobody.
//!
//! Invariant: a request looks at up to [`SCANNED_MAX`] calls. A page may have none and be followed by another one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::Caller;
use super::customers::account_id;
use super::extract::QueryParams;
use super::history::{History, views_of, visibility_filter};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{StatsCallsQuery, page_limit};
use super::state::AppState;
use super::stats::{People, people_of};
use crate::contract::call::{Direction, Outcome};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::stats::{COUNTERS, CallFacts, Counters, NOT_OF_CALLS};
use crate::store::PAGE_RECORDS_MAX;
use crate::store::history::{HistoryCursor, HistoryFilter, VisibilityFilter};

/// Most calls that one request looks at.
const SCANNED_MAX: usize = 500;

/// Lists the calls behind a figure, newest first.
#[utoipa::path(get, path = "/v1/stats/calls", tag = "stats", params(StatsCallsQuery), responses(
    (status = 200, description = "A page; it may have fewer calls than `limit`, or none, and a `next`", body = History),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such operator or team, or you may not see its work", body = ProblemBody),
))]
pub(crate) async fn calls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<StatsCallsQuery>,
) -> Result<Json<History>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let limit = page_limit(query.limit)? as usize;
    let mut cursor = query
        .cursor
        .as_deref()
        .map(|text| {
            HistoryCursor::parse(text)
                .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the previous page"))
        })
        .transpose()?;
    let figure = Figure::of(&state, &caller, &query)?;
    let with_marks = matches!(figure.counter.as_str(), "repeat" | "recovered");
    let (mut items, mut scanned, mut is_more) = (Vec::new(), 0, true);
    while is_more && items.len() < limit && scanned < SCANNED_MAX {
        let calls = state.app.store.history(&figure.filter, cursor, PAGE_RECORDS_MAX).await?;
        is_more = calls.len() == PAGE_RECORDS_MAX as usize;
        for (call, facts) in state.app.store.facts_of_calls(calls, with_marks).await? {
            scanned += 1;
            cursor = Some(HistoryCursor::of(&call));
            if figure.has(call.account, &facts) {
                items.push(call);
                if items.len() == limit {
                    // Whether the rest has one more, the next page tells.
                    is_more = true;
                    break;
                }
            }
        }
    }
    for call in &mut items {
        call.segments.clear();
    }
    let next = cursor.filter(|_| is_more).map(|cursor| cursor.to_string());
    Ok(Json(History { items: views_of(&state, items).await?, next }))
}

/// Which calls.
struct Figure {
    filter: HistoryFilter,
    counter: String,
    people: People,
    queue: Option<String>,
    /// Only calls whose account is not known.
    without_account: bool,
}

impl Figure {
    fn of(state: &AppState, caller: &Caller, query: &StatsCallsQuery) -> Result<Self, Problem> {
        let counter = query.counter.clone();
        let is_of_calls = |id: &str| !NOT_OF_CALLS.contains(&id);
        if !COUNTERS.iter().any(|known| known.id == counter) || !is_of_calls(&counter) {
            let ids: Vec<&str> = COUNTERS.iter().map(|known| known.id).filter(|id| is_of_calls(id)).collect();
            return Err(Kind::InvalidQuery.with(format!("counter: one of {}", ids.join(", "))));
        }
        let without_account = query.account.as_deref() == Some("none");
        let account = account_id(query.account.as_deref().filter(|_| !without_account))?;
        let people = people_of(state, caller, query.operator.as_deref(), query.team.as_deref())?;
        let visibility = match &people {
            People::These(people) => Some(VisibilityFilter {
                people: people.iter().copied().collect(),
                extensions: Vec::new(),
                unowned: false,
            }),
            People::NotAsked | People::Everybody => visibility_filter(state, &caller.viewer),
        };
        let zone = state.app.directory.time_zone();
        let filter = HistoryFilter {
            direction: Some(Direction::Inbound),
            account,
            outcome: outcome_of(&counter).filter(|_| people == People::NotAsked),
            from: Some(query.from.at(zone)),
            to: Some(query.to.at(zone)),
            visibility,
            ..HistoryFilter::default()
        };
        Ok(Self { filter, counter, people, queue: query.queue.clone(), without_account })
    }

    /// Whether the call adds to the counter.
    fn has(&self, account: Option<RecordId>, facts: &CallFacts) -> bool {
        let adds = |counters: Counters| counters.get(&self.counter).is_some_and(|value| value > 0);
        let is_added = match &self.people {
            People::NotAsked | People::Everybody => adds(Counters::of_call(facts)),
            People::These(people) => {
                people.iter().any(|person| adds(Counters::of_person(facts, Some(*person))))
            }
        };
        is_added
            && (account.is_none() || !self.without_account)
            && self.queue.as_ref().is_none_or(|queue| facts.queue.as_ref() == Some(queue))
    }
}

/// The outcome that every call of a counter has, by which the store finds them sooner.
fn outcome_of(counter: &str) -> Option<Outcome> {
    Some(match counter {
        "answered" => Outcome::Answered,
        "elsewhere" => Outcome::Elsewhere,
        "closed" => Outcome::Closed,
        "blocked" => Outcome::Blocked,
        "overflowed" => Outcome::Overflowed,
        "refused" => Outcome::Refused,
        "unknown" => Outcome::Unknown,
        "fax" => Outcome::Fax,
        "abandoned" | "short" | "wait_abandoned_ms" => Outcome::Abandoned,
        _ if counter.starts_with("abandoned_le_") => Outcome::Abandoned,
        _ => return None,
    })
}
