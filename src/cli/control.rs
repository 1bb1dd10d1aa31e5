//! `toritsugi answer|hold|resume|hangup|ask-help CALL`: call control for an operator, and requests for help.
//!
//! The phone itself answers, holds and resumes, which only some desk phones support (Yealink, Poly, Snom). The command
//! fails if the phone did not act.

use std::process::ExitCode;

use clap::Args;

use super::Global;
use super::calls::PRESENT_CALLS;
use super::client::ClientArgs;

#[derive(Debug, Args)]
pub(super) struct Control {
    /// The id of the call, or its beginning, as `toritsugi calls` prints it.
    #[arg(value_name = "CALL")]
    call: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Control {
    pub(super) async fn run(self, global: &Global, action: &str) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let call = client.whole_id(&self.call, PRESENT_CALLS).await?;
        client.post_empty(&format!("/v1/calls/{call}/{action}")).await?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(super) struct AskHelp {
    #[command(flatten)]
    control: Control,
    /// Take the request back.
    #[arg(long)]
    withdraw: bool,
}

impl AskHelp {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        if !self.withdraw {
            return self.control.run(global, "help").await;
        }
        let client = self.control.client.client(global)?;
        let call = client.whole_id(&self.control.call, PRESENT_CALLS).await?;
        client.delete(&format!("/v1/calls/{call}/help")).await?;
        Ok(ExitCode::SUCCESS)
    }
}
