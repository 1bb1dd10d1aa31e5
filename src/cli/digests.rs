//! `toritsugi digests`: when an account gets its digests (まとめ報告), what came of the last ones, and one at once.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::client::ClientArgs;
use super::named;
use super::output::{Output, Table, print, print_json};

#[derive(Debug, Args)]
pub(super) struct Digests {
    #[command(subcommand)]
    command: DigestsCommand,
}

#[derive(Debug, Subcommand)]
enum DigestsCommand {
    /// List the digests of an account with their next times, and the latest runs.
    List(List),
    /// Make a digest at once, of what came since the last one. The next time stays.
    Run(Run),
}

#[derive(Debug, Args)]
struct List {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Run {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// The name of the digest.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Listed {
    items: Vec<Digest>,
    runs: Vec<Made>,
}

#[derive(Debug, Deserialize)]
struct Digest {
    name: String,
    next_at: String,
    since: String,
}

#[derive(Debug, Deserialize)]
struct Made {
    message: String,
    name: String,
    from: String,
    to: String,
    items: u32,
    state: String,
}

impl Digests {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            DigestsCommand::List(List { account: of, client, output }) => {
                let client = client.client(global)?;
                let path = format!("/v1/accounts/{}/digests", named::account(&client, &of).await?);
                if output.json {
                    print_json(&client.get::<Value>(&path, &[]).await?)?;
                } else {
                    print(&tables(&client.get::<Listed>(&path, &[]).await?))?;
                }
            }
            DigestsCommand::Run(Run { account: of, name, client, output }) => {
                let client = client.client(global)?;
                let account = named::account(&client, &of).await?;
                let path = format!("/v1/accounts/{account}/digests/{name}/run");
                let made: Value = client.post(&path, &json!({})).await?;
                if output.json {
                    print_json(&made)?;
                } else {
                    print(&match made["message"].as_str() {
                        Some(message) => format!("message {message}\n"),
                        None => "there is nothing to report\n".to_owned(),
                    })?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tables(listed: &Listed) -> String {
    let mut digests = Table::new(["DIGEST", "NEXT", "SINCE"]);
    for digest in &listed.items {
        digests.row([&digest.name, &digest.next_at, &digest.since]);
    }
    let mut runs = Table::new(["RUN", "DIGEST", "FROM", "TO", "MESSAGES", "STATE"]);
    for run in &listed.runs {
        runs.row([&run.message, &run.name, &run.from, &run.to, &run.items.to_string(), &run.state]);
    }
    format!("{}\n{}", digests.render(), runs.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_their_runs_are_tables() {
        let listed: Listed = serde_json::from_str(
            r#"{"items":[{"name":"夕方","next_at":"2026-12-01T09:10:00.000Z","since":"2026-11-30T09:10:00.000Z"}],
                "runs":[{"message":"0a1c","name":"夕方","from":"2026-11-29T09:10:00.000Z","to":"2026-11-30T09:10:00.000Z",
                    "at":"2026-11-30T09:10:00.500Z","items":2,"state":"sent","calls":4,"gaps":0}]}"#,
        )
        .unwrap();
        let expected = "\
DIGEST  NEXT                      SINCE
夕方    2026-12-01T09:10:00.000Z  2026-11-30T09:10:00.000Z

RUN   DIGEST  FROM                      TO                        MESSAGES  STATE
0a1c  夕方    2026-11-29T09:10:00.000Z  2026-11-30T09:10:00.000Z  2         sent
";
        assert_eq!(tables(&listed), expected);
    }
}
