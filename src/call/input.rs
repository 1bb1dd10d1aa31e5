//! Every input of the model, in one closed enum.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::ami::event::Event;
use crate::contract::card::Card;
use crate::ids::CallId;

/// One input of [`super::Model`].
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every input is an event; a box would cost each an allocation"
)]
pub enum Input {
    /// An event of the PBX.
    Pbx(Event),
    /// The link to the PBX is up again.
    LinkUp {
        /// The PBX process was restarted in the meantime: all its calls are over.
        restarted: bool,
    },
    /// The link to the PBX is lost: the model may be outdated until the next list.
    LinkDown,
    /// A list of all channels begins; the next `ChannelListed` events are its lines.
    ListBegan,
    /// The list is complete: legs that are older than the list and not in it are removed.
    ListEnded,
    /// The list broke off: no leg is removed for being absent.
    ListFailed,
    /// The PBX's answer to [`super::Output::ReadChannel`].
    ChannelRead {
        /// The call.
        call: CallId,
        /// The strictest of Asterisk's presentation values of the number; `None` when the PBX did not answer.
        presentation: Option<String>,
    },
    /// The PBX's answer to [`super::Output::ReadHeaders`].
    HeadersRead {
        /// The call.
        call: CallId,
        /// Whether the dialplan had stored the headers on the channel; else they are the channel's own, as received.
        by_dialplan: bool,
        /// The SIP headers; empty when the PBX did not answer or the channel has none.
        headers: Vec<(SmolStr, Vec<u8>)>,
    },
    /// The directory's answer to [`super::Output::Identify`].
    CardFound {
        /// The call.
        call: CallId,
        /// The number of the lookup that this answers, from `Identify`.
        question: u32,
        /// What a pop shows.
        card: Arc<Card>,
        /// Whether the store has answered. A card from the directory's memory alone is shown only after `card_timeout`.
        complete: bool,
    },
}
