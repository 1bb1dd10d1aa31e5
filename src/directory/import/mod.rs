//! Accounts, customers and contacts from a CSV file.
//!
//! ```text
//! file ─▶ table.rs: records, text, line numbers ─▶ columns.rs: the meaning of each column ─▶ checked fields
//!                 (a blocking thread)                                                        │ batches
//!                                            store: upsert by code, see below ◀──────────────┘
//! ```
//!
//! | kind | written | a process that is killed leaves |
//! |---|---|---|
//! | accounts | in one transaction: numbers may move between them, and none is without its account meanwhile | nothing |
//! | customers, contacts | the file is read twice, first to check it; then in steps of about `STEP_TARGET`, so that whatever else is written waits briefly | the rows up to there; the same file again does the rest |
//!
//! A step is a transaction, which the disk confirms: with small steps an import would wait for the disk alone. In the process of the
//! daemon the store lets other writers write between two steps. Another process (`toritsugi import`) has no such queue with the
//! daemon, so it pauses after each step as long as the step was, up to `STEP_DELAY_MAX`.
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

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::Serialize;
use smol_str::SmolStr;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::columns::{Layout, RowReader};
use self::table::Table;
use super::lookup::Directory;
use crate::contract::import_batch::{Batch, Column, DeputyRow};
pub use crate::contract::import_batch::{ImportKind, RowError};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;
use crate::store::StoreError;
use crate::store::import::PresentColumns;

pub use self::columns::columns_of;
pub use self::table::{CELL_CHARS_MAX, TableError, TextEncoding};

/// Maximum number of rows of one file.
pub const ROWS_MAX: u64 = 5_000_000;
/// Maximum number of invalid rows that are named; the others are counted.
pub const ROW_ERRORS_MAX: usize = 100;
/// Maximum number of batches that wait for the store.
const BATCHES_WAITING_MAX: usize = 4;
/// How long a step may hold up other writers.
const STEP_TARGET: Duration = Duration::from_millis(50);
/// Rows of the first step.
const STEP_ROWS_FIRST: usize = 100;
/// Fewest rows of a step.
const STEP_ROWS_MIN: usize = 20;
/// Most rows of a step.
const STEP_ROWS_MAX: usize = 1_000;
/// Longest delay between two steps of an import beside a daemon, so that the daemon writes half of the time.
const STEP_DELAY_MAX: Duration = Duration::from_millis(50);

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
    /// Existing records that were changed.
    pub updated: u64,
    /// Existing records that are as the file has them.
    pub unchanged: u64,
    /// Columns with unknown names.
    pub ignored_columns: Vec<String>,
}

/// How far an import is. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ImportProgress(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    checked: AtomicU64,
    written: AtomicU64,
}

impl ImportProgress {
    /// Rows that were read and checked.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.0.checked.load(Ordering::Relaxed)
    }

    /// Rows that were written, or would have been.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    fn add_checked(&self) {
        self.0.checked.fetch_add(1, Ordering::Relaxed);
    }

    fn add_written(&self, rows: u64) {
        self.0.written.fetch_add(rows, Ordering::Relaxed);
    }
}

/// The first rows of a file, as they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The names of the columns.
    pub header: Vec<String>,
    /// The cells of each row; one that is no text in this encoding is `�`.
    pub rows: Vec<Vec<String>>,
}

impl Sample {
    /// Reads the header and up to `rows_max` rows.
    ///
    /// # Errors
    /// The file as a whole cannot be read.
    pub fn of(
        source: impl Read + Send + 'static,
        encoding: TextEncoding,
        rows_max: usize,
    ) -> Result<Self, TableError> {
        let mut table = Table::open(source, encoding)?;
        let mut rows = Vec::new();
        while rows.len() < rows_max {
            let Some(record) = table.next_record()? else { break };
            let cell = |at| record.cell(at).map_or_else(|_| "\u{fffd}".to_owned(), Option::unwrap_or_default);
            rows.push((0..record.width()).map(cell).collect());
        }
        Ok(Self { header: table.header().to_vec(), rows })
    }
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
    /// It ended in the middle, because the store failed or the account of a row was deleted meanwhile.
    #[error(
        "the import stopped after {written} rows, which are imported; import the same file again for the rest"
    )]
    Stopped {
        /// The rows that are imported.
        written: u64,
        /// What was in the way.
        #[source]
        source: Box<Self>,
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

/// What an import needs besides the file.
struct Job {
    options: ImportOptions,
    plan: NumberPlan,
    zone: TimeZone,
    mail_hosts: Vec<SmolStr>,
    accounts: HashMap<SmolStr, RecordId>,
    at: Timestamp,
}

/// Rows that are imported, and how many of them are new.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    rows: u64,
    created: u64,
    unchanged: u64,
}

/// How many rows the next step takes, and how long it waits after that.
struct Pace {
    rows: usize,
    /// Beside a daemon, in a process of its own.
    is_beside: bool,
}

impl Pace {
    fn new(is_beside: bool) -> Self {
        Self { rows: STEP_ROWS_FIRST, is_beside }
    }

    /// To be called after a step that began then.
    async fn after(&mut self, began: Instant) {
        let took = began.elapsed();
        let rows = if took > STEP_TARGET { self.rows / 2 } else { self.rows + self.rows / 2 };
        self.rows = rows.clamp(STEP_ROWS_MIN, STEP_ROWS_MAX);
        if self.is_beside {
            tokio::time::sleep(took.min(STEP_DELAY_MAX)).await;
        }
    }
}

impl Directory {
    /// Imports `source`, beside a daemon. Readers, and thus pops, are not blocked; other writers wait as the header of this module
    /// says.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub async fn import(
        &self,
        source: impl Read + Seek + Send + 'static,
        options: ImportOptions,
        at: Timestamp,
    ) -> Result<ImportReport, ImportError> {
        let progress = ImportProgress::default();
        self.import_at_pace(source, options, at, (&progress, Pace::new(true))).await
    }

    /// As [`Self::import`], in the process of the daemon; `progress` says meanwhile how far it is.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub async fn import_followed(
        &self,
        source: impl Read + Seek + Send + 'static,
        options: ImportOptions,
        at: Timestamp,
        progress: &ImportProgress,
    ) -> Result<ImportReport, ImportError> {
        self.import_at_pace(source, options, at, (progress, Pace::new(false))).await
    }

    async fn import_at_pace(
        &self,
        source: impl Read + Seek + Send + 'static,
        options: ImportOptions,
        at: Timestamp,
        (progress, pace): (&ImportProgress, Pace),
    ) -> Result<ImportReport, ImportError> {
        let accounts = match options.kind {
            ImportKind::Accounts => HashMap::new(),
            ImportKind::Customers | ImportKind::Contacts => self.codes().await?,
        };
        let (zone, mail_hosts) = (self.time_zone().clone(), self.shared.options.mail_hosts.clone());
        let job = Job { options, plan: *self.plan(), zone, mail_hosts, accounts, at };
        let source = Shared(Arc::new(Mutex::new(source)));
        let (mut reader, ignored_columns) = job.open(source.clone())?;
        reader.progress = Some(progress.clone());
        let present = reader.present.clone();
        let written = if options.kind == ImportKind::Accounts {
            self.import_at_once(&job, reader, (present, progress)).await?
        } else {
            let checking = tokio::task::spawn_blocking(move || reader.read(options.kind, |_| true));
            let outcome = checking.await.map_err(stopped)??;
            outcome.errors.into_result()?;
            source.0.lock().rewind().map_err(TableError::Read)?;
            let (reader, _) = job.open(source)?;
            self.import_in_steps(&job, reader, &present, (progress, pace)).await?
        };
        if !options.dry_run {
            self.refresh().await?;
        }
        let Written { rows, created, unchanged } = written;
        let updated = rows.saturating_sub(created + unchanged);
        let ImportOptions { kind, dry_run, .. } = options;
        Ok(ImportReport { kind, dry_run, rows, created, updated, unchanged, ignored_columns })
    }

    /// All rows in one transaction, or none.
    async fn import_at_once(
        &self,
        job: &Job,
        reader: FileReader,
        (present, progress): (PresentColumns, &ImportProgress),
    ) -> Result<Written, ImportError> {
        let (reading, mut batches) = reader.start(job.options.kind);
        let mut transaction = self.store().begin_import(job.options.kind, present, job.at).await?;
        let mut refused = Errors::default();
        while let Some(batch) = batches.recv().await {
            transaction.write(&batch).await?.into_iter().for_each(|error| refused.add(error));
            progress.add_written(batch.len() as u64);
        }
        let outcome = reading.await.map_err(stopped)??;
        let mut errors = outcome.errors;
        errors.append(refused);
        errors.into_result()?;
        let (created, unchanged) = (transaction.created(), transaction.unchanged());
        if job.options.dry_run {
            transaction.roll_back().await?;
        } else {
            transaction.commit().await?;
        }
        Ok(Written { rows: outcome.rows, created, unchanged })
    }

    /// A step is a transaction. The file was found valid.
    async fn import_in_steps(
        &self,
        job: &Job,
        reader: FileReader,
        present: &PresentColumns,
        (progress, mut pace): (&ImportProgress, Pace),
    ) -> Result<Written, ImportError> {
        let (reading, mut batches) = reader.start(job.options.kind);
        let mut written = Written::default();
        let mut deputies = Vec::new();
        while let Some(mut batch) = batches.recv().await {
            if present.contains(Column::Deputy) {
                deputies.extend(batch.deputies());
            }
            while !batch.is_empty() {
                let began = Instant::now();
                let step = batch.take_first(pace.rows);
                let done = match self.write_step(job, &step, present).await {
                    Ok(done) => done,
                    Err(error) => return Err(written.stopped_by(job, error)),
                };
                written.rows += step.len() as u64;
                progress.add_written(step.len() as u64);
                written.created += done.created;
                written.unchanged += done.unchanged;
                pace.after(began).await;
            }
        }
        // The file was changed after it was checked.
        let outcome = reading.await.map_err(stopped)?.map_err(ImportError::from);
        let is_whole = outcome.and_then(|outcome| outcome.errors.into_result());
        is_whole.map_err(|error| written.stopped_by(job, error))?;
        let named = self.write_deputies(job, deputies, present, pace).await;
        named.map_err(|error| written.stopped_by(job, error))?;
        Ok(written)
    }

    /// Writes who stands in for whom, after all contacts of the file, and as many at once as contacts.
    async fn write_deputies(
        &self,
        job: &Job,
        mut deputies: Vec<DeputyRow>,
        present: &PresentColumns,
        mut pace: Pace,
    ) -> Result<(), ImportError> {
        if job.options.dry_run {
            // The contacts of the file are not in the store.
            let known: HashSet<_> = deputies.iter().map(|row| (row.account, row.code.clone())).collect();
            let is_unknown = |row: &DeputyRow| {
                let code = row.deputy.clone().unwrap_or_default();
                row.deputy.as_ref() == Some(&row.code) || !known.contains(&(row.account, code))
            };
            deputies.retain(is_unknown);
        }
        let mut refused = Errors::default();
        while !deputies.is_empty() {
            let began = Instant::now();
            let rest = deputies.split_off(deputies.len().min(pace.rows));
            let rows = std::mem::replace(&mut deputies, rest);
            let mut transaction =
                self.store().begin_import(job.options.kind, present.clone(), job.at).await?;
            transaction.write_deputies(&rows).await?.into_iter().for_each(|error| refused.add(error));
            if job.options.dry_run {
                transaction.roll_back().await?;
            } else {
                transaction.commit().await?;
            }
            pace.after(began).await;
        }
        refused.into_result()
    }

    /// Returns how many of the rows are new, and how many were there as they are.
    async fn write_step(
        &self,
        job: &Job,
        rows: &Batch,
        present: &PresentColumns,
    ) -> Result<Written, ImportError> {
        let mut transaction = self.store().begin_import(job.options.kind, present.clone(), job.at).await?;
        let mut refused = Errors::default();
        transaction.write(rows).await?.into_iter().for_each(|error| refused.add(error));
        refused.into_result()?;
        let (created, unchanged) = (transaction.created(), transaction.unchanged());
        if job.options.dry_run {
            transaction.roll_back().await?;
        } else {
            transaction.commit().await?;
        }
        Ok(Written { rows: rows.len() as u64, created, unchanged })
    }

    async fn codes(&self) -> Result<HashMap<SmolStr, RecordId>, StoreError> {
        let (accounts, _) = self.store().all_accounts().await?;
        Ok(accounts.into_iter().map(|account| (account.fields.code.into(), account.id)).collect())
    }
}

impl Written {
    fn stopped_by(self, job: &Job, error: ImportError) -> ImportError {
        let is_changed = self.rows > 0 && !job.options.dry_run;
        if is_changed { ImportError::Stopped { written: self.rows, source: Box::new(error) } } else { error }
    }
}

fn stopped(error: tokio::task::JoinError) -> TableError {
    TableError::Read(io::Error::other(error))
}

/// A file that is read twice, one reader after the other.
struct Shared<S>(Arc<Mutex<S>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Read> Read for Shared<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.lock().read(bytes)
    }
}

/// A file whose header is read.
struct FileReader {
    table: Table,
    rows: RowReader,
    present: PresentColumns,
    /// Where it counts the rows, on its first way through the file.
    progress: Option<ImportProgress>,
}

impl Job {
    /// Reads the header; also returns the columns that nobody knows.
    fn open(&self, source: impl Read + Send + 'static) -> Result<(FileReader, Vec<String>), TableError> {
        let table = Table::open(source, self.options.encoding)?;
        let (layout, ignored) =
            Layout::of(self.options.kind, table.header()).map_err(|problem| table.header_error(problem))?;
        let present = layout.present();
        let (mail_hosts, accounts) = (self.mail_hosts.clone(), self.accounts.clone());
        let rows = RowReader::new(layout, (self.plan, self.zone.clone()), mail_hosts, accounts);
        Ok((FileReader { table, rows, present, progress: None }, ignored))
    }
}

impl FileReader {
    /// Reads the file on a thread of its own; the batches are to be received.
    fn start(mut self, kind: ImportKind) -> (JoinHandle<Result<Outcome, TableError>>, mpsc::Receiver<Batch>) {
        let (sender, batches) = mpsc::channel(BATCHES_WAITING_MAX);
        // The receiver is gone after an error of the store; that error is reported instead.
        let send = move |batch| sender.blocking_send(batch).is_ok();
        (tokio::task::spawn_blocking(move || self.read(kind, send)), batches)
    }

    /// Reads the whole file, so that every invalid row is found; after the first one no batch goes to `send`, nor after
    /// `send` has refused one.
    fn read(&mut self, kind: ImportKind, send: impl Fn(Batch) -> bool) -> Result<Outcome, TableError> {
        let mut outcome = Outcome { rows: 0, errors: Errors::default() };
        let mut batch = Batch::new(kind);
        while let Some(record) = self.table.next_record()? {
            outcome.rows += 1;
            if let Some(progress) = &self.progress {
                progress.add_checked();
            }
            if outcome.rows > ROWS_MAX {
                return Err(TableError::TooLong { rows: ROWS_MAX });
            }
            if let Err(problem) = self.rows.read(&record, &mut batch) {
                outcome.errors.add(RowError { line: record.line(), problem });
            }
            if batch.is_full() {
                let full = std::mem::replace(&mut batch, Batch::new(kind));
                if outcome.errors.named.is_empty() && !send(full) {
                    return Ok(outcome);
                }
            }
        }
        if outcome.errors.named.is_empty() {
            send(batch);
        }
        Ok(outcome)
    }
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

    fn into_result(mut self) -> Result<(), ImportError> {
        if self.named.is_empty() {
            return Ok(());
        }
        self.named.sort_by_key(|error| error.line);
        Err(ImportError::Rows { errors: self.named, more: self.more })
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
