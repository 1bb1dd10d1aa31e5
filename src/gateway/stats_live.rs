//! The figures of now: who waits, how the operators are, and the figures of today by the same code as any other day's.
//!
//! Invariant: today's figures are those that `/v1/stats?by=day` has at the same moment. Everything is what the reader sees: a
//! supervisor's waiting callers and operators are those of the supervisor's board.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::{Span, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::alarms::{LiveAlarm, live_alarms};
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams};
use super::problem::Problem;
use super::query::{DayOrTime, StatsBy, StatsQuery};
use super::state::AppState;
use super::stats::{StatsView, figures};
use crate::people::role::Permission;

/// The figures of now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveStats)]
pub(crate) struct LiveView {
    /// When they were read.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    at: Timestamp,
    /// Callers whom nobody has answered yet.
    waiting: u64,
    /// How long the first of them has been there, in milliseconds since the call was offered; absent where nobody waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_wait_ms: Option<i64>,
    /// How many operators are in each state. A state in which nobody is is left out.
    operators: BTreeMap<&'static str, u64>,
    /// The PBXes whose link is down; what happens there is in no figure until it is back.
    down: Vec<String>,
    /// The alarms that are raised; for operators none.
    alarms: Vec<LiveAlarm>,
    /// The figures of today.
    today: StatsView,
}

/// Reads the figures of now.
#[utoipa::path(get, path = "/v1/stats/live", tag = "stats", responses(
    (status = 200, description = "Who waits, how the operators are, and the figures of today", body = LiveView),
))]
pub(crate) async fn live(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<LiveView>, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let now = state.app.clock.now();
    let snapshot = state.app.bus.snapshot(&caller.viewer);
    let figures_now = snapshot.live_figures();
    let longest = figures_now.oldest.map(|from| (now.as_millisecond() - from.as_millisecond()).max(0));
    let today = today_of(&state, now);
    Ok(Json(LiveView {
        at: now,
        waiting: figures_now.waiting,
        longest_wait_ms: longest,
        operators: figures_now.operators,
        down: snapshot.pbx.iter().filter(|pbx| !pbx.up).map(|pbx| pbx.id.to_string()).collect(),
        alarms: live_alarms(&state, &caller).await?,
        today: figures(&state, &caller, &today).await?,
    }))
}

/// The question for the day of this time.
fn today_of(state: &AppState, now: Timestamp) -> StatsQuery {
    let at = now.to_zoned(state.app.directory.time_zone().clone());
    let midnight = at.start_of_day().unwrap_or(at);
    let next = midnight.checked_add(Span::new().days(1)).unwrap_or_else(|_| midnight.clone());
    StatsQuery {
        by: StatsBy::Day,
        from: DayOrTime::At(midnight.timestamp()),
        to: DayOrTime::At(next.timestamp()),
        account: None,
        operator: None,
        team: None,
        formula: None,
        within: None,
    }
}
