//! The machine's interface: inputs, actions and notices, time. [`super`] has the tables.
//!
//! Read next: `step.rs`, which applies an input to one session.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use super::actions::ActionQueue;
use super::policy::Settings;
use super::recover::RecoveredSession;
use super::rules::NewSession;
use super::session::{MonitorTarget, Session};
use super::step::{self, StepContext, end, retarget};
use super::{CHANNEL_EVENTS_TIMEOUT, DIAL_RESULT_TIMEOUT};
use crate::ami::action::{Action, ActionError};
use crate::ami::event::{ChannelState, Event};
use crate::contract::supervision::{
    AfterTransfer, EndReason, Mode, Notify, State, SupervisionId, SupervisionView, Target,
};
use crate::ids::{CallId, ChannelId, Extension, RecordId};

/// What the machine reads of its surroundings: calls, channels, permissions.
pub trait Environment {
    /// The channel of this operator, if the operator has a caller of an account that may be monitored.
    fn monitorable_operator(&self, operator: &Extension) -> Option<MonitorTarget>;
    /// The channel of the operator who has this call, if its account may be monitored.
    fn monitorable_call(&self, call: CallId) -> Option<MonitorTarget>;
    /// The channel of the external party with whom the caller of this call talks, if the account may be monitored.
    fn external_party(&self, call: CallId) -> Option<ChannelId>;
    /// Whether the call model has this call.
    fn is_live(&self, call: CallId) -> bool;
    /// Whether this person may supervise this operator in this mode now; `released` is the operator from whom the call was
    /// taken over.
    fn may_supervise(
        &self,
        user: RecordId,
        mode: Mode,
        operator: &Extension,
        released: Option<&Extension>,
    ) -> bool;
    /// The name of this person.
    fn name_of(&self, user: RecordId) -> SmolStr;
}

/// An input of the machine.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// Start this session; [`super::authorise`] has allowed it.
    Start(Box<NewSession>),
    /// Switch the mode of a session.
    Switch(SupervisionId, Mode),
    /// Stop a session.
    Stop(SupervisionId),
    /// An event of the PBX that the call model has processed.
    Pbx(&'a Event),
    /// Calls have changed operators or ended.
    CallsChanged,
    /// A transfer of this call begins: no channel of it may be spied on.
    Pause {
        /// The call.
        call: CallId,
        /// Whether the caller leaves the operator at once.
        leaves: bool,
    },
    /// The transfer of this call has reached a state in which people talk.
    Resume(CallId),
    /// The recorded data of a recovered session; `None` where there is none.
    SessionLoaded(SupervisionId, Option<Box<RecoveredSession>>),
    /// The PBX did not accept an action for this session.
    ActionRefused(SupervisionId),
    /// A list of all channels begins.
    ListBegan,
    /// The list of channels is complete, and the call model has processed it.
    ListEnded,
    /// The PBX was restarted: every channel is gone.
    Restarted,
}

/// A change of a session, to be recorded and mostly published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The session was requested; the phone rings. For the audit trail only.
    Requested,
    /// The supervisor hears the operator, or waits on the line.
    Started,
    /// Another mode, another call, or waiting again.
    Changed,
    /// The session was recovered after a restart of the daemon or a gap. For the audit trail only.
    Recovered,
    /// The session ended.
    Stopped(EndReason),
}

/// An output of the machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send these actions to the PBX in this order; report a refusal as [`Input::ActionRefused`].
    Actions {
        /// The session.
        session: SupervisionId,
        /// The actions.
        actions: Vec<Action>,
    },
    /// An action could not be built.
    InvalidAction {
        /// The session.
        session: SupervisionId,
        /// Why.
        error: ActionError,
    },
    /// Record a change of a session, and publish it to those who may see it.
    Notice {
        /// The change.
        notice: Notice,
        /// The session after the change.
        view: Box<SupervisionView>,
        /// How the operator is notified.
        notify: Notify,
    },
    /// Look up the recorded data of this session, requested at that time, and return them as [`Input::SessionLoaded`].
    LoadSession(SupervisionId, Timestamp),
}

/// All sessions.
#[derive(Debug)]
pub struct Supervisions {
    pub(super) sessions: BTreeMap<SupervisionId, Session>,
    /// The operator from whom each call was taken over.
    pub(super) released: BTreeMap<CallId, Extension>,
    pub(super) out: ActionQueue,
}

impl Supervisions {
    /// A machine without sessions.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { sessions: BTreeMap::new(), released: BTreeMap::new(), out: ActionQueue::new(settings) }
    }

    /// The device by which the supervisor's phone at `extension` is called; until it is set, `PJSIP/` and the extension.
    pub fn set_device(&mut self, extension: &Extension, device: SmolStr) {
        self.out.set_device(extension, device);
    }

    /// Applies an input.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, env: &impl Environment) {
        match input {
            Input::Start(start) => self.start(now, *start),
            Input::Switch(id, mode) => self.with(id, |session, out| step::switch(session, out, now, mode)),
            Input::Stop(id) => self.with(id, |session, out| end(session, out, now, EndReason::Stopped)),
            Input::Pbx(event) => self.pbx(now, event, env),
            Input::CallsChanged => self.calls_changed(now, env),
            Input::Pause { call, leaves } => {
                self.each(|session, out| step::pause(session, out, now, call, leaves));
            }
            Input::Resume(call) => {
                self.each_in(now, env, |session, out, ctx| step::resume(session, out, ctx, call));
            }
            Input::SessionLoaded(id, loaded) => {
                self.complete_recovered(id, loaded);
                self.calls_changed(now, env);
            }
            Input::ActionRefused(id) => self.action_refused(id),
            Input::ListBegan => self.list_began(),
            Input::ListEnded => self.list_ended(now, env),
            Input::Restarted => self.lose(|_| true),
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.queue.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.sessions.values().filter_map(|session| session.due).min()
    }

    /// Applies the time-outs that are due.
    pub fn handle_timeout(&mut self, now: Timestamp, env: &impl Environment) {
        let due: Vec<_> =
            self.sessions.values().filter(|s| s.due.is_some_and(|due| due <= now)).map(|s| s.id).collect();
        let ctx = StepContext { now, env, released: &self.released };
        let mut finished = Vec::new();
        for id in due {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.due = None;
            match (session.end_reason, session.state) {
                (Some(reason), _) => finished.push((id, reason)),
                (None, State::Calling) if session.dial_failed && !session.created => {
                    finished.push((id, EndReason::Unreachable));
                }
                (None, State::Calling) => end(session, &mut self.out, now, EndReason::NoAnswer),
                (None, State::Attaching | State::TakingOver) => {
                    end(session, &mut self.out, now, EndReason::Failed);
                }
                (None, State::Waiting | State::Paused) => {
                    session.state = State::Waiting;
                    session.in_transfer = false;
                    retarget(session, &mut self.out, &ctx);
                }
                (None, State::Live) => {}
            }
        }
        for (id, reason) in finished {
            self.finish(id, reason);
        }
    }

    /// Whether there is no session and no call that was taken over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.released.is_empty()
    }

    /// The number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The session with this id.
    #[must_use]
    pub fn get(&self, id: SupervisionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All sessions, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// The session at this phone.
    #[must_use]
    pub fn at_phone(&self, phone: &Extension) -> Option<&Session> {
        self.sessions.values().find(|session| &session.phone == phone)
    }

    /// The operator from whom this call was taken over.
    #[must_use]
    pub fn released(&self, call: CallId) -> Option<&Extension> {
        self.released.get(&call)
    }

    /// Whether an event may change a session; other events need not be passed in.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        match event {
            Event::BridgeEntered { channel, .. }
                if self.is_monitored(&channel.id) || self.awaits_external_party() =>
            {
                true
            }
            event => leg_of(event).is_some_and(Session::is_leg),
        }
    }

    /// Whether a session hears this channel.
    fn is_monitored(&self, channel: &ChannelId) -> bool {
        self.sessions
            .values()
            .any(|s| s.monitor_target.as_ref().is_some_and(|target| target.channel == *channel))
    }

    /// Whether a session waits for a caller to meet an external party, which only a bridge event shows.
    fn awaits_external_party(&self) -> bool {
        self.out.settings.after_transfer == AfterTransfer::Caller
            && self.sessions.values().any(|session| session.state == State::Waiting)
    }

    fn start(&mut self, now: Timestamp, start: NewSession) {
        let NewSession { id, user, name, phone, target, mode, reason, monitor_target } = start;
        let notify = monitor_target.as_ref().map_or(self.out.settings.notify, |found| found.notify);
        let (operator, call) = match (&target, &monitor_target) {
            (_, Some(found)) => (Some(found.operator.clone()), Some(found.call)),
            (Target::Operator { operator, .. }, None) => (Some(operator.clone()), None),
            (Target::Call(call), None) => (None, Some(*call)),
        };
        let ring = SignedDuration::try_from(self.out.ring()).unwrap_or(DIAL_RESULT_TIMEOUT);
        let session = Session {
            id,
            user,
            name,
            phone,
            target,
            mode,
            reason,
            state: State::Calling,
            monitor_target,
            operator,
            call,
            notify,
            // A daemon that recovers the session reads this time from the id.
            since: id.made_at().unwrap_or(now),
            monitoring_since: None,
            in_transfer: false,
            sent_mode: mode,
            confirmed_mode: None,
            due: Some(now + ring + DIAL_RESULT_TIMEOUT),
            end_reason: None,
            dial_result: None,
            rang: false,
            created: false,
            dial_failed: false,
            phone_cause: 0,
            recovered_target: None,
            recovery_until: None,
            listed: true,
        };
        self.out.push_notice(Notice::Requested, &session);
        self.out.call(&session);
        self.sessions.insert(id, session);
    }

    fn pbx(&mut self, now: Timestamp, event: &Event, env: &impl Environment) {
        if let Event::BridgeEntered { channel, .. } = event {
            self.each(|session, out| step::bridged(session, out, now, &channel.id));
            if self.awaits_external_party() {
                self.each_in(now, env, retarget);
            }
        }
        let Some((id, ..)) = leg_of(event).and_then(Session::from_leg) else { return };
        if let Event::ChannelListed { channel, application, arguments, .. } = event {
            self.listed(now, channel, (application, arguments), env);
            return;
        }
        let ctx = StepContext { now, env, released: &self.released };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.listed = true;
        match event {
            Event::ChannelCreated(_) => {
                session.created = true;
                if session.dial_failed {
                    session.due = Some(now + DIAL_RESULT_TIMEOUT);
                }
                if session.end_reason.is_some() {
                    self.out.hang_up(session);
                }
            }
            Event::ChannelState(channel) if channel.state == ChannelState::Ringing => session.rang = true,
            Event::ChannelState(channel) if channel.state == ChannelState::Up => {
                step::answered(session, &mut self.out, &ctx);
            }
            Event::SpyStarted { spyee, .. } => step::spy_started(session, &mut self.out, now, &spyee.id),
            Event::SpyStopped { spyee, .. } => {
                step::spy_stopped(session, &mut self.out, now, spyee.as_ref().map(|c| &c.id));
            }
            Event::DialEnded { status, .. } => step::dial_ended(session, *status),
            Event::HangupRequested { cause, .. } if session.state == State::Calling => {
                session.phone_cause = *cause;
            }
            Event::HangupRequested { .. } | Event::SoftHangupRequested(_)
                if session.state != State::Calling =>
            {
                session.end_reason.get_or_insert(EndReason::HungUp);
            }
            Event::BridgeEntered { .. } if session.state == State::TakingOver => {
                if let (Some(call), Some(operator)) = (session.call, session.operator.clone()) {
                    self.released.insert(call, operator);
                }
                self.finish(id, EndReason::TookOver);
            }
            // Where the channel was created, its end has the cause.
            Event::Originated { success: false, .. } if !session.created => match session.end_reason {
                Some(reason) => self.finish(id, reason),
                None => {
                    session.dial_failed = true;
                    session.due = Some(now + CHANNEL_EVENTS_TIMEOUT);
                }
            },
            Event::ChannelGone { cause, .. } => {
                let cause = if *cause == 0 { session.phone_cause } else { *cause };
                let reason = session.end_reason.unwrap_or(match (session.state, cause) {
                    (State::Calling, 17 | 21) => EndReason::Busy,
                    // A phone that is switched off has the same cause as one that is not answered, but never rang.
                    (State::Calling, 0 | 16 | 18 | 19) if session.rang => {
                        session.dial_result.unwrap_or(EndReason::NoAnswer)
                    }
                    (State::Calling, _) => EndReason::Unreachable,
                    // The dialplan hangs up when the caller's channel is gone.
                    (State::TakingOver, _) => EndReason::CallEnded,
                    _ => EndReason::HungUp,
                });
                self.finish(id, reason);
            }
            _ => {}
        }
    }

    fn calls_changed(&mut self, now: Timestamp, env: &impl Environment) {
        self.released.retain(|call, _| env.is_live(*call));
        self.each_in(now, env, retarget);
    }

    fn action_refused(&mut self, id: SupervisionId) {
        // In any other state the missing event shows the refusal (time-out).
        if self.sessions.get(&id).is_some_and(|s| s.state == State::Calling && s.end_reason.is_none()) {
            self.finish(id, EndReason::Failed);
        }
    }

    pub(super) fn finish(&mut self, id: SupervisionId, reason: EndReason) {
        if let Some(session) = self.sessions.remove(&id) {
            self.out.push_notice(Notice::Stopped(reason), &session);
        }
    }

    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Session, &mut ActionQueue)) {
        self.sessions.values_mut().for_each(|session| act(session, &mut self.out));
    }

    pub(super) fn each_in<W: Environment>(
        &mut self,
        now: Timestamp,
        env: &W,
        mut act: impl FnMut(&mut Session, &mut ActionQueue, &StepContext<'_, W>),
    ) {
        let ctx = StepContext { now, env, released: &self.released };
        self.sessions.values_mut().for_each(|session| act(session, &mut self.out, &ctx));
    }

    fn with(&mut self, id: SupervisionId, act: impl FnOnce(&mut Session, &mut ActionQueue)) {
        if let Some(session) = self.sessions.get_mut(&id) {
            act(session, &mut self.out);
        }
    }
}

/// The channel of an event that can be a supervisor's.
fn leg_of(event: &Event) -> Option<&ChannelId> {
    match event {
        Event::ChannelCreated(channel)
        | Event::ChannelState(channel)
        | Event::SoftHangupRequested(channel) => Some(&channel.id),
        Event::ChannelGone { channel, .. }
        | Event::HangupRequested { channel, .. }
        | Event::BridgeEntered { channel, .. }
        | Event::ChannelListed { channel, .. } => Some(&channel.id),
        Event::DialEnded { to, .. } => Some(&to.id),
        Event::SpyStarted { spyer, .. } | Event::SpyStopped { spyer, .. } => Some(&spyer.id),
        Event::Originated { channel, .. } => channel.as_ref(),
        _ => None,
    }
}
