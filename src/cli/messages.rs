//! `toritsugi messages`: lists messages and how far their delivery is, and sends one again.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::{ClientArgs, Ids};
use super::output::{Output, Table, print, print_json};

/// The resources.
const MESSAGES: &str = "/v1/messages";
const DELIVERIES: &str = "/v1/deliveries";
/// The ids that the two lists print.
const MESSAGE_IDS: Ids = Ids { what: "message", paths: &[MESSAGES], command: "toritsugi messages list" };
const DELIVERY_IDS: Ids =
    Ids { what: "delivery", paths: &[DELIVERIES], command: "toritsugi messages deliveries" };
/// Characters of a text that a table shows.
const TEXT_CHARS_MAX: usize = 30;

#[derive(Debug, Args)]
pub(super) struct Messages {
    #[command(subcommand)]
    command: MessagesCommand,
}

#[derive(Debug, Subcommand)]
enum MessagesCommand {
    /// List the latest messages, the newest first, and how far their delivery is.
    List(List),
    /// List the latest deliveries of messages, with what the mail server said.
    Deliveries(Deliveries),
    /// Send a message again to the recipient of a delivery, now.
    Resend(Resend),
}

#[derive(Debug, Args)]
struct List {
    /// Only those in this state: open, sent, failed or acknowledged.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Deliveries {
    /// Only those in this state: queued, sending, sent, bounced, failed or cancelled.
    #[arg(long)]
    state: Option<String>,
    /// Only those of this message.
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Resend {
    /// The id of the delivery, from `toritsugi messages deliveries`.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    items: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct Message {
    id: String,
    created_at: String,
    state: String,
    text: String,
    delivery: MessageDelivery,
}

#[derive(Debug, Deserialize)]
struct MessageDelivery {
    state: String,
    reason: Option<String>,
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    id: String,
    created_at: String,
    address: String,
    state: String,
    attempts: u32,
    error: Option<String>,
}

impl Messages {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            MessagesCommand::List(List { state, client, output }) => {
                let client = client.client(global)?;
                let query: Vec<_> = state.iter().map(|state| ("state", state.as_str())).collect();
                if output.json {
                    print_json(&client.get::<Value>(MESSAGES, &query).await?)?;
                } else {
                    print(&message_table(&client.get::<Page<Message>>(MESSAGES, &query).await?.items))?;
                }
            }
            MessagesCommand::Deliveries(Deliveries { state, message, client, output }) => {
                let client = client.client(global)?;
                let message = match message {
                    Some(id) => Some(client.whole_id(&id, MESSAGE_IDS).await?.to_string()),
                    None => None,
                };
                let mut query: Vec<_> = state.iter().map(|state| ("state", state.as_str())).collect();
                query.extend(message.iter().map(|id| ("message", id.as_str())));
                if output.json {
                    print_json(&client.get::<Value>(DELIVERIES, &query).await?)?;
                } else {
                    print(&delivery_table(&client.get::<Page<Delivery>>(DELIVERIES, &query).await?.items))?;
                }
            }
            MessagesCommand::Resend(Resend { id, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, DELIVERY_IDS).await?;
                client.post_empty(&format!("{DELIVERIES}/{id}/retry")).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn message_table(messages: &[Message]) -> String {
    let mut table = Table::new(["ID", "TAKEN", "STATE", "DELIVERY", "WHY", "TEXT"]);
    for message in messages {
        let delivery = &message.delivery;
        let why = delivery.last_error.as_deref().or(delivery.reason.as_deref());
        let text: String = message.text.chars().take(TEXT_CHARS_MAX).collect();
        table.row([
            &message.id,
            &message.created_at,
            &message.state,
            &delivery.state,
            why.unwrap_or("-"),
            &text.replace('\n', " "),
        ]);
    }
    table.render()
}

fn delivery_table(deliveries: &[Delivery]) -> String {
    let mut table = Table::new(["ID", "MADE", "ADDRESS", "STATE", "TRIES", "WHY"]);
    for delivery in deliveries {
        table.row([
            &delivery.id,
            &delivery.created_at,
            &delivery.address,
            &delivery.state,
            &delivery.attempts.to_string(),
            delivery.error.as_deref().unwrap_or("-"),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_deliveries_are_tables() {
        let messages: Page<Message> = serde_json::from_str(
            r#"{"items":[{"id":"0a1b","created_at":"2026-11-29T05:00:00.000Z","state":"open","text":"折り返し\nを",
                "delivery":{"state":"none","reason":"no_address"}}]}"#,
        )
        .unwrap();
        let expected = "\
ID    TAKEN                     STATE  DELIVERY  WHY         TEXT
0a1b  2026-11-29T05:00:00.000Z  open   none      no_address  折り返し を
";
        assert_eq!(message_table(&messages.items), expected);
        let deliveries: Page<Delivery> = serde_json::from_str(
            r#"{"items":[{"id":"0a1c","created_at":"2026-11-29T05:00:00.000Z","address":"a@example.jp",
                "state":"bounced","attempts":1,"error":"550 5.1.1 no such user"}]}"#,
        )
        .unwrap();
        let expected = "\
ID    MADE                      ADDRESS       STATE    TRIES  WHY
0a1c  2026-11-29T05:00:00.000Z  a@example.jp  bounced  1      550 5.1.1 no such user
";
        assert_eq!(delivery_table(&deliveries.items), expected);
    }
}
