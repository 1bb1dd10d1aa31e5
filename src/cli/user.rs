//! `toritsugi user`: people and systems that may use the daemon, and their tokens.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Global;
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a person or system and print a token, once.
    Add {
        /// The name to sign in with.
        name: String,
        /// operator, supervisor, admin or system.
        #[arg(long)]
        role: String,
        /// The extension this person answers at.
        #[arg(long)]
        extension: Option<String>,
        /// Write the token into this new file, readable by you alone, instead of printing it.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// List them; tokens cannot be shown again.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Make all tokens of one invalid.
    Revoke {
        /// Whose.
        name: String,
    },
}

impl User {
    pub(super) async fn run(self, _global: &Global) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`user` is not part of this version yet")
    }
}
