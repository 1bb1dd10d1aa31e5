//! Messages (伝言): what an operator notes down for an account, and whether the account has received it.
//!
//! | state | next state | by |
//! |---|---|---|
//! | `open` | `open`, with another text | the operator who took it, their supervisor, an administrator |
//! | `open`, `failed` | `sent` | the mail server, which took the mail ([`crate::outbox`]) |
//! | `open`, `sent` | `failed` | the outbox: every mail was refused or given up |
//! | `failed` | `open` | a person who sends it again |
//! | `open`, `sent`, `failed` | `acknowledged` | anybody who may take messages: the account has received it |
//! | `acknowledged` | - | |
//!
//! A message is saved in one transaction with its delivery. Where nothing can send it, `delivery` says why, and it reaches the
//! account by an operator's call or by the webhook of `message.saved`.
//!
//! Invariants:
//! - A message whose request was answered with 2xx is in the store exactly once, however often the request is repeated
//!   with the same `Idempotency-Key`, also over a crash: the id is derived from the key.
//! - The caller's number is taken from the call, never from the request, so a withheld number is in no message.
//! - Every change is published at least once (`relay.rs`), also over a crash.
//!
//! Read next: [`crate::contract::message`] (the fields of a message), `relay.rs` (its events), [`crate::store::messages`],
//! `gateway/messages.rs` (permissions).

mod relay;

pub use relay::{BATCH_MAX, MessageRelay, OutboxWaker, POLL_INTERVAL};
