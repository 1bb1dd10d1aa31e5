//! The store: what must outlive the daemon. People and tokens, accounts, customers and contacts, finished
//! calls, messages, the recent event log, the audit trail.
//!
//! | file | holds |
//! |---|---|
//! | [`sqlite`] | the embedded default: one file beside the daemon; opening, migrations, connections |
//! | [`postgres`] | one server for several daemons; the same |
//! | `sql/` | the statements, one file per topic, in the SQL that both understand |
//! | [`location`] | which of them, and where |
//! | [`accounts`], [`customers`], [`contacts`] | the directory's records: read by page, written one at a time |
//! | [`audit`] | who did what to whom |
//! | `import` | many records in one transaction |
//! | [`hearings`] | which supervisor heard what of a call, and how |
//! | [`history`] | finished calls, and what happened before between a caller and an account |
//! | [`messages`] | messages that were taken, and what of them was told |
//! | [`operators`] | operators' states, their history, after-call work |
//! | [`log`] | the recent events and the live calls, so that a restart loses nothing |
//! | [`retention`] | what is deleted, and when |
//! | [`links`] | the links to the PBXes and their gaps |
//! | [`webhooks`] | events that wait for other systems |
//! | [`users`] | people, teams and tokens |
//! | [`error`] | what can go wrong, said to the person who must act |
//!
//! Each file of `sql/` is compiled twice, as a child of `sqlite/` and of `postgres/`, which say what `Backend`,
//! `DbRow` and `DbConnection` are and, in `dialect.rs`, how they put the little that the two dialects put
//! differently. Why not two copies: what the tables promise and in which order a transaction works must not drift
//! apart, and its tests run over both.
//!
//! Invariant: callers see [`Store`] and plain records, never a backend. Nothing here is on the way of a PBX event: the pop works from memory when the
//! store is gone.
//!
//! Read next: `sqlite/migrations/0001_first.sql`, which is the data model.

/// Does the same with whichever backend it is.
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

pub mod accounts;
pub mod audit;
mod constraint;
pub mod contacts;
pub mod customers;
pub mod error;
pub mod hearings;
pub mod history;
mod id;
pub(crate) mod import;
pub mod links;
pub mod location;
pub mod log;
pub mod messages;
pub mod operators;
mod page;
pub mod postgres;
pub mod retention;
pub mod sqlite;
mod time;
pub mod users;
pub mod webhooks;

use std::path::Path;

pub use accounts::Accounts;
pub use audit::{AuditEntry, AuditFilter, AuditPage};
pub use contacts::Contacts;
pub use customers::{CustomerFilter, Customers};
pub use error::StoreError;
pub use hearings::Hearing;
pub use history::{FinishedCall, Segment};
pub use links::{Gap, LinkMemory};
pub use location::{Location, PostgresAddress, PostgresAddressError};
pub use messages::Messages;
pub use page::{PAGE_RECORDS_MAX, Page};
pub(crate) use time::{from_ms, to_ms};

/// A handle to the store; clones share its connections.
#[derive(Debug, Clone)]
pub enum Store {
    /// One file beside the daemon.
    Sqlite(sqlite::Sqlite),
    /// A server that several daemons share.
    Postgres(postgres::Postgres),
}

/// What a look at a database tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// There is none yet; [`Store::open`] makes it.
    Absent,
    /// It has the tables of this version.
    Current {
        /// The number of its last migration.
        schema: i64,
    },
    /// [`Store::open`] will bring it up to date.
    Older {
        /// The number of its last migration.
        schema: i64,
        /// The number of this program's last migration.
        known: i64,
    },
}

impl Store {
    /// Opens the SQLite database at `path`, creates it (readable by its owner alone) where there is none, and
    /// brings its tables up to date.
    ///
    /// # Errors
    /// Names the file and what to do when it can't be used: no permission, no directory, not a database, made
    /// by a newer version, damaged.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        sqlite::Sqlite::open(path).await.map(Self::Sqlite)
    }

    /// Looks at the database without changing or making it.
    ///
    /// # Errors
    /// As [`Store::open`], for what can be seen without writing.
    pub async fn inspect(path: &Path) -> Result<Condition, StoreError> {
        sqlite::inspect::inspect(path).await
    }

    /// Opens the store there, makes what is missing of its tables and brings them up to date.
    ///
    /// # Errors
    /// As [`Store::open`]; or names the server and what to do when it can't be reached or doesn't let us in.
    pub async fn open_at(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::File(path) => Self::open(path).await,
            Location::Postgres(address) => postgres::Postgres::open(address).await.map(Self::Postgres),
        }
    }

    /// Looks at the store there without changing or making it.
    ///
    /// # Errors
    /// As [`Store::open_at`], for what can be seen without writing.
    pub async fn inspect_at(location: &Location) -> Result<Condition, StoreError> {
        match location {
            Location::File(path) => Self::inspect(path).await,
            Location::Postgres(address) => postgres::inspect(address).await,
        }
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts(self)
    }

    /// The customers.
    #[must_use]
    pub fn customers(&self) -> Customers<'_> {
        Customers(self)
    }

    /// The contacts.
    #[must_use]
    pub fn contacts(&self) -> Contacts<'_> {
        Contacts(self)
    }

    /// The messages.
    #[must_use]
    pub fn messages(&self) -> Messages<'_> {
        Messages(self)
    }

    /// One cheap read that proves the store answers (`/readyz`, `toritsugi check`).
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        each!(self, db => db.ping().await)
    }

    /// Waits for statements under way, writes the log back into the file and closes every connection.
    pub async fn close(&self) {
        each!(self, db => db.close().await)
    }
}
