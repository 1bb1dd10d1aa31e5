//! `toritsugi callflow templates`, `save-template` and `delete-template`: settings that callflows of accounts share.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::client::ClientArgs;
use super::named;
use super::output::{Output, Table, print, print_json, print_line};

const PATH: &str = "/v1/callflow-templates";

#[derive(Debug, Args)]
pub(super) struct Templates {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct SaveTemplate {
    /// The template's code: 1 to 40 letters, digits, '_' or '-'.
    code: String,
    /// The account whose settings it takes: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    from: String,
    /// How people call it [default: the code].
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
pub(super) struct DeleteTemplate {
    /// The template's code.
    code: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Templates {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let found: Value = client.get(PATH, &[]).await?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        if self.output.json {
            print_json(&found)?;
        } else if items.is_empty() {
            print_line("there is no template: toritsugi callflow save-template")?;
        } else {
            let mut table = Table::new(["CODE", "NAME", "BY", "CHANGED"]);
            for one in &items {
                let text = |key: &str| one[key].as_str().unwrap_or_default();
                table.row([text("code"), text("name"), text("by_name"), text("changed_at")]);
            }
            print(&table.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl SaveTemplate {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.from).await?;
        let callflow: Value = client.get(&format!("/v1/accounts/{account}/callflow"), &[]).await?;
        let body = json!({ "name": self.name.as_ref().unwrap_or(&self.code), "fields": callflow["fields"] });
        let query = if self.dry_run { "?dry_run=true" } else { "" };
        let written: Value = client.put(&format!("{PATH}/{}{query}", self.code), &body).await?;
        let count = |key: &str| written[key].as_u64().unwrap_or(0);
        let did = if self.dry_run { "would be" } else { "are" };
        print_line(&format!(
            "{} accounts follow it; the calls of {} of them, at {} numbers, {did} treated in another way",
            count("accounts"),
            count("changed"),
            count("numbers"),
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl DeleteTemplate {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        client.delete(&format!("{PATH}/{}", self.code)).await?;
        print_line("deleted")?;
        Ok(ExitCode::SUCCESS)
    }
}
