//! Accounts, customers and contacts from a CSV file: all of it or nothing.
//!
//! ```text
//! file ─▶ table.rs: records, text, line numbers ─▶ columns.rs: what each column means ─▶ checked fields
//!                 (a blocking thread)                                                        │ batches
//!                                      store: one transaction, upsert by code ◀──────────────┘
//! ```
//!
//! Invariant: a file with one bad row changes nothing; every bad row is named by its line, up to
//! [`ROW_ERRORS_MAX`]. A record is recognised by its `code`, so that the same file can be read again; a column
//! that the file doesn't have leaves what was there. Memory does not grow with the file, but for one small entry
//! per code that finds doubles.
//!
//! Read next: `columns.rs` for the names of the columns.

mod columns;
mod table;

use std::collections::HashMap;
use std::io::Read;

use jiff::Timestamp;
use serde::Serialize;
use smol_str::SmolStr;
use tokio::sync::mpsc;

pub(crate) use self::columns::Column;
use self::columns::{Layout, RowReader};
use self::table::Table;
use super::lookup::Directory;
use super::record::{CheckedAccount, CheckedContact, CheckedCustomer};
use crate::ids::RecordId;
use crate::store::StoreError;
use crate::store::import::ImportTransaction;

pub use self::table::{CELL_CHARS_MAX, TableError, TextEncoding};

/// Most rows of one file.
pub const ROWS_MAX: u64 = 5_000_000;
/// Most bad rows that are named; the others are counted.
pub const ROW_ERRORS_MAX: usize = 100;
/// Rows handed to the store at once.
const BATCH_ROWS: usize = 1_000;
/// Accounts handed to the store at once: so many that numbers may move between the accounts of a file.
const BATCH_ACCOUNTS: usize = 100_000;
/// Batches that wait for the store.
const BATCHES_WAITING_MAX: usize = 4;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportKind {
    /// Companies that calls are answered for.
    Accounts,
    /// People who call them.
    Customers,
    /// People of theirs to whom calls go.
    Contacts,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// What it holds.
    pub kind: ImportKind,
    /// How its text is encoded.
    pub encoding: TextEncoding,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// What an import did, or with `dry_run` would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// What the file holds.
    pub kind: ImportKind,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Rows read.
    pub rows: u64,
    /// New records.
    pub created: u64,
    /// Records that were there.
    pub updated: u64,
    /// Columns whose names mean nothing here.
    pub ignored_columns: Vec<String>,
}

/// A bad row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// The line of the file it begins on, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: String,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file as a whole can't be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Some rows are bad.
    #[error("{} of the rows can't be imported; nothing was changed", errors.len() as u64 + more)]
    Rows {
        /// The first of them.
        errors: Vec<RowError>,
        /// How many more there are.
        more: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Rows on their way to the store.
#[derive(Debug)]
pub(crate) enum Batch {
    Accounts(Vec<Row<CheckedAccount>>),
    Customers(Vec<Row<CheckedCustomer>>),
    Contacts(Vec<Row<CheckedContact>>),
}

/// A good row.
#[derive(Debug)]
pub(crate) struct Row<T> {
    pub(crate) line: u64,
    pub(crate) value: T,
}

/// What the reading thread found.
struct Outcome {
    rows: u64,
    errors: Errors,
}

#[derive(Default)]
struct Errors {
    kept: Vec<RowError>,
    more: u64,
}

impl Directory {
    /// Imports `source`. The store's writing connection is held until the end; readers, and with them pops, go on.
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
        if !errors.kept.is_empty() {
            return Err(errors.into_error());
        }
        let created = transaction.created().await?;
        if options.dry_run {
            transaction.undo().await?;
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
        let (accounts, _) = self.store().accounts().all().await?;
        Ok(accounts.into_iter().map(|account| (account.fields.code.into(), account.id)).collect())
    }
}

/// Reads to the end whatever happens, so that every bad row is found; after the first one nothing is handed on.
fn read_rows(
    mut table: Table,
    mut reader: RowReader,
    kind: ImportKind,
    sender: &mpsc::Sender<Batch>,
) -> Result<Outcome, TableError> {
    let mut outcome = Outcome { rows: 0, errors: Errors::default() };
    let mut batch = Batch::new(kind);
    while let Some(record) = table.next_record()? {
        if record.is_blank() {
            continue;
        }
        outcome.rows += 1;
        if outcome.rows > ROWS_MAX {
            return Err(TableError::TooLong { rows: ROWS_MAX });
        }
        if let Err(problem) = reader.read(&record, &mut batch) {
            outcome.errors.add(RowError { line: record.line(), problem });
        }
        let is_good = outcome.errors.kept.is_empty();
        // A receiver that is gone has met the store's error, which is reported instead.
        if batch.is_full() {
            let full = std::mem::replace(&mut batch, Batch::new(kind));
            if is_good && sender.blocking_send(full).is_err() {
                return Ok(outcome);
            }
        }
    }
    if outcome.errors.kept.is_empty() {
        sender.blocking_send(batch).ok();
    }
    Ok(outcome)
}

/// Hands every batch to the store and collects the rows it refused.
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

impl Batch {
    fn new(kind: ImportKind) -> Self {
        match kind {
            ImportKind::Accounts => Self::Accounts(Vec::new()),
            ImportKind::Customers => Self::Customers(Vec::with_capacity(BATCH_ROWS)),
            ImportKind::Contacts => Self::Contacts(Vec::new()),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Accounts(rows) => rows.len() >= BATCH_ACCOUNTS,
            Self::Customers(rows) => rows.len() >= BATCH_ROWS,
            Self::Contacts(rows) => rows.len() >= BATCH_ROWS,
        }
    }
}

impl Errors {
    fn add(&mut self, error: RowError) {
        if self.kept.len() < ROW_ERRORS_MAX {
            self.kept.push(error);
        } else {
            self.more += 1;
        }
    }

    fn append(&mut self, other: Self) {
        self.more += other.more;
        other.kept.into_iter().for_each(|error| self.add(error));
    }

    fn into_error(mut self) -> ImportError {
        self.kept.sort_by_key(|error| error.line);
        ImportError::Rows { errors: self.kept, more: self.more }
    }
}

// The same battery over both stores.
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
