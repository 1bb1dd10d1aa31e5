//! Snapshot: what a daemon must know about a call to continue it after a restart.
//!
//! A restarted daemon is in the position of one whose link was lost: it knows the calls as of the last notices, and the
//! next list of channels shows what has changed since. A call is therefore stored with its legs, and the resync
//! (`resync.rs`) and derivation (`derive.rs`) do the rest: what was published is not published again, and what changed in
//! the meantime is published as the difference, inferred.
//!
//! Invariant: only calls of which notices went out (stage open) have a snapshot; the list finds the others again. A model
//! that restores snapshots and then reads a list of the same channels sends no notice. A call's id is derived, so it is the
//! same before and after. Field names are persisted JSON.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::leg::{Endpoint, Leg};
use super::model::{Bridge, Model};
use super::queue_visit::{QueueVisit, Treated};
use super::stage::{Call, OperatorLeg, Stage};
use crate::ami::event::{BridgeKind, ChannelState, DialStatus};
use crate::contract::call::{CallState, Direction, Outcome};
use crate::contract::card::Card;
use crate::ids::{BridgeId, CallId, ChannelId, Extension, RecordId};

/// One inbound call, as of its last notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallSnapshot {
    /// The call.
    pub id: CallId,
    legs: Vec<LegSnapshot>,
    linked: Vec<ChannelId>,
    caller: Option<ChannelId>,
    channels: Vec<ChannelId>,
    card: Option<Card>,
    offered_at: Timestamp,
    answered_at: Option<Timestamp>,
    presented: Vec<(Extension, ChannelId)>,
    operator: Option<(Extension, ChannelId)>,
    operators: Vec<Extension>,
    #[serde(default)]
    handled_by: Vec<RecordId>,
    operators_legs: Vec<ChannelId>,
    held: bool,
    queued: bool,
    abandoned: bool,
    overflowed: bool,
    #[serde(rename = "told")]
    dialplan_outcome: Option<Outcome>,
    /// The state in the words that every version knows; see `exact_state`.
    state: CallState,
    inferred: bool,
    // The fields below were added later; an older version ignores them, and a checkpoint of one lacks them.
    #[serde(default)]
    exact_state: Option<CallState>,
    #[serde(default)]
    tried: bool,
    #[serde(default)]
    refused: bool,
    #[serde(default)]
    unanswered: bool,
    #[serde(default)]
    caller_hung_up: bool,
    #[serde(default)]
    elsewhere: bool,
    #[serde(default)]
    found_up: bool,
    #[serde(default)]
    fax: bool,
    #[serde(default)]
    passed_on: bool,
    #[serde(default)]
    with_pbx: bool,
    #[serde(default)]
    queue_visits: Vec<QueueVisit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    treated: Option<Treated>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guidance: Option<String>,
}

/// One channel of the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LegSnapshot {
    id: ChannelId,
    endpoint: EndpointSnapshot,
    state: ChannelState,
    bridge: Option<(BridgeId, BridgeKind)>,
    dialled_by: Option<ChannelId>,
    dial_ended: Option<DialStatus>,
    peer: Option<ChannelId>,
    holding: bool,
    hangup_requested: Option<u16>,
    progress: bool,
    #[serde(default)]
    hung_up: bool,
    #[serde(default)]
    picked_up_at: Option<Timestamp>,
    #[serde(default)]
    consulted: bool,
    #[serde(default)]
    released: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndpointSnapshot {
    Phone(Extension),
    Inside,
    Trunk,
    Local,
    Machine,
}

impl CallSnapshot {
    /// The operators at whom it rang.
    pub fn presented(&self) -> impl Iterator<Item = &Extension> {
        self.presented.iter().map(|(operator, _)| operator)
    }

    /// What the directory said about the caller.
    #[must_use]
    pub fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    /// When the call reached the service.
    #[must_use]
    pub fn offered_at(&self) -> Timestamp {
        self.offered_at
    }
}

impl Model {
    /// The snapshot of this call; `None` before its first notice and after its end.
    #[must_use]
    pub fn snapshot(&self, id: CallId) -> Option<CallSnapshot> {
        let call = self.calls.get(&id).filter(|call| call.is_reportable() && call.stage == Stage::Open)?;
        let pair = |p: &OperatorLeg| (p.operator.clone(), p.leg.clone());
        Some(CallSnapshot {
            id,
            legs: call.legs.iter().filter_map(|leg| self.leg_snapshot(leg)).collect(),
            linked: call.linked.clone(),
            caller: call.caller.clone(),
            channels: call.channels.clone(),
            card: call.card.as_deref().cloned(),
            offered_at: call.offered_at,
            answered_at: call.answered_at,
            presented: call.presented.iter().map(pair).collect(),
            operator: call.operator.as_ref().map(pair),
            operators: call.operators.clone(),
            handled_by: call.handled_by.clone(),
            operators_legs: call.operators_legs.clone(),
            held: call.held,
            queued: call.queued,
            abandoned: call.abandoned,
            overflowed: call.overflowed,
            dialplan_outcome: call.dialplan_outcome,
            state: match call.state {
                CallState::Elsewhere | CallState::Parked => CallState::Transferred,
                known => known,
            },
            inferred: call.inferred,
            exact_state: Some(call.state),
            tried: call.tried,
            refused: call.refused,
            unanswered: call.unanswered,
            caller_hung_up: call.caller_hung_up,
            elsewhere: call.elsewhere,
            found_up: call.found_up,
            fax: call.fax,
            passed_on: call.passed_on,
            with_pbx: call.with_pbx,
            queue_visits: call.queue_visits.clone(),
            treated: call.treated.clone(),
            guidance: call.guidance.clone(),
        })
    }

    fn leg_snapshot(&self, id: &ChannelId) -> Option<LegSnapshot> {
        let leg = self.legs.get(id)?;
        let bridge = leg.bridge.as_ref().and_then(|b| Some((b.clone(), self.bridges.get(b)?.kind)));
        Some(LegSnapshot {
            id: id.clone(),
            endpoint: match &leg.endpoint {
                Endpoint::Phone(extension) => EndpointSnapshot::Phone(extension.clone()),
                Endpoint::Inside => EndpointSnapshot::Inside,
                Endpoint::Trunk => EndpointSnapshot::Trunk,
                Endpoint::Local => EndpointSnapshot::Local,
                Endpoint::Machine => EndpointSnapshot::Machine,
            },
            state: leg.state,
            bridge,
            dialled_by: leg.dialled_by.clone(),
            dial_ended: leg.dial_ended,
            peer: leg.peer.clone(),
            holding: leg.holding,
            hangup_requested: leg.hangup_requested,
            progress: leg.progress,
            hung_up: leg.hung_up,
            picked_up_at: leg.picked_up_at,
            consulted: leg.consulted,
            released: leg.released,
        })
    }

    /// Restores a call; sends no notice. Must be called before the first input.
    pub fn restore(&mut self, snapshot: CallSnapshot) {
        let id = snapshot.id;
        let pair = |(operator, leg)| OperatorLeg { operator, leg };
        let mut call = Call::new(id, Direction::Inbound, snapshot.offered_at, &self.rules);
        call.stage = Stage::Open;
        call.linked = snapshot.linked;
        call.caller = snapshot.caller;
        call.channels = snapshot.channels;
        call.card = snapshot.card.map(Arc::new);
        call.answered_at = snapshot.answered_at;
        call.presented = snapshot.presented.into_iter().map(pair).collect();
        call.operator = snapshot.operator.map(pair);
        call.operators = snapshot.operators;
        call.handled_by = snapshot.handled_by;
        call.operators_legs = snapshot.operators_legs;
        call.held = snapshot.held;
        call.queued = snapshot.queued;
        call.abandoned = snapshot.abandoned;
        call.overflowed = snapshot.overflowed;
        call.dialplan_outcome = snapshot.dialplan_outcome;
        call.state = snapshot.exact_state.unwrap_or(snapshot.state);
        call.inferred = snapshot.inferred;
        call.tried = snapshot.tried || !call.presented.is_empty() || call.queued;
        call.refused = snapshot.refused;
        call.unanswered = snapshot.unanswered;
        call.caller_hung_up = snapshot.caller_hung_up;
        call.elsewhere = snapshot.elsewhere;
        call.found_up = snapshot.found_up;
        call.fax = snapshot.fax;
        call.passed_on = snapshot.passed_on;
        call.with_pbx = snapshot.with_pbx;
        call.queue_visits = snapshot.queue_visits;
        call.treated = snapshot.treated;
        call.guidance = snapshot.guidance;
        for linked in &call.linked {
            self.linked.insert(linked.clone(), id);
        }
        for leg in snapshot.legs {
            call.legs.push(leg.id.clone());
            call.caller_up |= call.caller.as_ref() == Some(&leg.id) && leg.state == ChannelState::Up;
            self.restore_leg(id, leg);
        }
        for leg in &call.legs {
            let lost = self.legs.get(leg).and_then(|leg| leg.peer.as_ref());
            if lost.is_some_and(|peer| !self.legs.contains_key(peer))
                && let Some(leg) = self.legs.get_mut(leg)
            {
                leg.peer = None;
            }
        }
        self.calls.insert(id, call);
    }

    fn restore_leg(&mut self, call: CallId, snapshot: LegSnapshot) {
        if let Some((bridge, kind)) = &snapshot.bridge {
            let entry = self.bridges.entry(bridge.clone());
            entry.or_insert_with(|| Bridge { kind: *kind, legs: Vec::new() }).legs.push(snapshot.id.clone());
        }
        let leg = Leg {
            call,
            endpoint: match snapshot.endpoint {
                EndpointSnapshot::Phone(extension) => Endpoint::Phone(extension),
                EndpointSnapshot::Inside => Endpoint::Inside,
                EndpointSnapshot::Trunk => Endpoint::Trunk,
                EndpointSnapshot::Local => Endpoint::Local,
                EndpointSnapshot::Machine => Endpoint::Machine,
            },
            state: snapshot.state,
            bridge: snapshot.bridge.map(|(bridge, _)| bridge),
            dialled: snapshot.dialled_by.is_some(),
            dialled_by: snapshot.dialled_by,
            dial_ended: snapshot.dial_ended,
            peer: snapshot.peer,
            holding: snapshot.holding,
            hangup_requested: snapshot.hangup_requested,
            progress: snapshot.progress,
            unknown: None,
            found: true,
            ring_reported: false,
            hung_up: snapshot.hung_up,
            picked_up_at: snapshot.picked_up_at,
            announced: false,
            consulted: snapshot.consulted,
            released: snapshot.released,
            // Older than any list: the first list judges it.
            seen_at: 0,
        };
        self.legs.insert(snapshot.id, leg);
    }
}

/// Sample calls for tests elsewhere in the crate.
#[cfg(test)]
pub(crate) mod samples {
    use serde_json::json;

    use super::*;
    use crate::call::EndpointRules;
    use crate::ids::PbxId;

    pub(crate) fn rules() -> EndpointRules {
        EndpointRules {
            pbx: PbxId::parse("lab").unwrap(),
            trunks: vec!["trunk".into()],
            endpoints: crate::contract::endpoint::EndpointNames::default(),
            phones: vec!["1XXX".parse().unwrap()],
            identity_timeout: std::time::Duration::ZERO,
            presentation_timeout: std::time::Duration::ZERO,
            card_timeout: std::time::Duration::ZERO,
        }
    }

    /// A caller on channel `n`.1, answered by operator 1001 one minute after the call was offered.
    pub(crate) fn talking(n: u32) -> CallSnapshot {
        let (caller, phone) = (format!("{n}.1"), format!("{n}.2"));
        let leg = |id: &str, endpoint: serde_json::Value| {
            json!({
                "id": id, "endpoint": endpoint, "state": ChannelState::Up, "bridge": [format!("b{n}"), BridgeKind::Mixing],
                "dialled_by": null, "dial_ended": null, "peer": null, "holding": false, "hangup_requested": null,
                "progress": false,
            })
        };
        let snapshot = json!({
            "id": CallId::derive(&rules().pbx, &ChannelId::parse(&caller).unwrap()),
            "legs": [leg(&caller, json!("trunk")), leg(&phone, json!({ "phone": "1001" }))],
            "linked": [caller], "caller": caller, "channels": [caller, phone], "card": null,
            "offered_at": Timestamp::UNIX_EPOCH, "answered_at": Timestamp::from_second(60).unwrap(),
            "presented": [], "operator": ["1001", phone], "operators": ["1001"], "operators_legs": [phone],
            "held": false, "queued": false, "abandoned": false, "overflowed": false, "told": null,
            "state": CallState::Answered, "inferred": false,
        });
        serde_json::from_value(snapshot).unwrap()
    }
}
