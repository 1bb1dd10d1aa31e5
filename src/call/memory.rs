//! Memory: what must be known of a call after a restart of the daemon, so that it goes on as if nothing was.
//!
//! A daemon that comes back is in the same place as one whose link was lost: it knows how the calls were when it
//! last told about them, and the next list of channels says what has become of them. So a call is remembered
//! with its legs, and everything else is the resync (`resync.rs`) and settling (`settle.rs`): what was told is
//! not told again, and what changed meanwhile is told as the difference, inferred.
//!
//! Invariant: only calls that were told about are remembered; a model that remembers and then sees the very same
//! channels tells nothing. A call's id is derived, so the same call has the same id before and after.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::leg::{Endpoint, Leg};
use super::model::{Bridge, Model};
use super::stage::{Call, Presented, Stage};
use super::view::{CallState, Direction, Outcome};
use crate::ami::event::{BridgeKind, ChannelState, DialStatus};
use crate::directory::card::Card;
use crate::ids::{BridgeId, CallId, ChannelId, Extension};

/// One inbound call, as it was told last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallMemory {
    /// The call.
    pub id: CallId,
    legs: Vec<LegMemory>,
    linked: Vec<ChannelId>,
    caller: Option<ChannelId>,
    channels: Vec<ChannelId>,
    card: Option<Card>,
    offered_at: Timestamp,
    answered_at: Option<Timestamp>,
    presented: Vec<(Extension, ChannelId)>,
    operator: Option<(Extension, ChannelId)>,
    operators: Vec<Extension>,
    operators_legs: Vec<ChannelId>,
    held: bool,
    queued: bool,
    abandoned: bool,
    overflowed: bool,
    told: Option<Outcome>,
    state: CallState,
    inferred: bool,
}

/// One of its channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LegMemory {
    id: ChannelId,
    endpoint: EndpointMemory,
    state: ChannelState,
    bridge: Option<(BridgeId, BridgeKind)>,
    dialled_by: Option<ChannelId>,
    dial_ended: Option<DialStatus>,
    peer: Option<ChannelId>,
    holding: bool,
    hangup_requested: Option<u16>,
    progress: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndpointMemory {
    Phone(Extension),
    Inside,
    Trunk,
    Local,
    Machine,
}

impl CallMemory {
    /// The operators at whom it rang.
    pub fn presented(&self) -> impl Iterator<Item = &Extension> {
        self.presented.iter().map(|(operator, _)| operator)
    }
}

impl Model {
    /// What to remember of this call; nothing once it has ended, and nothing before anything was told of it.
    #[must_use]
    pub fn memory(&self, id: CallId) -> Option<CallMemory> {
        let call = self.calls.get(&id).filter(|call| call.speaks() && call.stage == Stage::Open)?;
        let pair = |p: &Presented| (p.operator.clone(), p.leg.clone());
        Some(CallMemory {
            id,
            legs: call.legs.iter().filter_map(|leg| self.leg_memory(leg)).collect(),
            linked: call.linked.clone(),
            caller: call.caller.clone(),
            channels: call.channels.clone(),
            card: call.card.as_deref().cloned(),
            offered_at: call.offered_at,
            answered_at: call.answered_at,
            presented: call.presented.iter().map(pair).collect(),
            operator: call.operator.as_ref().map(pair),
            operators: call.operators.clone(),
            operators_legs: call.operators_legs.clone(),
            held: call.held,
            queued: call.queued,
            abandoned: call.abandoned,
            overflowed: call.overflowed,
            told: call.told,
            state: call.state,
            inferred: call.inferred,
        })
    }

    fn leg_memory(&self, id: &ChannelId) -> Option<LegMemory> {
        let leg = self.legs.get(id)?;
        let bridge = leg.bridge.as_ref().and_then(|b| Some((b.clone(), self.bridges.get(b)?.kind)));
        Some(LegMemory {
            id: id.clone(),
            endpoint: match &leg.endpoint {
                Endpoint::Phone(extension) => EndpointMemory::Phone(extension.clone()),
                Endpoint::Inside => EndpointMemory::Inside,
                Endpoint::Trunk => EndpointMemory::Trunk,
                Endpoint::Local => EndpointMemory::Local,
                Endpoint::Machine => EndpointMemory::Machine,
            },
            state: leg.state,
            bridge,
            dialled_by: leg.dialled_by.clone(),
            dial_ended: leg.dial_ended,
            peer: leg.peer.clone(),
            holding: leg.holding,
            hangup_requested: leg.hangup_requested,
            progress: leg.progress,
        })
    }

    /// Takes back what was remembered; tells nothing. To be called before the first input.
    pub fn remember(&mut self, memory: CallMemory) {
        let id = memory.id;
        let pair = |(operator, leg)| Presented { operator, leg };
        let mut call = Call::new(id, Direction::Inbound, memory.offered_at, &self.plan);
        call.stage = Stage::Open;
        call.linked = memory.linked;
        call.caller = memory.caller;
        call.channels = memory.channels;
        call.card = memory.card.map(Arc::new);
        call.answered_at = memory.answered_at;
        call.presented = memory.presented.into_iter().map(pair).collect();
        call.operator = memory.operator.map(pair);
        call.operators = memory.operators;
        call.operators_legs = memory.operators_legs;
        call.held = memory.held;
        call.queued = memory.queued;
        call.abandoned = memory.abandoned;
        call.overflowed = memory.overflowed;
        call.told = memory.told;
        call.state = memory.state;
        call.inferred = memory.inferred;
        for linked in &call.linked {
            self.linked.insert(linked.clone(), id);
        }
        for leg in memory.legs {
            call.legs.push(leg.id.clone());
            self.remember_leg(id, leg);
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

    fn remember_leg(&mut self, call: CallId, memory: LegMemory) {
        if let Some((bridge, kind)) = &memory.bridge {
            let entry = self.bridges.entry(bridge.clone());
            entry.or_insert_with(|| Bridge { kind: *kind, legs: Vec::new() }).legs.push(memory.id.clone());
        }
        let leg = Leg {
            call,
            endpoint: match memory.endpoint {
                EndpointMemory::Phone(extension) => Endpoint::Phone(extension),
                EndpointMemory::Inside => Endpoint::Inside,
                EndpointMemory::Trunk => Endpoint::Trunk,
                EndpointMemory::Local => Endpoint::Local,
                EndpointMemory::Machine => Endpoint::Machine,
            },
            state: memory.state,
            bridge: memory.bridge.map(|(bridge, _)| bridge),
            dialled_by: memory.dialled_by,
            dial_ended: memory.dial_ended,
            peer: memory.peer,
            holding: memory.holding,
            hangup_requested: memory.hangup_requested,
            progress: memory.progress,
            // Older than any list: the first one judges it.
            seen_at: 0,
        };
        self.legs.insert(memory.id, leg);
    }
}

/// Calls for the tests of those who keep them.
#[cfg(test)]
pub(crate) mod samples {
    use serde_json::json;

    use super::*;
    use crate::call::Plan;
    use crate::ids::PbxId;

    pub(crate) fn plan() -> Plan {
        Plan {
            pbx: PbxId::parse("lab").unwrap(),
            trunks: vec!["trunk".into()],
            phones: vec!["1XXX".parse().unwrap()],
            identity_wait: std::time::Duration::ZERO,
            ask_wait: std::time::Duration::ZERO,
            card_wait: std::time::Duration::ZERO,
        }
    }

    /// A caller, `n`.1, who talks with operator 1001 since a minute after it was offered.
    pub(crate) fn talking(n: u32) -> CallMemory {
        let (caller, phone) = (format!("{n}.1"), format!("{n}.2"));
        let leg = |id: &str, endpoint: serde_json::Value| {
            json!({
                "id": id, "endpoint": endpoint, "state": ChannelState::Up, "bridge": [format!("b{n}"), BridgeKind::Mixing],
                "dialled_by": null, "dial_ended": null, "peer": null, "holding": false, "hangup_requested": null,
                "progress": false,
            })
        };
        let memory = json!({
            "id": CallId::derive(&plan().pbx, &ChannelId::parse(&caller).unwrap()),
            "legs": [leg(&caller, json!("trunk")), leg(&phone, json!({ "phone": "1001" }))],
            "linked": [caller], "caller": caller, "channels": [caller, phone], "card": null,
            "offered_at": Timestamp::UNIX_EPOCH, "answered_at": Timestamp::from_second(60).unwrap(),
            "presented": [], "operator": ["1001", phone], "operators": ["1001"], "operators_legs": [phone],
            "held": false, "queued": false, "abandoned": false, "overflowed": false, "told": null,
            "state": CallState::Answered, "inferred": false,
        });
        serde_json::from_value(memory).unwrap()
    }
}
