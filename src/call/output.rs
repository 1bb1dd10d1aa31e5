//! What the model tells: notices for the world, and questions to the directory.

use jiff::Timestamp;
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::view::{CallView, Outcome};
use crate::identity::Identity;
use crate::ids::{CallId, ChannelId, Extension};

/// What the owner of the model must do now; drained with [`super::Model::poll_output`].
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Something happened that others should know.
    Notice(Notice),
    /// The dialplan told nothing: ask the PBX whether this channel's number may be shown, and for what the
    /// dialplan may have kept on it; answered by [`super::Input::ChannelTold`].
    AskChannel {
        /// The call.
        call: CallId,
        /// The caller's channel.
        channel: ChannelId,
    },
    /// Find out for whom this call is and who calls; answered by [`super::Input::CardFound`].
    Identify {
        /// The call.
        call: CallId,
        /// Which question of this call it is; the answer to an earlier one counts no more.
        question: u32,
        /// What the network told.
        identity: Identity,
        /// The endpoint it came in on.
        trunk: SmolStr,
    },
}

/// Something happened to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// When it happened (it may be told later: a pop waits for its card).
    pub at: Timestamp,
    /// What happened.
    pub kind: NoticeKind,
    /// The call after it.
    pub view: CallView,
}

/// What can happen to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// It reached the service.
    Offered,
    /// It rings at an operator: the pop.
    Presented {
        /// Whose phone rings.
        operator: Extension,
    },
    /// It no longer rings there, and that operator has not got it.
    Rescinded {
        /// Whose phone rang.
        operator: Extension,
        /// Why it stopped.
        reason: RescindReason,
    },
    /// An operator has it.
    Answered {
        /// Who.
        operator: Extension,
    },
    /// The operator put the caller on hold.
    Held {
        /// Who.
        operator: Extension,
    },
    /// The hold is over.
    Resumed {
        /// Who.
        operator: Extension,
    },
    /// Its card or its state changed in a way that no other notice says.
    Updated,
    /// It is over.
    Ended {
        /// How, for those who count.
        outcome: Outcome,
        /// Everyone who had it, in order.
        operators: Vec<Extension>,
        /// The channels it was made of, oldest first; at most [`super::CHANNELS_PER_CALL_MAX`].
        channels: Vec<ChannelId>,
    },
}

/// Why a phone stopped ringing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RescindReason {
    /// Another operator took the call.
    AnsweredElsewhere,
    /// This operator did not answer in time.
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
