//! Several statements, one after the other: PostgreSQL takes one statement with values at a time.

use std::fmt::Write as _;

use sqlx::error::BoxDynError;
use sqlx::{Arguments as _, Encode, Type};

use super::log::own_log;
use super::{Db, DbArguments, DbConnection, Postgres};
use crate::contract::event_id::StreamToken;
use crate::ids::PbxId;
use crate::store::StoreError;

/// Statements that are carried out in order, up to the first that fails.
#[derive(Debug, Default)]
pub(super) struct Script {
    statements: Vec<Statement>,
    error: Option<BoxDynError>,
}

#[derive(Debug, Default)]
struct Statement {
    sql: String,
    arguments: DbArguments,
    bound: usize,
}

impl Script {
    /// Adds a statement. Its parameters `$1` and so on are the values that are bound after this.
    pub(super) fn statement(&mut self, sql: &str) -> &mut Self {
        self.statements.push(Statement { sql: sql.to_owned(), ..Statement::default() });
        self
    }

    /// Adds to the last statement.
    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        if let Some(statement) = self.statements.last_mut() {
            statement.sql.push_str(sql);
        }
        self
    }

    /// Binds the next value of the last statement.
    pub(super) fn bind<'t, T: Encode<'t, Db> + Type<Db>>(&mut self, value: T) -> &mut Self {
        if let Some(statement) = self.statements.last_mut() {
            statement.bound += 1;
            if let Err(error) = statement.arguments.add(value) {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Binds a value, and adds its parameter to the last statement.
    pub(super) fn push_bind<'t, T: Encode<'t, Db> + Type<Db>>(&mut self, value: T) -> &mut Self {
        self.bind(value);
        if let Some(statement) = self.statements.last_mut() {
            let _ = write!(statement.sql, "${}", statement.bound);
        }
        self
    }

    /// Carries the statements out.
    pub(super) async fn run(self, db: &mut DbConnection) -> Result<(), sqlx::Error> {
        if let Some(error) = self.error {
            return Err(sqlx::Error::Encode(error));
        }
        for Statement { sql, arguments, .. } in self.statements {
            sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments).execute(&mut *db).await?;
        }
        Ok(())
    }
}

impl Postgres {
    /// Carries out a script as one transaction, if its stream has claimed the log.
    pub(super) async fn commit_script(
        &self,
        script: Script,
        pbx: &PbxId,
        stream: &StreamToken,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_log().await?;
        own_log(&mut transaction, pbx, stream).await?;
        script.run(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }
}
