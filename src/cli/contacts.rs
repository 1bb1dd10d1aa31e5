//! `toritsugi contacts`: the people of accounts, and where they are.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::billing::account_of;
use super::callflow::end;
use super::client::{ClientArgs, Ids};
use super::output::{Output, Table, print, print_json, print_line};

const PATH: &str = "/v1/contacts";
const IDS: Ids = Ids { what: "contact", paths: &[PATH], command: "toritsugi contacts list" };

#[derive(Debug, Args)]
pub(super) struct Contacts {
    #[command(subcommand)]
    command: ContactsCommand,
}

#[derive(Debug, Subcommand)]
enum ContactsCommand {
    /// List the contacts of an account.
    List(List),
    /// Write down where a contact is: in (在席), out (外出), meeting (会議) or away (不在).
    Presence(SetPresence),
}

#[derive(Debug, Args)]
struct List {
    /// The account: its code or id.
    #[arg(long)]
    account: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct SetPresence {
    /// The id of the contact, from `toritsugi contacts list`.
    #[arg(value_name = "ID")]
    id: String,
    /// in, out, meeting or away.
    #[arg(value_name = "STATE")]
    state: String,
    /// Until when: RFC 3339, or from now on: 90m, 2h, 1d [default: the end of the day].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Contact>,
}

/// The printed fields of a contact.
#[derive(Debug, Deserialize)]
struct Contact {
    id: String,
    name: String,
    role: String,
    on_call_order: Option<u32>,
    no_transfer: bool,
    do_not_tell: bool,
    presence: Option<Presence>,
}

#[derive(Debug, Deserialize)]
struct Presence {
    state: String,
    until: String,
    by_name: String,
}

impl Contacts {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            ContactsCommand::List(List { account, client, output }) => {
                let client = client.client(global)?;
                let account = account_of(&client, &account).await?;
                let query = [("account", account.as_str()), ("limit", "500")];
                if output.json {
                    print_json(&client.get::<Value>(PATH, &query).await?)?;
                } else {
                    let page: Page = client.get(PATH, &query).await?;
                    print(&table(&page.items, Timestamp::now()))?;
                }
            }
            ContactsCommand::Presence(SetPresence { id, state, until, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, IDS).await?;
                let mut body = json!({ "state": state });
                if let Some(until) = until {
                    body["until"] = json!(end("--until", &until, Timestamp::now())?);
                }
                let set: Contact = client.put(&format!("{PATH}/{id}/presence"), &body).await?;
                print_line(&format!("{}: {}", set.name, set.presence(Timestamp::UNIX_EPOCH)))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Contact {
    fn presence(&self, now: Timestamp) -> String {
        let holds = |presence: &&Presence| presence.until.parse::<Timestamp>().is_ok_and(|until| until > now);
        let said = self.presence.as_ref().filter(holds);
        said.map_or_else(|| "-".to_owned(), |p| format!("{} until {} ({})", p.state, p.until, p.by_name))
    }

    fn rules(&self) -> &'static str {
        match (self.no_transfer, self.do_not_tell) {
            (true, true) => "no transfer, do not tell",
            (true, false) => "no transfer",
            (false, true) => "do not tell",
            (false, false) => "-",
        }
    }
}

fn table(contacts: &[Contact], now: Timestamp) -> String {
    let mut table = Table::new(["ID", "ORDER", "NAME", "ROLE", "RULES", "PRESENCE"]);
    for one in contacts {
        let order = one.on_call_order.map_or_else(|| "-".to_owned(), |order| order.to_string());
        table.row([one.id.as_str(), &order, &one.name, &one.role, one.rules(), &one.presence(now)]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_a_table_with_their_rules_and_what_still_holds() {
        let page: Page = serde_json::from_str(
            r#"{"items":[
                {"id":"0a1c","name":"佐々木","role":"部長","on_call_order":1,"no_transfer":false,"do_not_tell":true,
                 "presence":{"state":"out","until":"2026-11-30T06:00:00.000Z","by_name":"佐藤","at":"2026-11-30T01:00:00.000Z"}},
                {"id":"0a1d","name":"桜井","role":"社長","no_transfer":true,"do_not_tell":false,
                 "presence":{"state":"in","until":"2026-11-29T15:00:00.000Z","by_name":"佐藤","at":"2026-11-29T01:00:00.000Z"}}]}"#,
        )
        .unwrap();
        let expected = "\
ID    ORDER  NAME    ROLE  RULES        PRESENCE
0a1c  1      佐々木  部長  do not tell  out until 2026-11-30T06:00:00.000Z (佐藤)
0a1d  -      桜井    社長  no transfer  -
";
        assert_eq!(table(&page.items, "2026-11-30T01:30:00Z".parse().unwrap()), expected);
    }
}
