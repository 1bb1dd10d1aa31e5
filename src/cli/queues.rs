//! `toritsugi queues`: the queues of the PBX, with their members and the accounts whose callers wait in them.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Global;
use super::client::ClientArgs;
use super::output::{Output, Table, plain, print, print_json, print_line};

/// Accounts that a line names; the others are counted.
const ACCOUNTS_NAMED_MAX: usize = 5;

#[derive(Debug, Args)]
pub(super) struct Queues {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl Queues {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let found: Value = client.get("/v1/queues", &[]).await?;
        if self.output.json {
            print_json(&found)?;
            return Ok(ExitCode::SUCCESS);
        }
        if found["is_known"] != true {
            print_line("the PBX has not listed its queues yet")?;
        }
        let items = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut table = Table::new(["QUEUE", "STRATEGY", "MEMBERS", "ACCOUNTS", "TEMPLATES", "FINDINGS"]);
        for queue in items {
            let text = |key: &str| plain(queue[key].as_str().unwrap_or("-"));
            let words = |key: &str| listed(&queue[key]);
            let members = queue["members"].as_array().map_or(0, Vec::len).to_string();
            table.row([
                &text("name"),
                &text("strategy"),
                &members,
                &accounts(queue),
                &words("templates"),
                &words("findings"),
            ]);
        }
        print(&table.render())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(items: &Value) -> String {
    let words: Vec<&str> = items.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() { "-".to_owned() } else { plain(&words.join(", ")) }
}

/// How many accounts, and the codes of the first.
fn accounts(queue: &Value) -> String {
    let count = queue["accounts_count"].as_u64().unwrap_or(0);
    let codes = queue["accounts"].as_array().into_iter().flatten().filter_map(|one| one["code"].as_str());
    let named: Vec<&str> = codes.take(ACCOUNTS_NAMED_MAX).collect();
    if named.is_empty() {
        return "0".to_owned();
    }
    let more = if count > named.len() as u64 { ", …" } else { "" };
    plain(&format!("{count} ({}{more})", named.join(", ")))
}
