//! Several statements in one turn of the connection's thread.
//!
//! A statement to SQLite goes to the thread of its connection and back, which costs more than most statements do. What is
//! written together and reads nothing back is therefore handed over as one text.

use std::fmt::Write as _;

use sqlx::error::BoxDynError;
use sqlx::{Arguments as _, Encode, Type};

use super::{Db, DbArguments, DbConnection, Sqlite};
use crate::contract::event_id::StreamToken;
use crate::ids::PbxId;
use crate::store::StoreError;

/// The connection keeps a prepared script with at most so many values.
const KEPT_VALUES_MAX: usize = 64;

/// Statements that are carried out in order, up to the first that fails.
#[derive(Debug, Default)]
pub(super) struct Script {
    sql: String,
    arguments: DbArguments,
    /// How many values are bound.
    bound: usize,
    error: Option<BoxDynError>,
}

impl Script {
    /// Adds a statement. Its parameters `$1` and so on are the values that are bound after this.
    pub(super) fn statement(&mut self, sql: &str) -> &mut Self {
        if !self.sql.is_empty() {
            self.sql.push_str(";\n");
        }
        let mut parts = sql.split('$');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            // All parameters of a text are numbered together.
            match part[..end].parse::<usize>() {
                Ok(number) => _ = write!(self.sql, "${}", self.bound + number),
                Err(_) => self.sql.push('$'),
            }
            self.sql.push_str(&part[end..]);
        }
        self
    }

    /// Adds to the last statement.
    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Binds the next value of the last statement.
    pub(super) fn bind<'t, T: Encode<'t, Db> + Type<Db>>(&mut self, value: T) -> &mut Self {
        self.bound += 1;
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Binds a value, and adds its parameter to the last statement.
    pub(super) fn push_bind<'t, T: Encode<'t, Db> + Type<Db>>(&mut self, value: T) -> &mut Self {
        self.bind(value);
        let _ = write!(self.sql, "${}", self.bound);
        self
    }

    /// Carries the statements out.
    pub(super) async fn run(self, db: &mut DbConnection) -> Result<(), sqlx::Error> {
        if let Some(error) = self.error {
            return Err(sqlx::Error::Encode(error));
        }
        if !self.sql.is_empty() {
            // A long text is hardly ever the same twice; kept, it would displace the connection's other statements.
            let is_kept = self.bound <= KEPT_VALUES_MAX;
            let query = sqlx::query_with(sqlx::AssertSqlSafe(self.sql), self.arguments);
            query.persistent(is_kept).execute(db).await?;
        }
        Ok(())
    }
}

impl Sqlite {
    /// Carries out a script as one transaction on the connection of the event log, if its stream has claimed the log: all in
    /// one turn of the connection's thread.
    pub(super) async fn commit_script(
        &self,
        mut script: Script,
        pbx: &PbxId,
        stream: &StreamToken,
    ) -> Result<(), StoreError> {
        // Nothing, or a row that the table refuses.
        script
            .statement(
                "INSERT INTO event_logs (pbx, stream) SELECT $1, NULL
                 WHERE NOT EXISTS (SELECT 1 FROM event_logs WHERE pbx = $1 AND stream = $2)",
            )
            .bind(pbx.as_str().to_owned())
            .bind(stream.as_str().to_owned());
        script.statement("COMMIT");
        script.sql.insert_str(0, "BEGIN IMMEDIATE;\n");
        let mut writes = self.write_log_once().await?;
        let (pbx, stream) = (pbx.clone(), stream.clone());
        // As a task of its own, so that a transaction that was begun is ended whatever becomes of the caller.
        let run = tokio::spawn(async move {
            let Err(error) = script.run(&mut writes).await else { return Ok(()) };
            let rolled_back = sqlx::query("ROLLBACK").execute(&mut *writes).await;
            let owned: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM event_logs WHERE pbx = $1 AND stream = $2)")
                    .bind(pbx.as_str())
                    .bind(stream.as_str())
                    .fetch_one(&mut *writes)
                    .await
                    .unwrap_or(true);
            if let Err(rollback) = rolled_back {
                // There is none to roll back where it could not begin or has rolled back by itself.
                tracing::debug!(error = &rollback as &dyn std::error::Error, "nothing was rolled back");
            }
            Err(if owned { StoreError::from(error) } else { StoreError::Displaced })
        });
        run.await.unwrap_or_else(|_| Err(StoreError::from(sqlx::Error::WorkerCrashed)))
    }
}
