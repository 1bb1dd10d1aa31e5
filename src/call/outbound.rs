//! Outbound calls: what a call from one of our phones to the telephone network leaves in the history.
//!
//! | state | left on |
//! |---|---|
//! | dialling | the far end rings, or answers → connected, or all channels are gone → ended |
//! | connected: a trunk's leg and a phone of the house are up and bridged | the last trunk's leg, or the last leg, is gone → ended |
//! | ended | - |
//!
//! | how it ended | outcome |
//! |---|---|
//! | it was connected | `answered` |
//! | the far end was busy, refused, or could not be reached | `blocked` |
//! | nobody answered, or the operator gave up | `abandoned` |
//! | its end was missed | `unknown` |
//!
//! Invariant: an outbound call sends no notice and is in no list of live calls. It gives one
//! [`Output::OutboundEnded`], if a phone of the house took part: the legs of a transfer alone are no call.

use jiff::Timestamp;
use smol_str::SmolStr;

use super::leg::{Endpoint, Leg};
use super::model::Model;
use super::output::{OutboundCall, Output};
use crate::ami::event::{BridgeKind, ChannelState, DialStatus};
use crate::contract::call::{CallState, Direction, Outcome};
use crate::contract::history::Segment;
use crate::ids::{CallId, ChannelId, Extension};

/// Most operators that an outbound call lists.
const OPERATORS_PER_CALL_MAX: usize = 16;

/// What is known of an outbound call beside its legs.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutboundFacts {
    /// The number that the trunk was given.
    pub(crate) number: Option<SmolStr>,
    /// A trunk was dialled.
    pub(crate) has_trunk: bool,
    /// A phone of the house took part.
    pub(crate) has_phone: bool,
    /// The operators' phones that were on the line, in order.
    pub(crate) operators: Vec<Extension>,
    /// How the last dial of a trunk ended.
    pub(crate) status: Option<DialStatus>,
}

impl OutboundFacts {
    /// Adds what is known of a call that became part of this one.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.number = self.number.take().or(other.number);
        self.has_trunk |= other.has_trunk;
        self.has_phone |= other.has_phone;
        self.status = self.status.or(other.status);
        for operator in other.operators {
            self.add_operator(operator);
        }
    }

    fn add_operator(&mut self, operator: Extension) {
        if !self.operators.contains(&operator) && self.operators.len() < OPERATORS_PER_CALL_MAX {
            self.operators.push(operator);
        }
    }
}

impl Model {
    /// A dial of a trunk began: keeps the number.
    pub(crate) fn note_dialled_number(&mut self, dialled: &ChannelId, number: Option<&SmolStr>) {
        let Some(leg) = self.legs.get(dialled).filter(|leg| leg.endpoint == Endpoint::Trunk) else { return };
        if let Some(call) = self.calls.get_mut(&leg.call)
            && number.is_some()
        {
            call.outbound.number = number.cloned();
        }
    }

    /// Keeps how a trunk's leg ended.
    pub(crate) fn note_trunk_gone(&mut self, id: CallId, leg: &Leg, status: DialStatus) {
        if leg.endpoint == Endpoint::Trunk
            && let Some(call) = self.calls.get_mut(&id)
        {
            call.outbound.has_trunk = true;
            call.outbound.status = Some(status);
        }
    }

    /// Brings the facts of an outbound call up to date; gives its record when it has ended.
    pub(crate) fn follow_outbound(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        if call.direction != Direction::Outbound || call.ended_at.is_some() {
            return;
        }
        let legs = || call.legs.iter().filter_map(|leg| self.legs.get(leg));
        let is_bridged = |leg: &Leg| {
            let bridge = leg.bridge.as_ref().and_then(|bridge| self.bridges.get(bridge));
            leg.state == ChannelState::Up
                && bridge.is_some_and(|bridge| bridge.kind == BridgeKind::Mixing && bridge.legs.len() > 1)
        };
        let is_ours = |leg: &&Leg| matches!(leg.endpoint, Endpoint::Phone(_) | Endpoint::Inside);
        let is_trunk = |leg: &&Leg| leg.endpoint == Endpoint::Trunk;
        let has_trunk = legs().any(|leg| is_trunk(&leg));
        // A phone that only rings is not on the line yet.
        let on_line = |leg: &&Leg| matches!(leg.state, ChannelState::Ring | ChannelState::Up);
        let has_phone = legs().filter(is_ours).any(|leg| on_line(&leg));
        let operators: Vec<Extension> =
            legs().filter(on_line).filter_map(|leg| leg.endpoint.phone().cloned()).collect();
        let connected = legs().filter(is_trunk).any(is_bridged) && legs().filter(is_ours).any(is_bridged);
        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.outbound.has_trunk |= has_trunk;
        call.outbound.has_phone |= has_phone;
        operators.into_iter().for_each(|operator| call.outbound.add_operator(operator));
        if connected && call.answered_at.is_none() {
            call.answered_at = Some(now);
            call.inferred |= inferring;
        }
        let is_over = call.legs.is_empty() || (call.answered_at.is_some() && !has_trunk);
        if is_over && call.outbound.has_trunk && call.outbound.has_phone {
            self.end_outbound(now, id);
        }
    }

    fn end_outbound(&mut self, now: Timestamp, id: CallId) {
        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.inferred |= inferring;
        call.ended_at = Some(now);
        call.state = CallState::Ended;
        call.outcome = Some(match call.outbound.status {
            _ if call.answered_at.is_some() => Outcome::Answered,
            _ if inferring => Outcome::Unknown,
            Some(DialStatus::Busy | DialStatus::Unavailable) => Outcome::Blocked,
            _ => Outcome::Abandoned,
        });
        let facts = std::mem::take(&mut call.outbound);
        let (began, answered) = (call.offered_at, call.answered_at);
        let result = match (answered, facts.status) {
            (Some(_), _) => "answered",
            (None, Some(DialStatus::Busy)) => "busy",
            (None, Some(DialStatus::Unavailable)) => "unreachable",
            (None, Some(DialStatus::NoAnswer)) => "no_answer",
            (None, _) => "withdrawn",
        };
        let segment = |kind: &str, from, until, result: Option<&str>| Segment {
            kind: kind.into(),
            operator: facts.operators.first().cloned(),
            target: facts.number.as_ref().map(ToString::to_string),
            from,
            until: Some(until),
            result: result.map(str::to_owned),
        };
        let mut segments = vec![segment("dialling", began, answered.unwrap_or(now), Some(result))];
        segments.extend(answered.map(|from| segment("talking", from, now, None)));
        let channels = std::mem::take(&mut call.channels);
        let view = call.view(&self.rules);
        self.push_output(Output::OutboundEnded(Box::new(OutboundCall {
            view,
            number: facts.number,
            operators: facts.operators,
            channels,
            segments,
        })));
    }
}
