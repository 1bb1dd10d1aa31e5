//! The embedded backend: one SQLite file in WAL mode.
//!
//! Invariant: one connection writes for requests and tasks and one for the event log, in turn, so writers of this process
//! queue instead of failing against each other; readers never wait for a writer. A question of a request ends after
//! [`READ_TIMEOUT`], and pops have connections of their own. A commit is on the disk when it returns (`synchronous = FULL`):
//! a finished call survives a power failure. The price is one fsync per commit, and no screen pop waits for a commit. The log
//! is copied into the file on a further connection (`checkpoint.rs`).
//!
//! After an error of the disk or the file, every connection is replaced, because its state is in doubt (`open.rs`,
//! `store/error.rs`). A file that was moved away or replaced is not written until it is back (`file.rs`).
//!
//! Read next: `migrations/0001_first.sql` and its successors.

pub(super) mod backup;
mod checkpoint;
#[macro_use]
mod dialect;
pub(super) mod file;
pub(super) mod inspect;
mod open;
mod script;

#[path = "../account_clips/sql.rs"]
mod account_clips;
#[path = "../account_notices/sql.rs"]
mod account_notices;
#[path = "../accounts/sql.rs"]
mod accounts;
#[path = "../alarms/sql.rs"]
mod alarms;
#[path = "../answers/sql.rs"]
mod answers;
#[path = "../audit/sql.rs"]
mod audit;
#[path = "../billing/sql.rs"]
mod billing;
#[path = "../call_reports/sql.rs"]
mod call_reports;
#[path = "../callbacks/sql.rs"]
mod callbacks;
#[path = "../caller_rules/sql.rs"]
mod caller_rules;
#[path = "../callflows/sql.rs"]
mod callflows;
#[path = "../contacts/sql.rs"]
mod contacts;
#[path = "../contracts/sql.rs"]
mod contracts;
#[path = "../customer_changes/sql.rs"]
mod customer_changes;
#[path = "../customers/sql.rs"]
mod customers;
#[path = "../deletions/sql.rs"]
mod deletions;
#[path = "../deliveries/sql.rs"]
mod deliveries;
#[path = "../digests/sql.rs"]
mod digests;
#[path = "../dispatches/sql.rs"]
mod dispatches;
#[path = "../drafts/sql.rs"]
mod drafts;
#[path = "../erasure/sql.rs"]
mod erasure;
#[path = "../faxes/sql.rs"]
mod faxes;
#[path = "../group_key/sql.rs"]
mod group_key;
#[path = "../guidance_drafts/sql.rs"]
mod guidance_drafts;
#[path = "../guidance_pins/sql.rs"]
mod guidance_pins;
#[path = "../history/sql.rs"]
mod history;
#[path = "../history/large/sql.rs"]
mod history_large;
#[path = "../history/page/sql.rs"]
mod history_page;
#[path = "../holidays/sql.rs"]
mod holidays;
#[path = "../house_notices/sql.rs"]
mod house_notices;
#[path = "../import/sql.rs"]
pub(super) mod import;
#[path = "../log/sql.rs"]
mod log;
#[path = "../mail_servers/sql.rs"]
mod mail_servers;
#[path = "../mail_templates/sql.rs"]
mod mail_templates;
#[path = "../message_endpoints/sql.rs"]
mod message_endpoints;
#[path = "../message_files/sql.rs"]
mod message_files;
#[path = "../messages/sql.rs"]
mod messages;
#[path = "../numbers/sql.rs"]
mod numbers_called;
#[path = "../operators/sql.rs"]
mod operators;
#[path = "../password_links/sql.rs"]
mod password_links;
#[path = "../pbx_links/sql.rs"]
mod pbx_links;
#[path = "../reports/sql.rs"]
mod reports;
#[path = "../retention/sql.rs"]
mod retention;
#[path = "../routes/sql.rs"]
mod routes;
#[path = "../scripts/sql.rs"]
mod scripts;
#[path = "../service_mails/sql.rs"]
mod service_mails;
#[path = "../sounds/sql.rs"]
mod sounds;
#[path = "../stats/input/sql.rs"]
mod stat_input;
#[path = "../stats/marks/sql.rs"]
mod stat_marks;
#[path = "../stats/sql.rs"]
mod stats;
#[path = "../supervision_log/sql.rs"]
mod supervision_log;
#[path = "../tasks/sql.rs"]
mod tasks;
#[path = "../upgrade/sql.rs"]
mod upgrade;
#[path = "../users/sql.rs"]
mod users;
#[path = "../voices/sql.rs"]
mod voices;
#[path = "../webhooks/sql.rs"]
mod webhooks;
#[path = "../words/sql.rs"]
mod words;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite as Db, SqliteConnection, SqliteRow};
use sqlx::{Row, SqlSafeStr as _, SqlitePool};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use self::dialect::BEGIN_IMPORT;
use self::file::FileId;
use super::StoreError;
use super::erasure::ErasureProgress;
#[cfg(doc)]
use super::error::READ_TIMEOUT;
use super::retention::PurgeProgress;
use super::stalled::StalledWriters;

/// The names under which each topic's `sql.rs` uses this backend.
type Backend = Sqlite;
type DbConnection = SqliteConnection;
type DbArguments = <Db as sqlx::Database>::Arguments;
type DbRow = SqliteRow;

/// What writes, in its turn: a connection for one statement, or a transaction.
#[derive(Debug)]
pub(super) struct Turn<W> {
    writes: W,
    /// Kept until what it writes has ended.
    turn: Permit,
}

/// The permission to write.
#[derive(Debug)]
struct Permit {
    _permit: OwnedSemaphorePermit,
    written: Arc<Notify>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.written.notify_one();
    }
}

/// A transaction on a writing connection; dropped without `commit`, it is rolled back.
pub(super) type WriteTransaction = Turn<sqlx::Transaction<'static, Db>>;

impl WriteTransaction {
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.writes.commit().await
    }

    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.writes.rollback().await
    }
}

impl<W: DerefMut<Target = SqliteConnection>> Deref for Turn<W> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.writes
    }
}

impl<W: DerefMut<Target = SqliteConnection>> DerefMut for Turn<W> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.writes
    }
}

/// The connections to one database file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    /// The file that was opened.
    file: FileId,
    writer: SqlitePool,
    /// The event log's, for which no request waits and which waits for no request's turn.
    log_writer: SqlitePool,
    /// Whose turn it is to write: SQLite itself lets a connection that finds the file locked sleep and try again.
    turn: Arc<Semaphore>,
    /// Notified when a write has ended.
    written: Arc<Notify>,
    /// The connection that copies the write-ahead log, and the task that does it.
    checkpoints: SqlitePool,
    _copies: Arc<AbortOnDropHandle<()>>,
    readers: SqlitePool,
    /// For what a pop needs.
    card_readers: SqlitePool,
    pub(super) stalled: StalledWriters,
    pub(super) erasures: ErasureProgress,
    pub(super) purging: PurgeProgress,
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

    /// Connections that only read, for the cards of pops: no question of a request occupies them.
    pub(super) fn card_readers(&self) -> &SqlitePool {
        &self.card_readers
    }

    /// The one connection that writes for requests and tasks, without a turn.
    #[cfg(test)]
    pub(super) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// The connection that writes for requests and tasks, for one statement that is a transaction by itself.
    async fn write_once(&self) -> Result<Turn<PoolConnection<Db>>, StoreError> {
        self.take_turn(&self.writer).await
    }

    /// As [`Self::write_once`], on the connection of the event log.
    async fn write_log_once(&self) -> Result<Turn<PoolConnection<Db>>, StoreError> {
        self.take_turn(&self.log_writer).await
    }

    /// Begins a transaction that holds the write lock from the start, so that it can't fail later because another
    /// process has the lock.
    pub(super) async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        self.begin_on(&self.writer).await
    }

    /// As [`Self::begin`], on the connection of the event log. Before it is at most one transaction that writes and one
    /// that waits for its turn, however many others want to write: those wait for the other connection.
    async fn begin_log(&self) -> Result<WriteTransaction, StoreError> {
        self.begin_on(&self.log_writer).await
    }

    async fn begin_on(&self, pool: &SqlitePool) -> Result<WriteTransaction, StoreError> {
        let Turn { writes, turn } = self.take_turn(pool).await?;
        let begin = "BEGIN IMMEDIATE".into_sql_str();
        Ok(Turn { writes: sqlx::Transaction::begin(writes, Some(begin)).await?, turn })
    }

    async fn take_turn(&self, pool: &SqlitePool) -> Result<Turn<PoolConnection<Db>>, StoreError> {
        self.file.is_still_at(&self.path)?;
        let writes = pool.acquire().await?;
        let turn = tokio::time::timeout(open::ACQUIRE_TIMEOUT, Arc::clone(&self.turn).acquire_owned()).await;
        let permit = turn.map_err(|_| StoreError::Busy)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let turn = Permit { _permit: permit, written: Arc::clone(&self.written) };
        Ok(Turn { writes, turn })
    }

    /// As [`Self::begin`], because there is only one writer.
    async fn begin_exclusive(&self) -> Result<WriteTransaction, StoreError> {
        self.begin().await
    }

    /// As [`Self::begin`], for a step of an upgrade.
    async fn begin_upgrade(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(BEGIN_IMPORT).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Begins a transaction that reads the event log when a daemon starts. It takes as long as it takes: no request waits
    /// for it, and without the log the daemon cannot start. Nothing is written yet on its connection.
    async fn begin_restoring(&self) -> Result<sqlx::Transaction<'static, Db>, StoreError> {
        Ok(self.log_writer.begin().await?)
    }

    /// Begins a transaction whose statements all read the same snapshot.
    async fn begin_reading(&self) -> Result<sqlx::Transaction<'static, Db>, StoreError> {
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
        self.card_readers.close().await;
        self.log_writer.close().await;
        self.checkpoints.close().await;
        self.writer.close().await;
    }
}

/// The items of a column that holds a JSON array.
fn list_of_json<T: DeserializeOwned>(row: &DbRow, column: &str) -> Result<Vec<T>, sqlx::Error> {
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

/// The bytes of a test's database after a VACUUM.
#[cfg(test)]
async fn compacted(store: &super::Store) -> Vec<u8> {
    let db = of(store);
    sqlx::raw_sql("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").execute(db.writer()).await.unwrap();
    let mut bytes = std::fs::read(db.path()).unwrap();
    let mut beside = db.path().as_os_str().to_owned();
    beside.push("-wal");
    bytes.extend(std::fs::read(beside).unwrap_or_default());
    bytes
}
