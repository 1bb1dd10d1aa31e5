//! `toritsugi man [COMMAND]`: prints the manual page, generated from the definitions of the commands.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, CommandFactory};

use super::{Cli, output};

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command, for instance listen; without it, the page of toritsugi is printed.
    command: Option<String>,
}

impl Man {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut whole = Cli::command();
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
