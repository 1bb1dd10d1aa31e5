//! `toritsugi contacts`: the people of accounts, and where they are.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::Global;
use super::callflow::end;
use super::client::ClientArgs;
use super::named::{self, CONTACT};
use super::output::print_line;
use super::records::{Of, RecordsCommand};

#[derive(Debug, Args)]
pub(super) struct Contacts {
    #[command(subcommand)]
    command: ContactsCommand,
}

#[derive(Debug, Subcommand)]
enum ContactsCommand {
    #[command(flatten)]
    Records(RecordsCommand),
    /// Write down where a contact is: in (在席), out (外出), meeting (会議) or away (不在).
    Presence(SetPresence),
}

#[derive(Debug, Args)]
struct SetPresence {
    /// The contact: its code, its name or the beginning of its id.
    contact: String,
    /// in, out, meeting or away.
    state: String,
    /// Until when: a time as people write it, or from now on: 90m, 2h, 1d [default: the end of the day].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The account of the contact, where its code alone is not enough.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The printed fields of a contact.
#[derive(Debug, Deserialize)]
struct Contact {
    name: String,
    presence: Presence,
}

#[derive(Debug, Deserialize)]
struct Presence {
    state: String,
    until: String,
}

impl Contacts {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            ContactsCommand::Records(command) => command.run(global, Of::Contacts).await,
            ContactsCommand::Presence(set) => set.run(global).await,
        }
    }
}

impl SetPresence {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let filter = named::account_filter(&client, self.account.as_deref()).await?;
        let id = named::id_of(&client, CONTACT, &self.contact, &filter).await?;
        let mut body = json!({ "state": self.state });
        if let Some(until) = &self.until {
            body["until"] = json!(end("--until", until, Timestamp::now())?);
        }
        let Contact { name, presence } = client.put(&format!("/v1/contacts/{id}/presence"), &body).await?;
        print_line(&format!("{name}: {} until {}", presence.state, presence.until))?;
        Ok(ExitCode::SUCCESS)
    }
}
