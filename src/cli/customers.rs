//! `toritsugi customers`: the callers whom accounts know, and what was sent about one of them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::ClientArgs;
use super::language::say;
use super::named::{self, CUSTOMER};
use super::output::{Output, Table, print, print_json, print_line};
use super::records::{Of, RecordsCommand};

#[derive(Debug, Args)]
pub(super) struct Customers {
    #[command(subcommand)]
    command: CustomersCommand,
}

#[derive(Debug, Subcommand)]
enum CustomersCommand {
    #[command(flatten)]
    Records(RecordsCommand),
    /// List what was sent about a customer to whom, also after the deletion: recipients can be asked to delete it.
    Sent(Sent),
}

#[derive(Debug, Args)]
struct Sent {
    /// The customer: the code, the name or the beginning of the id; of one who was deleted, the whole id, from
    /// `toritsugi audit --action customer.deleted`.
    customer: String,
    /// The account of the record, where its code alone is not enough.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Copies {
    items: Vec<CopyLine>,
    has_more: bool,
    is_complete: bool,
}

/// The printed fields of a copy.
#[derive(Debug, Deserialize)]
struct CopyLine {
    number: Option<String>,
    at: String,
    channel: String,
    contact_name: Option<String>,
    address: String,
    state: String,
    in_digest: bool,
}

impl Customers {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            CustomersCommand::Records(command) => command.run(global, Of::Customers).await,
            CustomersCommand::Sent(command) => command.run(global).await,
        }
    }
}

impl Sent {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let filter = named::account_filter(&client, self.account.as_deref()).await?;
        let id = named::id_of(&client, CUSTOMER, &self.customer, &filter).await?;
        let path = format!("{}/{id}/sent", CUSTOMER.path);
        if self.output.json {
            print_json(&client.get::<Value>(&path, &[]).await?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let copies: Copies = client.get(&path, &[]).await?;
        print(&table(&copies.items))?;
        if copies.has_more {
            print_line(&say("there are more than these 500"))?;
        }
        if !copies.is_complete {
            print_line(&say("the customer is still being removed: ask again later for the rest"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(copies: &[CopyLine]) -> String {
    let mut table = Table::new(["MESSAGE", "SENT", "HOW", "TO", "ADDRESS", "STATE"]);
    for copy in copies {
        let how = if copy.in_digest { format!("{} (digest)", copy.channel) } else { copy.channel.clone() };
        let address = if copy.address.is_empty() { "-" } else { &copy.address };
        table.row([
            copy.number.as_deref().unwrap_or("-"),
            &copy.at,
            &how,
            copy.contact_name.as_deref().unwrap_or("-"),
            address,
            &copy.state,
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_a_table() {
        let copies: Copies = serde_json::from_str(
            r#"{"items":[{"number":"261130-0007","at":"2026-11-30T05:00:00.000Z","channel":"mail","contact_name":"佐々木",
                "address":"a@example.jp","state":"sent","in_digest":false},
                {"number":"261130-0007","at":"2026-11-30T09:00:00.000Z","channel":"mail","address":"","state":"sent","in_digest":true}],
                "has_more":false,"is_complete":true}"#,
        )
        .unwrap();
        let expected = "\
MESSAGE      SENT                      HOW            TO      ADDRESS       STATE
261130-0007  2026-11-30T05:00:00.000Z  mail           佐々木  a@example.jp  sent
261130-0007  2026-11-30T09:00:00.000Z  mail (digest)  -       -             sent
";
        assert_eq!(table(&copies.items), expected);
    }
}
