//! The outbox: sends the deliveries in the store over the mail server, until each one is taken, refused or given up.
//!
//! ```text
//!  POST /v1/messages ──one transaction──▶ message + delivery
//!                                             │ claim
//!                                             ▼
//!                 worker: render ─▶ SMTP ─▶ settle ─▶ message sent, failed ─▶ message relay ─▶ event
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `worker.rs` | the tasks: claim, render, send, settle; the pause of the server |
//! | `smtp.rs` | one connection to the server: its phases, their time-outs, what a failure means |
//! | `letter.rs` | the mail of a message: subject and text |
//! | `limits.rs` | mails per minute, of the server and of recipients' domains |
//! | `stats.rs` | the metrics |
//!
//! | what fails | what happens |
//! |---|---|
//! | the recipient is refused | the delivery is bounced; if there is no other, the message is failed |
//! | the server says "not now" | the delivery is tried again, for a day |
//! | the server refuses everybody: connection, TLS, sign-in, sender | all deliveries wait, and no attempt is counted; one mail tries the server after 5 s, later after up to 5 min |
//! | the connection breaks after the last byte of a mail | the mail is sent again with the same `Message-ID` |
//! | the daemon | its claims end after three minutes; any daemon of the store goes on |
//! | the store | the workers wait; a mail that was taken meanwhile is sent again with the same `Message-ID` |
//!
//! Invariants: a mail that the store has is sent at least once or its failure is shown. All attempts of a delivery send the same
//! bytes, unless the message's text changed before anything was sent. Nothing that arrives causes a mail.
//!
//! Why a pool of our own and not lettre's: whether a mail may have been taken depends on the phase in which it failed.

mod letter;
mod limits;
mod smtp;
mod stats;
mod worker;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use smol_str::SmolStr;

use crate::contract::choice::Choice;
use crate::mail::{Line, MailAddress};
use crate::numbers::NumberPlan;

pub use smtp::{Login, PhaseTimeouts, ProbeReport, Server, TlsMode, probe};
pub use worker::{POLL_INTERVAL, start};

/// How mails are sent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server.
    pub server: Server,
    /// The sender's address.
    pub from: MailAddress,
    /// The sender's name.
    pub from_name: Line,
    /// Where answers go; the sender if absent.
    pub reply_to: Option<MailAddress>,
    /// Connections at the same time.
    pub connections: usize,
    /// Most mails a minute.
    pub per_minute: u32,
    /// Most mails a minute to a domain.
    pub domains: BTreeMap<SmolStr, u32>,
    /// Domains whose mails are in ISO-2022-JP.
    pub iso_2022_jp: Vec<SmolStr>,
    /// The time zone of the times in a mail.
    pub time_zone: TimeZone,
    /// How telephone numbers are written.
    pub plan: NumberPlan,
    /// Why callers call: the labels of the reasons.
    pub reasons: Vec<Choice>,
}
