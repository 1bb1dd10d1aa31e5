//! `toritsugi answer|hold|resume|hangup|ask-help CALL`: what an operator does with a call.
//!
//! Answering, holding and resuming are done by the phone itself, and only by phones that can (Yealink, Poly, Snom);
//! the command fails where the phone did not do it.

use std::process::ExitCode;

use clap::Args;

use super::client::ClientArgs;

#[derive(Debug, Args)]
pub(super) struct Control {
    /// The call, as `toritsugi calls` lists it.
    #[arg(value_name = "CALL")]
    call: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Control {
    pub(super) async fn run(self, verb: &str) -> anyhow::Result<ExitCode> {
        self.client.client()?.order(&format!("/v1/calls/{}/{verb}", self.call)).await?;
        Ok(ExitCode::SUCCESS)
    }
}
