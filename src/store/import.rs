//! Many records in one transaction.
//!
//! Invariant: until [`ImportTransaction::commit`] nothing has happened; dropped, nothing ever did.

use jiff::Timestamp;

use super::{Store, StoreError, postgres, sqlite};
use crate::directory::import::{Batch, Column, ImportKind, RowError};

/// The columns a file has: the others keep what a record had.
#[derive(Debug, Clone)]
pub(crate) struct Present(pub(crate) Vec<Column>);

impl Present {
    pub(super) fn has(&self, column: Column) -> bool {
        self.0.contains(&column)
    }
}

/// An import under way; it holds the writing connection.
#[derive(Debug)]
pub(crate) enum ImportTransaction {
    Sqlite(sqlite::import::Import),
    Postgres(postgres::import::Import),
}

impl Store {
    /// Begins an import. It waits for its turn to write.
    pub(crate) async fn begin_import(
        &self,
        kind: ImportKind,
        present: Present,
        at: Timestamp,
    ) -> Result<ImportTransaction, StoreError> {
        match self {
            Self::Sqlite(db) => db.begin_import(kind, present, at).await.map(ImportTransaction::Sqlite),
            Self::Postgres(db) => db.begin_import(kind, present, at).await.map(ImportTransaction::Postgres),
        }
    }
}

impl ImportTransaction {
    /// Writes the rows; gives back those that the tables refuse.
    pub(crate) async fn write(&mut self, batch: &Batch) -> Result<Vec<RowError>, StoreError> {
        each!(ImportTransaction: self, import => import.write(batch).await)
    }

    /// How many records there are that were not there before.
    pub(crate) async fn created(&mut self) -> Result<u64, StoreError> {
        each!(ImportTransaction: self, import => import.created().await)
    }

    /// Keeps everything.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        each!(ImportTransaction: self, import => import.commit().await)
    }

    /// Keeps nothing.
    pub(crate) async fn undo(self) -> Result<(), StoreError> {
        each!(ImportTransaction: self, import => import.undo().await)
    }
}
