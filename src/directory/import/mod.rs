//! Accounts, customers and contacts from a CSV file: all of it or nothing.
//!
//! ```text
//! file ─▶ table.rs: records, text, line numbers ─▶ columns.rs: the meaning of each column ─▶ checked fields
//!                 (a blocking thread)                                                        │ batches
//!                                      store: one transaction, upsert by code ◀──────────────┘
//! ```
//!
//! Invariants: a file with one invalid row changes nothing; the report names up to [`ROW_ERRORS_MAX`] invalid rows by line.
//! A record is identified by its `code`, so the same file can be imported again. Fields whose column is missing keep their
//! values. Memory does not grow with the file, except for one small entry per code, which finds duplicates.
//!
//! National holidays come from a file of their own form: `holidays.rs`.
//!
//! Read next: `columns.rs` for the names of the columns.

mod columns;
pub mod holidays;
mod numbers;
mod table;

use std::collections::HashMap;
use std::io::Read;

use jiff::Timestamp;
use serde::Serialize;
use smol_str::SmolStr;
use tokio::sync::mpsc;

use self::columns::{Layout, RowReader};
use self::table::Table;
use super::lookup::Directory;
use crate::contract::import_batch::Batch;
pub use crate::contract::import_batch::{ImportKind, RowError};
use crate::ids::RecordId;
use crate::store::StoreError;
use crate::store::import::ImportTransaction;

pub use self::table::{CELL_CHARS_MAX, TableError, TextEncoding};

/// Maximum number of rows of one file.
pub const ROWS_MAX: u64 = 5_000_000;
/// Maximum number of invalid rows that are named; the others are counted.
pub const ROW_ERRORS_MAX: usize = 100;
/// Maximum number of batches that wait for the store.
const BATCHES_WAITING_MAX: usize = 4;

/// The options of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// The kind of records in the file.
    pub kind: ImportKind,
    /// The encoding of the file's text.
    pub encoding: TextEncoding,
    /// Checks everything and changes nothing.
    pub dry_run: bool,
}

/// What an import did, or would do with `dry_run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The kind of records in the file.
    pub kind: ImportKind,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Rows read.
    pub rows: u64,
    /// New records.
    pub created: u64,
    /// Existing records.
    pub updated: u64,
    /// Columns with unknown names.
    pub ignored_columns: Vec<String>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file as a whole cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Some rows are invalid.
    #[error("{} of the rows can't be imported; nothing was changed", errors.len() as u64 + more)]
    Rows {
        /// The first of them.
        errors: Vec<RowError>,
        /// The number of further invalid rows.
        more: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of the reading thread.
struct Outcome {
    rows: u64,
    errors: Errors,
}

#[derive(Default)]
struct Errors {
    named: Vec<RowError>,
    more: u64,
}

impl Directory {
    /// Imports `source`. The store's writing connection is held until the end; readers, and thus pops, are not blocked.
    ///
    /// # Errors
    /// See [`ImportError`]; nothing was changed then.
    pub async fn import(
        &self,
        source: impl Read + Send + 'static,
        options: ImportOptions,
        at: Timestamp,
    ) -> Result<ImportReport, ImportError> {
        let plan = *self.plan();
        let accounts = match options.kind {
            ImportKind::Accounts => HashMap::new(),
            ImportKind::Customers | ImportKind::Contacts => self.codes().await?,
        };
        let table = Table::open(source, options.encoding)?;
        let (layout, ignored_columns) =
            Layout::of(options.kind, table.header()).map_err(|problem| table.header_error(problem))?;
        let present = layout.present();
        let (sender, batches) = mpsc::channel(BATCHES_WAITING_MAX);
        let reader = RowReader::new(layout, plan, accounts);
        let reading = tokio::task::spawn_blocking(move || read_rows(table, reader, options.kind, &sender));
        let mut transaction = self.store().begin_import(options.kind, present, at).await?;
        let written = write_batches(&mut transaction, batches).await;
        let outcome = match reading.await {
            Ok(outcome) => outcome?,
            Err(stopped) => return Err(TableError::Read(std::io::Error::other(stopped)).into()),
        };
        let mut errors = outcome.errors;
        errors.append(written?);
        if !errors.named.is_empty() {
            return Err(errors.into_error());
        }
        let created = transaction.created().await?;
        if options.dry_run {
            transaction.roll_back().await?;
        } else {
            transaction.commit().await?;
            self.refresh().await?;
        }
        let updated = outcome.rows.saturating_sub(created);
        Ok(ImportReport {
            kind: options.kind,
            dry_run: options.dry_run,
            rows: outcome.rows,
            created,
            updated,
            ignored_columns,
        })
    }

    async fn codes(&self) -> Result<HashMap<SmolStr, RecordId>, StoreError> {
        let (accounts, _) = self.store().all_accounts().await?;
        Ok(accounts.into_iter().map(|account| (account.fields.code.into(), account.id)).collect())
    }
}

/// Reads the whole file, so that every invalid row is found; after the first one no batch is sent to the store.
fn read_rows(
    mut table: Table,
    mut reader: RowReader,
    kind: ImportKind,
    sender: &mpsc::Sender<Batch>,
) -> Result<Outcome, TableError> {
    let mut outcome = Outcome { rows: 0, errors: Errors::default() };
    let mut batch = Batch::new(kind);
    while let Some(record) = table.next_record()? {
        outcome.rows += 1;
        if outcome.rows > ROWS_MAX {
            return Err(TableError::TooLong { rows: ROWS_MAX });
        }
        if let Err(problem) = reader.read(&record, &mut batch) {
            outcome.errors.add(RowError { line: record.line(), problem });
        }
        let is_good = outcome.errors.named.is_empty();
        // The receiver is gone after an error of the store; that error is reported instead.
        if batch.is_full() {
            let full = std::mem::replace(&mut batch, Batch::new(kind));
            if is_good && sender.blocking_send(full).is_err() {
                return Ok(outcome);
            }
        }
    }
    if outcome.errors.named.is_empty() {
        sender.blocking_send(batch).ok();
    }
    Ok(outcome)
}

/// Writes every batch to the store and collects the rows that the store refused.
async fn write_batches(
    transaction: &mut ImportTransaction,
    mut batches: mpsc::Receiver<Batch>,
) -> Result<Errors, StoreError> {
    let mut errors = Errors::default();
    while let Some(batch) = batches.recv().await {
        for refused in transaction.write(&batch).await? {
            errors.add(refused);
        }
    }
    Ok(errors)
}

impl Errors {
    fn add(&mut self, error: RowError) {
        if self.named.len() < ROW_ERRORS_MAX {
            self.named.push(error);
        } else {
            self.more += 1;
        }
    }

    fn append(&mut self, other: Self) {
        self.more += other.more;
        other.named.into_iter().for_each(|error| self.add(error));
    }

    fn into_error(mut self) -> ImportError {
        self.named.sort_by_key(|error| error.line);
        ImportError::Rows { errors: self.named, more: self.more }
    }
}

// The same tests on both stores.
#[cfg(test)]
#[path = "."]
mod over_sqlite {
    use crate::store::sqlite::empty_store;
    #[path = "tests.rs"]
    mod tests;
}
#[cfg(test)]
#[path = "."]
mod over_postgres {
    use crate::store::postgres::empty_store;
    #[path = "tests.rs"]
    mod tests;
}
