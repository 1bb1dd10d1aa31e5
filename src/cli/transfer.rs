//! `toritsugi transfer`: pass a caller on, complete a consultation, take the caller back.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::ClientArgs;
use super::output::{Output, plain, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct Transfer {
    /// The call, as `toritsugi calls` lists it.
    #[arg(value_name = "CALL")]
    call: String,
    /// To whom: contact:ID, on-call, operator:EXTENSION, queue:NAME, or a number.
    #[arg(long, value_name = "TARGET", required_unless_present_any = ["complete", "cancel"])]
    to: Option<String>,
    /// At once, or after speaking with the target.
    #[arg(long, value_enum, default_value_t = Mode::Blind, requires = "to")]
    mode: Mode,
    /// Put caller and target of the consultation together.
    #[arg(long, conflicts_with_all = ["to", "cancel"])]
    complete: bool,
    /// Take the caller back.
    #[arg(long, conflicts_with = "to")]
    cancel: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Blind,
    Consult,
}

#[derive(Debug, Serialize)]
struct Wanted<'a> {
    mode: Mode,
    to: &'a str,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Value>,
}

impl Transfer {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.client.client()?;
        let path = format!("/v1/calls/{}/transfers", self.call);
        let transfer: Value = match &self.to {
            Some(to) => client.post(&path, &Wanted { mode: self.mode, to }).await?,
            None => {
                let list: List = client.get(&path, &[]).await?;
                let under_way = |transfer: &&Value| transfer["state"] != "over";
                let Some(id) = list.items.iter().rfind(under_way).and_then(|t| t["id"].as_str()) else {
                    anyhow::bail!("no transfer of this call is under way");
                };
                let verb = if self.complete { "complete" } else { "cancel" };
                client.post(&format!("/v1/transfers/{id}/{verb}"), &serde_json::json!({})).await?
            }
        };
        if self.output.json {
            print_json(&transfer)?;
        } else {
            let word = |key: &str| plain(transfer[key].as_str().unwrap_or_default());
            print_line(&format!("transfer {} is {}", word("id"), word("state")))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
