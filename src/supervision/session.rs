//! One supervision: whose phone, whom it hears, how; and the channel id that says so by itself.
//!
//! Invariant: [`Session::leg`] is made from the session and read back by [`Session::from_leg`], so that a daemon
//! that starts anew knows whose channel it found without asking a store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};
use utoipa::ToSchema;
use uuid::Uuid;

use super::policy::{AfterTransfer, Notify};
use crate::ids::{CallId, ChannelId, Extension, RecordId};

/// The ids of our channels begin so.
const LEG_PREFIX: &str = "toritsugi-sv-";

/// Longest reason for a session that is kept, in characters.
pub const REASON_CHARS_MAX: usize = 200;

/// The name of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SupervisionId(pub Uuid);

impl SupervisionId {
    /// When it was made, which its own digits say.
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

/// What the supervisor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// モニタリング: hears both, is heard by nobody.
    Listen,
    /// ウィスパリング: hears both, the operator hears her.
    Whisper,
    /// 割込み: hears both, both hear her.
    Barge,
    /// 交代: becomes the caller's party; the operator is released.
    TakeOver,
}

impl Mode {
    /// The mode as it is on the wire, in records and in the dialplan.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
            Self::TakeOver => "take_over",
        }
    }

    /// The mode of that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Listen, Self::Whisper, Self::Barge, Self::TakeOver]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// Whom a session is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An operator; with `follow` from call to call.
    Operator {
        /// Who.
        operator: Extension,
        /// Whether to wait for the next call.
        follow: bool,
    },
    /// A call, whoever has it.
    Call(CallId),
}

/// An operator with a caller, as she can be heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The call.
    pub call: CallId,
    /// Who has it.
    pub operator: Extension,
    /// Her channel: what is spied on.
    pub channel: ChannelId,
    /// The caller's channel.
    pub caller: Option<ChannelId>,
    /// How the operator learns that somebody hears her.
    pub notify: Notify,
    /// The channel is that of somebody outside to whom the operator has passed the caller: listen, and no more.
    pub outside: bool,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The supervisor's phone rings.
    Calling,
    /// The PBX was told whom to hear and how.
    Attaching,
    /// She hears.
    Live,
    /// There is nobody to hear now.
    Waiting,
    /// A transfer is under way.
    Paused,
    /// She is being connected with the caller.
    TakingOver,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Somebody stopped it.
    Stopped,
    /// The supervisor hung up.
    HungUp,
    /// The supervisor's phone was not answered.
    NoAnswer,
    /// The supervisor's phone was busy or refused.
    Busy,
    /// The supervisor's phone cannot be reached.
    Unreachable,
    /// What was heard is over.
    CallEnded,
    /// She has the call now.
    TookOver,
    /// The PBX did not do it.
    Failed,
    /// The PBX was restarted, or the phone was gone after a gap of the link.
    Lost,
}

/// One supervision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SupervisionId,
    /// Who supervises.
    pub user: RecordId,
    /// Her name; empty when the session was found again and the name is not known.
    pub name: SmolStr,
    /// At which phone.
    pub phone: Extension,
    /// Whom.
    pub target: Target,
    /// How; what was asked for last.
    pub mode: Mode,
    /// Why, in her words.
    pub why: Option<SmolStr>,
    /// How far it has come.
    pub state: State,
    /// Whom the PBX was told to let her hear, or lets her hear.
    pub place: Option<Place>,
    /// The operator heard last, for those who may know of the session.
    pub operator: Option<Extension>,
    /// The call heard last.
    pub call: Option<CallId>,
    /// How the operator heard last learns of it.
    pub notify: Notify,
    /// When it was asked for.
    pub since: Timestamp,
    /// When she first heard somebody.
    pub heard_since: Option<Timestamp>,
    /// A transfer of the call is under way.
    pub(super) moving: bool,
    /// The mode that the PBX was told last.
    pub(super) told_mode: Mode,
    /// The mode that was last proven, and so told to others.
    pub(super) proven_mode: Option<Mode>,
    /// When this state has lasted too long.
    pub(super) due: Option<Timestamp>,
    /// Whether this daemon asked the PBX to end it, and why.
    pub(super) ending: Option<Ending>,
    /// What the dialling of the phone came to, before its channel is gone.
    pub(super) dialled: Option<Ending>,
    /// Whether the phone rang.
    pub(super) rang: bool,
    /// Whether the phone's channel exists; then it also ends.
    pub(super) born: bool,
    /// Whom the phone was found hearing, before the calls were known.
    pub(super) found_hearing: Option<ChannelId>,
    /// Until when a session that was found waits for its call to be known.
    pub(super) found_until: Option<Timestamp>,
    /// Seen in the list that is being taken.
    pub(super) listed: bool,
}

impl Session {
    /// The unique id of the supervisor's channel.
    #[must_use]
    pub fn leg(&self) -> ChannelId {
        leg_id(self.id, self.user, &self.target)
    }

    /// The session that a channel of this id belongs to: id, user and target; of a call's session the call
    /// itself is in the id.
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

    /// Whether a channel is a supervisor's, by its id; cheap.
    #[must_use]
    pub fn is_leg(channel: &ChannelId) -> bool {
        channel.as_str().starts_with(LEG_PREFIX)
    }

    /// Whether it stays when there is nobody to hear.
    pub(super) fn stays(&self, after_transfer: AfterTransfer) -> bool {
        after_transfer == AfterTransfer::Caller
            || matches!(self.target, Target::Call(_) | Target::Operator { follow: true, .. })
    }

    /// Whether she hears somebody, as far as is known.
    #[must_use]
    pub fn hears(&self) -> bool {
        self.state == State::Live
            || self.place.is_some() && self.state == State::Attaching
            || self.found_hearing.is_some()
    }

    /// Whether she hears somebody who is no operator.
    #[must_use]
    pub fn hears_outside(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.outside)
    }

    /// Whether the supervisor asked for this operator alone and her present call.
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
