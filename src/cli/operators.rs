//! `toritsugi operators`: who is there and what each is doing.

use std::process::ExitCode;

use clap::Args;

use super::client::ClientArgs;
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Operators {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl Operators {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`operators` is not part of this version yet")
    }
}
