//! `toritsugi calls`: the calls of this moment, or all that happens to calls from now on.

use std::process::ExitCode;

use clap::Args;

use super::client::ClientArgs;
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Calls {
    /// Go on: print what happens, a line per event, until Ctrl-C.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl Calls {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`calls` is not part of this version yet")
    }
}
