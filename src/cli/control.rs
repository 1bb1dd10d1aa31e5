//! `toritsugi answer|hold|resume|hangup|ask-help CALL`: call control for an operator.
//!
//! The phone itself answers, holds and resumes, which only some desk phones support (Yealink, Poly, Snom). The command
//! fails if the phone did not act.

use std::process::ExitCode;

use clap::Args;

use super::client::ClientArgs;

#[derive(Debug, Args)]
pub(super) struct Control {
    /// The id of the call (see `toritsugi calls --json`).
    #[arg(value_name = "CALL")]
    call: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Control {
    pub(super) async fn run(self, action: &str) -> anyhow::Result<ExitCode> {
        self.client.client()?.post_empty(&format!("/v1/calls/{}/{action}", self.call)).await?;
        Ok(ExitCode::SUCCESS)
    }
}
