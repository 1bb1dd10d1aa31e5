//! Everything that can happen to the model, in one closed enum.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::ami::event::Event;
use crate::directory::card::Card;
use crate::ids::CallId;

/// One input of [`super::Model`].
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every input is an event; a box would cost each an allocation"
)]
pub enum Input {
    /// The PBX says something.
    Pbx(Event),
    /// The link to the PBX is up again; `restarted` says that the PBX itself was, so that every call it had is over.
    LinkUp {
        /// The PBX process is another one than before.
        restarted: bool,
    },
    /// The link to the PBX is lost: what the model knows may be outdated until the next list.
    LinkDown,
    /// A list of all channels begins; the next `ChannelListed` events are its lines.
    ListBegan,
    /// The list is complete: legs that are older than it and not in it are over.
    ListEnded,
    /// The list broke off: nothing can be concluded from what it lacks.
    ListFailed,
    /// The PBX's answer to [`super::Output::AskChannel`].
    ChannelTold {
        /// The call it is about.
        call: CallId,
        /// Whether the number may be shown, in Asterisk's words; `None` when the PBX did not say.
        presentation: Option<String>,
        /// The SIP headers, where the dialplan keeps them on the channel.
        headers: Vec<(SmolStr, Vec<u8>)>,
    },
    /// The directory's answer to [`super::Output::Identify`].
    CardFound {
        /// The call it is about.
        call: CallId,
        /// Which question of the call it answers.
        question: u32,
        /// What a pop shows.
        card: Arc<Card>,
        /// The store has answered; `false` for what memory alone knows, which a pop takes only when time is up.
        complete: bool,
    },
}
