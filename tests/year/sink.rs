//! Rows on their way into a database: many rows a statement on SQLite, COPY on PostgreSQL.
//!
//! Invariant: the database's own triggers and indexes see every row, so that what they keep is as if the daemon had
//! written it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

/// Rows of one SQLite statement.
const STATEMENT_ROWS: usize = 100;
/// Rows of one COPY.
const COPY_ROWS: usize = 20_000;

/// One value of a row.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
    /// The id of a record or a call.
    Id(Uuid),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// Defines the tables with the columns that are written, in this order.
macro_rules! tables {
    ($($table:ident $name:literal ($columns:literal)),+ $(,)?) => {
        /// A table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Table { $(#[doc = $columns] $table),+ }

        impl Table {
            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$table => $name),+ }
            }

            fn columns(self) -> &'static str {
                match self { $(Self::$table => $columns),+ }
            }
        }
    };
}

tables! {
    Teams "teams" ("id, name"),
    Users "users" ("id, name, role, extension, team_id, created_ms, changed_ms"),
    Accounts "accounts" ("id, code, name, answer_phrase, created_ms, changed_ms"),
    AccountNumbers "account_numbers" ("kind, key, account_id, original"),
    Customers "customers" ("id, account_id, code, name, kana, company, notes, created_ms, changed_ms, search"),
    CustomerNumbers "customer_numbers" ("account_id, key, customer_id, original, position"),
    Calls "calls" ("id, pbx, direction, account_id, customer_id, matched_by, caller_key, presentation, dialled, \
        diverted_by, offered_ms, answered_ms, ended_ms, outcome, operators_json, channels_json, handled_by_json"),
    Segments "call_segments" ("call_id, ordinal, kind, operator, target, from_ms, until_ms"),
    WrapUps "wrap_ups" ("call_id, user_id, since_ms, ended_ms, account_id, account, planned_s, disposition, notes"),
    OperatorHistory "operator_history" ("user_id, version, at_ms, name, extension, state, call_id, actor"),
    SupervisionLog "supervision_log" ("supervision_id, from_ms, until_ms, pbx, call_id, operator, supervisor_id, \
        supervisor_name, extension, mode, audience_json"),
    Messages "messages" ("id, account_id, call_id, customer_id, taken_by, caller_key, text, state, created_ms, \
        changed_ms, pbx, published_version, search"),
    Audit "audit" ("at_ms, actor_id, actor, action, subject, call_id"),
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A database that is filled.
pub struct Sink {
    connection: Connection,
    waiting: BTreeMap<Table, Vec<Vec<Value>>>,
    rows: BTreeMap<String, u64>,
}

impl Sink {
    /// Fills the SQLite database of this connection, which nobody else has open. A crash while it is filled ruins it.
    pub fn sqlite(connection: SqliteConnection) -> Self {
        Self { connection: Connection::Sqlite(connection), waiting: BTreeMap::new(), rows: BTreeMap::new() }
    }

    /// Fills the PostgreSQL database of this connection.
    pub fn postgres(connection: PgConnection) -> Self {
        Self { connection: Connection::Postgres(connection), waiting: BTreeMap::new(), rows: BTreeMap::new() }
    }

    /// Rows written to each table.
    pub fn rows(&self) -> &BTreeMap<String, u64> {
        &self.rows
    }

    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(db) => sqlx::raw_sql(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000000; BEGIN",
            )
            .execute(db)
            .await?,
            Connection::Postgres(db) => return sqlx::raw_sql("BEGIN").execute(db).await.map(drop),
        };
        Ok(())
    }

    /// Adds a row.
    pub(super) async fn row(&mut self, table: Table, row: Vec<Value>) -> Result<(), sqlx::Error> {
        let waiting = self.waiting.entry(table).or_default();
        waiting.push(row);
        let full = match self.connection {
            Connection::Sqlite(_) => STATEMENT_ROWS,
            Connection::Postgres(_) => COPY_ROWS,
        };
        if waiting.len() < full {
            return Ok(());
        }
        // A row's parents are written before it, and the variants stand in that order.
        let due: Vec<Table> = self.waiting.keys().copied().filter(|parent| *parent <= table).collect();
        for table in due {
            self.flush(table).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, table: Table) -> Result<(), sqlx::Error> {
        let rows = self.waiting.remove(&table).unwrap_or_default();
        if rows.is_empty() {
            return Ok(());
        }
        *self.rows.entry(table.name().to_owned()).or_default() += rows.len() as u64;
        match &mut self.connection {
            Connection::Sqlite(db) => insert(db, table, rows).await,
            Connection::Postgres(db) => copy(db, table, &rows).await,
        }
    }

    /// Writes what waits, and the statistics that a database in use has.
    pub(super) async fn finish(&mut self) -> Result<(), sqlx::Error> {
        for table in self.waiting.keys().copied().collect::<Vec<_>>() {
            self.flush(table).await?;
        }
        match &mut self.connection {
            Connection::Sqlite(db) => {
                sqlx::raw_sql("COMMIT; PRAGMA journal_mode = WAL").execute(db).await.map(drop)
            }
            Connection::Postgres(db) => sqlx::raw_sql("COMMIT; ANALYZE").execute(db).await.map(drop),
        }
    }

    /// Closes the connection.
    ///
    /// # Errors
    /// The database cannot be closed.
    pub async fn close(self) -> Result<(), sqlx::Error> {
        match self.connection {
            Connection::Sqlite(db) => db.close().await,
            Connection::Postgres(db) => db.close().await,
        }
    }
}

async fn insert(db: &mut SqliteConnection, table: Table, rows: Vec<Vec<Value>>) -> Result<(), sqlx::Error> {
    let columns = rows.first().map_or(0, Vec::len);
    let row = format!("({})", vec!["?"; columns].join(", "));
    let all = vec![row; rows.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES {all}", table.name(), table.columns());
    // The text consists of constants.
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for value in rows.into_iter().flatten() {
        query = match value {
            Value::Null => query.bind(None::<i64>),
            Value::Int(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Id(id) => query.bind(id.as_bytes().to_vec()),
        };
    }
    query.execute(db).await.map(drop)
}

async fn copy(db: &mut PgConnection, table: Table, rows: &[Vec<Value>]) -> Result<(), sqlx::Error> {
    let mut text = String::with_capacity(rows.len() * 200);
    for row in rows {
        for (n, value) in row.iter().enumerate() {
            if n > 0 {
                text.push('\t');
            }
            let written = match value {
                Value::Null => text.write_str("\\N"),
                Value::Int(number) => write!(text, "{number}"),
                Value::Text(value) => text.write_str(&value.replace('\\', "\\\\").replace('\n', "\\n")),
                Value::Id(id) => write!(text, "{id}"),
            };
            written.map_err(|error| sqlx::Error::Encode(error.into()))?;
        }
        text.push('\n');
    }
    let sql = format!("COPY {} ({}) FROM STDIN", table.name(), table.columns());
    let mut copy = db.copy_in_raw(&sql).await?;
    copy.send(text.as_bytes()).await?;
    copy.finish().await.map(drop)
}
