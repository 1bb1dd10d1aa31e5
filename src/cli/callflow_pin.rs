//! `toritsugi callflow pin`: with which PIN somebody of an account records its guidance by telephone.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::client::ClientArgs;
use super::named;
use super::output::print_line;
use super::password;

#[derive(Debug, Args)]
pub(super) struct Pin {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// What is entered for the account, 1 to 10 digits [default: the digits of its code].
    #[arg(long, value_name = "DIGITS")]
    entry: Option<String>,
    /// Remove the PIN: nobody records guidance by telephone.
    #[arg(long, conflicts_with = "entry")]
    remove: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl Pin {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let path = format!("/v1/accounts/{}/guidance-pin", named::account(&client, &self.account).await?);
        if self.remove {
            client.delete(&path).await?;
            print_line("the account has no PIN")?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut body = json!({ "pin": password::read_pin().await? });
        if let Some(entry) = self.entry {
            body["entry"] = json!(entry);
        }
        let set: Value = client.put(&path, &body).await?;
        let entry = set["entry"].as_str().unwrap_or_default();
        print_line(&format!("the PIN is set; a caller enters {entry} and # for the account, then the PIN"))?;
        Ok(ExitCode::SUCCESS)
    }
}
