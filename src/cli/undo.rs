//! `toritsugi undo`: what was deleted in the last ten minutes, and how it comes back: accounts, contacts, customers, users, and merges of
//! customers.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Global;
use super::client::ClientArgs;
use super::named::{self, Named};
use super::output::{Output, Table, plain, print, print_json, print_line};

const DELETED: Named = Named {
    what: "deleted record",
    path: "/v1/deletions",
    fields: &["code", "name"],
    is_searched: false,
    command: "toritsugi undo",
};

#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The record: its code, its name or the beginning of its id; without one, list them
    record: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl Undo {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let answer: Value = client.get(DELETED.path, &[]).await?;
        let deletions = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| plain(value.as_str().unwrap_or("-"));
        if let Some(record) = &self.record {
            let id = named::one_of(DELETED, record, deletions)?["id"].as_str().unwrap_or_default();
            let undone: Value = client.post(&format!("{}/{id}/undo", DELETED.path), &()).await?;
            if self.output.json {
                print_json(&undone)?;
            } else {
                print_line(&format!("{} {}: back", text(&undone["kind"]), text(&undone["name"])))?;
            }
        } else if self.output.json {
            print_json(deletions)?;
        } else {
            let mut table = Table::new(["ID", "KIND", "CODE", "NAME", "BY", "UNTIL"]);
            for deletion in deletions {
                let id: String = text(&deletion["id"]).chars().take(8).collect();
                let [kind, code, name, by, until] =
                    ["kind", "code", "name", "by_name", "until"].map(|field| text(&deletion[field]));
                table.row([&id, &kind, &code, &name, &by, &until]);
            }
            print(&table.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
