//! `toritsugi endpoints`: where messages of accounts go, and a test to one of them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::client::{ClientArgs, Ids};
use super::named;
use super::output::{Output, Table, print, print_json};

const PATH: &str = "/v1/endpoints";
const IDS: Ids =
    Ids { what: "endpoint", paths: &["/v1/endpoints?limit=500"], command: "toritsugi endpoints list" };

#[derive(Debug, Args)]
pub(super) struct Endpoints {
    #[command(subcommand)]
    command: EndpointsCommand,
}

#[derive(Debug, Subcommand)]
enum EndpointsCommand {
    /// List the endpoints; a contact's own address is not among them.
    List(List),
    /// Add an endpoint of an account, or of a contact of it: a mail address, a chat, or a number for SMS.
    Add(Add),
    /// Remove an endpoint.
    Remove(One),
    /// Send a test to an endpoint; `toritsugi messages deliveries` shows what became of it.
    Test(One),
}

#[derive(Debug, Args)]
struct List {
    /// Only those of this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Add {
    /// The mail address, the URL of the chat's incoming webhook, the number of the room, channels/ and the id of the channel or
    /// users/ and the id of the member (line_works_bot), or the telephone number. `-` reads it from standard input: a URL is a
    /// secret, and others on this machine may see the arguments of a command.
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// mail, slack, teams, chatwork, line_works, line_works_bot, google_chat, sms or fax.
    #[arg(long, default_value = "mail")]
    kind: String,
    /// Of an endpoint of the kind sms, fax or line_works_bot: the gateway or bot, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Who is called in the chat. slack: channel, here, or the id of a member; chatwork: all, or the account id of a member.
    #[arg(long, value_name = "WHO")]
    mention: Option<String>,
    /// The account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: String,
    /// The contact whose address it is: its code, its name or the beginning of its id; the account's own without it.
    #[arg(long, value_name = "CONTACT")]
    contact: Option<String>,
    /// What it is for.
    #[arg(long, default_value = "")]
    label: String,
    /// Which endpoint of a contact comes first: the lowest number; the contact's own address comes after 0.
    #[arg(long, default_value_t = 1)]
    priority: u32,
    /// auto, utf-8 or iso-2022-jp.
    #[arg(long, default_value = "auto")]
    charset: String,
    /// What it receives has no link under which a message is confirmed.
    #[arg(long)]
    no_link: bool,
    /// Its mails have no files.
    #[arg(long)]
    no_files: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct One {
    /// The id of the endpoint, from `toritsugi endpoints list`.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Endpoint>,
}

/// The printed fields of an endpoint.
#[derive(Debug, Deserialize)]
struct Endpoint {
    id: String,
    kind: String,
    address: String,
    label: String,
    priority: u32,
    charset: String,
    verified_at: Option<String>,
    suspended: Option<Suspended>,
}

#[derive(Debug, Deserialize)]
struct Suspended {
    why: String,
}

impl Endpoints {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            EndpointsCommand::List(List { account, client, output }) => {
                let client = client.client(global)?;
                let account = named::account_filter(&client, account.as_deref()).await?;
                let mut query = vec![("limit", "500")];
                query.extend(account.iter().map(|(name, id)| (*name, id.as_str())));
                if output.json {
                    print_json(&client.get::<Value>(PATH, &query).await?)?;
                } else {
                    print(&table(&client.get::<Page>(PATH, &query).await?.items))?;
                }
            }
            EndpointsCommand::Add(add) => {
                let client = add.client.client(global)?;
                let account = named::account(&client, &add.account).await?;
                let contact = match &add.contact {
                    Some(text) => {
                        let filter = [("account", account.clone())];
                        Some(named::id_of(&client, named::CONTACT, text, &filter).await?)
                    }
                    None => None,
                };
                let address = match add.address.as_str() {
                    "-" => std::io::read_to_string(std::io::stdin())?.trim().to_owned(),
                    _ => add.address,
                };
                let fields = json!({
                    "account": account, "contact": contact, "kind": add.kind, "address": address,
                    "profile": add.profile, "mention": add.mention, "label": add.label,
                    "priority": add.priority, "charset": add.charset, "ack_link": !add.no_link, "attachments": !add.no_files,
                });
                let made: Endpoint = client.post(PATH, &fields).await?;
                print(&table(&[made]))?;
            }
            EndpointsCommand::Remove(One { id, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, IDS).await?;
                client.delete(&format!("{PATH}/{id}")).await?;
            }
            EndpointsCommand::Test(One { id, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, IDS).await?;
                client.post_empty(&format!("{PATH}/{id}/test")).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(endpoints: &[Endpoint]) -> String {
    let mut table =
        Table::new(["ID", "KIND", "ADDRESS", "LABEL", "PRIORITY", "CHARSET", "CONFIRMED", "SUSPENDED"]);
    for endpoint in endpoints {
        table.row([
            &endpoint.id,
            &endpoint.kind,
            &endpoint.address,
            &endpoint.label,
            &endpoint.priority.to_string(),
            &endpoint.charset,
            endpoint.verified_at.as_deref().map_or("-", |at| at.get(..10).unwrap_or(at)),
            endpoint.suspended.as_ref().map_or("-", |suspended| suspended.why.as_str()),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_table() {
        let page: Page = serde_json::from_str(
            r#"{"items":[{"id":"0a1c","kind":"mail","address":"a@example.jp","label":"受付","priority":1,"charset":"auto",
                "verified_at":"2026-11-28T05:00:00.000Z",
                "suspended":{"since":"2026-11-29T05:00:00.000Z","why":"550 5.1.1 no such user"}}]}"#,
        )
        .unwrap();
        let expected = "\
ID    KIND  ADDRESS       LABEL  PRIORITY  CHARSET  CONFIRMED   SUSPENDED
0a1c  mail  a@example.jp  受付   1         auto     2026-11-28  550 5.1.1 no such user
";
        assert_eq!(table(&page.items), expected);
    }
}
