//! `toritsugi import`: imports accounts, customers, contacts or national holidays from a CSV file.
//!
//! Invariant: a file with an invalid row changes nothing, and each invalid row is reported with its line.

use std::fs::File;
use std::io::{self, Seek};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use serde_json::json;
use toritsugi::directory::Directory;
use toritsugi::directory::import::holidays::HolidayReport;
use toritsugi::directory::import::{ImportError, ImportKind, ImportOptions, ImportReport, TextEncoding};
use toritsugi::store::Store;

use super::output::{self, Output};
use super::{Global, audit};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The kind of records in the file.
    kind: Kind,
    /// The CSV file.
    file: PathBuf,
    /// The encoding of the file.
    #[arg(long, value_enum, default_value_t = Encoding::Utf8)]
    encoding: Encoding,
    /// Read and check all rows, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Accounts,
    Customers,
    Contacts,
    /// The Cabinet Office's table of national holidays (syukujitsu.csv, in Shift_JIS).
    Holidays,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Encoding {
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "shift_jis", alias = "cp932")]
    ShiftJis,
}

impl Import {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let file = File::open(&self.file).and_then(readable_twice);
        let file = file.with_context(|| format!("cannot open {}", self.file.display()))?;
        let store = Store::open_at(&config.store.location()?).await?;
        let directory = Directory::load(store, config.directory_options()).await?;
        let Some(kind) = self.kind.records() else { return self.import_holidays(&directory, file).await };
        let options = ImportOptions { kind, encoding: self.encoding.into(), dry_run: self.dry_run };
        let outcome = directory.import(file, options, Timestamp::now()).await;
        if let Ok(report) = outcome.as_ref()
            && !report.dry_run
        {
            let details = json!({ "rows": report.rows, "created": report.created, "updated": report.updated,
                    "unchanged": report.unchanged });
            let action = match kind {
                ImportKind::Accounts => "account.imported",
                ImportKind::Customers => "customer.imported",
                ImportKind::Contacts => "contact.imported",
            };
            audit::record(directory.store(), action, ("", None), details).await;
        }
        directory.store().close().await;
        self.end(outcome, Self::print_report)
    }

    async fn import_holidays(&self, directory: &Directory, file: File) -> anyhow::Result<ExitCode> {
        let outcome = directory.import_holidays(file, self.encoding.into(), self.dry_run).await;
        if let Ok(report) = outcome.as_ref()
            && !report.dry_run
        {
            let years = (report.first_year, report.last_year);
            let details = json!({ "days": report.days, "first_year": years.0, "last_year": years.1 });
            audit::record(directory.store(), "holiday.imported", ("", None), details).await;
        }
        directory.store().close().await;
        self.end(outcome, |import, report| {
            if import.output.json {
                return output::print_json(report);
            }
            let HolidayReport { dry_run, days, first_year, last_year } = report;
            let are = if *dry_run { "would be" } else { "are" };
            output::print_line(&format!(
                "{days} days: the holidays of {first_year} to {last_year} {are} these"
            ))?;
            Ok(())
        })
    }

    /// Prints the outcome; the exit code says whether the file was imported.
    fn end<R>(
        &self,
        outcome: Result<R, ImportError>,
        print: impl Fn(&Self, &R) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        match outcome {
            Ok(report) => print(self, &report).map(|()| ExitCode::SUCCESS),
            Err(error @ ImportError::Rows { .. }) => {
                let more = self.print_row_errors(&error)?;
                let hidden = if more > 0 { format!(" ({more} of them not shown)") } else { String::new() };
                output::print_error(&format!("toritsugi: {error}{hidden}"));
                Ok(ExitCode::FAILURE)
            }
            Err(ImportError::Stopped { written, source }) => {
                self.print_row_errors(&source)?;
                Err(ImportError::Stopped { written, source }).with_context(|| self.file.display().to_string())
            }
            Err(error) => Err(error).with_context(|| self.file.display().to_string()),
        }
    }

    fn print_report(&self, report: &ImportReport) -> anyhow::Result<()> {
        if self.output.json {
            return output::print_json(report);
        }
        for column in &report.ignored_columns {
            output::print_error(&format!("the column {column:?} is unknown and was ignored"));
        }
        let would = if report.dry_run { "would be " } else { "" };
        output::print_line(&format!(
            "{} rows: {} {would}created, {} {would}updated, {} unchanged",
            report.rows, report.created, report.updated, report.unchanged
        ))?;
        Ok(())
    }

    /// Prints one line for each invalid row; returns how many more there are.
    fn print_row_errors(&self, error: &ImportError) -> anyhow::Result<u64> {
        let ImportError::Rows { errors, more } = error else { return Ok(0) };
        if self.output.json {
            output::print_json(&json!({ "errors": errors, "more": more }))?;
        }
        for row in errors {
            output::print_error(&format!("{}:{}: {}", self.file.display(), row.line, row.problem));
        }
        Ok(*more)
    }
}

/// What comes through a pipe cannot be read twice: it is kept in a file without a name, which goes with the process.
fn readable_twice(mut file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mut kept = File::from(rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(&mut file, &mut kept)?;
    kept.rewind()?;
    Ok(kept)
}

impl Kind {
    /// The kind of records; `None` for holidays.
    fn records(self) -> Option<ImportKind> {
        match self {
            Self::Accounts => Some(ImportKind::Accounts),
            Self::Customers => Some(ImportKind::Customers),
            Self::Contacts => Some(ImportKind::Contacts),
            Self::Holidays => None,
        }
    }
}

impl From<Encoding> for TextEncoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Utf8 => Self::Utf8,
            Encoding::ShiftJis => Self::ShiftJis,
        }
    }
}
