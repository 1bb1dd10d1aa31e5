//! The backend of several daemons: a database of a PostgreSQL server (14 or newer).
//!
//! Invariant: a commit is on the server's disk when it returns, unless its administrator decided otherwise. Daemons
//! write at the same time; what must look before it writes (people and their tokens) takes one lock for all of them.
//! A server that is away fails each request within [`open::ACQUIRE_WAIT`], never a daemon that runs.
//!
//! Read next: `migrations/0001_first.sql`, which is the data model; `../sql/` for the statements.

#[macro_use]
mod dialect;
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

use sqlx::postgres::{PgConnection, PgRow, Postgres as Db};
use sqlx::{PgPool, Row};

pub(super) use self::open::inspect;
use super::StoreError;
use super::location::PostgresAddress;

/// What the files of `sql/` work with.
type Backend = Postgres;
type DbConnection = PgConnection;
type DbRow = PgRow;

/// A transaction; dropped without `commit`, nothing of it happened.
pub(super) type WriteTransaction = sqlx::Transaction<'static, Db>;

/// Taken by a transaction that must look before it writes ("TRTG").
const WRITERS_LOCK: i64 = 0x5452_5447;

/// The connections to one database.
#[derive(Debug, Clone)]
pub struct Postgres {
    address: PostgresAddress,
    pool: PgPool,
}

impl Postgres {
    /// The database.
    #[must_use]
    pub fn address(&self) -> &PostgresAddress {
        &self.address
    }

    fn readers(&self) -> &PgPool {
        &self.pool
    }

    fn writer(&self) -> &PgPool {
        &self.pool
    }

    async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.pool.begin().await?)
    }

    /// Begins a transaction that no other of its kind runs beside, in whichever daemon.
    async fn begin_alone(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITERS_LOCK).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Begins a transaction whose statements all read the same state.
    async fn begin_reading(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM directory_version").fetch_one(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A column of JSON that holds a list of texts.
fn text_list(row: &DbRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// An empty store of this backend for a test, and what must live as long as it.
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
