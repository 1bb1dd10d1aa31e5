//! `toritsugi webhooks`: lists and retries webhook deliveries that their receivers have not accepted.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::{ClientArgs, Ids};
use super::output::{Output, Table, print, print_json};

/// The resource of the deliveries.
const PATH: &str = "/v1/webhooks/deliveries";
/// The ids that `toritsugi webhooks list` prints.
const WAITING_DELIVERIES: Ids = Ids { what: "delivery", paths: &[PATH], command: "toritsugi webhooks list" };

#[derive(Debug, Args)]
pub(super) struct Webhooks {
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
enum WebhooksCommand {
    /// List the deliveries that are pending or failed.
    List(List),
    /// Retry a delivery, with the full number of attempts.
    Retry(Retry),
}

#[derive(Debug, Args)]
struct List {
    /// Only failed deliveries.
    #[arg(long)]
    failed: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Retry {
    /// The id of the delivery, from `toritsugi webhooks list`.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Deliveries {
    items: Vec<Delivery>,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    id: String,
    receiver: String,
    event: String,
    kind: String,
    state: String,
    attempts: u32,
    error: Option<String>,
}

impl Webhooks {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            WebhooksCommand::List(List { failed, client, output }) => {
                let client = client.client(global)?;
                let query: &[(&str, &str)] = if failed { &[("state", "failed")] } else { &[] };
                if output.json {
                    print_json(&client.get::<Value>(PATH, query).await?)?;
                } else {
                    print(&table(&client.get::<Deliveries>(PATH, query).await?.items))?;
                }
            }
            WebhooksCommand::Retry(Retry { id, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, WAITING_DELIVERIES).await?;
                client.post_empty(&format!("{PATH}/{id}/retry")).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(deliveries: &[Delivery]) -> String {
    let mut table = Table::new(["ID", "RECEIVER", "EVENT", "KIND", "STATE", "TRIES", "WHY"]);
    for delivery in deliveries {
        table.row([
            &delivery.id,
            &delivery.receiver,
            &delivery.event,
            &delivery.kind,
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
        let deliveries: Deliveries = serde_json::from_str(
            r#"{"items":[{"id":"0a1b","receiver":"crm","event":"s1-7","kind":"call.ended","state":"failed",
                "attempts":20,"error":"the receiver answered 500","created_at":"2026-01-05T00:00:00.000Z"}]}"#,
        )
        .unwrap();
        let expected = "\
ID    RECEIVER  EVENT  KIND        STATE   TRIES  WHY
0a1b  crm       s1-7   call.ended  failed  20     the receiver answered 500
";
        assert_eq!(table(&deliveries.items), expected);
    }
}
