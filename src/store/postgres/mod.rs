//! The backend that several daemons share: a database of a PostgreSQL server (14 or newer).
//!
//! Invariant: a commit is on the server's disk when it returns, unless the server's administrator has turned that off.
//! Daemons write at the same time; a transaction that reads before it writes (users and their tokens) takes an advisory
//! lock that all daemons share. While the server is unavailable, each request fails within [`open::ACQUIRE_TIMEOUT`]
//! and the daemon goes on.
//!
//! Read next: `migrations/0001_first.sql` and its successors, which are the data model; each topic's `sql.rs` for the
//! statements.

#[macro_use]
mod dialect;
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

use serde::de::DeserializeOwned;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow, Postgres as Db};
use sqlx::{PgPool, Row};

use self::dialect::BEGIN_IMPORT;
pub(super) use self::open::inspect;
use super::StoreError;
use super::erasure::ErasureProgress;
use super::location::PostgresAddress;
use super::retention::PurgeProgress;
use super::stalled::StalledWriters;

/// The names under which each topic's `sql.rs` uses this backend.
type Backend = Postgres;
type DbConnection = PgConnection;
type DbArguments = <Db as sqlx::Database>::Arguments;
type DbRow = PgRow;

/// A transaction; dropped without `commit`, it is rolled back.
pub(super) type WriteTransaction = sqlx::Transaction<'static, Db>;

/// The advisory lock of a transaction that reads before it writes ("TRTG").
const EXCLUSIVE_LOCK: i64 = 0x5452_5447;
/// The advisory lock of the steps of an upgrade ("TRTU"). Not [`EXCLUSIVE_LOCK`], because a step may take minutes.
const UPGRADE_LOCK: i64 = 0x5452_5455;

/// The connections to one database.
#[derive(Debug, Clone)]
pub struct Postgres {
    address: PostgresAddress,
    pool: PgPool,
    /// The event log's, for which no request waits and which waits for no request.
    log_writer: PgPool,
    readers: PgPool,
    /// For what a pop needs.
    card_readers: PgPool,
    pub(super) stalled: StalledWriters,
    pub(super) erasures: ErasureProgress,
    pub(super) purging: PurgeProgress,
}

impl Postgres {
    /// The database.
    #[must_use]
    pub fn address(&self) -> &PostgresAddress {
        &self.address
    }

    fn readers(&self) -> &PgPool {
        &self.readers
    }

    /// For the cards of pops: no question of a request occupies it.
    fn card_readers(&self) -> &PgPool {
        &self.card_readers
    }

    #[cfg(test)]
    fn writer(&self) -> &PgPool {
        &self.pool
    }

    /// A connection that writes for requests and tasks, for one statement that is a transaction by itself.
    async fn write_once(&self) -> Result<PoolConnection<Db>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    /// As [`Self::write_once`], the connection of the event log.
    async fn write_log_once(&self) -> Result<PoolConnection<Db>, StoreError> {
        Ok(self.log_writer.acquire().await?)
    }

    async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.pool.begin().await?)
    }

    /// As [`Self::begin`], on the connection of the event log.
    async fn begin_log(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.log_writer.begin().await?)
    }

    /// Begins a transaction that excludes all others that begin so, in any daemon.
    async fn begin_exclusive(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction, EXCLUSIVE_LOCK).await?;
        Ok(transaction)
    }

    /// Begins a transaction for a step of an upgrade: it excludes the steps of other daemons, and waits for them as long
    /// as they take.
    async fn begin_upgrade(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Before the lock, because waiting for it is a statement, too.
        sqlx::query(BEGIN_IMPORT).execute(&mut *transaction).await?;
        lock(&mut transaction, UPGRADE_LOCK).await?;
        Ok(transaction)
    }

    /// Begins a transaction that reads the event log when a daemon starts. It takes as long as it takes: no request waits
    /// for it, and without the log the daemon cannot start.
    async fn begin_restoring(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.log_writer.begin().await?;
        sqlx::query(BEGIN_IMPORT).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Begins a transaction whose statements all read the same snapshot.
    async fn begin_reading(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.readers.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM directory_version").fetch_one(&self.readers).await?;
        Ok(())
    }

    pub(super) async fn server_time(&self) -> Result<jiff::Timestamp, StoreError> {
        let ms: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT")
            .fetch_one(&self.readers)
            .await?;
        Ok(super::from_ms(ms))
    }

    pub(super) async fn probe_write(&self) -> Result<(), StoreError> {
        sqlx::query("UPDATE write_probe SET at_ms = at_ms + 1").execute(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        for pool in [&self.readers, &self.card_readers, &self.log_writer, &self.pool] {
            pool.close().await;
        }
    }
}

/// Waits for the advisory lock `key`, which the transaction then has until its end.
async fn lock(transaction: &mut WriteTransaction, key: i64) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(&mut **transaction).await?;
    Ok(())
}

/// The items of a column that holds a JSON array.
fn list_of_json<T: DeserializeOwned>(row: &DbRow, column: &str) -> Result<Vec<T>, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// An empty store of this backend for a test, and a guard that must live as long as the store.
#[cfg(test)]
pub(crate) async fn empty_store() -> (impl Sized + 'static, super::Store) {
    let address = crate::backends::postgres().empty_database().await;
    let location = super::Location::Postgres(PostgresAddress::parse(&address).unwrap());
    ((), super::Store::open_at(&location).await.unwrap())
}

/// The backend of a test's store.
#[cfg(test)]
fn of(store: &super::Store) -> &Backend {
    match store {
        super::Store::Postgres(db) => db,
        super::Store::Sqlite(_) => unreachable!("the test opened this backend"),
    }
}

/// Every row of a test's database, as text; the server's files are not the test's to read.
#[cfg(test)]
async fn compacted(store: &super::Store) -> Vec<u8> {
    let db = of(store);
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&db.pool)
            .await
            .unwrap();
    let mut text = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(one::text, ' '), '') FROM {table} AS one");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&db.pool).await.unwrap();
        text.push_str(&rows);
    }
    text.into_bytes()
}
