//! Messages (伝言): what an operator writes down for an account, and whether somebody there has had it.
//!
//! | state | becomes | by |
//! |---|---|---|
//! | `open` | `open`, with another text | whoever took it, her supervisor, an administrator |
//! | `open`, `sent`, `failed` | `acknowledged` | anybody who takes messages: the account has had it |
//! | `acknowledged` | - | |
//!
//! Not here: delivery. Nothing mails or faxes a message, so nothing makes one `sent` or `failed`; the two states and
//! their events are kept free for that. Until then a message reaches the account by an operator's call, or by the
//! webhook of `message.saved`.
//!
//! Invariants: a message that was answered for with 2xx is in the store, once, however often its request was repeated
//! under one `Idempotency-Key`, over a crash too: the key makes the id. The number of the caller comes from the call
//! and not from whoever writes, so one that is withheld is in no message. Every change is told at least once
//! (`tell.rs`), over a crash too.
//!
//! Read next: `record.rs` (what a message is), `tell.rs` (its events), [`crate::store::messages`],
//! `gateway/messages.rs` (who may).

mod record;
mod tell;

pub use record::{Change, MESSAGE_CHARS_MAX, Message, MessageState, NewMessage, id_of, text};
pub use tell::{LOOK_EVERY, Teller, UNTOLD_AT_ONCE};
