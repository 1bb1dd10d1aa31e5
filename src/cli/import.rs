//! `toritsugi import`: accounts, customers or contacts from a CSV file, all of it or nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Global;
use super::output::Output;

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
    pub(super) async fn run(self, _global: &Global) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`import` is not part of this version yet")
    }
}
