//! Derives from the legs of a call what its operators see, and sends the difference to the previous facts as notices.
//!
//! The result depends on the present legs, bridges and the previous facts alone, not on the order of the events that led
//! there: reordered events, duplicates and a list after a gap give the same result. What is derived:
//!
//! | fact | holds for |
//! |---|---|
//! | connected | a leg that shares a mixing bridge with the caller's leg, through any Local channels between |
//! | picked up | a phone that was dialled for the caller and has answered, and never had the caller before: it may hear an announcement or have to press a key, and the PBX has not connected the two |
//! | operator | the previous operator, while nobody else is with the caller, and that phone's leg lives, has not passed the caller on, and does not hang up away from the caller (in a consultation); else the phone that has been connected for longest |
//! | presented | a phone that rings, unless another phone of the same dial has the caller; a phone that was picked up, while nobody is with the caller; a phone that was found ringing and has answered, until another channel joins it; a phone that answered a consultation, until it gets the caller or hangs up |
//! | held | the operator's phone holds |
//!
//! The state of a call without an operator, the first that holds:
//!
//! | state | condition |
//! |---|---|
//! | elsewhere | no operator ever had the caller, and somebody else is connected |
//! | presented | somebody is presented |
//! | offered | the caller waits in a queue |
//! | parked | the caller is in a holding bridge |
//! | elsewhere | no operator ever had the caller, no phone is being tried, and the PBX itself has the caller: it answered the call after the phones were tried, or nothing has happened to an answered caller for [`UNATTENDED_DELAY`]; or somebody else had the caller |
//! | offered | no operator ever had the caller |
//! | transferred | an outside leg is there, the operator passed the caller on, nobody has attended to the caller for [`UNATTENDED_DELAY`], or the state was none of the two below |
//! | answered, held (as before) | otherwise: the operator is gone, and the caller hangs up or the dialplan continues |
//!
//! Invariant: each `Presented` is followed by exactly one end for that operator: `Answered` or `Rescinded`. Nobody has
//! answered a call, talks with its caller or counts in its outcome who was not connected with the caller.

use std::time::Duration;

use jiff::Timestamp;

use super::leg::{Endpoint, Leg};
use super::model::{Model, TimerKind};
use super::output::{NoticeKind, Output, RescindReason};
use super::queue_visit;
use super::queue_visit::QueueResult;
use super::stage::{Call, OperatorLeg, Stage, deadline_after};
use crate::ami::event::{BridgeKind, ChannelState, DialStatus};
use crate::contract::call::{CallState, Outcome};
use crate::ids::{CallId, ChannelId, Extension};

/// Most Local channels followed between two legs.
const LOCAL_HOPS_MAX: usize = 8;
/// How long nobody may attend to a caller before the PBX itself counts as having the caller: the dialplan takes less
/// between two of its steps.
pub(super) const UNATTENDED_DELAY: Duration = Duration::from_secs(2);

/// Who is in a bridge with the caller.
#[derive(Default)]
struct CallerPeers {
    /// Operators' phones, by the age of their legs, oldest first.
    phones: Vec<OperatorLeg>,
    /// Somebody who is not an operator.
    has_outsider: bool,
}

/// What surrounds the caller, besides the operator and the phones that ring.
struct Surroundings {
    /// Somebody who is not an operator is connected with the caller.
    outsider: bool,
    /// Somebody who is not an operator is in the call, connected or not.
    outside_leg: bool,
    being_connected: bool,
    /// The caller is in a holding bridge.
    parked: bool,
    /// The caller's leg is answered.
    caller_up: bool,
    caller_leaves: bool,
}

/// An operator whose pop ends without the caller.
struct Withdrawn {
    operator: Extension,
    reason: RescindReason,
    picked_up_at: Option<Timestamp>,
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
        let presented = self.find_presented(call, operator.as_ref(), &peers);
        let withdrawn = self.find_withdrawn(call, &presented, operator.as_ref(), &peers);
        let held = operator.as_ref().is_some_and(|o| self.legs.get(&o.leg).is_some_and(|leg| leg.holding));
        let new_leg = operator.as_ref().filter(|o| !call.operators_legs.contains(&o.leg));
        let picked_up_at = new_leg.and_then(|o| self.legs.get(&o.leg)?.picked_up_at);
        let surroundings = self.surroundings_of(call, &peers);
        self.note_leg_facts(now, id);

        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (before, had_operator) = (call.state, call.operator.is_some());
        let changed = apply_changes(call, now, presented, (operator, picked_up_at), held, withdrawn);
        call.tried |= !call.presented.is_empty();
        let never_answered = call.answered_at.is_none();
        // The list shows who is with the caller now, not whether an operator had the caller before.
        let is_found = call.found_up && (inferring || before == CallState::Elsewhere);
        call.elsewhere |= never_answered && surroundings.outsider && !is_found;
        let unattended_until = note_unattended(call, now, &surroundings);
        let is_unattended = unattended_until.is_some_and(|until| until <= now);
        call.state = state_of(call, &surroundings, is_unattended);
        let left_alone = had_operator && call.operator.is_none();
        call.inferred |= inferring && (changed || before != call.state);
        if !changed && (left_alone || before != call.state) {
            call.push_notice(now, NoticeKind::Updated);
        }
        call.removed_legs.clear();
        self.set_unattended_timer(now, id, unattended_until);
        self.note_announced(now, id);
        self.flush(id);
    }

    /// Notes what later derivations must know of the legs, some of which are gone by then.
    fn note_leg_facts(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let mut picked_up = Vec::new();
        let mut consulted = Vec::new();
        for id in &call.legs {
            let Some(leg) = self.legs.get(id).filter(|leg| leg.endpoint.phone().is_some()) else { continue };
            if leg.picked_up_at.is_none() && self.is_picked_up(call, id) {
                picked_up.push(id.clone());
            }
            if !leg.consulted
                && leg.is_ringing()
                && leg.dialled_by.is_some()
                && call.operator.is_some()
                && !self.is_dialled_for_caller(call, id)
            {
                consulted.push(id.clone());
            }
        }
        for id in picked_up {
            if let Some(leg) = self.legs.get_mut(&id) {
                leg.picked_up_at = Some(now);
            }
        }
        for id in consulted {
            if let Some(leg) = self.legs.get_mut(&id) {
                leg.consulted = true;
            }
        }
    }

    fn set_unattended_timer(&mut self, now: Timestamp, id: CallId, until: Option<Timestamp>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before = std::mem::replace(&mut call.unattended_until, until);
        if before == until {
            return;
        }
        if let Some(at) = before {
            self.clear_timer(at, id, TimerKind::Unattended);
        }
        if let Some(at) = until.filter(|at| *at > now) {
            self.set_timer(at, id, TimerKind::Unattended);
        }
    }

    fn surroundings_of(&self, call: &Call, peers: &CallerPeers) -> Surroundings {
        let caller = call.caller.as_ref().and_then(|leg| self.legs.get(leg));
        let bridge = caller.and_then(|leg| self.bridges.get(leg.bridge.as_ref()?));
        let is_outside = |id: &ChannelId| {
            let leg = self.legs.get(id);
            leg.is_some_and(|leg| matches!(leg.endpoint, Endpoint::Trunk | Endpoint::Inside))
        };
        let others = || call.legs.iter().filter(|leg| call.caller.as_ref() != Some(*leg));
        Surroundings {
            outsider: peers.has_outsider,
            outside_leg: others().any(is_outside),
            being_connected: self.is_being_connected(call),
            parked: bridge.is_some_and(|bridge| bridge.kind == BridgeKind::Holding),
            caller_up: caller.is_some_and(|leg| leg.state == ChannelState::Up),
            caller_leaves: caller.is_none_or(|leg| leg.hangup_requested.is_some()),
        }
    }

    /// Whether somebody is being dialled for the caller, or was picked up and is not connected with the caller yet.
    pub(crate) fn is_being_connected(&self, call: &Call) -> bool {
        call.legs.iter().filter(|id| call.caller.as_ref() != Some(*id)).any(|id| {
            let Some(leg) = self.legs.get(id) else { return false };
            leg.is_open()
                && leg.endpoint != Endpoint::Machine
                && !call.operators_legs.contains(id)
                && (leg.is_ringing() || leg.dialled_by.is_some())
        })
    }

    /// Puts out the notices that may go out now.
    pub(crate) fn flush(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        for notice in call.take_notices(&self.rules) {
            self.push_output(Output::Notice(notice));
        }
    }

    /// Ends a call whose caller is gone: withdraws every pop, then queues the end.
    pub(crate) fn end_call(&mut self, now: Timestamp, id: CallId, cause: u16, by_pbx: bool) {
        if self.calls.get(&id).is_some_and(|call| {
            matches!(call.stage, Stage::AwaitingIdentity(_) | Stage::AwaitingPresentation(_))
        }) {
            self.identify(now, id);
        }
        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        for leg in call.legs.iter().filter_map(|leg| self.legs.get(leg)).filter(|leg| leg.is_dialled_party())
        {
            let status = leg.dial_result();
            call.refused |= status == Some(DialStatus::Busy);
            call.unanswered |= !matches!(status, Some(DialStatus::Busy | DialStatus::Unavailable));
        }
        for presented in std::mem::take(&mut call.presented) {
            let reason = RescindReason::CallerGone;
            let picked_up_at = self.legs.get(&presented.leg).and_then(|leg| leg.picked_up_at);
            let operator = presented.operator;
            call.push_notice(now, NoticeKind::Rescinded { operator, reason, picked_up_at });
        }
        let outcome = outcome_of(call, cause, by_pbx, inferring);
        call.inferred |= inferring;
        call.operator = None;
        call.held = false;
        call.ended_at = Some(now);
        call.outcome = Some(outcome);
        call.state = CallState::Ended;
        let operators = call.operators.clone();
        let channels = std::mem::take(&mut call.channels);
        let visits = std::mem::take(&mut call.queue_visits);
        let treated = call.treated.take();
        let queues = queue_visit::finish(visits, now, call.answered_at, outcome);
        call.push_notice(now, NoticeKind::Ended { outcome, operators, channels, queues, treated });
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
        let alone = peers.phones.is_empty() && !peers.has_outsider;
        let has_caller = |o: &&OperatorLeg| {
            // The PBX may hold back the end of a phone that hangs up in a consultation for half a minute.
            let keeps = |leg: &Leg| alone && leg.hangup_requested.is_none();
            self.legs.get(&o.leg).is_some_and(|leg| !leg.released && (peers.phones.contains(o) || keeps(leg)))
        };
        // A phone that hangs up gets no caller any more, even where the PBX merges its bridge into the caller's.
        let gets_caller = |o: &&OperatorLeg| {
            self.legs.get(&o.leg).is_some_and(|leg| !leg.released && leg.hangup_requested.is_none())
        };
        let first = || peers.phones.iter().find(gets_caller);
        call.operator.as_ref().filter(has_caller).or_else(first).cloned()
    }

    /// How the caller's wait in a queue ends now: the queue lets a caller go when the phone that it dialled is picked up,
    /// before it connects the two.
    pub(crate) fn result_of_queue(&self, call: &Call) -> QueueResult {
        let is_taken = |id: &ChannelId| {
            self.legs.get(id).is_some_and(|leg| leg.has_answered() && leg.is_open())
                && !call.operators_legs.contains(id)
                && self.is_dialled_for_caller(call, id)
        };
        if call.operator.is_some() || call.legs.iter().any(is_taken) {
            QueueResult::Connected
        } else if call.abandoned {
            QueueResult::Abandoned
        } else {
            QueueResult::Left
        }
    }

    /// Whether this phone was picked up for the caller, and the PBX has not connected the two.
    pub(super) fn is_picked_up(&self, call: &Call, id: &ChannelId) -> bool {
        self.legs.get(id).is_some_and(|leg| leg.has_answered() && leg.is_open())
            && !call.operators_legs.contains(id)
            && self.is_dialled_for_caller(call, id)
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

    fn find_presented(
        &self,
        call: &Call,
        operator: Option<&OperatorLeg>,
        peers: &CallerPeers,
    ) -> Vec<OperatorLeg> {
        let alone = operator.is_none() && !peers.has_outsider;
        let winner = operator.and_then(|o| self.legs.get(&o.leg)?.dialled_by.as_ref());
        let lost = |leg: &Leg| winner.is_some() && leg.dialled_by.as_ref() == winner;
        let mut presented: Vec<OperatorLeg> = Vec::new();
        for id in &call.legs {
            let Some(leg) = self.legs.get(id) else { continue };
            let Some(extension) = leg.endpoint.phone() else { continue };
            let rings = leg.is_ringing() && !lost(leg);
            if !(rings || alone && self.is_picked_up(call, id)) {
                continue;
            }
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
        peers: &CallerPeers,
    ) -> Vec<Withdrawn> {
        let stays = |p: &OperatorLeg| {
            presented.iter().chain(operator).any(|now| now.operator == p.operator)
                || self.is_consulted(call, p)
                || (operator.is_none() && self.awaits_bridge(p))
        };
        let caller = call.caller.as_ref().and_then(|leg| self.legs.get(leg));
        let caller_leaves = caller.is_some_and(|leg| leg.hangup_requested.is_some());
        let withdraw = |p: &OperatorLeg| {
            let leg = self.legs.get(&p.leg);
            let removed = call.removed_legs.iter().find(|removed| removed.id == p.leg);
            let picked_up_by_other =
                || call.legs.iter().any(|id| *id != p.leg && self.is_picked_up(call, id));
            let is_taken = operator.is_some()
                || peers.has_outsider
                || removed.is_some_and(|removed| removed.taken_elsewhere)
                || picked_up_by_other();
            let is_consulted =
                leg.map(|leg| leg.consulted).or(removed.map(|removed| removed.consulted)).unwrap_or(false);
            let status = leg.map_or(removed.map(|removed| removed.status), Leg::dial_result);
            let reason = match status {
                _ if caller_leaves => RescindReason::CallerGone,
                Some(DialStatus::NoAnswer | DialStatus::Other) => RescindReason::NoAnswer,
                Some(DialStatus::Busy) => RescindReason::Busy,
                Some(DialStatus::Unavailable) => RescindReason::Unreachable,
                // Nobody took the caller from a colleague who was consulted in vain.
                _ if is_taken && !is_consulted => RescindReason::AnsweredElsewhere,
                _ => RescindReason::Withdrawn,
            };
            let picked_up_at = leg.map_or(removed.and_then(|r| r.picked_up_at), |leg| leg.picked_up_at);
            Withdrawn { operator: p.operator.clone(), reason, picked_up_at }
        };
        call.presented.iter().filter(|p| !stays(p)).map(withdraw).collect()
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
        answered && call.answered_at.is_some() && !self.is_dialled_for_caller(call, &presented.leg)
    }
}

/// Applies the facts to the call and queues a notice for each difference; returns whether there was one.
fn apply_changes(
    call: &mut Call,
    now: Timestamp,
    presented: Vec<OperatorLeg>,
    (operator, picked_up_at): (Option<OperatorLeg>, Option<Timestamp>),
    held: bool,
    withdrawn: Vec<Withdrawn>,
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
            call.push_notice(now, NoticeKind::Answered { operator: new.operator.clone(), picked_up_at });
            call.operators.push(new.operator.clone());
            changed = true;
        }
        call.operators_legs.push(new.leg.clone());
        call.answered_at.get_or_insert(now);
        call.queued = false;
        call.passed_on = false;
        call.guidance = None;
    }
    // The pop of a consulted operator is neither new nor withdrawn: it stays.
    let kept = before.iter().filter(|p| {
        !presented.iter().any(|n| n.operator == p.operator)
            && !withdrawn.iter().any(|gone| gone.operator == p.operator)
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
    for Withdrawn { operator, reason, picked_up_at } in withdrawn {
        call.push_notice(now, NoticeKind::Rescinded { operator, reason, picked_up_at });
        changed = true;
    }
    call.held = held;
    call.operator = operator;
    changed
}

/// Notes whether the PBX itself has the caller. Returns until when nobody has to attend to the caller before it does;
/// `None`: somebody attends to the caller.
fn note_unattended(call: &mut Call, now: Timestamp, around: &Surroundings) -> Option<Timestamp> {
    let is_unattended = around.caller_up
        && call.tried
        && call.operator.is_none()
        && call.presented.is_empty()
        && !call.queued
        && !around.outsider
        && !around.outside_leg
        && !around.being_connected
        && !around.parked
        && !around.caller_leaves;
    // The PBX answered the call itself, after it had tried to reach somebody: with a mailbox, an announcement.
    let comes_up = around.caller_up && !call.caller_up;
    call.with_pbx = is_unattended && (call.with_pbx || comes_up);
    call.caller_up |= around.caller_up;
    let until = call.unattended_until.unwrap_or_else(|| deadline_after(now, UNATTENDED_DELAY));
    call.with_pbx |= is_unattended && until <= now;
    is_unattended.then_some(until)
}

/// The state; see the table in the header.
fn state_of(call: &Call, around: &Surroundings, is_unattended: bool) -> CallState {
    let never_answered = call.answered_at.is_none();
    let left_elsewhere = call.state == CallState::Elsewhere && !around.being_connected;
    match (&call.operator, call.held) {
        (Some(_), true) => CallState::Held,
        (Some(_), false) => CallState::Answered,
        (None, _) if never_answered && around.outsider => CallState::Elsewhere,
        (None, _) if !call.presented.is_empty() => CallState::Presented,
        (None, _) if call.queued => CallState::Offered,
        (None, _) if around.parked => CallState::Parked,
        (None, _) if never_answered && call.fax => CallState::Elsewhere,
        (None, _) if never_answered && (call.with_pbx || left_elsewhere) => CallState::Elsewhere,
        (None, _) if never_answered => CallState::Offered,
        (None, _) if around.outsider || around.outside_leg || call.passed_on || is_unattended => {
            CallState::Transferred
        }
        // The operator is gone and nobody has come yet: the caller hangs up, or the dialplan continues.
        (None, _) if matches!(call.state, CallState::Answered | CallState::Held) => call.state,
        (None, _) => CallState::Transferred,
    }
}

/// The one outcome of a call. The outcome that the dialplan reported takes precedence over what the events suggest.
/// `by_pbx`: the PBX ended the caller's channel, whose far end had not hung up.
fn outcome_of(call: &Call, cause: u16, by_pbx: bool, inferring: bool) -> Outcome {
    let is_blocking = matches!(cause, 17 | 34 | 38 | 42 | 44 | 58);
    match call.dialplan_outcome {
        _ if call.answered_at.is_some() => Outcome::Answered,
        Some(outcome) => outcome,
        None if call.fax => Outcome::Fax,
        None if call.elsewhere => Outcome::Elsewhere,
        None if inferring => Outcome::Unknown,
        None if call.abandoned => Outcome::Abandoned,
        // An operator may have had the caller before the daemon saw the call.
        None if call.found_up => Outcome::Unknown,
        None if call.overflowed => Outcome::Overflowed,
        // The PBX stopped trying, no matter who hung up then: everybody refused, or nobody took the call in time.
        None if call.tried && (by_pbx || call.caller_hung_up) => {
            if !call.unanswered && (call.refused || is_blocking) {
                Outcome::Blocked
            } else {
                Outcome::Overflowed
            }
        }
        None if is_blocking => Outcome::Blocked,
        None if by_pbx => Outcome::Unknown,
        None => Outcome::Abandoned,
    }
}
