//! Messages (伝言): what an operator notes down for an account, and whether the account has received it.
//!
//! | state | next state | by |
//! |---|---|---|
//! | `open` | `open`, with another content | the operator who took it, their supervisor, an administrator |
//! | `sent`, `failed`, `acknowledged`, `open` while a mail of it may be out | `open`, with the next revision (a correction) | the same |
//! | `open`, first revision, within the undo time, no mail of it under way | withdrawn: the row stays, no list has it, nothing delivers it | the same |
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
//! - The caller's number is taken from the call, never from the request, so a withheld number is in no message. A number
//!   that the caller told the operator is another field (`from.number`).
//! - A content that the account may have received is never changed; a correction keeps it as an earlier revision.
//! - Every change is published at least once (`relay.rs`), also over a crash.
//!
//! Read next: [`crate::contract::message`] (the fields of a message), `relay.rs` (its events), `escalation.rs` (what happens while nobody
//! confirms), `call_reports.rs` (calls without a message), `settings.rs`, `csv.rs` (the export),
//! `letter/` (the mail of a message), `returned.rs` (mails that come back),
//! [`crate::store::messages`],
//! `gateway/messages.rs` (permissions).

pub mod call_reports;
pub mod csv;
pub mod escalation;
pub mod letter;
mod relay;
mod returned;
mod settings;
mod stats;

pub use relay::{BATCH_MAX, MessageRelay, OutboxWaker, POLL_INTERVAL};
pub use returned::{ReturnAddresses, TakenReport, take_bounce, take_returned};
pub use settings::{RequiredMessages, Settings};
pub use stats::MessageStats;
