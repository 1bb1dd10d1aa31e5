//! One supervision session, and the channel id that identifies it.
//!
//! Invariant: [`Session::leg`] encodes session, user and target in the channel id, and [`Session::from_leg`] reads them
//! back, so that a restarted daemon recognises the channel without the store.

use crate::contract::supervision::{EndReason, Mode, State, SupervisionId, SupervisionView, Target};
use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};
use uuid::Uuid;

use crate::contract::supervision::{AfterTransfer, Notify};
use crate::ids::{CallId, ChannelId, Extension, RecordId};

/// The prefix of the ids of supervision channels.
const LEG_PREFIX: &str = "toritsugi-sv-";

/// The channel that a session hears, with its call and operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorTarget {
    /// The call.
    pub call: CallId,
    /// The operator who has the call, or had it before the transfer to an external party.
    pub operator: Extension,
    /// The channel to hear: the operator's, or the external party's.
    pub channel: ChannelId,
    /// The caller's channel.
    pub caller: Option<ChannelId>,
    /// How the operator is notified.
    pub notify: Notify,
    /// The channel is that of an external party to whom the operator transferred the caller; only listening is allowed.
    pub external: bool,
}

/// One supervision session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The session's id.
    pub id: SupervisionId,
    /// The supervisor.
    pub user: RecordId,
    /// The supervisor's name; empty in a recovered session of a person who is not in the roster.
    pub name: SmolStr,
    /// The supervisor's phone.
    pub phone: Extension,
    /// The subject.
    pub target: Target,
    /// The mode requested last.
    pub mode: Mode,
    /// The reason, in the supervisor's words.
    pub reason: Option<SmolStr>,
    /// The state.
    pub state: State,
    /// The channel to which the phone is attached or is being attached.
    pub monitor_target: Option<MonitorTarget>,
    /// The operator heard last; decides who may see the session.
    pub operator: Option<Extension>,
    /// The call heard last.
    pub call: Option<CallId>,
    /// How the operator heard last is notified.
    pub notify: Notify,
    /// When the session was requested.
    pub since: Timestamp,
    /// When the supervisor first heard somebody.
    pub monitoring_since: Option<Timestamp>,
    /// A transfer of the call is under way.
    pub(super) in_transfer: bool,
    /// The mode in the last actions to the PBX.
    pub(super) sent_mode: Mode,
    /// The mode that an event confirmed last, and that was published; `None` before `started`.
    pub(super) confirmed_mode: Option<Mode>,
    /// When the present state times out.
    pub(super) due: Option<Timestamp>,
    /// Why the session will end, once the daemon has asked the PBX to hang up or knows that it will.
    pub(super) end_reason: Option<EndReason>,
    /// The result of dialling the phone, until its channel is gone.
    pub(super) dial_result: Option<EndReason>,
    /// Why the phone itself ended the call to it (Q.850); 0: it did not, or did not say. The PBX may lose this cause: the thread
    /// that dials can see that the channel is to end before it sees why.
    pub(super) phone_cause: u16,
    /// Whether the phone rang.
    pub(super) rang: bool,
    /// Whether the phone's channel was created; then its end ends the session.
    pub(super) created: bool,
    /// The PBX reported that the call to the phone failed before it reported the phone's channel.
    pub(super) dial_failed: bool,
    /// The channel that a recovered phone hears, until the call model knows it.
    pub(super) recovered_target: Option<ChannelId>,
    /// Until when a recovered session waits for the call model to know its call.
    pub(super) recovery_until: Option<Timestamp>,
    /// The list of channels that is being read contains the phone's channel.
    pub(super) listed: bool,
}

impl Session {
    /// The unique id of the supervisor's channel.
    #[must_use]
    pub fn leg(&self) -> ChannelId {
        leg_id(self.id, self.user, &self.target)
    }

    /// Session, user and target in the id of a supervisor's channel.
    #[must_use]
    pub fn from_leg(leg: &ChannelId) -> Option<(SupervisionId, RecordId, Target)> {
        let mut parts = leg.as_str().strip_prefix(LEG_PREFIX)?.split('_');
        let id = SupervisionId(Uuid::try_parse(parts.next()?).ok()?);
        let user = RecordId(Uuid::try_parse(parts.next()?).ok()?);
        let target = parts.next()?;
        if parts.next().is_some() {
            return None;
        }
        let operator = |digits: &str, follow| {
            Extension::parse(digits).ok().map(|operator| Target::Operator { operator, follow })
        };
        let target = match target.split_at_checked(1)? {
            ("o", digits) => operator(digits, false)?,
            ("f", digits) => operator(digits, true)?,
            ("c", call) => Target::Call(CallId::parse(call).ok()?),
            _ => return None,
        };
        Some((id, user, target))
    }

    /// Whether a channel is a supervisor's, by the prefix of its id.
    #[must_use]
    pub fn is_leg(channel: &ChannelId) -> bool {
        channel.as_str().starts_with(LEG_PREFIX)
    }

    /// Whether the session waits when there is nobody to hear.
    pub(super) fn waits_without_target(&self, after_transfer: AfterTransfer) -> bool {
        after_transfer == AfterTransfer::Caller
            || matches!(self.target, Target::Call(_) | Target::Operator { follow: true, .. })
    }

    /// Whether the supervisor hears somebody, or the phone is being attached.
    #[must_use]
    pub fn is_monitoring(&self) -> bool {
        self.state == State::Live
            || self.monitor_target.is_some() && self.state == State::Attaching
            || self.recovered_target.is_some()
    }

    /// Whether the supervisor hears an external party.
    #[must_use]
    pub fn hears_external_party(&self) -> bool {
        self.monitor_target.as_ref().is_some_and(|target| target.external)
    }

    /// Whether the session is for the present call of one operator.
    pub(super) fn is_for_one_call(&self) -> bool {
        matches!(self.target, Target::Operator { follow: false, .. })
    }
}

fn leg_id(id: SupervisionId, user: RecordId, target: &Target) -> ChannelId {
    let target = match target {
        Target::Operator { operator, follow: false } => format_smolstr!("o{operator}"),
        Target::Operator { operator, follow: true } => format_smolstr!("f{operator}"),
        Target::Call(call) => format_smolstr!("c{}", call.uuid().simple()),
    };
    let text = format!("{LEG_PREFIX}{}_{}_{target}", id.0.simple(), user.0.simple());
    #[expect(clippy::expect_used, reason = "hexadecimal digits and digits, well below the limit")]
    ChannelId::parse(&text).expect("a channel id")
}

impl From<&Session> for SupervisionView {
    /// Without account and caller, which the machine does not know.
    fn from(session: &Session) -> Self {
        Self {
            id: session.id,
            mode: session.mode,
            state: session.state,
            operator: session.operator.clone(),
            call: session.call,
            follow: matches!(session.target, Target::Operator { follow: true, .. }),
            supervisor: session.user,
            supervisor_name: session.name.to_string(),
            extension: session.phone.clone(),
            reason: session.reason.as_ref().map(ToString::to_string),
            account: None,
            caller: None,
            started_at: session.since,
            heard_at: session.monitoring_since,
        }
    }
}
