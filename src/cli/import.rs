//! `toritsugi import`: accounts, customers or contacts from a CSV file, all of it or nothing.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use toritsugi::directory::import::{ImportError, ImportKind, ImportOptions, ImportReport, TextEncoding};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::store::Store;

use super::Global;
use super::output::{self, Output};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// What the file holds.
    kind: Kind,
    /// The file.
    file: PathBuf,
    /// How its text is encoded.
    #[arg(long, value_enum, default_value_t = Encoding::Utf8)]
    encoding: Encoding,
    /// Read and check everything, change nothing.
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
        let file = File::open(&self.file).with_context(|| format!("cannot open {}", self.file.display()))?;
        let store = Store::open_at(&config.store.location()?).await?;
        let directory = Directory::load(store, DirectoryOptions::from(&config.directory)).await?;
        let options =
            ImportOptions { kind: self.kind.into(), encoding: self.encoding.into(), dry_run: self.dry_run };
        let outcome = directory.import(file, options, Timestamp::now()).await;
        directory.store().close().await;
        match outcome {
            Ok(report) => self.report(&report).map(|()| ExitCode::SUCCESS),
            Err(error @ ImportError::Rows { .. }) => self.complain(&error).map(|()| ExitCode::FAILURE),
            Err(error) => Err(error).with_context(|| self.file.display().to_string()),
        }
    }

    fn report(&self, report: &ImportReport) -> anyhow::Result<()> {
        if self.output.json {
            return output::print_json(report);
        }
        for column in &report.ignored_columns {
            output::complain(&format!("the column {column:?} means nothing here and was left out"));
        }
        let would = if report.dry_run { "would be " } else { "" };
        output::print_line(&format!(
            "{} rows: {} {would}created, {} {would}updated",
            report.rows, report.created, report.updated
        ))?;
        Ok(())
    }

    /// Every bad row gets a line.
    fn complain(&self, error: &ImportError) -> anyhow::Result<()> {
        let ImportError::Rows { errors, more } = error else { return Ok(()) };
        if self.output.json {
            output::print_json(&json!({ "errors": errors, "more": more }))?;
        }
        for row in errors {
            output::complain(&format!("{}:{}: {}", self.file.display(), row.line, row.problem));
        }
        let unnamed = if *more > 0 { format!(" ({more} of them not shown)") } else { String::new() };
        output::complain(&format!("toritsugi: {error}{unnamed}"));
        Ok(())
    }
}

impl From<Kind> for ImportKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Accounts => Self::Accounts,
            Kind::Customers => Self::Customers,
            Kind::Contacts => Self::Contacts,
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
