//! The public view of a session: in events, in records and under `/v1/supervisions`.
//!
//! Invariant: its field names are part of the public contract; they change only by addition.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::event::Audience;
use crate::ids::{CallId, Extension, PbxId, RecordId};

/// One supervision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SupervisionView {
    /// The id of the supervision.
    #[schema(value_type = uuid::Uuid)]
    pub id: SupervisionId,
    /// The mode.
    pub mode: Mode,
    /// The state.
    pub state: State,
    /// The operator who is heard, or was heard last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub operator: Option<Extension>,
    /// The call that is heard, or was heard last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// Whether the supervision goes on with the operator's next call.
    pub follow: bool,
    /// The supervisor.
    #[schema(value_type = uuid::Uuid)]
    pub supervisor: RecordId,
    /// The supervisor's name.
    pub supervisor_name: String,
    /// The supervisor's phone.
    #[schema(value_type = String)]
    pub extension: Extension,
    /// The reason, in the supervisor's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The name of the call's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The caller's name, otherwise the number, as far as the card shows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// When the supervision was requested.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub started_at: Timestamp,
    /// When the supervisor first heard somebody.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Timestamp>,
}

/// Longest reason for a session, in characters.
pub const REASON_CHARS_MAX: usize = 200;

/// The id of a session (a UUID of version 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SupervisionId(pub Uuid);

impl SupervisionId {
    /// When the id was made, read from its digits.
    #[must_use]
    pub fn made_at(self) -> Option<Timestamp> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
    }
}

impl std::fmt::Display for SupervisionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How the supervisor takes part in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// モニタリング: the supervisor hears both parties; neither hears the supervisor.
    Listen,
    /// ウィスパリング: the supervisor hears both parties; the operator hears the supervisor.
    Whisper,
    /// 割込み: the supervisor hears both parties, and both hear the supervisor.
    Barge,
    /// 交代: the supervisor takes the caller; the operator is released.
    TakeOver,
}

impl Mode {
    /// The mode in the API and in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
            Self::TakeOver => "take_over",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Listen, Self::Whisper, Self::Barge, Self::TakeOver]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }
}

/// The subject of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An operator.
    Operator {
        /// The operator's extension.
        operator: Extension,
        /// Whether the session goes on with the operator's next call.
        follow: bool,
    },
    /// A call, with any operator.
    Call(CallId),
}

/// The state of a session; see the table in the module header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The supervisor's phone rings.
    Calling,
    /// The PBX has the actions to attach the phone.
    Attaching,
    /// The supervisor hears the operator.
    Live,
    /// There is nobody to hear; the phone stays on the line.
    Waiting,
    /// The call is being transferred.
    Paused,
    /// The supervisor's phone is being connected with the caller.
    TakingOver,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Ending)]
pub enum EndReason {
    /// A command stopped it.
    Stopped,
    /// The supervisor hung up.
    HungUp,
    /// The supervisor's phone was not answered.
    NoAnswer,
    /// The supervisor's phone was busy or refused.
    Busy,
    /// The supervisor's phone cannot be reached.
    Unreachable,
    /// The call, or the operator's part in it, ended.
    CallEnded,
    /// The supervisor took the call over.
    TookOver,
    /// The PBX refused or did not carry out an action.
    Failed,
    /// The PBX was restarted, or the phone's channel was gone after a gap of the link.
    Lost,
}

/// How an operator is notified of a supervision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SupervisionNotify)]
pub enum Notify {
    /// A tone at the start, which the caller does not hear.
    Tone,
    /// A notice on the operator's desktop.
    Desktop,
    /// No notification.
    Silent,
}

impl Notify {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Tone, Self::Desktop, Self::Silent];

    /// The name in records and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tone => "tone",
            Self::Desktop => "desktop",
            Self::Silent => "silent",
        }
    }

    /// The value of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notify| notify.as_str() == name)
    }
}

/// Whom a supervisor hears after the operator has transferred the caller. It applies to a session of an operator without
/// `follow`. A session with `follow` stays with the operator, a session of a call with the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterTransfer {
    /// The operator, if the caller returns; otherwise the session ends.
    Operator,
    /// The caller, with the operator who has the caller then, or with an external party. An external party can only be listened
    /// to: a whisper or barge would reach a stranger.
    Caller,
    /// Nobody: the session ends with the transfer.
    End,
}

/// A time in which a supervisor monitored a call, or the instant in which they took it over.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Hearing)]
pub struct SupervisionSegment {
    /// The supervision session.
    #[schema(value_type = uuid::Uuid)]
    pub supervision: SupervisionId,
    /// The PBX that has the call.
    #[serde(skip)]
    pub pbx: PbxId,
    /// Which call.
    #[serde(skip)]
    pub call: CallId,
    /// The operator who was monitored, or from whom the call was taken.
    #[schema(value_type = String)]
    pub operator: Extension,
    /// The supervisor.
    #[schema(value_type = uuid::Uuid)]
    pub supervisor: RecordId,
    /// The supervisor's name at that time.
    pub supervisor_name: String,
    /// The supervisor's phone.
    #[schema(value_type = String)]
    pub extension: Extension,
    /// How the call was monitored.
    pub mode: Mode,
    /// The reason that the supervisor gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the segment began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// When it ended; absent while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub until: Option<Timestamp>,
    /// Why the session ended with this segment; absent when the session went on (another mode, another call, a pause).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndReason>,
    /// Who received the events about it, and may therefore read the segment.
    #[serde(skip)]
    pub audience: Audience,
}
