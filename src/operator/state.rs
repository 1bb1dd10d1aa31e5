//! What an operator is doing, in the words of the public contract: `operator.state` events, the snapshot of the
//! stream, `GET /v1/operators`.
//!
//! Invariant: a view is derived from the machine alone; its field names change only by addition.
//! Read next: `machine.rs`, which decides.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use crate::ids::{CallId, Extension, PbxId, RecordId};

/// What an operator is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperatorStateName)]
pub enum State {
    /// Not at work as far as the daemon knows; what the PBX does with her phone is its own affair.
    LoggedOut,
    /// At work, but takes no calls, for a reason.
    NotReady,
    /// Takes the next call.
    Ready,
    /// A call rings at her, or a caller whom she passed on may come back to her.
    Reserved,
    /// Has a caller.
    Talking,
    /// Has a caller, who is on hold.
    OnHold,
    /// 後処理: after-call work.
    WrapUp,
}

impl State {
    /// The word on the wire and in the store.
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

    /// Whether a call has to do with it: what is wanted meanwhile is pending.
    #[must_use]
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Reserved | Self::Talking | Self::OnHold | Self::WrapUp)
    }
}

/// What people may set: what an operator is while no call has to do with her.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// Gone.
    LoggedOut,
    /// Takes no calls, for this reason.
    NotReady(SmolStr),
    /// Takes calls.
    Ready,
}

impl Rest {
    /// The state it is.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::LoggedOut => State::LoggedOut,
            Self::NotReady(_) => State::NotReady,
            Self::Ready => State::Ready,
        }
    }

    /// Why she takes no calls.
    #[must_use]
    pub fn reason(&self) -> Option<&SmolStr> {
        match self {
            Self::NotReady(reason) => Some(reason),
            Self::LoggedOut | Self::Ready => None,
        }
    }
}

/// What made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// Somebody: `user` and `name` say who, `session` and `desktop` where.
    Person,
    /// A call that rang, was answered, ended.
    Call,
    /// A time that was over.
    Clock,
    /// The daemon: somebody left the service, or it was started anew.
    #[default]
    Daemon,
}

/// Who or what made a change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ChangedBy)]
pub struct By {
    /// What.
    pub actor: ActorKind,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub user: Option<RecordId>,
    /// Who, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<SmolStr>,
    /// With which sign-in; `GET /v1/session` tells a desktop its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub session: Option<RecordId>,
    /// At which desktop, as that desktop calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub desktop: Option<SmolStr>,
}

impl By {
    /// No person.
    #[must_use]
    pub fn machine(actor: ActorKind) -> Self {
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
    /// The PBX has not said.
    #[default]
    Unknown,
}

/// The state that follows once no call has to do with her any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PendingState)]
pub struct PendingView {
    /// `logged_out`, `not_ready` or `ready`.
    pub state: State,
    /// Why not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<SmolStr>,
}

impl From<&Rest> for PendingView {
    fn from(rest: &Rest) -> Self {
        Self { state: rest.state(), reason: rest.reason().cloned() }
    }
}

/// More time for the after-call work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WrapUpExtension)]
pub struct Extended {
    /// When it was given.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub at: Timestamp,
    /// How much.
    pub seconds: u32,
    /// What for.
    #[schema(value_type = String)]
    pub reason: SmolStr,
}

/// After-call work, which belongs to one operator and one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrapUp {
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    pub call: CallId,
    /// For whom the call was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// The company's name.
    pub account_name: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub since: Timestamp,
    /// When its time is over. Where a disposition is required it goes on until that is given.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub until: Timestamp,
    /// Its length as the account has it, in seconds.
    pub planned_s: u32,
    /// The time that was added.
    #[serde(default)]
    pub extensions: Vec<Extended>,
    /// How much of it was left, in milliseconds, when another call came between.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(default)]
    pub set_aside_ms: Option<i64>,
}

/// An operator as others see her: the data of `operator.state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OperatorState)]
pub struct StateView {
    /// The person's record.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The person's name.
    #[schema(value_type = String)]
    pub name: SmolStr,
    /// Where she answers now: the phone she has logged in at, else her own.
    #[schema(value_type = Option<String>)]
    pub extension: Option<Extension>,
    /// What she is doing.
    pub state: State,
    /// Why she takes no calls (`not_ready`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<SmolStr>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub since: Timestamp,
    /// Grows with every change of what stands above and of `pending` and `wrap_up`; give it back to change.
    pub version: u64,
    /// What follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingView>,
    /// Who or what made the last change.
    pub by: By,
    /// The call that rings at her, that she has, that may come back, or whose after-call work she does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// The after-call work she does, or that another call has interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrap_up: Option<WrapUp>,
    /// A call of hers whose time for after-call work is over and whose disposition was not given; it still can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub undisposed: Option<CallId>,
    /// The PBX whose daemon keeps her state; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub pbx: Option<PbxId>,
    /// How many desktops of hers follow the events, at whichever gateway.
    pub desktops: u32,
    /// Whether her phone can be called.
    pub phone: Phone,
}

impl StateView {
    /// Whether it says anything that `told` did not. While desktops and the PBX come back after a start (`settling`),
    /// that they are not there yet is no news.
    #[must_use]
    pub fn says_more_than(&self, told: &Self, settling: bool) -> bool {
        let mut now = self.clone();
        if now.version == told.version {
            // Of whom nothing is kept yet, the time of the start would stand there.
            now.since = told.since;
        }
        if settling {
            now.desktops = now.desktops.max(told.desktops);
            if now.phone == Phone::Unknown {
                now.phone = told.phone;
            }
        }
        // As others read it: in milliseconds.
        serde_json::to_value(&now).ok() != serde_json::to_value(told).ok()
    }

    /// One of whom nothing is known but who she is.
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
            by: By::default(),
            call: None,
            wrap_up: None,
            undisposed: None,
            pbx: None,
            desktops: 0,
            phone: Phone::Unknown,
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
    fn what_was_told_already_is_no_news() {
        use Phone::{Registered, Unknown, Unreachable};
        let told = view(3, 5_000_000, 1, Registered);
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
        for (what, now, news) in cases {
            assert_eq!([false, true].map(|settling| now.says_more_than(&told, settling)), news, "{what}");
        }
    }
}
