//! `toritsugi messages deliveries` and `resend`: how far the delivery of messages is, and sending one again.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::{ClientArgs, Ids};
use super::messages::NEWEST;
use super::output::{Output, Table, print, print_json};

const PATH: &str = "/v1/deliveries";
const IDS: Ids = Ids { what: "delivery", paths: &[PATH], command: "toritsugi messages deliveries" };

#[derive(Debug, Args)]
pub(super) struct Deliveries {
    /// Only those in this state: queued, sending, sent, bounced, failed or cancelled.
    #[arg(long)]
    state: Option<String>,
    /// Only those of this message.
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    /// Only those over this server: main, slack, teams, chatwork, line_works, line_works_bot, google_chat or sms.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Resend {
    /// The id of the delivery, from `toritsugi messages deliveries`.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Delivery>,
}

/// The printed fields of a delivery.
#[derive(Debug, Deserialize)]
struct Delivery {
    id: String,
    created_at: String,
    server: String,
    address: String,
    state: String,
    attempts: u32,
    error: Option<String>,
}

impl Deliveries {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let message = match self.message {
            Some(id) => Some(client.whole_id(&id, NEWEST).await?.to_string()),
            None => None,
        };
        let mut query: Vec<_> = self.state.iter().map(|state| ("state", state.as_str())).collect();
        query.extend(message.iter().map(|id| ("message", id.as_str())));
        query.extend(self.server.iter().map(|server| ("server", server.as_str())));
        if self.output.json {
            print_json(&client.get::<Value>(PATH, &query).await?)?;
        } else {
            print(&table(&client.get::<Page>(PATH, &query).await?.items))?;
        }
        Ok(())
    }
}

impl Resend {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let id = client.whole_id(&self.id, IDS).await?;
        client.post_empty(&format!("{PATH}/{id}/retry")).await
    }
}

fn table(deliveries: &[Delivery]) -> String {
    let mut table = Table::new(["ID", "MADE", "SERVER", "ADDRESS", "STATE", "TRIES", "WHY"]);
    for delivery in deliveries {
        table.row([
            &delivery.id,
            &delivery.created_at,
            &delivery.server,
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
    fn deliveries_are_a_table() {
        let deliveries: Page = serde_json::from_str(
            r#"{"items":[{"id":"0a1c","created_at":"2026-11-29T05:00:00.000Z","server":"main","address":"a@example.jp",
                "state":"bounced","attempts":1,"error":"550 5.1.1 no such user"}]}"#,
        )
        .unwrap();
        let expected = "\
ID    MADE                      SERVER  ADDRESS       STATE    TRIES  WHY
0a1c  2026-11-29T05:00:00.000Z  main    a@example.jp  bounced  1      550 5.1.1 no such user
";
        assert_eq!(table(&deliveries.items), expected);
    }
}
