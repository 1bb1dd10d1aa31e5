//! The embedded backend: one SQLite file in WAL mode.
//!
//! Invariant: one connection writes, so writers of this process queue instead of failing against each other; readers
//! never wait for the writer. A commit is on the disk when it returns (`synchronous = FULL`): a finished call survives a
//! power failure. The price is one fsync per commit, and no screen pop waits for a commit.
//!
//! After an error of the disk or the file, every connection is replaced, because its state is in doubt (`open.rs`,
//! `store/error.rs`). A file that was moved away or replaced is not written until it is back (`file.rs`).
//!
//! Read next: `migrations/0001_first.sql` and its successors.

#[macro_use]
mod dialect;
pub(super) mod file;
pub(super) mod inspect;
mod open;

#[path = "../accounts/sql.rs"]
mod accounts;
#[path = "../audit/sql.rs"]
mod audit;
#[path = "../contacts/sql.rs"]
mod contacts;
#[path = "../customers/sql.rs"]
mod customers;
#[path = "../deliveries/sql.rs"]
mod deliveries;
#[path = "../group_key/sql.rs"]
mod group_key;
#[path = "../history/sql.rs"]
mod history;
#[path = "../import/sql.rs"]
pub(super) mod import;
#[path = "../log/sql.rs"]
mod log;
#[path = "../mail_servers/sql.rs"]
mod mail_servers;
#[path = "../messages/sql.rs"]
mod messages;
#[path = "../operators/sql.rs"]
mod operators;
#[path = "../pbx_links/sql.rs"]
mod pbx_links;
#[path = "../retention/sql.rs"]
mod retention;
#[path = "../supervision_log/sql.rs"]
mod supervision_log;
#[path = "../users/sql.rs"]
mod users;
#[path = "../webhooks/sql.rs"]
mod webhooks;

use std::path::{Path, PathBuf};

use sqlx::sqlite::{Sqlite as Db, SqliteConnection, SqliteRow};
use sqlx::{Row, SqlitePool};

use self::file::FileId;
use super::StoreError;
use super::stalled::StalledWriters;

/// The names under which each topic's `sql.rs` uses this backend.
type Backend = Sqlite;
type DbConnection = SqliteConnection;
type DbArguments = <Db as sqlx::Database>::Arguments;
type DbRow = SqliteRow;

/// A transaction on the writing connection; dropped without `commit`, it is rolled back.
pub(super) type WriteTransaction = sqlx::Transaction<'static, Db>;

/// The connections to one database file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    /// The file that was opened.
    file: FileId,
    writer: SqlitePool,
    readers: SqlitePool,
    pub(super) stalled: StalledWriters,
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

    /// Begins a transaction that holds the write lock from the start, so that it can't fail later because another
    /// process has the lock.
    pub(super) async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        self.file.is_still_at(&self.path)?;
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// As [`Self::begin`], because there is only one writer.
    async fn begin_exclusive(&self) -> Result<WriteTransaction, StoreError> {
        self.begin().await
    }

    /// Begins a transaction whose statements all read the same snapshot.
    async fn begin_reading(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.readers.begin().await?)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM directory_version").fetch_one(&self.readers).await?;
        Ok(())
    }

    pub(super) async fn probe_write(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE write_probe SET at_ms = at_ms + 1").execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The texts of a column that holds a JSON array of texts.
fn text_list(row: &DbRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// An empty store of this backend for a test, and a guard that must live as long as the store.
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
