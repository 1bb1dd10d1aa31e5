//! `toritsugi man [COMMAND]`: prints the manual page, generated from the definitions of the commands. With `--to` it
//! writes the pages of all commands, for a package.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, CommandFactory};

use super::{Cli, help, output};

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command, for instance listen; without it, the page of toritsugi is printed.
    command: Option<String>,
    /// Write the page of each command as a file into this directory.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command")]
    to: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut whole = help::describe(Cli::command().disable_help_subcommand(true));
        if let Some(directory) = &self.to {
            clap_mangen::generate_to(whole, directory)
                .with_context(|| format!("cannot write the pages into {}", directory.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        whole.build();
        let command = match &self.command {
            None => whole,
            Some(name) => match whole.find_subcommand(name) {
                Some(found) => found.clone(),
                None => bail!("there is no command {name}; `toritsugi --help` lists the commands"),
            },
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        output::print(&String::from_utf8_lossy(&page))?;
        Ok(ExitCode::SUCCESS)
    }
}
