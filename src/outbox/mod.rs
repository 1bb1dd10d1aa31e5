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
//! | `rendering.rs` | the bytes of mails |
//! | `login.rs` | who signs in, with a password or a token |
//! | `smtp.rs` | one connection to the server: its phases, their time-outs, what a failure means |
//! | `imap.rs`, `mailbox.rs` | the mailbox of mails that came back |
//! | `limits.rs` | mails per minute, of the server and of recipients' domains |
//! | `service_mails.rs` | mails that carry no message: monthly reports, alarms |
//! | `stats.rs` | the metrics |
//!
//! | what fails | what happens |
//! |---|---|
//! | the recipient is refused, or its system returns the mail | the delivery is bounced; the message goes to the next endpoint; if there is none, it is failed |
//! | a mail is too large for the recipient's system | it is sent again at once without its files and its HTML part, and says so; refused again, it is bounced |
//! | the server says "not now" | the delivery is tried again, for a day |
//! | the server refuses everybody: connection, TLS, sign-in, sender | all deliveries wait, and no attempt is counted; one mail tries the server after 5 s, later after up to 5 min. Urgent ones and the service's own go over the backup meanwhile, if there is one. Each server waits for itself |
//! | the connection breaks after the last byte of a mail | the mail is sent again with the same `Message-ID` |
//! | the daemon | its claims end after three minutes; any daemon of the store goes on |
//! | the store | the workers wait; a mail that was taken meanwhile is sent again with the same `Message-ID` |
//!
//! The mails of an account go over its own server (`mail_host`), if the configuration has it, and else over the main one. Mails to
//! gateways of faxes go over the main server for all accounts: a gateway knows its senders, and nobody else sees them.
//!
//! Invariants: a mail that the store has is sent at least once or its failure is shown. All attempts of a delivery send the same
//! bytes, unless the message's text changed before anything was sent, or the mail was refused for its size. Nothing that arrives causes a mail.
//!
//! Why a pool of our own and not lettre's: whether a mail may have been taken depends on the phase in which it failed.

mod imap;
mod limits;
mod login;
mod mailbox;
mod rendering;
mod service_mails;
mod smtp;
mod stats;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;

use smol_str::SmolStr;

use crate::gateway::Links;
use crate::mail::{FaxGateway, Line, MailAddress, ReturnPath};
use crate::messages::letter::LetterSettings;

pub use imap::{ImapError, Mailbox, probe_mailbox};
pub use login::{Credential, Login, TokenSource};
pub use smtp::{PhaseTimeouts, ProbeReport, Server, TlsMode, probe, probe_recipient};
pub use worker::{POLL_INTERVAL, start};

/// A second mail server.
#[derive(Debug, Clone)]
pub struct Backup {
    /// The server.
    pub server: Server,
    /// Most mails a minute.
    pub per_minute: u32,
}

/// A server that accounts may have of their own, and the sender of their mails.
#[derive(Debug, Clone)]
pub struct Host {
    /// The server.
    pub server: Server,
    /// Most mails a minute.
    pub per_minute: u32,
    /// The sender's address.
    pub from: MailAddress,
    /// The sender's name.
    pub from_name: Line,
    /// Where answers go, unless each mail has an address of its own for them; the sender if absent.
    pub reply_to: Option<MailAddress>,
    /// Where its mails come back; that of all mails if absent.
    pub bounce_address: Option<MailAddress>,
}

/// How mails are sent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server.
    pub server: Server,
    /// The server that urgent mails go over while the other one refuses all mails.
    pub backup: Option<Backup>,
    /// The servers of accounts, by name.
    pub hosts: BTreeMap<SmolStr, Host>,
    /// What all mails have.
    pub letter: LetterSettings,
    /// The address whose plus-addresses get what comes back; the sender gets it if absent.
    pub bounce_address: Option<MailAddress>,
    /// The envelope sender of each mail, made of `bounce_address` and the group's key.
    pub return_path: Option<ReturnPath>,
    /// The address whose plus-addresses get the answers of people; `letter.reply_path` is made of it.
    pub reply_address: Option<MailAddress>,
    /// The mailbox of mails that came back, if the daemon reads it.
    pub mailbox: Option<Mailbox>,
    /// The font of reports; `None`: the first that the system has.
    pub report_font: Option<PathBuf>,
    /// Connections at the same time.
    pub connections: usize,
    /// Most mails a minute.
    pub per_minute: u32,
    /// Most mails a minute to a domain.
    pub domains: BTreeMap<SmolStr, u32>,
    /// The gateways of faxes, by name.
    pub fax: BTreeMap<String, FaxGateway>,
    /// The links under which contacts confirm messages; absent: mails have none.
    pub links: Option<Links>,
}

impl Settings {
    /// How the mails of the accounts are sent that have this server.
    #[must_use]
    pub fn of_host(&self, host: &Host) -> Self {
        let return_path = self.return_path.clone();
        Self {
            server: host.server.clone(),
            backup: None,
            hosts: BTreeMap::new(),
            letter: LetterSettings {
                from: host.from.clone(),
                from_name: host.from_name.clone(),
                reply_to: host.reply_to.clone(),
                ..self.letter.clone()
            },
            return_path: match &host.bounce_address {
                Some(address) => return_path.map(|path| path.at(address.clone())),
                None => return_path,
            },
            bounce_address: host.bounce_address.clone().or_else(|| self.bounce_address.clone()),
            mailbox: None,
            connections: 1,
            per_minute: host.per_minute,
            ..self.clone()
        }
    }

    /// The envelope sender with which `check` asks whether the server takes mails.
    #[must_use]
    pub fn envelope_sender(&self) -> &MailAddress {
        self.bounce_address.as_ref().unwrap_or(&self.letter.from)
    }
}
