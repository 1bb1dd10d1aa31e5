//! `toritsugi callflow recordings`, `confirm` and `discard`: guidance that accounts recorded by telephone and that waits.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::client::{Client, ClientArgs};
use super::named;
use super::output::{Output, Table, print, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct Recordings {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
pub(super) struct Discard {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Recordings {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let found: Value = client.get("/v1/guidance-drafts", &[]).await?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        if self.output.json {
            print_json(&found)?;
        } else if items.is_empty() {
            print_line("no recording waits")?;
        } else {
            let mut table = Table::new(["ACCOUNT", "SOUND", "SECONDS", "USED FROM", "RECORDED"]);
            for one in &items {
                let text = |key: &str| one[key].as_str().unwrap_or_default();
                let seconds = format!("{}", one["ms"].as_u64().unwrap_or(0) / 1_000);
                table.row([
                    text("account_name"),
                    text("name"),
                    &seconds,
                    text("used_from"),
                    text("recorded_at"),
                ]);
            }
            print(&table.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The id of the account, and of the sound that waits for it.
async fn waiting(client: &Client, account: &str) -> anyhow::Result<(String, String)> {
    let account = named::account(client, account).await?;
    let found: Value = client.get("/v1/guidance-drafts", &[]).await?;
    let mut items = found["items"].as_array().into_iter().flatten();
    let Some(draft) = items.find(|one| one["account"].as_str() == Some(account.as_str())) else {
        bail!("no recording of this account waits; see toritsugi callflow recordings")
    };
    Ok((account, draft["sound"].as_str().unwrap_or_default().to_owned()))
}

impl Confirm {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let (account, sound) = waiting(&client, &self.account).await?;
        let path = format!("/v1/accounts/{account}/guidance-draft/confirm");
        let _: Value = client.post(&path, &json!({ "sound": sound })).await?;
        print_line("confirmed; callers hear it out of hours from the next call on")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Discard {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let (account, sound) = waiting(&client, &self.account).await?;
        client.delete(&format!("/v1/accounts/{account}/guidance-draft?sound={sound}")).await?;
        print_line("discarded; callers hear what they heard before")?;
        Ok(ExitCode::SUCCESS)
    }
}
