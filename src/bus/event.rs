//! Events: what happened, in the words of the public contract, and who may know.
//!
//! Invariant: an event never changes after it was published; its `data` is complete in itself, and a number
//! whose caller withholds it is in none of them (a [`Draft`] is made from notices and cards, which have none).
//! Read next: [`super`] for order, replay and delivery.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::call::view::CallView;
use crate::ids::{CallId, Extension};

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Every kind of event of the contract (v1). Kinds are only ever added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// All kinds, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind as it is on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

event_kinds! {
    /// A call reached the service.
    CallOffered = "call.offered",
    /// The pop: a call rings at one operator.
    CallPresented = "call.presented",
    /// The call no longer rings at that operator.
    CallRescinded = "call.rescinded",
    /// An operator has taken it.
    CallAnswered = "call.answered",
    /// The operator has put the caller on hold.
    CallHeld = "call.held",
    /// The hold is over.
    CallResumed = "call.resumed",
    /// Something that a pop shows became known or changed.
    CallUpdated = "call.updated",
    /// A transfer was asked for.
    TransferRequested = "call.transfer.requested",
    /// The transfer's target rings.
    TransferRinging = "call.transfer.ringing",
    /// The operator speaks with the target.
    TransferConsulting = "call.transfer.consulting",
    /// The caller is with the target.
    TransferCompleted = "call.transfer.completed",
    /// The target did not take it.
    TransferFailed = "call.transfer.failed",
    /// The caller is back.
    TransferReturned = "call.transfer.returned",
    /// The call is over.
    CallEnded = "call.ended",
    /// An operator's state changed.
    OperatorState = "operator.state",
    /// A supervisor began to listen, whisper or barge.
    SupervisionStarted = "supervision.started",
    /// The mode of a supervision changed.
    SupervisionSwitched = "supervision.switched",
    /// A supervision ended.
    SupervisionStopped = "supervision.stopped",
    /// An operator asks for help.
    HelpRequested = "help.requested",
    /// A message was written down.
    MessageSaved = "message.saved",
    /// A message was delivered.
    MessageSent = "message.sent",
    /// A message could not be delivered.
    MessageFailed = "message.failed",
    /// The account has read a message.
    MessageAcknowledged = "message.acknowledged",
    /// The link to the PBX is up.
    PbxUp = "pbx.up",
    /// The link to the PBX is down.
    PbxDown = "pbx.down",
    /// The PBX itself was restarted: every call it had is over.
    PbxRestarted = "pbx.restarted",
    /// Events of the PBX were missed between two instants.
    PbxGap = "pbx.gap",
}

/// Who may know of an event, apart from administrators and systems, who may know of every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who is signed in.
    All,
    /// These operators, and the supervisors of their teams.
    Operators(Vec<Extension>),
    /// Every supervisor, no operator: calls that are nobody's yet.
    Supervisors,
}

/// What an event changes in the state that a snapshot shows.
#[derive(Debug, Clone)]
pub enum Change {
    /// Nothing.
    None,
    /// The call is now like this.
    Call(Arc<CallView>),
    /// The call is over and leaves the snapshot.
    CallGone(CallId),
    /// The link to the PBX is up or down, since when.
    Pbx {
        /// Whether it is up.
        up: bool,
        /// Since when.
        since: Timestamp,
    },
}

/// An event before it has its place in the order.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What happened.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// Which call it is about.
    pub call: Option<CallId>,
    /// Who may know.
    pub audience: Audience,
    /// The event's own fields (a JSON object).
    pub data: Value,
    /// What it changes in the snapshot.
    pub change: Change,
}
