//! `toritsugi transfer`: transfers a caller, completes a consultation, or cancels a transfer.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Global;
use super::calls::PRESENT_CALLS;
use super::client::{Client, ClientArgs};
use super::named;
use super::output::{Output, plain, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct Transfer {
    /// The id of the call, or its beginning, as `toritsugi calls` prints it.
    #[arg(value_name = "CALL")]
    call: String,
    /// The target: contact:CONTACT (a code, a name or an id), on-call, operator:EXTENSION, queue:NAME, or a number.
    #[arg(long, value_name = "TARGET", required_unless_present_any = ["complete", "cancel"])]
    to: Option<String>,
    /// blind: transfer at once; consult: speak with the target first.
    #[arg(long, value_enum, default_value_t = Mode::Blind, requires = "to")]
    mode: Mode,
    /// Supervisors: transfer to a contact who takes no calls all the same; the audit trail says so.
    #[arg(long, requires = "to")]
    override_rules: bool,
    /// Complete the consultation: connect the caller with the target.
    #[arg(long, conflicts_with_all = ["to", "cancel"])]
    complete: bool,
    /// Cancel the transfer and take the caller back.
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
struct TransferRequest<'a> {
    mode: Mode,
    to: &'a str,
    override_rules: bool,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Value>,
}

impl Transfer {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let call = client.whole_id(&self.call, PRESENT_CALLS).await?;
        let path = format!("/v1/calls/{call}/transfers");
        let transfer: Value = match &self.to {
            Some(to) => {
                let to = &target(&client, call, to).await?;
                let (mode, override_rules) = (self.mode, self.override_rules);
                client.post(&path, &TransferRequest { mode, to, override_rules }).await?
            }
            None => {
                let list: List = client.get(&path, &[]).await?;
                let is_active = |transfer: &&Value| transfer["state"] != "over";
                let Some(id) = list.items.iter().rfind(is_active).and_then(|t| t["id"].as_str()) else {
                    anyhow::bail!("this call has no active transfer; start one with --to");
                };
                let action = if self.complete { "complete" } else { "cancel" };
                client.post(&format!("/v1/transfers/{id}/{action}"), &serde_json::json!({})).await?
            }
        };
        if self.output.json {
            print_json(&transfer)?;
        } else {
            let field = |key: &str| plain(transfer[key].as_str().unwrap_or_default());
            print_line(&format!("transfer {} is {}", field("id"), field("state")))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The target as the API takes it: a contact may be named by its code or its name within the call's account.
async fn target(client: &Client, call: uuid::Uuid, text: &str) -> anyhow::Result<String> {
    let Some(contact) = text.strip_prefix("contact:").filter(|id| uuid::Uuid::parse_str(id).is_err()) else {
        return Ok(text.to_owned());
    };
    let call: Value = client.get(&format!("/v1/calls/{call}"), &[]).await?;
    let Some(account) = call["card"]["account"]["id"].as_str() else {
        anyhow::bail!("this call has no account, so its contacts are not known: write contact: and an id");
    };
    let filter = [("account", account.to_owned())];
    Ok(format!("contact:{}", named::id_of(client, named::CONTACT, contact, &filter).await?))
}
