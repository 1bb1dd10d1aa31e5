//! What the model puts out: notices of what happened, and requests to the PBX and the directory.

use jiff::Timestamp;
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::queue_visit::{QueueVisit, Treated};
use crate::contract::call::{CallState, CallView, Outcome};
use crate::contract::history::Segment;
use crate::identity::Identity;
use crate::ids::{CallId, ChannelId, Extension, QueueName};

/// What the owner of the model must do next; drained with [`super::Model::poll_output`].
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every output is a notice, which a box would only move to the heap"
)]
pub enum Output {
    /// Something happened to a call: publish it.
    Notice(Notice),
    /// A call came in: read from the PBX, before its route changes it, whether this channel's number may be shown;
    /// answered by [`super::Input::ChannelRead`].
    ReadChannel {
        /// The call.
        call: CallId,
        /// The caller's channel.
        channel: ChannelId,
    },
    /// The dialplan sent no identity: read from the PBX the SIP headers that the dialplan stored on this channel, else
    /// the channel's own; answered by [`super::Input::HeadersRead`].
    ReadHeaders {
        /// The call.
        call: CallId,
        /// The caller's channel.
        channel: ChannelId,
        /// The technology of the channel, for instance `PJSIP`.
        technology: SmolStr,
    },
    /// Look up account and caller in the directory; answered by [`super::Input::CardFound`].
    Identify {
        /// The call.
        call: CallId,
        /// The number of this lookup within the call; the model ignores answers to earlier lookups.
        question: u32,
        /// The identity that the network sent.
        identity: Identity,
        /// The endpoint on which the call came in.
        trunk: SmolStr,
    },
    /// A call to the telephone network is over: record it.
    OutboundEnded(Box<OutboundCall>),
    /// An endpoint is neither a trunk nor a phone, as far as the rules say; its calls count as internal. Put out once for
    /// each endpoint.
    UnknownEndpoint {
        /// Technology and name of the endpoint, for instance `PJSIP/reception`.
        endpoint: SmolStr,
        /// The dialplan context of its channel.
        context: Option<SmolStr>,
    },
    /// An operator's phone rings for a call that was not reported.
    UnreportedRing {
        /// Whose phone it is.
        operator: Extension,
        /// Who calls, if it is an endpoint that no rule knows.
        endpoint: Option<SmolStr>,
    },
}

/// A call that one of our phones made.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboundCall {
    /// The call; it has ended.
    pub view: CallView,
    /// The number that the trunk was given.
    pub number: Option<SmolStr>,
    /// The operators' phones that were on the line, in order.
    pub operators: Vec<Extension>,
    /// The channels of the call, oldest first; at most [`super::CHANNELS_PER_CALL_MAX`].
    pub channels: Vec<ChannelId>,
    /// What happened in it.
    pub segments: Vec<Segment>,
}

/// Something happened to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// When it happened; the notice may go out later, since a pop waits for its card.
    pub at: Timestamp,
    /// What happened.
    pub kind: NoticeKind,
    /// The call after it.
    pub view: CallView,
}

/// What can happen to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// The call reached the service.
    Offered,
    /// The caller waits in a queue.
    Queued {
        /// The queue.
        queue: QueueName,
        /// At which place, from 1.
        position: Option<u32>,
    },
    /// The caller hears guidance of a plan.
    Guidance {
        /// The sound of the PBX.
        sound: String,
    },
    /// An operator picked up, and the PBX has something to say to them before it connects the two.
    Announced {
        /// The operator.
        operator: Extension,
        /// When the phone was picked up.
        picked_up_at: Timestamp,
    },
    /// The call rings at an operator: the pop.
    Presented {
        /// Whose phone rings.
        operator: Extension,
    },
    /// The call stopped ringing at an operator who did not get it.
    Rescinded {
        /// Whose phone rang.
        operator: Extension,
        /// Why it stopped.
        reason: RescindReason,
        /// When the phone was picked up, if it was: the two were never connected.
        picked_up_at: Option<Timestamp>,
    },
    /// An operator is connected with the caller.
    Answered {
        /// The operator.
        operator: Extension,
        /// When the phone was picked up, if it was dialled for the caller. The PBX may play an announcement to the
        /// operator before it connects the two.
        picked_up_at: Option<Timestamp>,
    },
    /// The operator put the caller on hold.
    Held {
        /// The operator.
        operator: Extension,
    },
    /// The hold is over.
    Resumed {
        /// The operator.
        operator: Extension,
    },
    /// The card or the state changed in a way that no other notice reports.
    Updated,
    /// The call is over.
    Ended {
        /// How it ended, for statistics.
        outcome: Outcome,
        /// Every operator who had the caller, in order.
        operators: Vec<Extension>,
        /// The channels of the call, oldest first; at most [`super::CHANNELS_PER_CALL_MAX`].
        channels: Vec<ChannelId>,
        /// The caller's waits in queues, in order.
        queues: Vec<QueueVisit>,
        /// How a plan of the PBX treated the call, if one did.
        treated: Option<Treated>,
    },
}

impl NoticeKind {
    /// The operator who has the caller after this, and the state of the call then.
    pub(super) fn connects(&self) -> Option<(&Extension, CallState)> {
        match self {
            Self::Answered { operator, .. } | Self::Resumed { operator } => {
                Some((operator, CallState::Answered))
            }
            Self::Held { operator } => Some((operator, CallState::Held)),
            _ => None,
        }
    }
}

/// Why a phone stopped ringing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RescindReason {
    /// Another operator, or somebody else, took the call.
    AnsweredElsewhere,
    /// This operator did not answer in time, or picked up and did not accept the call.
    NoAnswer,
    /// This operator's phone was busy or refused.
    Busy,
    /// The caller hung up.
    CallerGone,
    /// This operator's phone could not be reached.
    Unreachable,
    /// The PBX withdrew the call.
    Withdrawn,
}
