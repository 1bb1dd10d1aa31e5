//! Derives from the legs of a call what its operators see, and sends the difference to the previous facts as notices.
//!
//! The result depends on the present legs, bridges and the previous facts alone, not on the order of the events that led
//! there: reordered events, duplicates and a list after a gap give the same result. What is derived:
//!
//! | fact | holds for |
//! |---|---|
//! | talking | a leg that shares a mixing bridge with the caller's leg, through any Local channels between |
//! | operator | the previous operator, while that phone's leg lives and nobody else is with the caller; else the phone that has been with the caller for longest; else, while nobody is with the caller, a phone that was dialled for the caller and has answered, and never had the caller before |
//! | presented | a phone that rings, unless another phone of the same dial has the caller; a phone that was found ringing and has answered, until another channel joins it; a phone that answered a consultation, until it gets the caller or hangs up |
//! | held | the operator's phone holds |
//!
//! Invariant: each `Presented` is followed by exactly one end for that operator: `Answered` or `Rescinded`.

use jiff::Timestamp;

use super::leg::{Endpoint, Leg};
use super::model::Model;
use super::output::{NoticeKind, Output, RescindReason};
use super::stage::{Call, OperatorLeg, Stage};
use crate::ami::event::{BridgeKind, ChannelState, DialStatus};
use crate::contract::call::{CallState, Outcome};
use crate::ids::{CallId, ChannelId, Extension};

/// Most Local channels followed between two legs.
const LOCAL_HOPS_MAX: usize = 8;

/// Who is in a bridge with the caller.
#[derive(Default)]
struct CallerPeers {
    /// Operators' phones, by the age of their legs, oldest first.
    phones: Vec<OperatorLeg>,
    /// Somebody who is not an operator.
    has_outsider: bool,
}

impl Model {
    /// Derives the facts of a call and sends what changed. While a list is read, the derivation waits for its end:
    /// otherwise a phone that is listed before its caller would seem to have lost the caller.
    pub(crate) fn derive(&mut self, now: Timestamp, id: CallId) {
        if let Some(listing) = self.listing.as_mut().filter(|_| self.inferring) {
            if listing.touched.last() != Some(&id) {
                listing.touched.push(id);
            }
            return;
        }
        self.follow_outbound(now, id);
        let Some(call) = self.calls.get(&id).filter(|call| call.is_reportable()) else { return };
        let peers = self.peers_of_caller(call);
        let operator = self.find_operator(call, &peers);
        let presented = self.find_presented(call, operator.as_ref());
        let held = operator.as_ref().is_some_and(|o| self.legs.get(&o.leg).is_some_and(|leg| leg.holding));
        let caller_leaves = call
            .caller
            .as_ref()
            .and_then(|leg| self.legs.get(leg))
            .is_some_and(|leg| leg.hangup_requested.is_some());
        let withdrawn = self.find_withdrawn(call, &presented, operator.as_ref(), caller_leaves);

        let has_outside_leg = call.legs.iter().any(|leg| {
            call.caller.as_ref() != Some(leg)
                && self
                    .legs
                    .get(leg)
                    .is_some_and(|l| matches!(l.endpoint, Endpoint::Trunk | Endpoint::Inside))
        });

        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (before, had_operator) = (call.state, call.operator.is_some());
        let changed = apply_changes(call, now, presented, operator, held, withdrawn);
        call.state = state_of(call, peers.has_outsider || has_outside_leg);
        let left_alone = had_operator && call.operator.is_none();
        call.inferred |= inferring && (changed || before != call.state);
        if !changed && (left_alone || before != call.state) {
            call.push_notice(now, NoticeKind::Updated);
        }
        call.last_dials.clear();
        self.flush(id);
    }

    /// Puts out the notices that may go out now.
    pub(crate) fn flush(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        for notice in call.take_notices(&self.rules) {
            self.push_output(Output::Notice(notice));
        }
    }

    /// Ends a call whose caller is gone: withdraws every pop, then queues the end.
    pub(crate) fn end_call(&mut self, now: Timestamp, id: CallId, cause: u16) {
        if self.calls.get(&id).is_some_and(|call| {
            matches!(call.stage, Stage::AwaitingIdentity(_) | Stage::AwaitingPresentation(_))
        }) {
            self.identify(now, id);
        }
        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        for presented in std::mem::take(&mut call.presented) {
            let reason = RescindReason::CallerGone;
            call.push_notice(now, NoticeKind::Rescinded { operator: presented.operator, reason });
        }
        let outcome = outcome_of(call, cause, inferring);
        call.inferred |= inferring;
        call.operator = None;
        call.held = false;
        call.ended_at = Some(now);
        call.outcome = Some(outcome);
        call.state = CallState::Ended;
        let operators = call.operators.clone();
        let channels = std::mem::take(&mut call.channels);
        call.push_notice(now, NoticeKind::Ended { outcome, operators, channels });
        self.flush(id);
    }

    fn peers_of_caller(&self, call: &Call) -> CallerPeers {
        let mut peers = CallerPeers::default();
        let Some(caller) = &call.caller else { return peers };
        let mut legs = vec![caller];
        let mut seen = 0;
        while let Some(own) = legs.get(seen).copied() {
            seen += 1;
            let Some(bridge) = self.legs.get(own).and_then(|leg| leg.bridge.as_ref()) else { continue };
            let Some(bridge) = self.bridges.get(bridge).filter(|b| b.kind == BridgeKind::Mixing) else {
                continue;
            };
            for id in bridge.legs.iter().filter(|id| *id != own) {
                let Some(leg) = self.legs.get(id) else { continue };
                match &leg.endpoint {
                    Endpoint::Phone(extension) => {
                        peers.phones.push(OperatorLeg { operator: extension.clone(), leg: id.clone() });
                    }
                    Endpoint::Trunk | Endpoint::Inside => peers.has_outsider = true,
                    Endpoint::Local => {
                        if let Some(peer) = leg.peer.as_ref()
                            && legs.len() < LOCAL_HOPS_MAX
                            && !legs.contains(&peer)
                        {
                            legs.push(peer);
                        }
                    }
                    Endpoint::Machine => {}
                }
            }
        }
        peers.phones.sort_by_key(|p| self.legs.get(&p.leg).map(|leg| leg.seen_at));
        peers
    }

    fn find_operator(&self, call: &Call, peers: &CallerPeers) -> Option<OperatorLeg> {
        let present = call.operator.as_ref().filter(|o| self.legs.contains_key(&o.leg));
        let alone = peers.phones.is_empty() && !peers.has_outsider;
        if let Some(present) = present.filter(|present| alone || peers.phones.contains(present)) {
            return Some(present.clone());
        }
        if let Some(first) = peers.phones.first() {
            return Some(first.clone());
        }
        if peers.has_outsider {
            return None;
        }
        let answered = |id: &&ChannelId| {
            self.legs.get(*id).is_some_and(|leg| leg.has_answered() && leg.hangup_requested.is_none())
                && self.is_dialled_for_caller(call, id)
                && !call.operators_legs.contains(*id)
        };
        let leg = call.legs.iter().find(answered)?;
        let operator = self.legs.get(leg)?.endpoint.phone()?.clone();
        Some(OperatorLeg { operator, leg: leg.clone() })
    }

    /// Whether the caller's leg dialled this leg, directly or through Local channels; a consulted leg was dialled by an
    /// operator.
    fn is_dialled_for_caller(&self, call: &Call, id: &ChannelId) -> bool {
        let mut dialler = self.legs.get(id).and_then(|leg| leg.dialled_by.as_ref());
        for _ in 0..LOCAL_HOPS_MAX {
            let Some(id) = dialler else { return false };
            if call.caller.as_ref() == Some(id) {
                return true;
            }
            let Some(leg) = self.legs.get(id).filter(|leg| leg.endpoint == Endpoint::Local) else {
                return false;
            };
            dialler = leg.peer.as_ref().and_then(|peer| self.legs.get(peer)?.dialled_by.as_ref());
        }
        false
    }

    fn find_presented(&self, call: &Call, operator: Option<&OperatorLeg>) -> Vec<OperatorLeg> {
        let winner = operator.and_then(|o| self.legs.get(&o.leg)?.dialled_by.as_ref());
        let lost = |leg: &Leg| winner.is_some() && leg.dialled_by.as_ref() == winner;
        let mut presented: Vec<OperatorLeg> = Vec::new();
        for id in &call.legs {
            let Some(leg) = self.legs.get(id).filter(|leg| leg.is_ringing() && !lost(leg)) else { continue };
            let Some(extension) = leg.endpoint.phone() else { continue };
            // An operator gets one pop, and none while they have the caller.
            if !presented.iter().chain(operator).any(|p| &p.operator == extension) {
                presented.push(OperatorLeg { operator: extension.clone(), leg: id.clone() });
            }
        }
        presented
    }

    /// The operators whose pop ends, with the reason; not the one who gets the caller.
    fn find_withdrawn(
        &self,
        call: &Call,
        presented: &[OperatorLeg],
        operator: Option<&OperatorLeg>,
        caller_leaves: bool,
    ) -> Vec<(Extension, RescindReason)> {
        let stays = |p: &OperatorLeg| {
            presented.iter().chain(operator).any(|now| now.operator == p.operator)
                || self.is_consulted(call, p)
                || (operator.is_none() && self.awaits_bridge(p))
        };
        let reason = |p: &OperatorLeg| {
            let status = match self.legs.get(&p.leg) {
                Some(leg) => leg.dial_result(),
                None => call.last_dials.iter().find(|(leg, _)| leg == &p.leg).map(|(_, status)| *status),
            };
            match status {
                _ if caller_leaves => RescindReason::CallerGone,
                Some(DialStatus::NoAnswer) => RescindReason::NoAnswer,
                Some(DialStatus::Busy) => RescindReason::Busy,
                Some(DialStatus::Unavailable) => RescindReason::Unreachable,
                _ if operator.is_some() => RescindReason::AnsweredElsewhere,
                _ => RescindReason::Withdrawn,
            }
        };
        let gone = call.presented.iter().filter(|p| !stays(p));
        gone.map(|p| (p.operator.clone(), reason(p))).collect()
    }

    /// Whether a phone that was found ringing, with an unknown dialler, has answered and nobody is with it yet: its first
    /// bridge will show whose call it is.
    fn awaits_bridge(&self, presented: &OperatorLeg) -> bool {
        let Some(leg) = self.legs.get(&presented.leg) else { return false };
        let bridge = leg.bridge.as_ref().and_then(|bridge| self.bridges.get(bridge));
        leg.state == ChannelState::Up
            && leg.dialled_by.is_none()
            && leg.dial_ended.is_none_or(|status| status == DialStatus::Answer)
            && leg.hangup_requested.is_none()
            && bridge.is_none_or(|bridge| bridge.legs.len() == 1)
    }

    /// Whether this operator has answered a consultation: the pop stays until they get the caller or hang up.
    fn is_consulted(&self, call: &Call, presented: &OperatorLeg) -> bool {
        let answered = self.legs.get(&presented.leg).is_some_and(Leg::has_answered);
        answered && call.operator.is_some() && !self.is_dialled_for_caller(call, &presented.leg)
    }
}

/// Applies the facts to the call and queues a notice for each difference; returns whether there was one.
fn apply_changes(
    call: &mut Call,
    now: Timestamp,
    presented: Vec<OperatorLeg>,
    operator: Option<OperatorLeg>,
    held: bool,
    withdrawn: Vec<(Extension, RescindReason)>,
) -> bool {
    let mut changed = false;
    let before = std::mem::take(&mut call.presented);
    let was_presented = |operator: &Extension| before.iter().any(|p| &p.operator == operator);
    for new in presented.iter().filter(|p| !was_presented(&p.operator)) {
        call.push_notice(now, NoticeKind::Presented { operator: new.operator.clone() });
        changed = true;
    }
    if let Some(new) = operator.as_ref().filter(|o| call.operator.as_ref() != Some(*o)) {
        if call.operator.as_ref().is_none_or(|old| old.operator != new.operator) {
            if !was_presented(&new.operator) && !presented.iter().any(|p| p.operator == new.operator) {
                call.push_notice(now, NoticeKind::Presented { operator: new.operator.clone() });
            }
            call.push_notice(now, NoticeKind::Answered { operator: new.operator.clone() });
            call.operators.push(new.operator.clone());
            changed = true;
        }
        call.operators_legs.push(new.leg.clone());
        call.answered_at.get_or_insert(now);
        call.queued = false;
    }
    // The pop of a consulted operator is neither new nor withdrawn: it stays.
    let kept = before.iter().filter(|p| {
        !presented.iter().any(|n| n.operator == p.operator)
            && !withdrawn.iter().any(|(operator, _)| operator == &p.operator)
            && operator.as_ref().is_none_or(|o| o.operator != p.operator)
    });
    call.presented = presented.iter().chain(kept).cloned().collect();
    if let Some(operator) = &operator {
        call.presented.retain(|p| p.operator != operator.operator);
        if held != call.held {
            let operator = operator.operator.clone();
            call.push_notice(
                now,
                if held { NoticeKind::Held { operator } } else { NoticeKind::Resumed { operator } },
            );
            changed = true;
        }
    }
    for (operator, reason) in withdrawn {
        call.push_notice(now, NoticeKind::Rescinded { operator, reason });
        changed = true;
    }
    call.held = held;
    call.operator = operator;
    changed
}

fn state_of(call: &Call, outside: bool) -> CallState {
    match (&call.operator, call.held) {
        (Some(_), true) => CallState::Held,
        (Some(_), false) => CallState::Answered,
        (None, _) if !call.presented.is_empty() => CallState::Presented,
        (None, _) if call.answered_at.is_none() || call.queued => CallState::Offered,
        (None, _) if outside => CallState::Transferred,
        // The operator is gone and nobody has come yet: the caller hangs up, or the dialplan continues.
        (None, _) => call.state,
    }
}

/// The one outcome of a call. The outcome that the dialplan reported takes precedence over what the cause suggests.
fn outcome_of(call: &Call, cause: u16, inferring: bool) -> Outcome {
    match cause {
        _ if call.answered_at.is_some() => Outcome::Answered,
        _ if call.dialplan_outcome.is_some() => call.dialplan_outcome.unwrap_or(Outcome::Unknown),
        _ if inferring => Outcome::Unknown,
        _ if call.abandoned => Outcome::Abandoned,
        _ if call.overflowed => Outcome::Overflowed,
        17 | 34 | 38 | 42 | 44 | 58 => Outcome::Blocked,
        _ => Outcome::Abandoned,
    }
}
