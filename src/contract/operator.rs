//! The public view of an operator: `operator.state` events, the snapshot of the event stream, `GET /v1/operators`.
//!
//! Invariant: a view is derived from the machine alone. Its field names are public; they change only by addition.
//!
//! Read next: `machine.rs`, which derives the state.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use crate::ids::{CallId, Extension, PbxId, QueueName, RecordId};

/// The state of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperatorStateName)]
pub enum State {
    /// Not logged in. The daemon does not control what the PBX does with the phone.
    LoggedOut,
    /// Logged in and takes no calls, for a reason.
    NotReady,
    /// Logged in and takes the next call.
    Ready,
    /// A call rings at the operator, or a transfer by the operator may return its caller.
    Reserved,
    /// Has a caller.
    Talking,
    /// Has a caller, who is on hold.
    OnHold,
    /// 後処理: after-call work.
    WrapUp,
}

impl State {
    /// The name in the API and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged_out",
            Self::NotReady => "not_ready",
            Self::Ready => "ready",
            Self::Reserved => "reserved",
            Self::Talking => "talking",
            Self::OnHold => "on_hold",
            Self::WrapUp => "wrap_up",
        }
    }

    /// Whether a requested state has to wait as the pending state.
    #[must_use]
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Reserved | Self::Talking | Self::OnHold | Self::WrapUp)
    }
}

/// The state that people request; it applies while no call and no after-call work is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestedState {
    /// Not logged in.
    LoggedOut,
    /// Takes no calls, for this reason.
    NotReady(SmolStr),
    /// Takes calls.
    Ready,
}

impl RequestedState {
    /// The state without its reason.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::LoggedOut => State::LoggedOut,
            Self::NotReady(_) => State::NotReady,
            Self::Ready => State::Ready,
        }
    }

    /// The reason of `not_ready`.
    #[must_use]
    pub fn reason(&self) -> Option<&SmolStr> {
        match self {
            Self::NotReady(reason) => Some(reason),
            Self::LoggedOut | Self::Ready => None,
        }
    }
}

/// The kind of cause of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person: `user` and `name` identify the person, `session` and `desktop` the place.
    Person,
    /// A call that rang, was answered or ended.
    Call,
    /// A time limit.
    Clock,
    /// The daemon: the operator was removed, or has not changed state since the daemon first saw the operator.
    #[default]
    Daemon,
}

/// The cause of a change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ChangedBy)]
pub struct ChangedBy {
    /// The kind of cause.
    pub actor: ActorKind,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub user: Option<RecordId>,
    /// The person's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<SmolStr>,
    /// The person's sign-in; `GET /v1/session` returns a desktop's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub session: Option<RecordId>,
    /// The desktop, by the name it gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub desktop: Option<SmolStr>,
}

impl ChangedBy {
    /// A cause without a person.
    #[must_use]
    pub fn of_kind(actor: ActorKind) -> Self {
        Self { actor, ..Self::default() }
    }
}

/// Whether a phone can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phone {
    /// Registered at the PBX.
    Registered,
    /// Not registered, or does not answer the PBX.
    Unreachable,
    /// The PBX has not reported it.
    #[default]
    Unknown,
}

/// The state that follows the present call and after-call work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PendingState)]
pub struct PendingView {
    /// `logged_out`, `not_ready` or `ready`.
    pub state: State,
    /// The reason of `not_ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<SmolStr>,
}

impl From<&RequestedState> for PendingView {
    fn from(requested: &RequestedState) -> Self {
        Self { state: requested.state(), reason: requested.reason().cloned() }
    }
}

/// An extension of after-call work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WrapUpExtension)]
pub struct WrapUpExtension {
    /// When the extension was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// Added time in seconds.
    pub seconds: u32,
    /// The reason.
    #[schema(value_type = String)]
    pub reason: SmolStr,
}

/// After-call work of one operator for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrapUp {
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    pub call: CallId,
    /// The account of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// The account's name.
    pub account_name: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub since: Timestamp,
    /// When its time ends. Where a disposition is required, the work continues until one is given.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub until: Timestamp,
    /// Its planned length in seconds, by account or configuration.
    pub planned_s: u32,
    /// The extensions.
    #[serde(default)]
    pub extensions: Vec<WrapUpExtension>,
    /// The time left, in milliseconds, while another call interrupts the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(default)]
    pub set_aside_ms: Option<i64>,
}

/// The public view of an operator: the data of `operator.state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OperatorState)]
pub struct StateView {
    /// The person's record.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The person's name.
    #[schema(value_type = String)]
    pub name: SmolStr,
    /// The extension where the operator answers: the seat, else the operator's own.
    #[schema(value_type = Option<String>)]
    pub extension: Option<Extension>,
    /// The state.
    pub state: State,
    /// The reason of `not_ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<SmolStr>,
    /// When the present state began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub since: Timestamp,
    /// Grows with every change of the state, `pending`, the call and the after-call work. A request to change the state
    /// names the version on which it is based.
    pub version: u64,
    /// The state that follows the present call and after-call work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingView>,
    /// The cause of the last change.
    pub by: ChangedBy,
    /// The call that rings at the operator, that the operator has, that may return, or whose after-call work is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// The open after-call work, also while another call interrupts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrap_up: Option<WrapUp>,
    /// The last call whose after-call work ended by its time without a disposition; the disposition can still be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub undisposed: Option<CallId>,
    /// The after-call work that ended by its time without a disposition and still accepts one, the oldest first; its last
    /// call is `undisposed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undisposed_work: Vec<WrapUp>,
    /// The PBX whose daemon owns the operator's state; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub pbx: Option<PbxId>,
    /// How many of the operator's desktops are connected to the event stream, at all gateways.
    pub desktops: u32,
    /// Whether the operator's phone can be called.
    pub phone: Phone,
    /// Queues that do not follow the operator's state, because the PBX refuses it: calls may ring all the same. Absent
    /// where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue_faults: Vec<QueueFault>,
}

/// A queue that does not do what the configuration or an operator's state demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueFault {
    /// The queue.
    #[schema(value_type = String)]
    pub queue: QueueName,
    /// The key of the configuration that names the queue; absent for a queue of the PBX of which the phone is a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub setting: Option<SmolStr>,
    /// What the PBX says.
    #[schema(value_type = String)]
    pub message: SmolStr,
}

/// A queue of the PBX, as the PBX lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PbxQueue {
    /// The queue.
    #[schema(value_type = String)]
    pub name: QueueName,
    /// The keys of the configuration that name it.
    pub settings: Vec<String>,
    /// How it distributes calls; absent where the PBX does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub strategy: Option<SmolStr>,
    /// Its members who are phones of operators.
    pub members: Vec<PbxQueueMember>,
    /// What is worth a look.
    pub findings: Vec<PbxQueueFinding>,
    /// The accounts whose callflow lets callers wait in it, by code; at most 100 of them.
    pub accounts: Vec<PbxQueueAccount>,
    /// How many accounts those are.
    pub accounts_count: usize,
    /// The codes of the callflow templates that name it.
    pub templates: Vec<String>,
}

/// Most accounts that are named with a queue.
pub const QUEUE_ACCOUNTS_MAX: usize = 100;

/// An account whose callers wait in a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct PbxQueueAccount {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
}

/// A member of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PbxQueueMember {
    /// The device that the queue calls.
    #[schema(value_type = String)]
    pub interface: SmolStr,
    /// The extension of the phone.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extension>,
    /// Whether it stands in the PBX's configuration, so that it stays a member whoever is logged in.
    pub is_static: bool,
    /// Whether the queue skips it.
    pub is_paused: bool,
    /// The reason of the pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<SmolStr>,
}

/// What is worth a look about a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PbxQueueFinding {
    /// The configuration or a callflow names it, and the PBX does not have it.
    Missing,
    /// The configuration does not name it: members are paused by their states, and nobody becomes a member.
    NotConfigured,
    /// Members stand in the PBX's configuration: calls reach their phones whoever is logged in.
    StaticMembers,
    /// A member is called over a `Local` channel, whose state says nothing about the phone.
    LocalMembers,
    /// It has no members now.
    NoMembers,
    /// The PBX refused to change its members.
    Refused,
}

impl StateView {
    /// Whether this view differs from the one that was published last.
    ///
    /// In the grace period after a start (`in_grace`) desktops and the PBX reconnect: fewer desktops and a phone that is
    /// `unknown` do not count as a difference.
    #[must_use]
    pub fn differs_from(&self, published: &Self, in_grace: bool) -> bool {
        let mut now = self.clone();
        if now.version == published.version {
            // An operator without a stored state has the time of the start here.
            now.since = published.since;
        }
        if in_grace {
            now.desktops = now.desktops.max(published.desktops);
            if now.phone == Phone::Unknown {
                now.phone = published.phone;
            }
        }
        // The JSON form, because published times are in milliseconds.
        serde_json::to_value(&now).ok() != serde_json::to_value(published).ok()
    }

    /// The view of a person without a state.
    #[must_use]
    pub fn unknown(id: RecordId, name: SmolStr, extension: Option<Extension>) -> Self {
        Self {
            id,
            name,
            extension,
            state: State::LoggedOut,
            reason: None,
            since: Timestamp::UNIX_EPOCH,
            version: 0,
            pending: None,
            by: ChangedBy::default(),
            call: None,
            wrap_up: None,
            undisposed: None,
            undisposed_work: Vec::new(),
            pbx: None,
            desktops: 0,
            phone: Phone::Unknown,
            queue_faults: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(version: u64, since_ns: i64, desktops: u32, phone: Phone) -> StateView {
        let since = Timestamp::from_nanosecond(i128::from(since_ns)).unwrap();
        let unknown = StateView::unknown(RecordId(uuid::Uuid::from_u128(1)), "佐藤".into(), None);
        StateView { version, since, desktops, phone, state: State::Ready, ..unknown }
    }

    #[test]
    fn what_was_published_already_is_no_difference() {
        use Phone::{Registered, Unknown, Unreachable};
        let published = view(3, 5_000_000, 1, Registered);
        let cases = [
            ("the same", view(3, 5_000_000, 1, Registered), [false, false]),
            ("a part of a millisecond", view(3, 5_000_900, 1, Registered), [false, false]),
            ("the time of the start", view(3, 9_000_000, 1, Registered), [false, false]),
            ("no desktop", view(3, 5_000_000, 0, Registered), [true, false]),
            ("another desktop", view(3, 5_000_000, 2, Registered), [true, true]),
            ("the phone is not known", view(3, 5_000_000, 1, Unknown), [true, false]),
            ("the phone is away", view(3, 5_000_000, 1, Unreachable), [true, true]),
            ("another state", view(4, 5_000_000, 1, Registered), [true, true]),
        ];
        for (what, now, expected) in cases {
            assert_eq!(
                [false, true].map(|in_grace| now.differs_from(&published, in_grace)),
                expected,
                "{what}"
            );
        }
    }
}
