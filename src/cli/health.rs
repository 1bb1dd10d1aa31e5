//! `toritsugi health`: checks whether the daemon on this machine answers, for the health check of a container; with `--list`, what
//! works and what to do where something does not.
//!
//! Without `--list` it requests `/healthz` at `gateway.listen` of the configuration, or over loopback if the daemon listens on all
//! addresses, and needs no token. The list is that of the page (`GET /v1/health`), for administrators.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::client::ClientArgs;
use super::language::say;
use super::output::{Colour, Output, painted, plain, print_json, print_line};
use super::{Global, client};

/// Timeout of the answer; a slower daemon is not healthy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Health {
    /// List what works and what to do where something does not; the exit code is 1 where something failed.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl Health {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.list || self.output.json {
            return self.show(global).await;
        }
        let address = global.daemon_address()?;
        let http = client::builder(&[])?.timeout(ANSWER_TIMEOUT).build()?;
        match http.get(format!("http://{address}/healthz")).send().await {
            Ok(answer) if answer.status().is_success() => Ok(ExitCode::SUCCESS),
            Ok(answer) => bail!("the daemon at {address} answered {}", answer.status().as_u16()),
            Err(_) => bail!("no daemon answers at {address}"),
        }
    }

    async fn show(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let health: Value = client.get("/v1/health", &[]).await?;
        if self.output.json {
            print_json(&health)?;
        } else {
            let is_terminal = std::io::stdout().is_terminal();
            let mut lines: Vec<&Value> = health["items"].as_array().into_iter().flatten().collect();
            // What to do comes first.
            lines.sort_by_key(|line| match line["outcome"].as_str() {
                Some("failed") => 0,
                Some("note") => 1,
                _ => 2,
            });
            for line in lines {
                let text = |key: &str| line[key].as_str().unwrap_or_default();
                let colour = match text("outcome") {
                    "ok" => Colour::Green,
                    "note" => Colour::Yellow,
                    _ => Colour::Red,
                };
                let outcome = painted(&format!("{:<6}", plain(text("outcome"))), colour, is_terminal);
                print_line(&format!("{outcome}  {}: {}", plain(text("what")), plain(&say(text("detail")))))?;
            }
        }
        Ok(if health["outcome"] == "failed" { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
