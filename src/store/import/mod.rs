//! Directory records of a file, in one transaction or in several (`directory/import`).
//!
//! Invariant: nothing is visible before [`ImportTransaction::commit`]; a transaction that is dropped is rolled back.

use jiff::Timestamp;

use super::{Store, StoreError, postgres, sqlite};
use crate::contract::import_batch::{Batch, Column, DeputyRow, ImportKind, RowError};

/// The columns that the file has. A record that exists keeps its values in all other columns.
#[derive(Debug, Clone)]
pub(crate) struct PresentColumns(pub(crate) Vec<Column>);

impl PresentColumns {
    pub(crate) fn contains(&self, column: Column) -> bool {
        self.0.contains(&column)
    }
}

/// An import in progress; it holds the writing connection.
#[derive(Debug)]
pub(crate) enum ImportTransaction {
    Sqlite(sqlite::import::Import),
    Postgres(postgres::import::Import),
}

impl Store {
    /// Begins an import. SQLite has one writer: the import waits for it.
    pub(crate) async fn begin_import(
        &self,
        kind: ImportKind,
        present: PresentColumns,
        at: Timestamp,
    ) -> Result<ImportTransaction, StoreError> {
        match self {
            Self::Sqlite(db) => db.begin_import(kind, present, at).await.map(ImportTransaction::Sqlite),
            Self::Postgres(db) => db.begin_import(kind, present, at).await.map(ImportTransaction::Postgres),
        }
    }
}

impl ImportTransaction {
    /// Writes the rows; returns those that a constraint refused.
    pub(crate) async fn write(&mut self, batch: &Batch) -> Result<Vec<RowError>, StoreError> {
        each!(ImportTransaction: self, import => import.write(batch).await)
    }

    /// Writes who stands in for contacts; returns the rows whose deputy does not exist.
    pub(crate) async fn write_deputies(&mut self, rows: &[DeputyRow]) -> Result<Vec<RowError>, StoreError> {
        each!(ImportTransaction: self, import => import.write_deputies(rows).await)
    }

    /// The number of records that it added so far.
    pub(crate) fn created(&self) -> u64 {
        each!(ImportTransaction: self, import => import.created())
    }

    /// The number of records that it found as the file has them, and did not write.
    pub(crate) fn unchanged(&self) -> u64 {
        each!(ImportTransaction: self, import => import.unchanged())
    }

    /// Makes the import visible.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        each!(ImportTransaction: self, import => import.commit().await)
    }

    /// Discards the import.
    pub(crate) async fn roll_back(self) -> Result<(), StoreError> {
        each!(ImportTransaction: self, import => import.roll_back().await)
    }
}
