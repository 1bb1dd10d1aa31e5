//! `toritsugi callflow sync`: whether the PBX has everything that was set of callflows.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Global;
use super::client::ClientArgs;
use super::output::{Output, plain, print_json, print_line};

/// How often `sync --wait` asks.
const WAIT_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// Wait until it has, for so many seconds at most.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl SyncArgs {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let until = std::time::Instant::now() + Duration::from_secs(self.wait.unwrap_or(0));
        loop {
            let status: Value = client.get("/v1/callflow", &[]).await?;
            let is_level = status["state"] == "level";
            if !is_level && std::time::Instant::now() < until {
                tokio::time::sleep(WAIT_INTERVAL).await;
                continue;
            }
            if self.output.json {
                print_json(&status)?;
            } else {
                print_line(&plain(&synced(&status)))?;
            }
            return Ok(if is_level { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
}

fn synced(status: &Value) -> String {
    let problem = status["problem"].as_str().map_or_else(String::new, |problem| format!(": {problem}"));
    match status["state"].as_str().unwrap_or_default() {
        "level" => format!("the PBX has all {} keys", status["wanted"]),
        "writing" => format!(
            "the PBX lacks {} of {} keys; they are being written",
            status["missing"], status["wanted"]
        ),
        "behind" => format!("the PBX lacks {} of {} keys{problem}", status["missing"], status["wanted"]),
        "unread" => "the PBX's keys are being read".to_owned(),
        _ => "this daemon does not write: it does not lead, or its link to the PBX is down".to_owned(),
    }
}
