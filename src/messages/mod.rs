//! Messages (伝言): what an operator notes down for an account, and whether the account has received it.
//!
//! | state | next state | by |
//! |---|---|---|
//! | `open` | `open`, with another content | the operator who took it, their supervisor, an administrator |
//! | `sent`, `failed`, `acknowledged` | `open`, with the next revision (a correction) | the same |
//! | `open`, first revision, within the undo time | withdrawn: the row stays, no list has it, nothing delivers it | the same |
//! | `open`, `sent`, `failed` | `acknowledged` | anybody who may take messages: the account has received it |
//! | `acknowledged` | - | |
//!
//! Not implemented: delivery. Nothing mails or faxes a message, so nothing sets `sent` or `failed`; the two states and
//! their events are reserved for it. Until then a message reaches the account by an operator's call or by the webhook
//! of `message.saved`.
//!
//! Invariants:
//! - A message whose request was answered with 2xx is in the store exactly once, however often the request is repeated
//!   with the same `Idempotency-Key`, also over a crash: the id is derived from the key.
//! - The caller's number is taken from the call, never from the request, so a withheld number is in no message. A number
//!   that the caller told the operator is another field (`from.number`).
//! - A content that the account may have received is never changed; a correction keeps it as an earlier revision.
//! - Every change is published at least once (`relay.rs`), also over a crash.
//!
//! Read next: [`crate::contract::message`] (the fields of a message), `relay.rs` (its events), `settings.rs`, `csv.rs` (the export),
//! [`crate::store::messages`],
//! `gateway/messages.rs` (permissions).

pub mod csv;
mod relay;
mod settings;

pub use relay::{BATCH_MAX, MessageRelay, POLL_INTERVAL};
pub use settings::Settings;
