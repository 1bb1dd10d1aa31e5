//! `toritsugi backup` and `toritsugi restore`: copies of the SQLite database of the configuration.
//!
//! Invariant: a backup that the command names was read back in full. A restoration deletes nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use toritsugi::store::{Backup as Made, Location, Store};

use super::Global;
use super::output::{self, Output};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The new file.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A file that `toritsugi backup` made.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Backup {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let path = database(global, "pg_dump --format=custom --file=FILE")?;
        let made = Store::backup(&path, &self.file).await?;
        if self.output.json {
            output::print_json(&json!({ "file": self.file, "bytes": made.bytes, "calls": made.calls }))?;
        } else {
            output::print_line(&format!("{}: {}", self.file.display(), describe(&made)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let path = database(global, "pg_restore --dbname=DATABASE FILE")?;
        let suffix = format!(".before-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
        let (made, aside) = Store::restore(&self.file, &path, &suffix).await?;
        if self.output.json {
            output::print_json(&json!({
                "file": self.file, "bytes": made.bytes, "calls": made.calls, "before": aside,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        output::print_line(&format!("{}: restored; {}", path.display(), describe(&made)))?;
        if let Some(aside) = aside {
            let aside = aside.display();
            output::print_line(&format!(
                "the database that was there is {aside}; remove it when you do not need it"
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn database(global: &Global, instead: &str) -> anyhow::Result<PathBuf> {
    match global.config()?.store.location()? {
        Location::File(path) => Ok(path),
        Location::Postgres(_) => bail!("the store is on a PostgreSQL server: use {instead}"),
    }
}

fn describe(made: &Made) -> String {
    format!("{} calls, {} MiB, checked", made.calls, made.bytes.div_ceil(1024 * 1024))
}
