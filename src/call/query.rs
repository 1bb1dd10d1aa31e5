//! Questions to the model, for those who give orders about calls: transfer, supervision, call control.
//!
//! Invariant: reading changes nothing; what is answered holds until the next input.

use std::collections::BTreeSet;

use super::leg::{Endpoint, Leg};
use super::model::Model;
use super::view::CallView;
use crate::ami::event::{Channel, ChannelState};
use crate::ids::{BridgeId, CallId, ChannelId, Extension};

/// Who takes part in a call, by channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties {
    /// The caller's channel (inbound calls).
    pub caller: Option<ChannelId>,
    /// The operator who has the caller.
    pub operator: Option<(Extension, ChannelId)>,
    /// The operators at whom it rings.
    pub presented: Vec<(Extension, ChannelId)>,
    /// Every other channel of the call: targets of transfers, halves of Local channels.
    pub others: Vec<ChannelId>,
}

/// A channel as those who give orders need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegView {
    /// The call it belongs to.
    pub call: CallId,
    /// The phone of our own it is, if it is one.
    pub phone: Option<Extension>,
    /// Whether it is a half of a Local channel.
    pub local: bool,
    /// The channel's state.
    pub state: ChannelState,
    /// The bridge it is in.
    pub bridge: Option<BridgeId>,
    /// The channel that dialled it.
    pub dialled_by: Option<ChannelId>,
}

impl LegView {
    fn of(leg: &Leg) -> Self {
        Self {
            call: leg.call,
            phone: leg.endpoint.phone().cloned(),
            local: leg.endpoint == Endpoint::Local,
            state: leg.state,
            bridge: leg.bridge.clone(),
            dialled_by: leg.dialled_by.clone(),
        }
    }
}

impl Model {
    /// A call that has not ended.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<CallView> {
        self.calls.get(&id).filter(|call| call.speaks()).map(|call| call.view(&self.plan))
    }

    /// Who takes part in it; also in calls between our own phones and in outgoing ones.
    #[must_use]
    pub fn parties(&self, id: CallId) -> Option<Parties> {
        let call = self.calls.get(&id)?;
        let operator = call.operator.as_ref().map(|o| (o.operator.clone(), o.leg.clone()));
        let presented: Vec<_> = call.presented.iter().map(|p| (p.operator.clone(), p.leg.clone())).collect();
        let named = |leg: &ChannelId| {
            call.caller.as_ref() == Some(leg)
                || operator.iter().chain(&presented).any(|(_, named)| named == leg)
        };
        let others = call.legs.iter().filter(|leg| !named(leg)).cloned().collect();
        Some(Parties { caller: call.caller.clone(), operator, presented, others })
    }

    /// The call whose caller this operator has.
    #[must_use]
    pub fn call_at(&self, operator: &Extension) -> Option<CallId> {
        let has =
            |call: &&super::stage::Call| call.operator.as_ref().is_some_and(|o| &o.operator == operator);
        self.calls.values().find(has).map(|call| call.id)
    }

    /// A living channel.
    #[must_use]
    pub fn leg_view(&self, channel: &ChannelId) -> Option<LegView> {
        self.legs.get(channel).map(LegView::of)
    }

    /// The channels of which a complete list says something else than the model: unknown ones, ones that are gone,
    /// ones that are elsewhere or that have been answered. What is on its way may be among them.
    #[must_use]
    pub fn drift(&self, listed: &[(Channel, Option<BridgeId>)]) -> BTreeSet<ChannelId> {
        let mut drift: BTreeSet<ChannelId> = self.legs.keys().cloned().collect();
        for (channel, bridge) in listed {
            let agrees = match self.legs.get(&channel.id) {
                Some(leg) => {
                    let up = |state| state == ChannelState::Up;
                    leg.bridge == *bridge && up(leg.state) == up(channel.state)
                }
                None => self.is_gone(&channel.id),
            };
            if agrees {
                drift.remove(&channel.id);
            } else {
                drift.insert(channel.id.clone());
            }
        }
        drift
    }

    /// The channels that are in this bridge.
    #[must_use]
    pub fn in_bridge(&self, bridge: &BridgeId) -> Vec<ChannelId> {
        self.bridges.get(bridge).map(|b| b.legs.clone()).unwrap_or_default()
    }
}
