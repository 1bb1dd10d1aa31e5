//! `toritsugi routes`: who gets an account's messages, at which times nobody does, and the documents that decide it.

mod trial;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use toritsugi::route::Document;

use super::Global;
use super::client::{Client, ClientArgs};
use super::named;
use super::output::{Output, plain, print, print_json};
use super::when;

const PATH: &str = "/v1/routes";
/// The word for all accounts without routes of their own.
const INSTALLATION: &str = "installation";

#[derive(Debug, Args)]
pub(super) struct Routes {
    #[command(subcommand)]
    command: RoutesCommand,
}

#[derive(Debug, Subcommand)]
enum RoutesCommand {
    /// Say who would get a message, and when, while nobody confirms.
    Explain(Explain),
    /// Look for times in the next 14 days at which a message would reach nobody. Exit code 1 if there is one.
    Check(Check),
    /// Send a test to each endpoint of an account and to each contact's own address, and wait until somebody there confirms it. Exit
    /// code 1 if one is missing.
    Test(trial::Test),
    /// Print the document of an account.
    Export(Export),
    /// Save a document as the routes of an account.
    Import(Import),
}

#[derive(Debug, Args)]
struct Explain {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// How urgent the message is: low, normal or urgent.
    #[arg(long, default_value = "normal")]
    urgency: String,
    /// The contact whom it names: a code, a name or the beginning of an id.
    #[arg(long, value_name = "CONTACT")]
    contact: Option<String>,
    /// Why the caller called: a code of [messages] reasons.
    #[arg(long)]
    reason: Option<String>,
    /// The time: tomorrow, 14:30, 2026-11-29, +2h, or RFC 3339 [default: now].
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    at: Option<Timestamp>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Check {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Export {
    /// The account: its code, its name or the beginning of its id; or "installation".
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Import {
    /// The account: its code, its name or the beginning of its id; or "installation".
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// The document; "-" is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only read and check it.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Plan {
    text: String,
    plan: PlanBody,
}

#[derive(Debug, Deserialize)]
struct PlanBody {
    route: String,
    built_in: bool,
}

#[derive(Debug, Deserialize)]
struct Exported {
    body: String,
}

#[derive(Debug, Deserialize)]
struct Saved {
    version: Option<u64>,
    #[serde(default)]
    findings: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Findings {
    items: Vec<Value>,
}

impl Routes {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            RoutesCommand::Explain(explain) => explain.run(global).await?,
            RoutesCommand::Check(check) => return check.run(global).await,
            RoutesCommand::Test(test) => return test.run(global).await,
            RoutesCommand::Export(export) => export.run(global).await?,
            RoutesCommand::Import(import) => import.run(global).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Explain {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let contact = match &self.contact {
            Some(text) => {
                let filter = [("account", account.to_string())];
                Some(named::id_of(&client, named::CONTACT, text, &filter).await?)
            }
            None => None,
        };
        let request = json!({
            "account": account, "contact": contact, "urgency": self.urgency, "reason": self.reason, "at": self.at,
        });
        let answer: Value = client.post(&format!("{PATH}/explain"), &request).await?;
        if self.output.json {
            return print_json(&answer);
        }
        let plan: Plan = serde_json::from_value(answer)?;
        let route = if plan.plan.built_in { "built-in" } else { plan.plan.route.as_str() };
        print(&format!("{}\n{}\n", plain(route), plain(&plan.text)))?;
        Ok(())
    }
}

impl Check {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let answer: Value = client.get(&format!("{PATH}/check"), &[("account", account.as_str())]).await?;
        let findings: Findings = serde_json::from_value(answer.clone())?;
        if self.output.json {
            print_json(&answer)?;
        } else {
            print(&lines(&findings.items))?;
        }
        Ok(if findings.items.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Export {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let path = path(&client, &self.account).await?;
        let answer: Value = client.get(&path, &[]).await?;
        if self.output.json {
            return print_json(&answer);
        }
        let document: Exported = serde_json::from_value(answer)?;
        print(&document.body)?;
        Ok(())
    }
}

impl Import {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut body = String::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().read_to_string(&mut body).context("cannot read standard input")?;
        } else {
            let name = self.file.display();
            body = std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {name}"))?;
        }
        if let Err(error) = Document::read(&body) {
            bail!("{}: {error}", self.file.display());
        }
        let client = self.client.client(global)?;
        let path = path(&client, &self.account).await?;
        let answer: Value = client.put(&path, &json!({ "body": body, "dry_run": self.dry_run })).await?;
        if self.output.json {
            return print_json(&answer);
        }
        let saved: Saved = serde_json::from_value(answer)?;
        print(&lines(&saved.findings))?;
        match saved.version {
            Some(version) => print(&format!("saved as version {version}\n"))?,
            None => print("it can be saved\n")?,
        }
        Ok(())
    }
}

async fn path(client: &Client, account_text: &str) -> anyhow::Result<String> {
    if account_text == INSTALLATION {
        return Ok(format!("{PATH}/{INSTALLATION}"));
    }
    Ok(format!("{PATH}/{}", named::account(client, account_text).await?))
}

/// One line for each finding.
fn lines(findings: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .iter()
        .map(|finding| {
            let route = text(&finding["route"]);
            let line = if finding["code"] == "unknown_contact" {
                format!("route {route:?}: no contact has the code {:?}", text(&finding["contact"]))
            } else if finding["code"] == "unknown_endpoint" {
                format!("route {route:?}: no endpoint has the code {:?}", text(&finding["endpoint"]))
            } else {
                let whom =
                    finding["contact"].as_str().map_or("nobody".to_owned(), |name| format!("{name:?}"));
                format!(
                    "{} to {}: a message ({}) that names {whom} reaches nobody (route {route:?})",
                    text(&finding["from"]),
                    text(&finding["until"]),
                    text(&finding["urgency"]),
                )
            };
            plain(&line).to_string() + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let findings = [
            json!({"code": "unknown_contact", "route": "night", "contact": "c7"}),
            json!({"code": "unknown_endpoint", "route": "night", "endpoint": "e7"}),
            json!({"code": "nobody_reached", "from": "2026-12-02T11:00:00Z", "until": "2026-12-02T23:00:00Z",
                "urgency": "urgent", "route": "night", "notes": []}),
        ];
        assert_eq!(
            lines(&findings),
            "route \"night\": no contact has the code \"c7\"\n\
             route \"night\": no endpoint has the code \"e7\"\n2026-12-02T11:00:00Z to 2026-12-02T23:00:00Z: a message (urgent) that \
             names nobody reaches nobody (route \"night\")\n"
        );
    }
}
