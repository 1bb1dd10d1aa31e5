//! Handles each event of the PBX for the transfers that it concerns.
//!
//! The dialplan reports its steps in `ToritsugiTransfer` events that contain the transfer's id. Who shares a bridge with
//! whom comes from the model, which took the event before. A channel is identified by its dialler, never by its name.
//!
//! Invariant: a duplicate or late event changes nothing. What a missed event would have said is found by
//! [`Transfers::resolve_from_model`] once a deadline passes.

use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::actions;
use super::machine::{ActiveTransfer, NoticeKind, Output, SILENCE_TIMEOUT, START_TIMEOUT, Step, Transfers};
use super::plan::Plan;
use super::recover::TransferContext;
use crate::ami::action::Action;
use crate::ami::event::{ChannelState, Event, user_field};
use crate::call::Model;
use crate::contract::call::CallState;
use crate::contract::transfer::{Attempt, Mode, Outcome, ReturnedTo, State, TargetView, TransferId};
use crate::ids::{BridgeId, ChannelId, Extension};

/// The dialplan's event.
const USER_EVENT: &str = "ToritsugiTransfer";
/// How long after a consulting party left the PBX may take to join the others, before the model decides.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the model is checked for a caller who waits in a queue.
const QUEUE_RECHECK_INTERVAL: Duration = Duration::from_secs(60);

impl Transfers {
    /// Handles one event of the PBX, after the model took it.
    pub fn handle_event(&mut self, now: Timestamp, event: &Event, model: &Model) {
        if self.chan_spies.wants(event) {
            self.chan_spies.apply(event);
            self.dispatch_unmonitored(now);
        }
        match event {
            Event::User { name, channel, fields } if name == USER_EVENT => {
                if let Some(id) = field(fields, "Transfer").and_then(|text| TransferId::parse(&text)) {
                    self.on_dialplan_step(now, id, &channel.id, fields);
                }
            }
            Event::DialBegan { by: Some(by), to, .. } => self.on_dial(now, &by.id, &to.id, model),
            Event::DialRinging { to } => self.on_ringing(now, &to.id),
            Event::ChannelState(channel) if channel.state == ChannelState::Ringing => {
                self.on_ringing(now, &channel.id);
            }
            Event::HangupRequested { channel, cause } => {
                self.on_hangup(&channel.id, *cause);
                self.on_hangup_requested(&channel.id);
            }
            Event::SoftHangupRequested(channel) => self.on_hangup_requested(&channel.id),
            Event::ChannelGone { channel, cause } => {
                self.on_hangup(&channel.id, *cause);
                self.on_channel_gone(now, &channel.id, model);
            }
            Event::BridgeLeft { channel, .. } => self.on_bridge_left(now, &channel.id, model),
            Event::BridgeEntered { channel, .. } => {
                if let Some(id) = self.id_of(&channel.id) {
                    self.on_bridged(now, id, model);
                }
            }
            Event::AttendedTransferred { transferer, second, success: true } => {
                let id = self.id_of(transferer).or_else(|| self.id_of(second));
                match id.and_then(|id| self.active.get(&id)).filter(|live| live.consult) {
                    Some(live) if live.has_target_left() => self.return_caller(now, live.view.id),
                    Some(live) => self.on_completed(now, live.view.id),
                    None => {}
                }
            }
            Event::ChannelListed { channel, application, .. } => self.on_channel_listed(channel, application),
            Event::QueueLeft(channel) => {
                if let Some(id) = self.id_of(&channel.id) {
                    self.on_bridged(now, id, model);
                }
            }
            _ => {}
        }
    }

    /// Starts the transfers whose call nobody monitors any more.
    fn dispatch_unmonitored(&mut self, now: Timestamp) {
        let free = |live: &&ActiveTransfer| {
            live.pending_actions.is_some() && !self.chan_spies.is_any_spied([&live.caller, &live.operator])
        };
        for id in self.active.values().filter(free).map(|live| live.view.id).collect::<Vec<_>>() {
            self.dispatch_pending(now, id);
        }
    }

    fn id_of(&self, channel: &ChannelId) -> Option<TransferId> {
        self.channels.get(channel).copied()
    }

    fn active_of(&mut self, channel: &ChannelId) -> Option<&mut ActiveTransfer> {
        let id = self.channels.get(channel)?;
        self.active.get_mut(id)
    }

    /// The dialplan reports a step.
    fn on_dialplan_step(
        &mut self,
        now: Timestamp,
        id: TransferId,
        channel: &ChannelId,
        fields: &[(SmolStr, Vec<u8>)],
    ) {
        let Some(live) = self.active.get_mut(&id).filter(|live| live.view.is_under_way()) else { return };
        let target = field(fields, "Target").unwrap_or_default();
        match field(fields, "Step").as_deref() {
            Some("trying") => self.on_trying(now, id, channel, &target),
            Some("not-accepted") => live.not_accepted = true,
            Some("failed") => {
                let reason = field(fields, "Reason").unwrap_or_default();
                let cause = field(fields, "Cause").and_then(|text| text.parse().ok()).unwrap_or(0);
                let sip = field(fields, "Sip").and_then(|text| text.parse().ok()).unwrap_or(0);
                let outcome = live.outcome(&reason, cause, sip);
                self.on_target_failed(now, id, outcome);
            }
            Some("returning") => {
                let to = Extension::parse(&target).unwrap_or_else(|_| live.view.operator.clone());
                self.on_returning(now, id, ReturnedTo::Operator(to));
            }
            Some("requeued") if live.plan.target_queue().is_some() && !live.cancelling => {
                live.dialler = Some(channel.clone());
                live.open_attempt(now, 0);
                live.view.state = State::Ringing;
                self.set_deadline(id, now, QUEUE_RECHECK_INTERVAL);
                self.push_notice(now, id, NoticeKind::Ringing);
            }
            Some("requeued") => self.on_returning(now, id, ReturnedTo::Queue(target)),
            _ => {}
        }
    }

    fn on_trying(&mut self, now: Timestamp, id: TransferId, channel: &ChannelId, target: &str) {
        let Some(live) = self.active.get_mut(&id) else { return };
        // A consultation is dialled by a Local channel, a blind transfer by the caller's channel.
        if !live.consult && *channel != live.caller {
            return;
        }
        let dialled = |t: &super::Target| t.dial.as_deref() == Some(target);
        let from = live.view.attempts.len().min(live.plan.targets.len().saturating_sub(1));
        let later = live.plan.targets.iter().skip(from).position(dialled).map(|at| at + from);
        let Some(at) = later.or_else(|| live.plan.targets.iter().position(dialled)) else { return };
        let ring_s = live.plan.targets[at].ring_s;
        live.open_attempt(now, at);
        live.view.state = State::Trying;
        live.dialler = Some(channel.clone());
        live.target = None;
        live.target_cause = 0;
        live.not_accepted = false;
        self.channels.insert(channel.clone(), id);
        self.set_deadline(id, now, Duration::from_secs(u64::from(ring_s)).saturating_add(SILENCE_TIMEOUT));
    }

    fn on_dial(&mut self, now: Timestamp, by: &ChannelId, to: &ChannelId, model: &Model) {
        let Some(id) = self.id_of(by) else { return };
        let Some(live) = self.active.get_mut(&id).filter(|live| live.dialler.as_ref() == Some(by)) else {
            return;
        };
        match live.view.state {
            // An operator's phone that is not a target: steps were missed, and the caller is on the way back.
            State::Trying | State::Ringing if live.is_unexpected_phone(to, model) => {
                live.close_attempt(now, Outcome::Unknown);
                live.view.inferred = true;
                live.view.state = State::Returning;
                live.return_leg = Some(to.clone());
            }
            State::Trying => live.target = Some(to.clone()),
            State::Returning => live.return_leg = Some(to.clone()),
            _ => return,
        }
        self.channels.insert(to.clone(), id);
    }

    fn on_ringing(&mut self, now: Timestamp, channel: &ChannelId) {
        let Some(id) = self.id_of(channel) else { return };
        let Some(live) = self.active.get_mut(&id) else { return };
        if live.view.state == State::Trying && live.target.as_ref() == Some(channel) {
            live.view.state = State::Ringing;
            self.push_notice(now, id, NoticeKind::Ringing);
        }
    }

    fn on_hangup(&mut self, channel: &ChannelId, cause: u16) {
        if let Some(live) = self.active_of(channel)
            && live.target.as_ref() == Some(channel)
            && live.target_cause == 0
        {
            live.target_cause = cause;
        }
    }

    fn on_hangup_requested(&mut self, channel: &ChannelId) {
        if let Some(live) = self.active_of(channel) {
            live.operator_leaving |= live.operator == *channel;
        }
    }

    /// The PBX holds back the end of an operator's channel that hangs up while the target rings, until the target answers
    /// or its time is over. The hang-up request and the bridge that the channel left show it at once.
    fn on_bridge_left(&mut self, now: Timestamp, channel: &ChannelId, model: &Model) {
        let Some(id) = self.id_of(channel) else { return };
        let Some(live) = self.active.get_mut(&id).filter(|live| live.operator == *channel) else { return };
        live.operator_away = true;
        let rings = matches!(live.view.state, State::Trying | State::Ringing);
        if live.consult && live.operator_leaving && rings && !live.has_target_picked_up(model) {
            self.continue_blind(now, id);
        }
    }

    fn on_channel_gone(&mut self, now: Timestamp, channel: &ChannelId, model: &Model) {
        let Some(id) = self.id_of(channel) else { return };
        let Some(live) = self.active.get(&id) else { return };
        let (state, consult) = (live.view.state, live.consult);
        if live.caller == *channel {
            self.on_caller_gone(now, id);
        } else if live.target.as_ref() == Some(channel) {
            match state {
                // The target left as the PBX joined the two: the caller may be alone in the bridge.
                State::Completed if live.view.mode == Mode::Consult && is_alone(model, &live.caller) => {
                    self.set_deadline(id, now, JOIN_TIMEOUT);
                }
                State::Completed => self.finish(now, id),
                // Operator and target have talked; the PBX brings the operator back to the caller.
                State::Consulting if !live.cancelling => self.on_target_failed(now, id, Outcome::Declined),
                _ => {}
            }
        } else if live.operator == *channel && consult {
            match state {
                State::Trying | State::Ringing => self.continue_blind(now, id),
                State::Consulting => self.set_deadline(id, now, JOIN_TIMEOUT),
                _ => {}
            }
        }
    }

    fn on_caller_gone(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.active.get(&id) else { return };
        // The PBX hangs up a blind target itself, with the caller's dial; it does not hang up a consulted one.
        let ringing = live.consult && matches!(live.view.state, State::Trying | State::Ringing);
        let free = live.target.as_ref().filter(|_| ringing);
        let actions = free.and_then(|target| Action::hangup(target.as_str(), None).ok());
        if live.view.state != State::Completed {
            self.fail(now, id, Outcome::CallerGone);
        }
        self.finish(now, id);
        if let Some(action) = actions {
            self.push_output(Output::Actions { transfer: id, step: Step::Cleanup, actions: vec![action] });
        }
    }

    /// The operator hung up before the target answered. The PBX would let the target ring on and then call the operator
    /// back; the dialplan of a blind transfer has the queue behind the operator as well.
    pub(super) fn continue_blind(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.active.get(&id) else { return };
        let plan = live.plan.clone();
        let Some(live) = self.redirect_caller(now, id, &plan, State::Requested) else { return };
        live.close_attempt(now, Outcome::Cancelled);
        live.view.outcome = None;
        live.dialler = None;
        live.target = None;
    }

    /// Target and operator left at the same time: the PBX has joined the caller with nobody, with or without an event,
    /// and would leave the caller in silence. Sends the caller back to the operator.
    fn return_caller(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.active.get_mut(&id) else { return };
        live.view.completed_at = None;
        let nobody = Plan { targets: Vec::new(), ..live.plan.clone() };
        self.redirect_caller(now, id, &nobody, State::Returning);
    }

    /// Takes the caller out of a consultation and into the dialplan: `plan`'s targets, behind them the operator.
    fn redirect_caller(
        &mut self,
        now: Timestamp,
        id: TransferId,
        plan: &Plan,
        state: State,
    ) -> Option<&mut ActiveTransfer> {
        let live = self.active.get_mut(&id)?;
        let actions = actions::blind_actions(
            &TransferContext::from_active(live),
            plan,
            &live.caller,
            Some(&live.view.operator),
        )
        .ok()?;
        live.consult = false;
        live.view.state = state;
        self.push_output(Output::Actions { transfer: id, step: Step::Cleanup, actions });
        self.set_deadline(id, now, START_TIMEOUT);
        self.active.get_mut(&id)
    }

    /// A channel entered a bridge (or left a queue): checks who shares a bridge with the caller now.
    pub(super) fn on_bridged(&mut self, now: Timestamp, id: TransferId, model: &Model) {
        let Some(live) = self.active.get(&id) else { return };
        let with_caller =
            |leg: &Option<ChannelId>| leg.as_ref().is_some_and(|leg| share_bridge(model, leg, &live.caller));
        match live.view.state {
            State::Trying | State::Ringing | State::Consulting if live.consult => {
                if live.operator_away && share_bridge(model, &live.operator, &live.caller) {
                    // An operator who is hanging up does not stay: the channel's end, or the model, decides.
                    match live.operator_leaving || live.completing {
                        true => self.set_deadline(id, now, JOIN_TIMEOUT),
                        false => self.on_returned_from_consultation(now, id),
                    }
                } else if with_caller(&live.target) {
                    self.on_completed(now, id);
                } else if live.view.state != State::Consulting && live.is_target_answered(model) {
                    self.on_target_answered(now, id);
                }
            }
            State::Ringing if live.plan.target_queue().is_some() => {
                if let Some(leg) = operator_with_caller(model, live) {
                    self.channels.insert(leg.clone(), id);
                    if let Some(live) = self.active.get_mut(&id) {
                        live.target = Some(leg);
                    }
                    self.on_completed(now, id);
                }
            }
            State::Trying | State::Ringing if with_caller(&live.target) => self.on_completed(now, id),
            State::Returning
                if with_caller(&live.return_leg) || operator_with_caller(model, live).is_some() =>
            {
                self.on_returned(now, id, model);
            }
            _ => {}
        }
    }

    /// The caller is with an operator again.
    pub(super) fn on_returned(&mut self, now: Timestamp, id: TransferId, model: &Model) {
        let Some(live) = self.active.get_mut(&id) else { return };
        let operator = model.parties(live.view.call).and_then(|parties| parties.operator);
        if live.view.returned_to.is_none() {
            live.view.returned_to = operator.map(|(extension, _)| ReturnedTo::Operator(extension));
            self.push_notice(now, id, NoticeKind::Returned);
        }
        self.finish(now, id);
    }

    pub(super) fn on_target_answered(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.active.get_mut(&id) else { return };
        live.view.state = State::Consulting;
        self.clear_deadline(id);
        self.push_notice(now, id, NoticeKind::Consulting);
    }

    pub(super) fn on_completed(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.active.get_mut(&id).filter(|live| live.view.is_under_way()) else { return };
        live.view.state = State::Completed;
        live.view.completed_at = Some(now);
        live.consult = false;
        live.close_attempt(now, Outcome::Answered);
        self.clear_deadline(id);
        self.push_notice(now, id, NoticeKind::Completed);
    }

    /// A target did not take the caller.
    fn on_target_failed(&mut self, now: Timestamp, id: TransferId, outcome: Outcome) {
        let Some(live) = self.active.get_mut(&id) else { return };
        if !live.close_attempt(now, outcome) {
            return;
        }
        live.target = None;
        let more = live.view.attempts.len() < live.plan.targets.len() && !live.consult;
        // In a consultation the operator is brought back by the PBX; until then it stays what it is.
        if !live.consult {
            live.view.state = if more { State::Trying } else { State::Returning };
        }
        self.push_notice(now, id, NoticeKind::Failed);
        self.set_deadline(id, now, SILENCE_TIMEOUT);
    }

    /// The dialplan brings the caller back to the operator or into the queue.
    pub(super) fn on_returning(&mut self, now: Timestamp, id: TransferId, to: ReturnedTo) {
        let Some(live) = self.active.get_mut(&id) else { return };
        if live.cancelling {
            live.close_attempt(now, Outcome::Cancelled);
            live.view.outcome = Some(Outcome::Cancelled);
        }
        // The dialplan tries the same operator again, while no queue can take the caller.
        let is_again = live.view.state == State::Returning && live.view.returned_to.as_ref() == Some(&to);
        live.view.state = State::Returning;
        live.dialler = Some(live.caller.clone());
        live.return_leg = None;
        let wait = if matches!(to, ReturnedTo::Queue(_)) { QUEUE_RECHECK_INTERVAL } else { SILENCE_TIMEOUT };
        live.view.returned_to = Some(to);
        self.set_deadline(id, now, wait);
        if !is_again {
            self.push_notice(now, id, NoticeKind::Returned);
        }
    }

    /// The operator has the caller again, after a consultation without a transfer.
    fn on_returned_from_consultation(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.active.get_mut(&id) else { return };
        let outcome = match (live.cancelling, live.view.state) {
            (true, _) => Outcome::Cancelled,
            (false, State::Consulting) => Outcome::Declined,
            _ => live.outcome("", 0, 0),
        };
        if live.close_attempt(now, outcome) && !live.cancelling {
            self.push_notice(now, id, NoticeKind::Failed);
        }
        if let Some(live) = self.active.get_mut(&id) {
            live.view.outcome = live.view.outcome.or(Some(outcome));
            // The `returned` notice is the last event of this transfer.
            live.view.state = State::Over;
            live.view.returned_to = Some(ReturnedTo::Operator(live.view.operator.clone()));
        }
        self.push_notice(now, id, NoticeKind::Returned);
        self.finish(now, id);
    }

    /// The transfer failed as a whole.
    pub(super) fn fail(&mut self, now: Timestamp, id: TransferId, outcome: Outcome) {
        let Some(live) = self.active.get_mut(&id) else { return };
        live.close_attempt(now, outcome);
        live.view.outcome = Some(outcome);
        live.view.state = State::Over;
        self.push_notice(now, id, NoticeKind::Failed);
    }

    /// The deadline passed, or events were missed: sets the state from where the model has the caller.
    pub(super) fn resolve_from_model(&mut self, now: Timestamp, id: TransferId, model: &Model) {
        let Some(live) = self.active.get_mut(&id).filter(|live| live.pending_actions.is_none()) else {
            return;
        };
        let Some(view) = model.call(live.view.call).filter(|_| model.leg_view(&live.caller).is_some()) else {
            live.view.inferred = true;
            if live.view.is_under_way() {
                self.fail(now, id, Outcome::CallerGone);
            }
            return self.finish(now, id);
        };
        let with_target = live.target.as_ref().is_some_and(|leg| share_bridge(model, leg, &live.caller));
        if live.view.is_under_way() && with_target {
            live.view.inferred = true;
            return self.on_completed(now, id);
        }
        let ringing = matches!(live.view.state, State::Trying | State::Ringing);
        if live.consult && ringing && model.leg_view(&live.operator).is_none() {
            live.view.inferred = true;
            return self.continue_blind(now, id);
        }
        let consulted = live.consult && live.view.state == State::Consulting;
        if consulted && live.has_target_left() && model.leg_view(&live.operator).is_none() {
            return self.return_caller(now, id);
        }
        let holder = operator_with_caller(model, live);
        let with = holder.as_ref().and_then(|_| view.operator.clone());
        let target_has = |extension: &Extension| {
            let attempt = live.view.attempts.last().map(|attempt| &attempt.target);
            matches!(attempt, Some(TargetView::Operator { extension: target }) if target == extension)
        };
        match (live.view.state, with) {
            (State::Over, _) => {}
            (State::Completed, _) => {
                let target_lives = live.target.as_ref().is_some_and(|leg| model.leg_view(leg).is_some());
                if !target_lives && is_alone(model, &live.caller) {
                    self.return_caller(now, id);
                } else if !target_lives && view.state != CallState::Transferred {
                    live.view.inferred = true;
                    self.finish(now, id);
                }
            }
            (State::Requested, Some(_)) => {
                self.fail(now, id, Outcome::NotStarted);
                self.finish(now, id);
            }
            (State::Returning, Some(_)) => self.on_returned(now, id, model),
            (_, Some(extension)) if target_has(&extension) => {
                live.view.inferred = true;
                live.target = holder;
                self.on_completed(now, id);
            }
            (_, Some(extension)) => {
                live.view.inferred = true;
                live.close_attempt(now, Outcome::Unknown);
                live.view.returned_to = Some(ReturnedTo::Operator(extension));
                live.view.state = State::Over;
                self.push_notice(now, id, NoticeKind::Returned);
                self.finish(now, id);
            }
            (_, None)
                if view.operator.is_none()
                    && view.state == CallState::Transferred
                    && !is_caller_unbridged(model, live) =>
            {
                live.view.inferred = true;
                self.on_completed(now, id);
            }
            (_, None) => self.set_deadline(id, now, QUEUE_RECHECK_INTERVAL),
        }
    }
}

impl ActiveTransfer {
    /// What the target did, from the dialplan's dial status, the SIP answer and the causes of its channel.
    fn outcome(&self, reason: &str, dialplan_cause: u16, sip: u16) -> Outcome {
        let cause = if self.target_cause == 0 { dialplan_cause } else { self.target_cause };
        match (reason, cause) {
            _ if self.not_accepted => Outcome::NotAccepted,
            // The target answered, and yet did not take the caller.
            ("ANSWER", _) => Outcome::NotAccepted,
            // Asterisk reports "no answer" for a phone that is switched off.
            _ if matches!(sip, 404 | 410 | 430 | 480 | 484 | 604) => Outcome::Unreachable,
            (_, 17) => Outcome::Busy,
            (_, 21) => Outcome::Refused,
            (_, 1 | 3 | 20 | 27 | 34 | 38 | 41 | 42 | 44) => Outcome::Unreachable,
            (_, 18 | 19) => Outcome::NoAnswer,
            ("BUSY", _) => Outcome::Busy,
            ("CHANUNAVAIL" | "CONGESTION", _) => Outcome::Unreachable,
            _ => Outcome::NoAnswer,
        }
    }

    /// Whether this is an operator's phone, but not one of the targets.
    fn is_unexpected_phone(&self, leg: &ChannelId, model: &Model) -> bool {
        let phone = model.leg_view(leg).and_then(|leg| leg.phone);
        let meant = |phone: &Extension| {
            self.plan.targets.iter().any(|target| target.dial.as_deref() == Some(phone.as_str()))
        };
        self.plan.target_queue().is_none() && phone.is_some_and(|phone| !meant(&phone))
    }

    pub(super) fn open_attempt(&mut self, now: Timestamp, at: usize) {
        let Some(target) = self.plan.targets.get(at) else { return };
        let attempt = Attempt { target: target.view.clone(), from: now, until: None, outcome: None };
        self.view.attempts.push(attempt);
        self.view.outcome = None;
    }

    /// Closes the open attempt; false when there was none.
    pub(super) fn close_attempt(&mut self, now: Timestamp, outcome: Outcome) -> bool {
        let open = self.view.attempts.last_mut().filter(|attempt| attempt.until.is_none());
        let Some(attempt) = open else { return false };
        attempt.until = Some(now);
        attempt.outcome = Some(outcome);
        self.view.outcome = Some(outcome);
        true
    }

    /// Whether the target has left. A daemon that has just started may not know a target that is still there.
    fn has_target_left(&self) -> bool {
        self.target.is_none() && self.view.attempts.last().is_some_and(|attempt| attempt.outcome.is_some())
    }

    /// Whether the target's channel is answered; the PBX may not have connected it with the operator yet.
    fn has_target_picked_up(&self, model: &Model) -> bool {
        let leg = self.target.as_ref().and_then(|target| model.leg_view(target));
        leg.is_some_and(|leg| leg.state == ChannelState::Up)
    }

    /// Whether the target has answered: it shares a bridge with the channel that dialled it.
    pub(super) fn is_target_answered(&self, model: &Model) -> bool {
        match (&self.target, &self.dialler) {
            (Some(target), Some(dialler)) => share_bridge(model, target, dialler),
            _ => false,
        }
    }
}

fn bridge_of(model: &Model, leg: &ChannelId) -> Option<BridgeId> {
    model.leg_view(leg).and_then(|leg| leg.bridge)
}

pub(super) fn share_bridge(model: &Model, one: &ChannelId, two: &ChannelId) -> bool {
    bridge_of(model, one).is_some_and(|bridge| bridge_of(model, two) == Some(bridge))
}

/// Whether a channel is alone in a bridge.
fn is_alone(model: &Model, leg: &ChannelId) -> bool {
    bridge_of(model, leg)
        .is_some_and(|bridge| model.channels_in_bridge(&bridge).iter().all(|other| other == leg))
}

/// The channel of the operator who shares a bridge with the caller.
pub(super) fn operator_with_caller(model: &Model, live: &ActiveTransfer) -> Option<ChannelId> {
    let (_, leg) = model.parties(live.view.call)?.operator?;
    share_bridge(model, &leg, &live.caller).then_some(leg)
}

/// Whether the caller is in no bridge: a target is still being dialled.
fn is_caller_unbridged(model: &Model, live: &ActiveTransfer) -> bool {
    bridge_of(model, &live.caller).is_none()
}

fn field(fields: &[(SmolStr, Vec<u8>)], name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(user_field(fields, name)?).trim().to_owned())
}
