//! The store: all data that outlives the daemon. People and tokens, accounts, customers and contacts, finished
//! calls, messages, the recent event log, the audit trail.
//!
//! | module | holds |
//! |---|---|
//! | [`sqlite`] | the default backend, one file beside the daemon: opening, migrations, connections |
//! | [`postgres`] | the backend that several daemons share: the same parts |
//! | [`location`] | which backend, and its path or address |
//! | [`accounts`], [`customers`], [`contacts`] | the directory's records |
//! | [`house_notices`] | events about the house that wait to be published |
//! | [`customer_changes`] | what people changed of customers; two who become one |
//! | [`deletions`] | what was deleted a moment ago and can be brought back |
//! | `import` | many directory records in one transaction |
//! | [`users`] | people, teams and tokens |
//! | [`operators`] | agent states, their history, after-call work |
//! | [`history`] | finished calls, and the earlier calls of a caller at an account |
//! | [`billing`] | plans of accounts, closed bills, and what bills count |
//! | [`alarms`] | rules of alarms, and those that were raised |
//! | [`call_reports`] | calls without a message that accounts want reported |
//! | [`caller_rules`] | callers whom accounts refuse, or who are answered first |
//! | [`callflows`] | what happens to accounts' calls before an operator; their templates; overrides |
//! | [`sounds`] | guidance and announcements that people uploaded, or recorded by telephone |
//! | [`guidance_drafts`] | guidance that was recorded by telephone and waits |
//! | [`guidance_pins`] | with which PIN accounts record guidance by telephone |
//! | [`contracts`] | what was agreed with accounts about their figures |
//! | [`stats`] | the counters of each quarter of an hour, built from the history |
//! | [`holidays`] | national holidays by the Cabinet Office, the installation's own days off |
//! | [`supervision_log`] | which supervisor monitored which call, in which mode |
//! | [`message_files`] | files of messages: recordings of callers |
//! | [`messages`] | messages taken for accounts, their revisions, and which of their versions were published |
//! | [`drafts`] | what people are writing about calls |
//! | [`faxes`] | faxes that the PBX received, and their documents |
//! | [`voices`] | recordings that callers left |
//! | [`deliveries`] | the outbox: mails that carry messages to the accounts' people |
//! | [`reports`] | plans of monthly reports, and closed ones |
//! | [`service_mails`] | the outbox of mails that carry no message: reports, alarms |
//! | [`routes`] | to whom messages go: the documents, and what they need of an account |
//! | [`dispatches`] | the running routes of messages |
//! | [`digests`] | at which times accounts get digests, and their runs |
//! | [`answers`] | what the account's people answer, and the links under which they do |
//! | [`tasks`] | calls that operators make about messages |
//! | [`mail_servers`] | the servers that mails go over, and their pauses |
//! | [`mail_templates`] | what accounts wrote instead of the built-in templates of mails |
//! | [`message_endpoints`] | where messages of an account go, and the addresses to which nothing is sent |
//! | [`log`] | the recent events and the checkpoints of unfinished calls, for the next start |
//! | [`pbx_links`] | the last known state of each PBX link, and its gaps |
//! | [`words`] | what operators choose from, as administrators decide |
//! | [`webhooks`] | events that wait for delivery to other systems |
//! | [`audit`] | the audit trail |
//! | [`stalled`] | which of the daemon's writers the store holds up |
//! | [`group_key`] | the key with which daemons sign requests to each other |
//! | [`scripts`] | what operators say and ask for an account, by version; what came of offers |
//! | [`retention`] | deletion by age |
//! | [`erasure`] | deletion of what the store has about one customer |
//! | `upgrade` | the steps of a migration that take long on a large database |
//! | [`error`] | what can go wrong, worded for the administrator |
//! | `columns`, `page` | ids and times as columns; reading by page |
//!
//! A topic is a folder: `mod.rs` has its records and the methods of [`Store`], `sql.rs` its statements. Each `sql.rs`
//! is compiled twice, as a child of `sqlite/` and of `postgres/`. These two define what `Backend`, `DbRow` and
//! `DbConnection` are; their `dialect.rs` has the few fragments that the two dialects spell differently. Why not two
//! copies: constraints and the order of statements in a transaction must not diverge, and the tests in `sql.rs` run
//! against both databases. A function in `sql.rs` that takes a `DbConnection` runs inside its caller's transaction.
//!
//! Invariant: callers see [`Store`] and plain records, never a backend. No PBX event waits for the store: the pop
//! works from memory while the store is unavailable.
//!
//! Read next: `sqlite/migrations/0001_first.sql` and its successors, which are the data model.

/// Calls the same method of either backend.
macro_rules! each {
    ($type:ident: $on:expr, $backend:ident => $do:expr) => {
        match $on {
            $type::Sqlite($backend) => $do,
            $type::Postgres($backend) => $do,
        }
    };
    ($on:expr, $backend:ident => $do:expr) => {
        each!(Store: $on, $backend => $do)
    };
}

#[macro_use]
pub mod erasure;

pub mod account_clips;
pub mod account_notices;
pub mod accounts;
pub mod alarms;
pub mod answers;
pub mod audit;
pub mod billing;
pub mod call_reports;
pub mod callbacks;
pub mod caller_rules;
pub mod callflows;
mod columns;
pub mod contacts;
pub mod contracts;
pub mod customer_changes;
pub mod customers;
pub mod deletions;
pub mod deliveries;
pub mod digests;
pub mod dispatches;
pub mod drafts;
pub mod error;
pub mod faxes;
pub mod group_key;
pub mod guidance_drafts;
pub mod guidance_pins;
pub mod history;
pub mod holidays;
pub mod house_notices;
pub(crate) mod import;
pub mod location;
pub mod log;
pub mod mail_servers;
pub mod mail_templates;
pub mod message_endpoints;
pub mod message_files;
pub mod messages;
pub mod numbers;
pub mod operators;
mod page;
pub mod password_links;
pub mod pbx_links;
#[cfg(test)]
mod plan_tests;
pub mod postgres;
pub mod reports;
pub mod retention;
pub mod routes;
pub mod scripts;
pub mod service_mails;
pub mod sounds;
pub mod sqlite;
pub mod stalled;
pub mod stats;
pub mod supervision_log;
pub mod tasks;
mod upgrade;
#[cfg(test)]
mod upgrade_tests;
pub mod users;
pub mod voices;
pub mod webhooks;
pub mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::contract::audit::AuditEntry;
pub use audit::{AuditFilter, AuditPage};
use columns::{from_ms, to_ms};
pub use customers::CustomerFilter;
pub use error::StoreError;
pub use location::{Location, PostgresAddress, PostgresAddressError};
pub use page::{PAGE_RECORDS_MAX, Page};
use stalled::StalledWriters;

/// How long a write that tests the store may take: longer than either database waits before it says that it is busy or
/// away.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(7);

/// A handle to the store; clones share its connections.
#[derive(Debug, Clone)]
pub enum Store {
    /// One file beside the daemon.
    Sqlite(sqlite::Sqlite),
    /// A server that several daemons share.
    Postgres(postgres::Postgres),
}

/// Proves that this process is the only daemon of a database file, until it is dropped.
#[derive(Debug)]
pub struct DaemonLock(Option<sqlite::file::Lock>);

impl DaemonLock {
    /// Whether there is a lock: a server has none, nor has a file system without locks.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

/// How a database's tables compare with those of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaStatus {
    /// There are none yet; [`Store::open`] creates them.
    Absent,
    /// They are those of this version.
    Current {
        /// The number of the last migration that was applied.
        schema: i64,
    },
    /// [`Store::open`] will migrate them.
    Older {
        /// The number of the last migration that was applied.
        schema: i64,
        /// The number of this program's last migration.
        known: i64,
    },
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// The number of its last migration.
    pub schema: i64,
    /// Finished calls in it.
    pub calls: u64,
}

impl Store {
    /// Copies the SQLite database at `path`, which a daemon may use meanwhile, into the new file `to`, and checks the copy.
    ///
    /// # Errors
    /// Names the file and what to do; then there is no file `to`.
    pub async fn backup(path: &Path, to: &Path) -> Result<Backup, StoreError> {
        sqlite::backup::backup(path, to).await
    }

    /// Checks the backup `from`, and lets a copy of it take the place of the database at `path`. The database that was there
    /// gets `suffix` at the end of its name, which is returned.
    ///
    /// # Errors
    /// [`StoreError::InUse`]; or names the file and what to do. Then the database is what it was.
    pub async fn restore(
        from: &Path,
        path: &Path,
        suffix: &str,
    ) -> Result<(Backup, Option<PathBuf>), StoreError> {
        let _alone = sqlite::file::lock(path)?;
        sqlite::backup::restore(from, path, suffix).await
    }

    /// Opens the SQLite database at `path`, creates it (readable by its owner alone) where there is none, and
    /// applies the missing migrations.
    ///
    /// # Errors
    /// Names the file and what to do when it can't be used: no permission, no directory, not a database, created
    /// by a newer version, damaged.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        sqlite::Sqlite::open(path).await.map(Self::Sqlite)
    }

    /// Reads the schema status of the SQLite database at `path`; changes and creates nothing.
    ///
    /// # Errors
    /// As [`Store::open`], for what can be found without writing.
    pub async fn inspect(path: &Path) -> Result<SchemaStatus, StoreError> {
        sqlite::inspect::inspect(path).await
    }

    /// Makes this process the only daemon of the database file at `location`, before the file is opened or created. Any
    /// number of daemons may use a server.
    ///
    /// # Errors
    /// [`StoreError::InUse`]; or the lock cannot be written.
    pub fn lock(location: &Location) -> Result<DaemonLock, StoreError> {
        match location {
            Location::File(path) => sqlite::file::lock(path).map(DaemonLock),
            Location::Postgres(_) => Ok(DaemonLock(None)),
        }
    }

    /// The mode of the database file at `path`, if it lets others than its owner read or write it.
    #[must_use]
    pub fn foreign_rights(path: &Path) -> Option<u32> {
        sqlite::file::foreign_rights(path)
    }

    /// Opens the store at `location` and applies the missing migrations.
    ///
    /// # Errors
    /// As [`Store::open`]; or names the server and what to do when it can't be reached or refuses the connection.
    pub async fn open_at(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::File(path) => Self::open(path).await,
            Location::Postgres(address) => postgres::Postgres::open(address).await.map(Self::Postgres),
        }
    }

    /// Reads the schema status of the store at `location`; changes and creates nothing.
    ///
    /// # Errors
    /// As [`Store::open_at`], for what can be found without writing.
    pub async fn inspect_at(location: &Location) -> Result<SchemaStatus, StoreError> {
        match location {
            Location::File(path) => Self::inspect(path).await,
            Location::Postgres(address) => postgres::inspect(address).await,
        }
    }

    /// One cheap read that proves the store answers (`/readyz`, `toritsugi check`).
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        each!(self, db => db.ping().await)
    }

    /// What time it is at the server of the database; `None` where the database is a file of this machine.
    ///
    /// # Errors
    /// The store failed.
    pub async fn server_time(&self) -> Result<Option<jiff::Timestamp>, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(db) => db.server_time().await.map(Some),
        }
    }

    /// One small write that reaches the disk: proves that the store can keep what the daemon must record (`/readyz`).
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn probe_write(&self) -> Result<(), StoreError> {
        let written = async { each!(self, db => db.probe_write().await) };
        let written = tokio::time::timeout(PROBE_TIMEOUT, written).await;
        written.unwrap_or(Err(StoreError::Failed(sqlx::Error::PoolTimedOut)))
    }

    /// The daemon's writers that wait for this store.
    #[must_use]
    pub fn stalled(&self) -> &StalledWriters {
        each!(self, db => &db.stalled)
    }

    /// Waits for running statements, writes SQLite's write-ahead log back into the file, and closes every connection.
    pub async fn close(&self) {
        each!(self, db => db.close().await)
    }
}
