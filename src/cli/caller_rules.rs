//! `toritsugi callflow rules`, `refuse`, `prefer` and `allow`: callers whom accounts refuse, or who are answered first.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Global;
use super::callflow::end;
use super::client::{ClientArgs, Ids};
use super::named;
use super::output::{Output, Table, print, print_json, print_line};

const PATH: &str = "/v1/caller-rules";

#[derive(Debug, Args)]
pub(super) struct Rules {
    /// Only those of this account: its code, its name or the beginning of its id.
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Refuse {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The caller's number.
    number: String,
    /// Why; others read it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Until when: 18:00, tomorrow, 2026-12-01, RFC 3339, or from now on: 90m, 2h, 30d [default: until it is deleted].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
pub(super) struct Prefer {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The caller's number.
    number: String,
    /// How much the caller gains in the queue: 1 to 5.
    #[arg(long, value_name = "N", default_value_t = 1)]
    priority: u32,
    /// Why; others read it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Until when: 18:00, tomorrow, 2026-12-01, RFC 3339, or from now on: 90m, 2h, 30d [default: until it is deleted].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
pub(super) struct Allow {
    /// The rule: its id, or the beginning of it.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Rules {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = match &self.account {
            Some(account) => Some(named::account(&client, account).await?),
            None => None,
        };
        let query: Vec<(&str, &str)> = account.iter().map(|id| ("account", id.as_str())).collect();
        let found: Value = client.get(PATH, &query).await?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        if self.output.json {
            print_json(&found)?;
        } else if items.is_empty() {
            print_line("no caller is refused or preferred")?;
        } else {
            let mut table =
                Table::new(["ID", "ACCOUNT", "NUMBER", "RULE", "PRIORITY", "UNTIL", "BY", "REASON"]);
            for one in &items {
                let text = |key: &str| one[key].as_str().unwrap_or_default();
                let priority = one["priority"].to_string();
                let until = one["until"].as_str().unwrap_or("it is deleted");
                table.row([
                    text("id"),
                    text("account"),
                    text("number"),
                    text("rule"),
                    &priority,
                    until,
                    text("by_name"),
                    text("note"),
                ]);
            }
            print(&table.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Refuse {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let body = json!({ "number": self.number, "rule": "refuse", "note": self.reason });
        set(global, &self.client, &self.account, body, self.until.as_deref()).await
    }
}

impl Prefer {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let body = json!({
            "number": self.number, "rule": "prefer", "note": self.reason, "priority": self.priority,
        });
        set(global, &self.client, &self.account, body, self.until.as_deref()).await
    }
}

async fn set(
    global: &Global,
    client: &ClientArgs,
    account: &str,
    mut body: Value,
    until: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let client = client.client(global)?;
    body["account"] = json!(named::account(&client, account).await?);
    if let Some(until) = until {
        body["until"] = json!(end("--until", until, Timestamp::now())?);
    }
    let set: Value = client.post(PATH, &body).await?;
    let until = set["until"].as_str().map_or_else(
        || "until it is deleted with toritsugi callflow allow".to_owned(),
        |until| format!("until {until}"),
    );
    let text = |key: &str| set[key].as_str().unwrap_or_default();
    print_line(&format!("{} {} {until}: {}", text("rule"), text("number"), text("id")))?;
    Ok(ExitCode::SUCCESS)
}

impl Allow {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let ids = Ids { what: "caller rule", paths: &[PATH], command: "toritsugi callflow rules" };
        let id = client.whole_id(&self.id, ids).await?;
        client.delete(&format!("{PATH}/{id}")).await?;
        print_line("deleted; the caller is treated as everybody")?;
        Ok(ExitCode::SUCCESS)
    }
}
