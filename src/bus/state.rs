//! The state that a snapshot shows: live calls, operators, and the links to the PBXes.
//!
//! Invariant: the state is the result of applying the [`StateDelta`]s of all published events in order. The event log's
//! lock guards both, so a snapshot always matches the event id it carries.

use crate::contract::event::{PbxStatus, VisibilityLoss};
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::contract::call::{CallState, CallView};
use crate::contract::event::StateDelta;
use crate::contract::event_id::EventId;
use crate::contract::operator::StateView;
use crate::ids::{CallId, PbxId, RecordId};
use crate::people::viewer::Viewer;

/// The state after the event `id`, reduced to what one viewer may see.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The latest event it includes.
    pub id: EventId,
    /// The links to the PBXes.
    pub pbx: Vec<PbxStatus>,
    /// Live calls, in the order of their ids.
    pub calls: Vec<Arc<CallView>>,
    /// Operators, in the order of their records.
    pub operators: Vec<Arc<StateView>>,
}

/// The figures of a moment: who waits, and how the operators are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveFigures {
    /// Callers whom nobody has answered yet.
    pub waiting: u64,
    /// Since when the first of them has been there.
    pub oldest: Option<Timestamp>,
    /// How many operators are in each state. A state in which nobody is is left out.
    pub operators: BTreeMap<&'static str, u64>,
}

impl Snapshot {
    /// What the wallboard, the metrics and the alarms show of this moment, as far as the viewer sees calls and operators.
    #[must_use]
    pub fn live_figures(&self) -> LiveFigures {
        self.figures_of_calls(|_| true)
    }

    /// The same, with the waiting callers of one account alone.
    #[must_use]
    pub fn live_figures_of(&self, account: RecordId) -> LiveFigures {
        let is_theirs =
            |call: &CallView| call.card.as_ref().is_some_and(|card| card.account.id == Some(account));
        self.figures_of_calls(is_theirs)
    }

    fn figures_of_calls(&self, is_counted: impl Fn(&CallView) -> bool) -> LiveFigures {
        let waits = |call: &&Arc<CallView>| {
            matches!(call.state, CallState::Offered | CallState::Presented) && call.answered_at.is_none()
        };
        let mut figures = LiveFigures::default();
        for call in self.calls.iter().filter(waits).filter(|call| is_counted(call)) {
            figures.waiting += 1;
            figures.oldest =
                Some(figures.oldest.map_or(call.offered_at, |oldest| oldest.min(call.offered_at)));
        }
        for operator in &self.operators {
            *figures.operators.entry(operator.state.as_str()).or_default() += 1;
        }
        figures
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    calls: BTreeMap<CallId, Arc<CallView>>,
    pbx: BTreeMap<PbxId, PbxStatus>,
    operators: BTreeMap<RecordId, Arc<StateView>>,
}

impl State {
    pub(super) fn of(
        calls: Vec<Arc<CallView>>,
        links: Vec<PbxStatus>,
        operators: Vec<Arc<StateView>>,
    ) -> Self {
        Self {
            calls: calls.into_iter().map(|call| (call.id, call)).collect(),
            pbx: links.into_iter().map(|link| (link.id.clone(), link)).collect(),
            operators: operators.into_iter().map(|view| (view.id, view)).collect(),
        }
    }

    /// Applies an event's change. Returns a visibility loss when the operators that a call concerns changed.
    pub(super) fn apply(&mut self, pbx: &PbxId, delta: StateDelta) -> Option<VisibilityLoss> {
        match delta {
            StateDelta::None => None,
            StateDelta::Call(view) => {
                let before = self.calls.insert(view.id, Arc::clone(&view))?;
                let same = before.operators().eq(view.operators()) && before.left() == view.left();
                (!same).then(|| VisibilityLoss::of(&before, Some(&view)))
            }
            StateDelta::CallGone(call) => {
                self.calls.remove(&call).map(|before| VisibilityLoss::of(&before, None))
            }
            StateDelta::Operator(view) => {
                self.operators.insert(view.id, view);
                None
            }
            // An operator whose state another PBX owns by now stays.
            StateDelta::OperatorGone(user) => {
                let is_owned_here =
                    |view: &Arc<StateView>| view.pbx.as_ref().is_none_or(|owner| owner == pbx);
                if self.operators.get(&user).is_some_and(is_owned_here) {
                    self.operators.remove(&user);
                }
                None
            }
            StateDelta::Pbx { up, since } => {
                self.pbx.insert(pbx.clone(), PbxStatus { id: pbx.clone(), up, since });
                None
            }
        }
    }

    pub(super) fn seen_by(&self, viewer: &Viewer, id: EventId) -> Snapshot {
        let calls = self.calls.values().filter(|call| viewer.sees_call(call)).cloned().collect();
        let operators = self.operators.values().filter(|view| viewer.sees_state(view)).cloned().collect();
        Snapshot { id, pbx: self.pbx.values().cloned().collect(), calls, operators }
    }

    /// The live calls of one PBX.
    pub(super) fn calls_of(&self, pbx: &PbxId) -> Vec<Arc<CallView>> {
        self.calls.values().filter(|call| call.pbx == *pbx).cloned().collect()
    }

    /// The operators whose state the daemon of this PBX owns.
    pub(super) fn operators_of(&self, pbx: &PbxId) -> Vec<Arc<StateView>> {
        self.operators.values().filter(|view| view.pbx.as_ref() == Some(pbx)).cloned().collect()
    }

    pub(super) fn operator(&self, user: RecordId) -> Option<&Arc<StateView>> {
        self.operators.get(&user)
    }

    pub(super) fn pbx(&self, pbx: &PbxId) -> Option<&PbxStatus> {
        self.pbx.get(pbx)
    }

    pub(super) fn call(&self, call: CallId) -> Option<&Arc<CallView>> {
        self.calls.get(&call)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }
}
