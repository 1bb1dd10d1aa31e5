//! The state that a snapshot shows: live calls, operators, and the links to the PBXes.
//!
//! Invariant: it is what the [`Change`]s of all published events amount to, in their order; the order's lock
//! guards both, so a snapshot and the id it bears always belong together.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::Change;
use super::id::EventId;
use crate::call::view::CallView;
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::operator::{StateView, Viewer};

/// The link to one PBX.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PbxStatus {
    /// Which PBX.
    #[schema(value_type = String)]
    pub id: PbxId,
    /// Whether the link is up.
    pub up: bool,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub since: Timestamp,
}

/// The state after the event `id`, as one viewer may see it.
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

#[derive(Debug, Default)]
pub(super) struct State {
    calls: BTreeMap<CallId, Arc<CallView>>,
    pbx: BTreeMap<PbxId, PbxStatus>,
    operators: BTreeMap<RecordId, Arc<StateView>>,
}

/// A call that a change takes out of some people's sight: whom it concerned, and whom it concerns now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    before: Vec<Extension>,
    now: Option<Vec<Extension>>,
}

impl Departure {
    /// Whether `viewer` had the call in sight and has it no longer.
    pub(super) fn concerns(&self, viewer: &Viewer) -> bool {
        viewer.sees_call_of(self.before.iter())
            && !self.now.as_ref().is_some_and(|now| viewer.sees_call_of(now.iter()))
    }

    /// Whom the call concerned; nobody: it was for all supervisors.
    pub(super) fn before(&self) -> &[Extension] {
        &self.before
    }

    fn of(before: &CallView, now: Option<&CallView>) -> Self {
        let operators = |view: &CallView| view.operators().cloned().collect();
        Self { before: operators(before), now: now.map(operators) }
    }
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

    /// Makes the change. A departure is returned when the people a call concerns may have become others.
    pub(super) fn apply(&mut self, pbx: &PbxId, change: Change) -> Option<Departure> {
        match change {
            Change::None => None,
            Change::Call(view) => {
                let before = self.calls.insert(view.id, Arc::clone(&view))?;
                let same = before.operators().eq(view.operators());
                (!same).then(|| Departure::of(&before, Some(&view)))
            }
            Change::CallGone(call) => self.calls.remove(&call).map(|before| Departure::of(&before, None)),
            Change::Operator(view) => {
                self.operators.insert(view.id, view);
                None
            }
            // Whoever went to another PBX is there.
            Change::OperatorGone(user) => {
                let kept_there = |view: &Arc<StateView>| view.pbx.as_ref().is_none_or(|keeper| keeper == pbx);
                if self.operators.get(&user).is_some_and(kept_there) {
                    self.operators.remove(&user);
                }
                None
            }
            Change::Pbx { up, since } => {
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

    /// What one PBX has, for a daemon that takes it over.
    pub(super) fn calls_of(&self, pbx: &PbxId) -> Vec<Arc<CallView>> {
        self.calls.values().filter(|call| call.pbx == *pbx).cloned().collect()
    }

    /// Those whose states the daemon of this PBX keeps.
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
