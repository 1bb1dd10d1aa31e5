//! The embedded backend: one SQLite file in WAL mode.
//!
//! Invariant: one connection writes, so writers queue in the process instead of failing against each other;
//! readers never wait for it. A commit is on the disk when it returns (`synchronous = FULL`): a finished call
//! survives the loss of power, at the price of one fsync per commit, which nothing on the way of a pop pays.
//!
//! Read next: `migrations/0001_first.sql`.

#[macro_use]
mod dialect;
pub(super) mod inspect;
mod open;

#[path = "../sql/accounts.rs"]
mod accounts;
#[path = "../sql/audit.rs"]
mod audit;
#[path = "../sql/contacts.rs"]
mod contacts;
#[path = "../sql/customers.rs"]
mod customers;
#[path = "../sql/hearings.rs"]
mod hearings;
#[path = "../sql/history.rs"]
mod history;
#[path = "../sql/import.rs"]
pub(super) mod import;
#[path = "../sql/links.rs"]
mod links;
#[path = "../sql/log.rs"]
mod log;
#[path = "../sql/messages.rs"]
mod messages;
#[path = "../sql/operators.rs"]
mod operators;
#[path = "../sql/retention.rs"]
mod retention;
#[path = "../sql/users.rs"]
mod users;
#[path = "../sql/webhooks.rs"]
mod webhooks;

use std::path::{Path, PathBuf};

use sqlx::sqlite::{Sqlite as Db, SqliteConnection, SqliteRow};
use sqlx::{Row, SqlitePool};

use super::StoreError;

/// What the files of `sql/` work with.
type Backend = Sqlite;
type DbConnection = SqliteConnection;
type DbRow = SqliteRow;

/// A transaction on the writing connection; dropped without `commit`, nothing of it happened.
pub(super) type WriteTransaction = sqlx::Transaction<'static, Db>;

/// The connections to one database file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connections that only read.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The one connection that writes, for single statements.
    pub(super) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Begins a transaction that holds the write lock from the start, so that it can't fail half-way for want
    /// of it.
    pub(super) async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// As [`Self::begin`]: there is one writer anyhow.
    async fn begin_alone(&self) -> Result<WriteTransaction, StoreError> {
        self.begin().await
    }

    /// Begins a transaction whose statements all read the same state.
    async fn begin_reading(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.readers.begin().await?)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM directory_version").fetch_one(&self.readers).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A column of JSON that holds a list of texts.
fn text_list(row: &DbRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// An empty store of this backend for a test, and what must live as long as it.
#[cfg(test)]
pub(crate) async fn empty_store() -> (impl Sized + 'static, super::Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = super::Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
    (dir, store)
}

/// The backend of a test's store.
#[cfg(test)]
fn of(store: &super::Store) -> &Backend {
    match store {
        super::Store::Sqlite(db) => db,
        super::Store::Postgres(_) => unreachable!("the test opened this backend"),
    }
}
