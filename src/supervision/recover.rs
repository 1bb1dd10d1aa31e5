//! Recovery of sessions after a gap of the link or a restart of the daemon.
//!
//! The id of a supervisor's channel has session, user and target, and the time of the request; its application has the
//! spied channel and the mode. The rest (the reason, when the supervisor first heard somebody, the mode of a phone that
//! hears nobody at the moment) comes from the audit trail ([`Output::LoadSession`]).
//!
//! Invariant: after a list of channels, each supervisor's channel in it has a session, and each session without a channel
//! in it has ended. Exceptions: a channel that is bridged (a take-over that succeeded), a channel
//! without an extension in its name, and channels beyond [`SESSIONS_MAX`].

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use super::machine::{Environment, Notice, Output, Supervisions};
use super::session::Session;
use super::step::retarget;
use super::{DIAL_RESULT_TIMEOUT, RECOVERY_TIMEOUT, SESSIONS_MAX};
use crate::ami::event::{Channel, ChannelState};
use crate::contract::supervision::{EndReason, Mode, State, SupervisionId, Target};
use crate::ids::{CallId, ChannelId, Extension};

/// The recorded data of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveredSession {
    /// The reason, in the supervisor's words.
    pub reason: Option<SmolStr>,
    /// When the supervisor first heard somebody.
    pub monitoring_since: Option<Timestamp>,
    /// The mode recorded last.
    pub mode: Option<Mode>,
    /// The call heard last.
    pub call: Option<CallId>,
    /// The operator heard last.
    pub operator: Option<Extension>,
    /// The own extension of the person who supervises, if that person is an operator: the call was taken over from them.
    pub released: Option<Extension>,
}

impl Supervisions {
    pub(super) fn list_began(&mut self) {
        self.each(|session, _| session.listed = false);
    }

    /// A supervisor's channel in the list.
    pub(super) fn listed(
        &mut self,
        now: Timestamp,
        channel: &Channel,
        (application, arguments): (&str, &str),
        env: &impl Environment,
    ) {
        let Some((id, user, target)) = Session::from_leg(&channel.id) else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.listed = true;
            return;
        }
        let Some(phone) = self.out.phone_of(&channel.name) else { return };
        // After a take-over the phone is bridged with the caller; the session has ended.
        if application == "Bridge" {
            return;
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return;
        }
        let (spyee, mode) = spied_channel(application, arguments);
        let ring = SignedDuration::try_from(self.out.ring()).unwrap_or(DIAL_RESULT_TIMEOUT);
        let is_ringing = channel.state != ChannelState::Up;
        let (operator, call) = match &target {
            Target::Operator { operator, .. } => (Some(operator.clone()), None),
            Target::Call(call) => (None, Some(*call)),
        };
        let session = Session {
            id,
            user,
            name: env.name_of(user),
            phone,
            target,
            mode,
            reason: None,
            state: if is_ringing { State::Calling } else { State::Waiting },
            monitor_target: None,
            operator,
            call,
            notify: self.out.settings.notify,
            since: id.made_at().unwrap_or(now),
            monitoring_since: spyee.is_some().then_some(now),
            in_transfer: false,
            sent_mode: mode,
            confirmed_mode: Some(mode),
            due: Some(now + if is_ringing { ring + DIAL_RESULT_TIMEOUT } else { RECOVERY_TIMEOUT }),
            end_reason: None,
            dial_result: None,
            rang: true,
            created: true,
            dial_failed: false,
            phone_cause: 0,
            recovered_target: spyee,
            recovery_until: Some(now + RECOVERY_TIMEOUT),
            listed: true,
        };
        self.out.queue.push_back(Output::LoadSession(id, session.since));
        self.sessions.insert(id, session);
    }

    /// Completes a recovered session with its recorded data.
    pub(super) fn complete_recovered(&mut self, id: SupervisionId, loaded: Option<Box<RecoveredSession>>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(loaded) = loaded {
            let RecoveredSession { reason, monitoring_since, mode, call, operator, released } = *loaded;
            session.reason = session.reason.take().or(reason);
            session.monitoring_since = monitoring_since.or(session.monitoring_since);
            session.call = session.call.or(call);
            if session.is_for_one_call() {
                session.operator = operator.or(session.operator.take());
            }
            // The application of a phone that hears somebody has the mode.
            let is_attached = session.monitor_target.is_some() || session.recovered_target.is_some();
            if let Some(mode) = mode.filter(|mode| !is_attached && *mode != Mode::TakeOver) {
                session.mode = mode;
            }
            if let (Some(call), Some(operator)) = (session.call, released) {
                self.released.entry(call).or_insert(operator);
            }
        }
        self.out.push_notice(Notice::Recovered, session);
    }

    /// The list is complete, and the call model has processed it.
    pub(super) fn list_ended(&mut self, now: Timestamp, env: &impl Environment) {
        self.lose(|session| !session.listed);
        self.each_in(now, env, retarget);
    }

    pub(super) fn lose(&mut self, is_lost: impl Fn(&Session) -> bool) {
        let lost: Vec<_> = self.sessions.values().filter(|s| is_lost(s)).map(|s| s.id).collect();
        for id in lost {
            self.finish(id, EndReason::Lost);
        }
    }
}

/// The spied channel and the mode in `ChanSpy(<unique id>,quS…)`.
fn spied_channel(application: &str, arguments: &str) -> (Option<ChannelId>, Mode) {
    if application != "ChanSpy" {
        return (None, Mode::Listen);
    }
    let (spyee, options) = arguments.split_once(',').unwrap_or((arguments, ""));
    let mode = match options {
        options if options.contains('B') => Mode::Barge,
        options if options.contains('w') => Mode::Whisper,
        _ => Mode::Listen,
    };
    (ChannelId::parse(spyee).ok(), mode)
}
