//! Direction: which calls come from outside, and what is reported about endpoints and rings that no rule explains.
//!
//! | the first channel of a linked set | direction of its call |
//! |---|---|
//! | a trunk's, at its first Ring; drivers create it in this state (PJSIP) or change to it (chan_sip, ISDN, analog lines) | inbound |
//! | a trunk's that dials somebody or joins a queue without ever being Ring | inbound |
//! | a trunk's, or one of an endpoint that no rule knows, for which the dialplan sends an identity | inbound |
//! | a trunk's that a dial names as its destination (an originated call) | outbound |
//! | a trunk's that is found in a list: Ring, or Up in a trunk context or at an extension that is no phone's | inbound |
//! | a trunk's that is found in a list otherwise | outbound: somebody originated it |
//! | anybody else's | outbound once a trunk is dialled, else internal |
//!
//! An endpoint is a trunk if the configuration names it, or if its channel is created in a trunk context; such an
//! endpoint is remembered. Nothing else is guessed: an endpoint that no rule knows is reported once
//! ([`Output::UnknownEndpoint`]), and so is an operator's phone that rings for a call that was not reported
//! ([`Output::UnreportedRing`]).
//!
//! Invariant: at most [`ENDPOINTS_REMEMBERED_MAX`] endpoint names are kept of each kind; a call that became inbound by
//! mistake is taken back only before its first notice.

use std::collections::HashSet;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::leg::{Endpoint, Leg};
use super::model::{Model, TimerKind};
use super::outbound::OutboundFacts;
use super::output::Output;
use super::stage::{Stage, UnverifiedCallerId};
use crate::ami::event::{Channel, ChannelState};
use crate::contract::call::{CallState, Direction};
use crate::ids::{CallId, ChannelId};

/// Most endpoint names that are remembered as trunks by their context, and most that are reported as unknown.
pub const ENDPOINTS_REMEMBERED_MAX: usize = 512;
/// Most Local channels followed from a phone to the channel that dials it.
const LOCAL_HOPS_MAX: usize = 8;

/// What was learned about endpoints that the configuration does not name.
#[derive(Debug, Default)]
pub(crate) struct LearnedEndpoints {
    /// Channels of these were created in a trunk context, or the dialplan sent an identity for them.
    trunks: HashSet<SmolStr>,
    /// These were reported as unknown.
    reported: HashSet<SmolStr>,
}

impl Model {
    /// Who is at the far end of a channel, and the endpoint's name if no rule knows it. `created`: the channel is new, so
    /// that its context is the one that its endpoint is configured with.
    pub(crate) fn classify(&mut self, channel: &Channel, created: bool) -> (Endpoint, Option<SmolStr>) {
        let known = Endpoint::of_channel(&channel.name, &self.rules);
        match &known {
            Some(Endpoint::Inside) | None => {}
            Some(endpoint) => return (endpoint.clone(), None),
        }
        let name = Endpoint::full_name_in(&channel.name);
        if self.learned.trunks.contains(&name) {
            return (Endpoint::Trunk, None);
        }
        let has_own_context = created || channel.id == channel.linked;
        let context = channel.context.as_deref().filter(|_| has_own_context);
        let is_internal =
            name.split_once('/').is_some_and(|(t, endpoint)| self.rules.endpoints.is_internal(t, endpoint));
        if !is_internal && context.is_some_and(|context| self.rules.endpoints.is_trunk_context(context)) {
            self.learn_trunk(name);
            return (Endpoint::Trunk, None);
        }
        if known.is_some() {
            return (Endpoint::Inside, None);
        }
        if self.learned.reported.len() < ENDPOINTS_REMEMBERED_MAX
            && self.learned.reported.insert(name.clone())
        {
            let context = channel.context.clone();
            self.push_output(Output::UnknownEndpoint { endpoint: name.clone(), context });
        }
        (Endpoint::Inside, Some(name))
    }

    fn learn_trunk(&mut self, name: SmolStr) {
        if self.learned.trunks.len() < ENDPOINTS_REMEMBERED_MAX {
            self.learned.trunks.insert(name);
        }
    }

    /// Decides the direction of a call by one of its trunk's legs, which is new, or Ring, or dialled.
    pub(crate) fn derive_direction(&mut self, now: Timestamp, id: CallId, channel: &Channel) {
        let Some(leg) = self.legs.get(&channel.id).filter(|leg| leg.endpoint == Endpoint::Trunk) else {
            return;
        };
        let first = channel.id == channel.linked;
        let rings_in =
            if self.inferring { self.was_coming_in(channel) } else { channel.state == ChannelState::Ring };
        let undecided = first && !leg.dialled && !self.inferring;
        let comes_in = first && !leg.dialled && rings_in;
        let Some(call) = self.calls.get_mut(&id) else { return };
        if comes_in && call.caller.is_none() {
            self.become_inbound(now, id, channel);
        } else if call.direction == Direction::Internal && !undecided {
            call.direction = Direction::Outbound;
        }
    }

    /// Whether a trunk's channel that is found in a list came in. One that was originated runs the dialplan, too, once it
    /// is Up: at the extension of the phone that it is to be connected with, or at none.
    fn was_coming_in(&self, channel: &Channel) -> bool {
        match channel.state {
            ChannelState::Ring => true,
            ChannelState::Up => {
                let in_trunk_context =
                    channel.context.as_deref().is_some_and(|c| self.rules.endpoints.is_trunk_context(c));
                let at_somebodys = channel.exten.as_deref().is_some_and(|exten| {
                    exten != "h" && !self.rules.phones.iter().any(|phone| phone.matches(exten))
                });
                in_trunk_context || at_somebodys
            }
            _ => false,
        }
    }

    /// A channel does what only a caller does: it dials, joins a queue, or has an identity (`identified`).
    pub(crate) fn accept_caller(&mut self, now: Timestamp, channel: &Channel, identified: bool) {
        let Some(leg) = self.legs.get(&channel.id) else { return };
        let (id, unknown) = (leg.call, leg.unknown.clone());
        let is_trunk = leg.endpoint == Endpoint::Trunk || (identified && unknown.is_some());
        let is_first = channel.id == channel.linked && !leg.dialled;
        if !is_trunk
            || !is_first
            || (leg.found && !identified)
            || self.calls.get(&id).is_none_or(|call| call.caller.is_some())
        {
            return;
        }
        if let Some(name) = unknown {
            self.learn_trunk(name);
        }
        if let Some(leg) = self.legs.get_mut(&channel.id) {
            (leg.endpoint, leg.unknown) = (Endpoint::Trunk, None);
        }
        self.become_inbound(now, id, channel);
    }

    fn become_inbound(&mut self, now: Timestamp, id: CallId, channel: &Channel) {
        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.direction = Direction::Inbound;
        call.caller = Some(channel.id.clone());
        call.offered_at = now;
        call.caller_up = channel.state == ChannelState::Up;
        call.found_up = inferring && call.caller_up;
        call.trunk = Endpoint::name_in(&channel.name);
        call.unverified = UnverifiedCallerId::from_channel(channel);
        call.technology = Endpoint::technology_in(&channel.name);
        call.identity = call.unverified.identity();
        (call.answered_at, call.ended_at, call.outcome) = (None, None, None);
        call.state = CallState::Offered;
        call.outbound = OutboundFacts::default();
        self.await_identity(now, id);
    }

    /// A dial names the channel that seemed to come in: it was originated. Some drivers make such a channel Ring before
    /// the dial is reported.
    pub(crate) fn withdraw_caller(&mut self, dialled: &ChannelId) {
        let Some(id) = self.legs.get(dialled).map(|leg| leg.call) else { return };
        let is_waiting = |stage| matches!(stage, Stage::AwaitingIdentity(_));
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.caller.as_ref() != Some(dialled) || !is_waiting(call.stage) || !call.is_reportable() {
            return;
        }
        let unattended_until = call.unattended_until;
        call.forget_caller();
        if let Some(until) = call.stage.deadline() {
            self.clear_timer(until, id, TimerKind::Stage);
        }
        if let Some(until) = unattended_until {
            self.clear_timer(until, id, TimerKind::Unattended);
        }
    }

    /// Reports, once for each leg, an operator's phone that rings for a call that was not reported.
    pub(crate) fn report_ring(&mut self, channel: &Channel) {
        let Some(leg) = self.legs.get(&channel.id).filter(|leg| !leg.ring_reported && leg.is_ringing())
        else {
            return;
        };
        let Some(operator) = leg.endpoint.phone().cloned() else { return };
        let is_inbound = |call| self.calls.get(&call).is_some_and(|c| c.direction == Direction::Inbound);
        if is_inbound(leg.call) {
            return;
        }
        let Err(endpoint) = self.dialler_of(channel) else { return };
        if let Some(leg) = self.legs.get_mut(&channel.id) {
            leg.ring_reported = true;
        }
        self.push_output(Output::UnreportedRing { operator, endpoint });
    }

    /// Whether it is known who makes this phone ring; the error has the endpoint that no rule knows, if that is why.
    fn dialler_of(&self, channel: &Channel) -> Result<(), Option<SmolStr>> {
        let mut current = &channel.id;
        for _ in 0..LOCAL_HOPS_MAX {
            let Some(leg) = self.legs.get(current) else { return Ok(()) };
            let Some(dialler) = &leg.dialled_by else { break };
            match self.legs.get(dialler) {
                Some(Leg { endpoint: Endpoint::Local, peer: Some(peer), .. }) => current = peer,
                Some(leg) => return explains_ring(leg),
                None if self.is_gone(dialler) => return Ok(()),
                None => return Err(None),
            }
        }
        // Nobody dialled it: it was originated, or the dial was missed.
        let is_originated = self.legs.get(current).is_none_or(|leg| leg.dialled);
        if is_originated || *current != channel.id || channel.linked == channel.id {
            return Ok(());
        }
        match self.legs.get(&channel.linked) {
            Some(leg) => explains_ring(leg),
            None if self.is_gone(&channel.linked) => Ok(()),
            None => Err(None),
        }
    }
}

/// Whether a ring that this leg causes needs no report: somebody of the house calls, or the PBX itself.
fn explains_ring(leg: &Leg) -> Result<(), Option<SmolStr>> {
    match (&leg.unknown, &leg.endpoint) {
        (Some(name), _) => Err(Some(name.clone())),
        (None, Endpoint::Trunk) if !leg.dialled && !leg.found => Err(None),
        _ => Ok(()),
    }
}
