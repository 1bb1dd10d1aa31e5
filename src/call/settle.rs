//! Settling: what the legs of a call mean for its operators, told as the difference to what was told before.
//!
//! Nothing here remembers how the legs came to be as they are, so events in another order, events twice and a
//! list after a gap all lead to the same. What is derived:
//!
//! | fact | is true for |
//! |---|---|
//! | talking | a leg that shares a mixing bridge with the caller's, through any Local channels between |
//! | operator | the present one while her phone lives and nobody else has the caller; else a phone that talks; else a phone that was dialled for the caller and has answered |
//! | presented | a phone that rings and whose rival in the same dial has not answered; one that was found ringing and has answered, until somebody joins her |
//! | held | the operator's phone holds |
//!
//! Invariant: each presented operator is told of exactly one end: `Answered` for her, or `Rescinded`.

use jiff::Timestamp;

use super::leg::{Endpoint, Leg};
use super::model::Model;
use super::output::{NoticeKind, Output, RescindReason};
use super::stage::{Call, Presented, Stage};
use super::view::{CallState, Outcome};
use crate::ami::event::{BridgeKind, ChannelState, DialStatus};
use crate::ids::{CallId, ChannelId, Extension};

/// Most Local channels followed between two legs.
const LOCAL_HOPS_MAX: usize = 8;

/// Who the caller is with.
#[derive(Default)]
struct Company {
    /// Our own phones, the longest there first.
    phones: Vec<Presented>,
    /// Somebody who is no operator.
    elsewhere: bool,
}

impl Model {
    /// Derives the facts of a call and tells what changed. While a list is read, at its end: a phone that is listed
    /// before the caller whom it talks with would be told to have given her up.
    pub(crate) fn settle(&mut self, now: Timestamp, id: CallId) {
        if let Some(listing) = self.listing.as_mut().filter(|_| self.inferring) {
            if listing.touched.last() != Some(&id) {
                listing.touched.push(id);
            }
            return;
        }
        let Some(call) = self.calls.get(&id).filter(|call| call.speaks()) else { return };
        let company = self.company_of_caller(call);
        let operator = self.operator_of(call, &company);
        let presented = self.presented_of(call, operator.as_ref());
        let held = operator.as_ref().is_some_and(|o| self.legs.get(&o.leg).is_some_and(|leg| leg.holding));
        let caller_leaves = call
            .caller
            .as_ref()
            .and_then(|leg| self.legs.get(leg))
            .is_some_and(|leg| leg.hangup_requested.is_some());
        let withdrawn = self.withdrawn_reasons(call, &presented, operator.as_ref(), caller_leaves);

        let given_away = call.legs.iter().any(|leg| {
            call.caller.as_ref() != Some(leg)
                && self
                    .legs
                    .get(leg)
                    .is_some_and(|l| matches!(l.endpoint, Endpoint::Trunk | Endpoint::Inside))
        });

        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (before, had_operator) = (call.state, call.operator.is_some());
        let told = tell_changes(call, now, presented, operator, held, withdrawn);
        call.state = state_of(call, company.elsewhere || given_away);
        let left_alone = had_operator && call.operator.is_none();
        call.inferred |= inferring && (told || before != call.state);
        if !told && (left_alone || before != call.state) {
            call.tell(now, NoticeKind::Updated);
        }
        call.last_dials.clear();
        self.flush(id);
    }

    /// Hands out what may be told now.
    pub(crate) fn flush(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        for notice in call.release(&self.plan) {
            self.output(Output::Notice(notice));
        }
    }

    /// Ends a call whose caller is gone: withdraws every pop, then tells the end.
    pub(crate) fn end_call(&mut self, now: Timestamp, id: CallId, cause: u16) {
        if self.calls.get(&id).is_some_and(|call| matches!(call.stage, Stage::Awaiting(_) | Stage::Asked(_)))
        {
            self.identify(now, id);
        }
        let inferring = self.inferring;
        let Some(call) = self.calls.get_mut(&id) else { return };
        for presented in std::mem::take(&mut call.presented) {
            let reason = RescindReason::CallerGone;
            call.tell(now, NoticeKind::Rescinded { operator: presented.operator, reason });
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
        call.tell(now, NoticeKind::Ended { outcome, operators, channels });
        self.flush(id);
    }

    fn company_of_caller(&self, call: &Call) -> Company {
        let mut company = Company::default();
        let Some(caller) = &call.caller else { return company };
        let mut doors = vec![caller];
        let mut seen = 0;
        while let Some(door) = doors.get(seen).copied() {
            seen += 1;
            let Some(bridge) = self.legs.get(door).and_then(|leg| leg.bridge.as_ref()) else { continue };
            let Some(bridge) = self.bridges.get(bridge).filter(|b| b.kind == BridgeKind::Mixing) else {
                continue;
            };
            for id in bridge.legs.iter().filter(|id| *id != door) {
                let Some(leg) = self.legs.get(id) else { continue };
                match &leg.endpoint {
                    Endpoint::Phone(extension) => {
                        company.phones.push(Presented { operator: extension.clone(), leg: id.clone() });
                    }
                    Endpoint::Trunk | Endpoint::Inside => company.elsewhere = true,
                    Endpoint::Local => {
                        if let Some(peer) = leg.peer.as_ref()
                            && doors.len() < LOCAL_HOPS_MAX
                            && !doors.contains(&peer)
                        {
                            doors.push(peer);
                        }
                    }
                    Endpoint::Machine => {}
                }
            }
        }
        company.phones.sort_by_key(|p| self.legs.get(&p.leg).map(|leg| leg.seen_at));
        company
    }

    fn operator_of(&self, call: &Call, company: &Company) -> Option<Presented> {
        let present = call.operator.as_ref().filter(|o| self.legs.contains_key(&o.leg));
        let alone = company.phones.is_empty() && !company.elsewhere;
        if let Some(present) = present.filter(|present| alone || company.phones.contains(present)) {
            return Some(present.clone());
        }
        if let Some(first) = company.phones.first() {
            return Some(first.clone());
        }
        if company.elsewhere {
            return None;
        }
        let answered = |id: &&ChannelId| {
            self.legs.get(*id).is_some_and(|leg| leg.has_answered() && leg.hangup_requested.is_none())
                && self.is_dialled_for_caller(call, id)
                && !call.operators_legs.contains(*id)
        };
        let leg = call.legs.iter().find(answered)?;
        let operator = self.legs.get(leg)?.endpoint.phone()?.clone();
        Some(Presented { operator, leg: leg.clone() })
    }

    /// The leg was dialled by the caller's leg, directly or through Local channels: not a consultation.
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

    fn presented_of(&self, call: &Call, operator: Option<&Presented>) -> Vec<Presented> {
        let winner = operator.and_then(|o| self.legs.get(&o.leg)?.dialled_by.as_ref());
        let lost = |leg: &Leg| winner.is_some() && leg.dialled_by.as_ref() == winner;
        let mut presented: Vec<Presented> = Vec::new();
        for id in &call.legs {
            let Some(leg) = self.legs.get(id).filter(|leg| leg.rings() && !lost(leg)) else { continue };
            let Some(extension) = leg.endpoint.phone() else { continue };
            // Somebody who has the caller needs no pop on a second phone.
            if !presented.iter().chain(operator).any(|p| &p.operator == extension) {
                presented.push(Presented { operator: extension.clone(), leg: id.clone() });
            }
        }
        presented
    }

    /// Those who were presented and are no longer, with the reason; the new operator is not among them.
    fn withdrawn_reasons(
        &self,
        call: &Call,
        presented: &[Presented],
        operator: Option<&Presented>,
        caller_leaves: bool,
    ) -> Vec<(Extension, RescindReason)> {
        let stays = |p: &Presented| {
            presented.iter().chain(operator).any(|now| now.operator == p.operator)
                || self.consults(call, p)
                || (operator.is_none() && self.picks_up(p))
        };
        let reason = |p: &Presented| {
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

    /// She was found ringing, nobody saw who dialled her, and she has answered: who joins her in a bridge will tell whom.
    fn picks_up(&self, presented: &Presented) -> bool {
        let Some(leg) = self.legs.get(&presented.leg) else { return false };
        let bridge = leg.bridge.as_ref().and_then(|bridge| self.bridges.get(bridge));
        leg.state == ChannelState::Up
            && leg.dialled_by.is_none()
            && leg.dial_ended.is_none_or(|status| status == DialStatus::Answer)
            && leg.hangup_requested.is_none()
            && bridge.is_none_or(|bridge| bridge.legs.len() == 1)
    }

    /// She has answered a consultation: her pop stays until she gets the caller or hangs up.
    fn consults(&self, call: &Call, presented: &Presented) -> bool {
        let answered = self.legs.get(&presented.leg).is_some_and(Leg::has_answered);
        answered && call.operator.is_some() && !self.is_dialled_for_caller(call, &presented.leg)
    }
}

/// Applies the facts to the call and tells each difference; answers whether anything was told.
fn tell_changes(
    call: &mut Call,
    now: Timestamp,
    presented: Vec<Presented>,
    operator: Option<Presented>,
    held: bool,
    withdrawn: Vec<(Extension, RescindReason)>,
) -> bool {
    let mut told = false;
    let before = std::mem::take(&mut call.presented);
    let was_presented = |operator: &Extension| before.iter().any(|p| &p.operator == operator);
    for new in presented.iter().filter(|p| !was_presented(&p.operator)) {
        call.tell(now, NoticeKind::Presented { operator: new.operator.clone() });
        told = true;
    }
    if let Some(new) = operator.as_ref().filter(|o| call.operator.as_ref() != Some(*o)) {
        if call.operator.as_ref().is_none_or(|old| old.operator != new.operator) {
            if !was_presented(&new.operator) && !presented.iter().any(|p| p.operator == new.operator) {
                call.tell(now, NoticeKind::Presented { operator: new.operator.clone() });
            }
            call.tell(now, NoticeKind::Answered { operator: new.operator.clone() });
            call.operators.push(new.operator.clone());
            told = true;
        }
        call.operators_legs.push(new.leg.clone());
        call.answered_at.get_or_insert(now);
        call.queued = false;
    }
    // A pop of somebody who consults is neither new nor withdrawn: it stays.
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
            call.tell(
                now,
                if held { NoticeKind::Held { operator } } else { NoticeKind::Resumed { operator } },
            );
            told = true;
        }
    }
    for (operator, reason) in withdrawn {
        call.tell(now, NoticeKind::Rescinded { operator, reason });
        told = true;
    }
    call.held = held;
    call.operator = operator;
    told
}

fn state_of(call: &Call, elsewhere: bool) -> CallState {
    match (&call.operator, call.held) {
        (Some(_), true) => CallState::Held,
        (Some(_), false) => CallState::Answered,
        (None, _) if !call.presented.is_empty() => CallState::Presented,
        (None, _) if call.answered_at.is_none() || call.queued => CallState::Offered,
        (None, _) if elsewhere => CallState::Transferred,
        // The operator is gone and nobody has come yet: the caller hangs up, or the dialplan decides.
        (None, _) => call.state,
    }
}

/// Exactly one outcome. What the dialplan told counts before what the causes suggest.
fn outcome_of(call: &Call, cause: u16, inferring: bool) -> Outcome {
    match cause {
        _ if call.answered_at.is_some() => Outcome::Answered,
        _ if call.told.is_some() => call.told.unwrap_or(Outcome::Unknown),
        _ if inferring => Outcome::Unknown,
        _ if call.abandoned => Outcome::Abandoned,
        _ if call.overflowed => Outcome::Overflowed,
        17 | 34 | 38 | 42 | 44 | 58 => Outcome::Blocked,
        _ => Outcome::Abandoned,
    }
}
