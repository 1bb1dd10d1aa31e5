//! What a message and its script know of their call, live or finished.
//!
//! A call that has just ended may not be in the store yet: the request waits for the record up to [`RECORD_TIMEOUT`], then
//! answers 503 `store-unavailable` while the store is behind, else 422.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::auth::Caller;
use super::history::visibility_filter;
use super::messages::invalid;
use super::problem::{Kind, Problem};
use super::state::AppState;
use crate::contract::call::CallView;
use crate::contract::history::FinishedCall;
use crate::contract::operator::StateView;
use crate::identity::Presentation;
use crate::ids::{CallId, RecordId};
use crate::people::role::Role;
use crate::people::viewer::Viewer;

/// How long a request waits for the record of a call that has just ended.
const RECORD_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which it looks for the record.
const RECORD_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What a message and its script take over from its call.
pub(super) struct CallFacts {
    pub(super) account: Option<RecordId>,
    pub(super) customer: Option<RecordId>,
    /// The caller's number as a key; absent if it is withheld.
    pub(super) caller: Option<String>,
    pub(super) presentation: Presentation,
    /// The numbers that rang or forwarded.
    pub(super) numbers: Vec<String>,
    pub(super) offered_at: Timestamp,
}

impl From<FinishedCall> for CallFacts {
    fn from(call: FinishedCall) -> Self {
        Self {
            account: call.account,
            customer: call.customer,
            caller: call.caller.map(|key| key.to_string()),
            presentation: call.presentation,
            numbers: call.dialled.into_iter().chain(call.diverted_by).collect(),
            offered_at: call.offered_at,
        }
    }
}

/// Reads a live call, or waits for the record of a call that has just ended.
pub(super) async fn call_facts(state: &AppState, caller: &Caller, id: CallId) -> Result<CallFacts, Problem> {
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
            return Err(if state.app.bus.has_unwritten_records() {
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
pub(super) fn is_worked_on(state: &AppState, caller: &Caller, call: CallId) -> bool {
    let is_on_call = |view: &StateView| {
        let mut work = view.wrap_up.iter().chain(&view.undisposed_work);
        // A daemon of an earlier version publishes `undisposed` alone.
        [view.call, view.undisposed].contains(&Some(call)) || work.any(|work| work.call == call)
    };
    let states = state.app.bus.snapshot(&caller.viewer).operators;
    states.iter().any(|view| view.id == caller.person.id && is_on_call(view))
}
