//! Following: what each event of the PBX means for the transfers under way.
//!
//! The dialplan tells its steps in `ToritsugiTransfer` events that bear the transfer's id; who is with whom comes from
//! the model, which took the event before. Channels are known by who dialled them, never by their names.
//!
//! Invariant: an event that comes twice or late changes nothing; whatever is not told is found by
//! [`Transfers::conclude`] once a deadline passes.

use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::machine::{Live, NoticeKind, Output, START_WAIT, STEP_SLACK, Step, Transfers};
use super::order;
use super::plan::Plan;
use super::recover::About;
use super::view::{Attempt, Mode, Outcome, ReturnedTo, State, TargetView, TransferId};
use crate::ami::action::Action;
use crate::ami::event::{ChannelState, Event};
use crate::call::Model;
use crate::call::view::CallState;
use crate::ids::{BridgeId, ChannelId, Extension};

/// The dialplan's event.
const USER_EVENT: &str = "ToritsugiTransfer";
/// How long a consulting operator may be gone before the model is asked what became of the caller.
const JOIN_WAIT: Duration = Duration::from_secs(2);
/// How long the caller may wait in a queue before the model is asked again.
const QUEUE_LOOK: Duration = Duration::from_secs(60);

impl Transfers {
    /// Takes one event of the PBX, after the model took it.
    pub fn handle_event(&mut self, now: Timestamp, event: &Event, model: &Model) {
        if self.spies.wants(event) {
            self.spies.take(event);
            self.let_go_unheard(now);
        }
        match event {
            Event::User { name, channel, fields } if name == USER_EVENT => {
                if let Some(id) = field(fields, "Transfer").and_then(|text| TransferId::parse(&text)) {
                    self.told(now, id, &channel.id, fields);
                }
            }
            Event::DialBegan { by: Some(by), to } => self.dials(now, &by.id, &to.id, model),
            Event::DialRinging { to } => self.rings(now, &to.id),
            Event::ChannelState(channel) if channel.state == ChannelState::Ringing => {
                self.rings(now, &channel.id);
            }
            Event::HangupRequested { channel, cause } => {
                self.hanging_up(&channel.id, *cause);
                if let Some(live) = self.of(&channel.id) {
                    live.leaving |= live.operator == channel.id;
                }
            }
            Event::ChannelGone { channel, cause } => {
                self.hanging_up(&channel.id, *cause);
                self.gone(now, &channel.id, model);
            }
            Event::BridgeLeft { channel, .. } => {
                if let Some(live) = self.of(&channel.id)
                    && live.operator == channel.id
                {
                    live.away = true;
                }
            }
            Event::BridgeEntered { channel, .. } => {
                if let Some(id) = self.id_of(&channel.id) {
                    self.met(now, id, model);
                }
            }
            Event::AttendedTransferred { transferer, second, success: true } => {
                let id = self.id_of(transferer).or_else(|| self.id_of(second));
                match id.and_then(|id| self.live.get(&id)).filter(|live| live.consult) {
                    Some(live) if live.target_left() => self.bring_back(now, live.view.id),
                    Some(live) => self.completed(now, live.view.id),
                    None => {}
                }
            }
            Event::ChannelListed { channel, application, .. } => self.listed(channel, application),
            Event::QueueLeft(channel) => {
                if let Some(id) = self.id_of(&channel.id) {
                    self.met(now, id, model);
                }
            }
            _ => {}
        }
    }

    /// Transfers that waited until nobody hears their call.
    fn let_go_unheard(&mut self, now: Timestamp) {
        let free = |live: &&Live| live.held.is_some() && !self.spies.on([&live.caller, &live.operator]);
        for id in self.live.values().filter(free).map(|live| live.view.id).collect::<Vec<_>>() {
            self.let_go(now, id);
        }
    }

    fn id_of(&self, channel: &ChannelId) -> Option<TransferId> {
        self.channels.get(channel).copied()
    }

    fn of(&mut self, channel: &ChannelId) -> Option<&mut Live> {
        let id = self.channels.get(channel)?;
        self.live.get_mut(id)
    }

    /// A step that the dialplan told.
    fn told(&mut self, now: Timestamp, id: TransferId, channel: &ChannelId, fields: &[(SmolStr, Vec<u8>)]) {
        let Some(live) = self.live.get_mut(&id).filter(|live| live.view.is_under_way()) else { return };
        let target = field(fields, "Target").unwrap_or_default();
        match field(fields, "Step").as_deref() {
            Some("trying") => self.trying(now, id, channel, &target),
            Some("not-accepted") => live.not_accepted = true,
            Some("failed") => {
                let reason = field(fields, "Reason").unwrap_or_default();
                let cause = field(fields, "Cause").and_then(|text| text.parse().ok()).unwrap_or(0);
                let sip = field(fields, "Sip").and_then(|text| text.parse().ok()).unwrap_or(0);
                let outcome = live.outcome(&reason, cause, sip);
                self.missed(now, id, outcome);
            }
            Some("returning") => {
                let to = Extension::parse(&target).unwrap_or_else(|_| live.view.operator.clone());
                self.returns(now, id, ReturnedTo::Operator(to));
            }
            Some("requeued") if live.plan.queue().is_some() && !live.cancelling => {
                live.dialler = Some(channel.clone());
                live.open_attempt(now, 0);
                live.view.state = State::Ringing;
                self.wait(id, now, QUEUE_LOOK);
                self.tell(now, id, NoticeKind::Ringing);
            }
            Some("requeued") => self.returns(now, id, ReturnedTo::Queue(target)),
            _ => {}
        }
    }

    fn trying(&mut self, now: Timestamp, id: TransferId, channel: &ChannelId, target: &str) {
        let Some(live) = self.live.get_mut(&id) else { return };
        // A consultation is dialled by a channel of its own, the rest by the caller's.
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
        live.cause = 0;
        live.not_accepted = false;
        self.channels.insert(channel.clone(), id);
        self.wait(id, now, Duration::from_secs(u64::from(ring_s)).saturating_add(STEP_SLACK));
    }

    fn dials(&mut self, now: Timestamp, by: &ChannelId, to: &ChannelId, model: &Model) {
        let Some(id) = self.id_of(by) else { return };
        let Some(live) = self.live.get_mut(&id).filter(|live| live.dialler.as_ref() == Some(by)) else {
            return;
        };
        match live.view.state {
            // Another phone of ours than was meant: steps were missed, and the caller is on the way back.
            State::Trying | State::Ringing if live.is_stranger(to, model) => {
                live.close_attempt(now, Outcome::Unknown);
                live.view.inferred = true;
                live.view.state = State::Returning;
                live.back = Some(to.clone());
            }
            State::Trying => live.target = Some(to.clone()),
            State::Returning => live.back = Some(to.clone()),
            _ => return,
        }
        self.channels.insert(to.clone(), id);
    }

    fn rings(&mut self, now: Timestamp, channel: &ChannelId) {
        let Some(id) = self.id_of(channel) else { return };
        let Some(live) = self.live.get_mut(&id) else { return };
        if live.view.state == State::Trying && live.target.as_ref() == Some(channel) {
            live.view.state = State::Ringing;
            self.tell(now, id, NoticeKind::Ringing);
        }
    }

    fn hanging_up(&mut self, channel: &ChannelId, cause: u16) {
        if let Some(live) = self.of(channel)
            && live.target.as_ref() == Some(channel)
            && live.cause == 0
        {
            live.cause = cause;
        }
    }

    fn gone(&mut self, now: Timestamp, channel: &ChannelId, model: &Model) {
        let Some(id) = self.id_of(channel) else { return };
        let Some(live) = self.live.get(&id) else { return };
        let (state, consult) = (live.view.state, live.consult);
        if live.caller == *channel {
            self.caller_gone(now, id);
        } else if live.target.as_ref() == Some(channel) {
            match state {
                // Joined with a target who was leaving, the caller may stay in the bridge by herself.
                State::Completed if live.view.mode == Mode::Consult && is_alone(model, &live.caller) => {
                    self.wait(id, now, JOIN_WAIT);
                }
                State::Completed => self.end(now, id),
                // Operator and target have spoken; the PBX brings the operator back to the caller.
                State::Consulting if !live.cancelling => self.missed(now, id, Outcome::Declined),
                _ => {}
            }
        } else if live.operator == *channel && consult {
            match state {
                State::Trying | State::Ringing => self.go_on_blind(now, id),
                State::Consulting => self.wait(id, now, JOIN_WAIT),
                _ => {}
            }
        }
    }

    fn caller_gone(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.live.get(&id) else { return };
        // A blind target is let go by the PBX itself, the caller's own dial being over; one who is consulted is not.
        let ringing = live.consult && matches!(live.view.state, State::Trying | State::Ringing);
        let free = live.target.as_ref().filter(|_| ringing);
        let actions = free.and_then(|target| Action::hangup(target.as_str(), None).ok());
        if live.view.state != State::Completed {
            self.fail(now, id, Outcome::CallerGone);
        }
        self.end(now, id);
        if let Some(action) = actions {
            self.output(Output::Orders { transfer: id, step: Step::Tidy, actions: vec![action] });
        }
    }

    /// The operator hung up before the target answered. The PBX would let the target ring on and then call her back;
    /// in the dialplan the caller has the queue behind her, too.
    pub(super) fn go_on_blind(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.live.get(&id) else { return };
        let plan = live.plan.clone();
        let Some(live) = self.dial_on(now, id, &plan, State::Requested) else { return };
        live.close_attempt(now, Outcome::Cancelled);
        live.view.outcome = None;
        live.dialler = None;
        live.target = None;
    }

    /// The target left in the instant in which the operator let go of the caller: the PBX has joined her with nobody,
    /// whether or not it says so, and would leave her there.
    fn bring_back(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.view.completed_at = None;
        let nobody = Plan { targets: Vec::new(), ..live.plan.clone() };
        self.dial_on(now, id, &nobody, State::Returning);
    }

    /// Takes the caller out of a consultation and into the dialplan: `plan`'s targets, behind them the operator.
    fn dial_on(&mut self, now: Timestamp, id: TransferId, plan: &Plan, state: State) -> Option<&mut Live> {
        let live = self.live.get_mut(&id)?;
        let actions = order::blind(&About::of(live), plan, &live.caller, Some(&live.view.operator)).ok()?;
        live.consult = false;
        live.view.state = state;
        self.output(Output::Orders { transfer: id, step: Step::Tidy, actions });
        self.wait(id, now, START_WAIT);
        self.live.get_mut(&id)
    }

    /// Somebody entered a bridge: who is with whom now?
    pub(super) fn met(&mut self, now: Timestamp, id: TransferId, model: &Model) {
        let Some(live) = self.live.get(&id) else { return };
        let with_caller =
            |leg: &Option<ChannelId>| leg.as_ref().is_some_and(|leg| together(model, leg, &live.caller));
        match live.view.state {
            State::Trying | State::Ringing | State::Consulting if live.consult => {
                if live.away && together(model, &live.operator, &live.caller) {
                    // An operator who is hanging up does not stay: how it ends is told by her channel, or the model.
                    match live.leaving {
                        true => self.wait(id, now, JOIN_WAIT),
                        false => self.back_with_her(now, id),
                    }
                } else if with_caller(&live.target) {
                    self.completed(now, id);
                } else if live.view.state != State::Consulting && live.target_speaks(model) {
                    self.consulting(now, id);
                }
            }
            State::Ringing if live.plan.queue().is_some() => {
                if let Some(leg) = has_operator(model, live) {
                    self.channels.insert(leg.clone(), id);
                    if let Some(live) = self.live.get_mut(&id) {
                        live.target = Some(leg);
                    }
                    self.completed(now, id);
                }
            }
            State::Trying | State::Ringing if with_caller(&live.target) => self.completed(now, id),
            State::Returning if with_caller(&live.back) || has_operator(model, live).is_some() => {
                self.back(now, id, model);
            }
            _ => {}
        }
    }

    /// The caller is with an operator again.
    pub(super) fn back(&mut self, now: Timestamp, id: TransferId, model: &Model) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let operator = model.parties(live.view.call).and_then(|parties| parties.operator);
        if live.view.returned_to.is_none() {
            live.view.returned_to = operator.map(|(extension, _)| ReturnedTo::Operator(extension));
            self.tell(now, id, NoticeKind::Returned);
        }
        self.end(now, id);
    }

    pub(super) fn consulting(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.view.state = State::Consulting;
        self.stop_waiting(id);
        self.tell(now, id, NoticeKind::Consulting);
    }

    pub(super) fn completed(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.live.get_mut(&id).filter(|live| live.view.is_under_way()) else { return };
        live.view.state = State::Completed;
        live.view.completed_at = Some(now);
        live.consult = false;
        live.close_attempt(now, Outcome::Answered);
        self.stop_waiting(id);
        self.tell(now, id, NoticeKind::Completed);
    }

    /// A target did not take the caller.
    fn missed(&mut self, now: Timestamp, id: TransferId, outcome: Outcome) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if !live.close_attempt(now, outcome) {
            return;
        }
        live.target = None;
        let more = live.view.attempts.len() < live.plan.targets.len() && !live.consult;
        // In a consultation the operator is brought back by the PBX; until then it stays what it is.
        if !live.consult {
            live.view.state = if more { State::Trying } else { State::Returning };
        }
        self.tell(now, id, NoticeKind::Failed);
        self.wait(id, now, STEP_SLACK);
    }

    /// The dialplan brings the caller to the operator or into the queue.
    pub(super) fn returns(&mut self, now: Timestamp, id: TransferId, to: ReturnedTo) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if live.cancelling {
            live.close_attempt(now, Outcome::Cancelled);
            live.view.outcome = Some(Outcome::Cancelled);
        }
        live.view.state = State::Returning;
        live.dialler = Some(live.caller.clone());
        live.back = None;
        let wait = if matches!(to, ReturnedTo::Queue(_)) { QUEUE_LOOK } else { STEP_SLACK };
        live.view.returned_to = Some(to);
        self.wait(id, now, wait);
        self.tell(now, id, NoticeKind::Returned);
    }

    /// After a consultation that came to nothing.
    fn back_with_her(&mut self, now: Timestamp, id: TransferId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let outcome = match (live.cancelling, live.view.state) {
            (true, _) => Outcome::Cancelled,
            (false, State::Consulting) => Outcome::Declined,
            _ => live.outcome("", 0, 0),
        };
        if live.close_attempt(now, outcome) && !live.cancelling {
            self.tell(now, id, NoticeKind::Failed);
        }
        if let Some(live) = self.live.get_mut(&id) {
            live.view.outcome = live.view.outcome.or(Some(outcome));
            // Nothing tells the end of it afterwards.
            live.view.state = State::Over;
            live.view.returned_to = Some(ReturnedTo::Operator(live.view.operator.clone()));
        }
        self.tell(now, id, NoticeKind::Returned);
        self.end(now, id);
    }

    /// The whole came to nothing.
    pub(super) fn fail(&mut self, now: Timestamp, id: TransferId, outcome: Outcome) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.close_attempt(now, outcome);
        live.view.outcome = Some(outcome);
        live.view.state = State::Over;
        self.tell(now, id, NoticeKind::Failed);
    }

    /// Nothing was heard for too long, or events were missed: the model says where the caller is.
    pub(super) fn conclude(&mut self, now: Timestamp, id: TransferId, model: &Model) {
        let Some(live) = self.live.get_mut(&id).filter(|live| live.held.is_none()) else { return };
        let Some(view) = model.call(live.view.call).filter(|_| model.leg_view(&live.caller).is_some()) else {
            live.view.inferred = true;
            if live.view.is_under_way() {
                self.fail(now, id, Outcome::CallerGone);
            }
            return self.end(now, id);
        };
        let with_target = live.target.as_ref().is_some_and(|leg| together(model, leg, &live.caller));
        if live.view.is_under_way() && with_target {
            live.view.inferred = true;
            return self.completed(now, id);
        }
        let ringing = matches!(live.view.state, State::Trying | State::Ringing);
        if live.consult && ringing && model.leg_view(&live.operator).is_none() {
            live.view.inferred = true;
            return self.go_on_blind(now, id);
        }
        let consulted = live.consult && live.view.state == State::Consulting;
        if consulted && live.target_left() && model.leg_view(&live.operator).is_none() {
            return self.bring_back(now, id);
        }
        let holder = has_operator(model, live);
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
                    self.bring_back(now, id);
                } else if !target_lives && view.state != CallState::Transferred {
                    live.view.inferred = true;
                    self.end(now, id);
                }
            }
            (State::Requested, Some(_)) => {
                self.fail(now, id, Outcome::NotStarted);
                self.end(now, id);
            }
            (State::Returning, Some(_)) => self.back(now, id, model),
            (_, Some(extension)) if target_has(&extension) => {
                live.view.inferred = true;
                live.target = holder;
                self.completed(now, id);
            }
            (_, Some(extension)) => {
                live.view.inferred = true;
                live.close_attempt(now, Outcome::Unknown);
                live.view.returned_to = Some(ReturnedTo::Operator(extension));
                live.view.state = State::Over;
                self.tell(now, id, NoticeKind::Returned);
                self.end(now, id);
            }
            (_, None)
                if view.operator.is_none()
                    && view.state == CallState::Transferred
                    && !is_dialled(model, live) =>
            {
                live.view.inferred = true;
                self.completed(now, id);
            }
            (_, None) => self.wait(id, now, QUEUE_LOOK),
        }
    }
}

impl Live {
    /// What the target did, from the dialplan's dial status, the SIP answer and the causes of its channel.
    fn outcome(&self, reason: &str, dialplan_cause: u16, sip: u16) -> Outcome {
        let cause = if self.cause == 0 { dialplan_cause } else { self.cause };
        match (reason, cause) {
            _ if self.not_accepted => Outcome::NotAccepted,
            // It was answered, and yet did not take the caller.
            ("ANSWER", _) => Outcome::NotAccepted,
            // Asterisk makes "no answer" of a phone that is switched off.
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

    /// A phone of ours that is none of the targets.
    fn is_stranger(&self, leg: &ChannelId, model: &Model) -> bool {
        let phone = model.leg_view(leg).and_then(|leg| leg.phone);
        let meant = |phone: &Extension| {
            self.plan.targets.iter().any(|target| target.dial.as_deref() == Some(phone.as_str()))
        };
        self.plan.queue().is_none() && phone.is_some_and(|phone| !meant(&phone))
    }

    pub(super) fn open_attempt(&mut self, now: Timestamp, at: usize) {
        let Some(target) = self.plan.targets.get(at) else { return };
        let attempt = Attempt { target: target.view.clone(), from: now, until: None, outcome: None };
        self.view.attempts.push(attempt);
        self.view.outcome = None;
    }

    /// Closes what is open; false when nothing was.
    pub(super) fn close_attempt(&mut self, now: Timestamp, outcome: Outcome) -> bool {
        let open = self.view.attempts.last_mut().filter(|attempt| attempt.until.is_none());
        let Some(attempt) = open else { return false };
        attempt.until = Some(now);
        attempt.outcome = Some(outcome);
        self.view.outcome = Some(outcome);
        true
    }

    /// The target was there and is gone; a daemon that started meanwhile may not know it at all.
    fn target_left(&self) -> bool {
        self.target.is_none() && self.view.attempts.last().is_some_and(|attempt| attempt.outcome.is_some())
    }

    /// The target has been answered: it stands in a bridge with the channel that called it.
    pub(super) fn target_speaks(&self, model: &Model) -> bool {
        match (&self.target, &self.dialler) {
            (Some(target), Some(dialler)) => together(model, target, dialler),
            _ => false,
        }
    }
}

fn bridge_of(model: &Model, leg: &ChannelId) -> Option<BridgeId> {
    model.leg_view(leg).and_then(|leg| leg.bridge)
}

pub(super) fn together(model: &Model, one: &ChannelId, two: &ChannelId) -> bool {
    bridge_of(model, one).is_some_and(|bridge| bridge_of(model, two) == Some(bridge))
}

/// Whether a channel is in a bridge that everybody else has left.
fn is_alone(model: &Model, leg: &ChannelId) -> bool {
    bridge_of(model, leg).is_some_and(|bridge| model.in_bridge(&bridge).iter().all(|other| other == leg))
}

/// The channel of the operator who now speaks with the caller.
pub(super) fn has_operator(model: &Model, live: &Live) -> Option<ChannelId> {
    let (_, leg) = model.parties(live.view.call)?.operator?;
    together(model, &leg, &live.caller).then_some(leg)
}

/// The target's channel is there and the caller is not with it yet.
fn is_dialled(model: &Model, live: &Live) -> bool {
    bridge_of(model, &live.caller).is_none()
}

fn field(fields: &[(SmolStr, Vec<u8>)], name: &str) -> Option<String> {
    let (_, value) = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(value).trim().to_owned())
}
