//! `toritsugi faxes`: lists received faxes, saves their documents, and deletes them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::{Client, ClientArgs, Ids};
use super::named;
use super::output::{Output, Table, print, print_error, print_json};
use super::when;

const PATH: &str = "/v1/faxes";
/// The newest faxes, among which the beginning of an id is looked for.
const NEWEST: Ids = Ids {
    what: "fax among the newest 500",
    paths: &["/v1/faxes?limit=500"],
    command: "toritsugi faxes list",
};

#[derive(Debug, Args)]
pub(super) struct Faxes {
    #[command(subcommand)]
    command: FaxesCommand,
}

#[derive(Debug, Subcommand)]
enum FaxesCommand {
    /// List received faxes, the newest first.
    List(List),
    /// Save the document of a fax (PDF).
    Get(Get),
    /// Delete a fax with its document.
    Delete(Delete),
}

#[derive(Debug, Args)]
struct List {
    /// Only faxes for this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only faxes in this state: complete, partial, unconfirmed or unreadable.
    #[arg(long)]
    state: Option<String>,
    /// Only faxes that arrived at or after this time: today, -2h, 2026-11-29, 14:30, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    from: Option<Timestamp>,
    /// Only faxes that arrived before this time.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    to: Option<Timestamp>,
    /// How many faxes, the newest first, 1 to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Get {
    /// The id of the fax, or the beginning of it.
    #[arg(value_name = "ID")]
    fax: String,
    /// The file; fax-ID.pdf in this directory if absent. An existing file is not replaced.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Delete {
    /// The id of the fax, or the beginning of it.
    #[arg(value_name = "ID")]
    fax: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// The printed fields of a fax.
#[derive(Debug, Deserialize)]
struct Fax {
    id: String,
    received_at: Timestamp,
    state: String,
    pages: u32,
    dialled: Option<String>,
    caller: Option<String>,
    station: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Fax>,
}

impl Faxes {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            FaxesCommand::List(list) => list.run(global).await?,
            FaxesCommand::Get(get) => get.run(global).await?,
            FaxesCommand::Delete(Delete { fax, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&fax, NEWEST).await?;
                client.delete(&format!("{PATH}/{id}")).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let account = named::account_filter(&client, self.account.as_deref()).await?.pop().map(|(_, id)| id);
        let given = [
            ("account", account),
            ("state", self.state),
            ("from", self.from.map(|at| at.to_string())),
            ("to", self.to.map(|at| at.to_string())),
            ("limit", Some(self.limit.to_string())),
        ];
        let query: Vec<(&str, String)> =
            given.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
        let query: Vec<_> = query.iter().map(|(key, text)| (*key, text.as_str())).collect();
        if self.output.json {
            return print_json(&client.get::<Value>(PATH, &query).await?);
        }
        let page: Page = client.get(PATH, &query).await?;
        print(&table(&page.items, &TimeZone::system()))?;
        Ok(())
    }
}

impl Get {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client: Client = self.client.client(global)?;
        let id = client.whole_id(&self.fax, NEWEST).await?;
        let answer = client.download(&format!("{PATH}/{id}/document"), &[]).await?;
        let path = self.output.unwrap_or_else(|| PathBuf::from(format!("fax-{id}.pdf")));
        let shown = path.display().to_string();
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(|| format!("cannot write {shown}"))?;
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.context("the connection ended in the middle of the document")?;
            file.write_all(&chunk).with_context(|| format!("cannot write {shown}"))?;
        }
        print_error(&format!("saved {shown}"));
        Ok(())
    }
}

fn table(faxes: &[Fax], zone: &TimeZone) -> String {
    let mut table = Table::new(["ID", "TIME", "STATE", "PAGES", "DIALLED", "FROM", "STATION"]);
    for one in faxes {
        let time = one.received_at.to_zoned(zone.clone()).strftime("%m-%d %H:%M").to_string();
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        table.row([
            &one.id,
            &time,
            &one.state,
            &one.pages.to_string(),
            &or_dash(&one.dialled),
            &or_dash(&one.caller),
            &or_dash(&one.station),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fax_is_one_line() {
        let fax = serde_json::json!({
            "id": "0197", "received_at": "2026-11-29T16:34:57Z", "state": "partial", "pages": 3,
            "dialled": "+81355501091", "station": "0312\u{1b}[2J",
        });
        let text = table(&[serde_json::from_value(fax).unwrap()], &TimeZone::UTC);
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.starts_with("0197  11-29 16:34  partial  3      +81355501091  -     0312?[2J"),
            "{text}"
        );
    }
}
