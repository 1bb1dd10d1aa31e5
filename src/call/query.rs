//! Reads of the model, for the parts that send actions about calls: transfer, supervision, call control.
//!
//! Invariant: a read changes nothing; its answer holds until the next input.

use std::collections::BTreeSet;

use super::leg::{Endpoint, Leg};
use super::model::Model;
use super::stage::Stage;
use crate::ami::event::{Channel, ChannelState};
use crate::contract::call::CallView;
use crate::ids::{BridgeId, CallId, ChannelId, Extension};

/// The parties of a call, by channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties {
    /// The caller's channel (inbound calls).
    pub caller: Option<ChannelId>,
    /// The operator who has the caller.
    pub operator: Option<(Extension, ChannelId)>,
    /// The operators at whom the call rings.
    pub presented: Vec<(Extension, ChannelId)>,
    /// Every other channel of the call: targets of transfers, halves of Local channels.
    pub others: Vec<ChannelId>,
}

/// What other parts may read of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegView {
    /// Its call.
    pub call: CallId,
    /// The operator's or supervisor's extension, if it is such a phone.
    pub phone: Option<Extension>,
    /// Whether it is a half of a Local channel.
    pub local: bool,
    /// The channel's state.
    pub state: ChannelState,
    /// Its bridge.
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
    /// Whether nobody waits for the card of a call any more: it is known, or its look-up took too long.
    #[must_use]
    pub fn is_card_known(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|call| call.stage == Stage::Open)
    }

    /// A call that has not ended.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<CallView> {
        self.calls.get(&id).filter(|call| call.is_reportable()).map(|call| call.view(&self.rules))
    }

    /// The parties of a call, internal and outbound calls included.
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

    /// The operator who has the caller of this call now.
    #[must_use]
    pub fn operator_of(&self, call: CallId) -> Option<Extension> {
        self.parties(call)?.operator.map(|(operator, _)| operator)
    }

    /// The call whose caller this operator has now.
    #[must_use]
    pub fn call_of_operator(&self, operator: &Extension) -> Option<CallId> {
        let has =
            |call: &&super::stage::Call| call.operator.as_ref().is_some_and(|o| &o.operator == operator);
        self.calls.values().find(has).map(|call| call.id)
    }

    /// Whether this phone has a living channel: in a call of any direction, ringing, or in a supervision.
    #[must_use]
    pub fn is_phone_in_use(&self, phone: &Extension) -> bool {
        self.legs.values().any(|leg| leg.endpoint.phone() == Some(phone))
    }

    /// Whether this operator's phone was picked up for the call, and the PBX has not connected it with the caller yet.
    #[must_use]
    pub fn has_picked_up(&self, id: CallId, operator: &Extension) -> bool {
        let presented = self.calls.get(&id).into_iter().flat_map(|call| &call.presented);
        presented
            .filter(|p| &p.operator == operator)
            .any(|p| self.legs.get(&p.leg).is_some_and(|leg| leg.is_open() && leg.state == ChannelState::Up))
    }

    /// Every living channel.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelId> {
        self.legs.keys()
    }

    /// A living channel.
    #[must_use]
    pub fn leg_view(&self, channel: &ChannelId) -> Option<LegView> {
        self.legs.get(channel).map(LegView::of)
    }

    /// The channels on which a complete list and the model differ: unknown ones, missing ones, and those in another
    /// bridge or with another answered state. Changes whose events are still under way may be among them.
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

    /// The channels in this bridge.
    #[must_use]
    pub fn channels_in_bridge(&self, bridge: &BridgeId) -> Vec<ChannelId> {
        self.bridges.get(bridge).map(|b| b.legs.clone()).unwrap_or_default()
    }
}
