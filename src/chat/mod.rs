//! Messages to chats and by SMS: each delivery of such a kind is posted over https to its service.
//!
//! ```text
//!  message + delivery ──claim──▶ worker: body ─▶ https ─▶ verdict ─▶ settle ─▶ message relay ─▶ event
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `body.rs` | what each service gets, and how it is kept from reading markup in what a caller said |
//! | `line_works_bot.rs` | the bots of LINE WORKS: what signs for them, and their tokens |
//! | `sms.rs` | the gateways of SMS: a template of a request for each |
//! | `verdict.rs` | what an answer means |
//! | `worker.rs` | the tasks, one for each service: claim, post, settle; the limits of the services |
//!
//! | what happens | the delivery |
//! |---|---|
//! | the service answers 2xx | is sent. No service proves that a person has read it: only the link does |
//! | 429 | waits as long as `Retry-After` or `RateLimit-Reset` says; no attempt is counted |
//! | 401 of a bot of LINE WORKS | is posted once more with a new token |
//! | 401 of a service whose token is in the configuration, or no token for a bot | all with this token wait for a minute; no attempt is counted |
//! | another 4xx, or a redirect | is bounced; the message goes to the next endpoint. 404 and 410 suspend the address |
//! | 5xx, or no connection | is tried again, on the schedule of mails |
//! | no answer in time, or the connection breaks while it is awaited | is tried again, and the message says that it may be there already |
//!
//! Invariants: the request goes to the service's own hosts and to a public address ([`crate::contract::records::ChannelRules`],
//! [`crate::webhook`]). A URL with its secret is in the store and in the request, and nowhere else: not in a log, an error, an event
//! or an answer of the API. All attempts of a delivery post the same message.

mod body;
mod line_works_bot;
mod sms;
mod verdict;
mod worker;

use std::collections::BTreeMap;

use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::contract::records::ChannelRules;
use crate::gateway::Links;
use crate::messages::letter::LetterSettings;
use crate::secret::Secret;

pub use line_works_bot::LineWorksBot;
pub use sms::{Gateways, GatewaysError, SmsGateway};
pub use worker::{ChatError, start};

/// How messages go to chats and by SMS.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which endpoints there may be.
    pub rules: ChannelRules,
    /// The token of Chatwork.
    pub chatwork: Option<Secret>,
    /// The bots of LINE WORKS, by name.
    pub line_works_bots: BTreeMap<String, LineWorksBot>,
    /// The gateways of SMS, by name.
    pub sms: BTreeMap<String, SmsGateway>,
    /// Whether a request may go to a private address.
    pub allow_private: bool,
    /// Certificate authorities in addition to the system's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// How a message is written.
    pub letter: LetterSettings,
    /// The links under which contacts confirm messages; absent: messages have none.
    pub links: Option<Links>,
}
