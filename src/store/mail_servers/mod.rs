//! The servers that daemons send mails over, and their pauses ([`crate::delivery::ServerPause`]).
//!
//! Why in the store: all daemons share a server's pause, and a message is saved without a delivery while nobody sends.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::message::Urgency;
use crate::contract::records::EndpointKind;
use crate::delivery::ServerPause;

/// The name of the mail server.
pub const MAIL_SERVER: &str = "main";
/// The name of its backup, over which urgent mails go while the other one is paused. No delivery is made for it.
pub const BACKUP_SERVER: &str = "backup";

/// What deliveries go over besides the servers of accounts: the mail server, and each kind of chat and the gateways of SMS.
#[must_use]
pub fn servers() -> Vec<&'static str> {
    let others = EndpointKind::ALL.into_iter().filter(|kind| !kind.needs_mail_server());
    std::iter::once(MAIL_SERVER).chain(others.map(EndpointKind::as_str)).collect()
}

/// How much waits for a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxLoad {
    /// Deliveries that are not settled.
    pub waiting: u64,
    /// Since when the oldest of them waits to be sent.
    pub oldest: Option<Timestamp>,
    /// The same for each urgency of which one waits.
    pub oldest_of: Vec<(Urgency, Timestamp)>,
}

impl Store {
    /// Records that daemons send over this server, or that none does. While there is no server, messages are saved without a
    /// delivery.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn set_mail_server(&self, name: &str, is_used: bool) -> Result<(), StoreError> {
        each!(self, db => db.set_mail_server(name, is_used).await)
    }

    /// Records that daemons send over these mail servers and no other. What waits for another one goes over the main server, with its
    /// sender, unless it may have been sent.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn keep_mail_servers(&self, names: &[&str]) -> Result<(), StoreError> {
        each!(self, db => db.keep_mail_servers(names).await)
    }

    /// The mail servers that daemons send over: the main one, those of accounts by name, the backup.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn mail_servers(&self) -> Result<Vec<String>, StoreError> {
        let mut names: Vec<String> = each!(self, db => db.mail_servers().await?);
        names.sort_by_key(|name| (name != MAIL_SERVER, name == BACKUP_SERVER, name.clone()));
        Ok(names)
    }

    /// Whether a daemon sends over this server.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn has_mail_server(&self, name: &str) -> Result<bool, StoreError> {
        each!(self, db => db.has_mail_server(name).await)
    }

    /// The pause of a server.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn mail_server_pause(&self, name: &str) -> Result<Option<ServerPause>, StoreError> {
        each!(self, db => db.mail_server_pause(name).await)
    }

    /// Pauses a server, or ends its pause.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn pause_mail_server(&self, name: &str, pause: Option<&ServerPause>) -> Result<(), StoreError> {
        each!(self, db => db.pause_mail_server(name, pause).await)
    }

    /// Lets the caller try a server whose pause is over at `now`, and nobody else until `until`. False: somebody else tries.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn take_mail_probe(
        &self,
        name: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, db => db.take_mail_probe(name, now, until).await)
    }

    /// How much waits for a server.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn outbox_load(&self, server: &str) -> Result<OutboxLoad, StoreError> {
        each!(self, db => db.outbox_load(server).await)
    }
}
