//! `toritsugi routes test`: sends a test to each endpoint of an account and to each contact's own address, and waits until somebody
//! there has pressed the button on its page. It is what an account needs before its first message.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::Global;
use super::super::client::{Client, ClientArgs};
use super::super::named;
use super::super::output::{Output, Table, print, print_json};

/// How often the daemon is asked.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Test {
    /// The account: its code or id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
    /// Wait only until each test was sent: where mails have no links, or nobody is there to press.
    #[arg(long)]
    sent: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    id: String,
    kind: String,
    address: String,
    #[serde(default)]
    label: String,
}

#[derive(Debug, Deserialize)]
struct Contact {
    id: String,
    name: String,
    email: Option<String>,
}

/// A test on its way.
#[derive(Debug)]
struct Trial {
    /// What people call it.
    name: String,
    kind: String,
    address: String,
    /// The message; absent: it could not be made.
    message: Option<String>,
    /// The state of its delivery, or why there is none.
    state: String,
    error: String,
    confirmed: bool,
}

impl Trial {
    /// Nothing more is awaited.
    fn is_over(&self, is_sent_enough: bool) -> bool {
        self.message.is_none() || self.is_reached(is_sent_enough) || self.is_lost()
    }

    fn is_reached(&self, is_sent_enough: bool) -> bool {
        self.confirmed || is_sent_enough && matches!(self.state.as_str(), "sent" | "delivered")
    }

    fn is_lost(&self) -> bool {
        matches!(self.state.as_str(), "bounced" | "failed" | "cancelled")
    }
}

impl Test {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let mut trials = begin(&client, &account).await?;
        if trials.is_empty() {
            bail!("the account has no endpoint, and no contact with a mail address");
        }
        let end = Instant::now() + Duration::from_secs(self.wait);
        loop {
            for trial in &mut trials {
                if !trial.is_over(self.sent) {
                    look(&client, trial).await?;
                }
            }
            let is_over = trials.iter().all(|trial| trial.is_over(self.sent));
            if is_over || Instant::now() >= end {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if self.output.json {
            let rows: Vec<Value> = trials.iter().map(row_json).collect();
            print_json(&json!({ "items": rows }))?;
        } else {
            print(&table(&trials))?;
        }
        let is_whole = trials.iter().all(|trial| trial.is_reached(self.sent));
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Sends all tests.
async fn begin(client: &Client, account: &str) -> anyhow::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for endpoint in all::<Endpoint>(client, "/v1/endpoints", account).await? {
        let path = format!("/v1/endpoints/{}/test", endpoint.id);
        let made = client.post::<_, Value>(&path, &json!({})).await;
        trials.push(trial(endpoint.label, endpoint.kind, endpoint.address, made));
    }
    for contact in all::<Contact>(client, "/v1/contacts", account).await? {
        let Some(email) = contact.email else { continue };
        let text = format!("{email} への試験メールです。");
        let message = json!({ "account": account, "contact": contact.id, "kind": "test", "text": text });
        let made = match client.post::<_, Value>("/v1/messages", &message).await {
            Ok(message) => {
                let path = format!("/v1/messages/{}/resend", message["id"].as_str().unwrap_or_default());
                client.post::<_, Value>(&path, &json!({ "address": email })).await
            }
            Err(error) => Err(error),
        };
        trials.push(trial(contact.name, "mail".to_owned(), email, made));
    }
    Ok(trials)
}

fn trial(name: String, kind: String, address: String, made: anyhow::Result<Value>) -> Trial {
    let (message, state, error) = match made {
        Ok(delivery) => {
            let text = |key: &str| delivery[key].as_str().map(str::to_owned);
            (text("message"), text("state").unwrap_or_default(), String::new())
        }
        Err(error) => (None, "not made".to_owned(), error.to_string()),
    };
    Trial { name, kind, address, message, state, error, confirmed: false }
}

/// How far a test is.
async fn look(client: &Client, trial: &mut Trial) -> anyhow::Result<()> {
    let Some(message) = trial.message.clone() else { return Ok(()) };
    let found: Value = client.get("/v1/deliveries", &[("message", message.as_str())]).await?;
    if let Some(delivery) = found["items"].get(0) {
        trial.state = delivery["state"].as_str().unwrap_or_default().to_owned();
        trial.error = delivery["error"].as_str().unwrap_or_default().to_owned();
    }
    let kept: Value = client.get(&format!("/v1/messages/{message}"), &[]).await?;
    trial.confirmed = kept["state"] == "acknowledged";
    Ok(())
}

async fn all<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
    account: &str,
) -> anyhow::Result<Vec<T>> {
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("account", account), ("limit", "500")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page<T> = client.get(path, &query).await?;
        items.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(items),
        }
    }
}

fn row_json(trial: &Trial) -> Value {
    json!({
        "name": trial.name, "kind": trial.kind, "address": trial.address, "message": trial.message,
        "state": trial.state, "error": trial.error, "confirmed": trial.confirmed,
    })
}

fn table(trials: &[Trial]) -> String {
    let mut table = Table::new(["NAME", "KIND", "ADDRESS", "STATE", "CONFIRMED", "ERROR"]);
    for trial in trials {
        let confirmed = if trial.confirmed { "yes" } else { "no" };
        let error = if trial.error.is_empty() { "-" } else { &trial.error };
        let name = if trial.name.is_empty() { "-" } else { &trial.name };
        table.row([name, &trial.kind, &trial.address, &trial.state, confirmed, error]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_over_when_somebody_pressed_or_nothing_more_can_come() {
        let of = |state: &str, confirmed: bool| {
            let made = Ok(json!({ "message": "0197", "state": state }));
            Trial { confirmed, ..trial("佐々木".into(), "mail".into(), "a@example.jp".into(), made) }
        };
        for (state, confirmed, is_sent_enough, expected) in [
            ("queued", false, true, (false, false)),
            ("sent", false, false, (false, false)),
            ("sent", false, true, (true, true)),
            ("sent", true, false, (true, true)),
            ("bounced", false, false, (true, false)),
        ] {
            let trial = of(state, confirmed);
            assert_eq!(
                (trial.is_over(is_sent_enough), trial.is_reached(is_sent_enough)),
                expected,
                "{state} {confirmed} {is_sent_enough}"
            );
        }
        let refused = trial(
            "佐々木".into(),
            "mail".into(),
            "a@example.jp".into(),
            Err(anyhow::anyhow!("no mail server")),
        );
        assert!(refused.is_over(false) && !refused.is_reached(true));
        assert_eq!(
            table(&[of("sent", true), refused]),
            "NAME    KIND  ADDRESS       STATE     CONFIRMED  ERROR\n\
             佐々木  mail  a@example.jp  sent      yes        -\n\
             佐々木  mail  a@example.jp  not made  no         no mail server\n"
        );
    }
}
