//! `toritsugi notices`: what holds for accounts until a given time (本日の連絡事項).

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::callflow::end;
use super::client::{ClientArgs, Ids};
use super::named;
use super::output::{Output, Table, print, print_json, print_line};

const PATH: &str = "/v1/notices";
const IDS: Ids = Ids { what: "notice", paths: &[PATH], command: "toritsugi notices list" };

#[derive(Debug, Args)]
pub(super) struct Notices {
    #[command(subcommand)]
    command: NoticesCommand,
}

#[derive(Debug, Subcommand)]
enum NoticesCommand {
    /// List the notices that are not over.
    List(List),
    /// Write a notice. Without --until it holds for the rest of the day.
    Add(Add),
    /// End a notice.
    End(One),
}

#[derive(Debug, Args)]
struct List {
    /// Only those of this account: its code, its name or the beginning of its id.
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Add {
    /// The account: its code, its name or the beginning of its id.
    #[arg(long)]
    account: String,
    /// What operators must know, up to 300 characters.
    #[arg(value_name = "TEXT")]
    text: String,
    /// From when it holds: a time as people write it, or from now on: 90m, 2h, 1d [default: now].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when it holds: a time as people write it, or from now on: 90m, 2h, 1d [default: the end of the day].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct One {
    /// The id of the notice, from `toritsugi notices list`.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Notice>,
}

#[derive(Debug, Deserialize)]
struct Notice {
    id: String,
    account: String,
    text: String,
    from: String,
    until: String,
    by_name: String,
}

impl Notices {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            NoticesCommand::List(List { account, client, output }) => {
                let client = client.client(global)?;
                let account = match account {
                    Some(account) => Some(named::account(&client, &account).await?),
                    None => None,
                };
                let query: Vec<_> = account.iter().map(|id| ("account", id.as_str())).collect();
                if output.json {
                    print_json(&client.get::<Value>(PATH, &query).await?)?;
                } else {
                    print(&table(&client.get::<Page>(PATH, &query).await?.items))?;
                }
            }
            NoticesCommand::Add(Add { account, text, from, until, client }) => {
                let client = client.client(global)?;
                let now = Timestamp::now();
                let mut body = json!({ "account": named::account(&client, &account).await?, "text": text });
                for (field, time) in [("from", from), ("until", until)] {
                    if let Some(time) = time {
                        body[field] = json!(end(&format!("--{field}"), &time, now)?);
                    }
                }
                let made: Notice = client.post(PATH, &body).await?;
                print_line(&format!("until {}: {}", made.until, made.id))?;
            }
            NoticesCommand::End(One { id, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, IDS).await?;
                client.delete(&format!("{PATH}/{id}")).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(notices: &[Notice]) -> String {
    let mut table = Table::new(["ID", "ACCOUNT", "FROM", "UNTIL", "BY", "TEXT"]);
    for one in notices {
        table.row([
            &one.id,
            &one.account,
            &one.from,
            &one.until,
            &one.by_name,
            &one.text.replace('\n', " / "),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_a_table() {
        let page: Page = serde_json::from_str(
            r#"{"items":[{"id":"0a1c","account":"17","text":"社長は外出\n15時に戻り","from":"2026-11-30T01:00:00.000Z",
                "until":"2026-11-30T15:00:00.000Z","by_name":"佐藤"}]}"#,
        )
        .unwrap();
        let expected = "\
ID    ACCOUNT  FROM                      UNTIL                     BY    TEXT
0a1c  17       2026-11-30T01:00:00.000Z  2026-11-30T15:00:00.000Z  佐藤  社長は外出 / 15時に戻り
";
        assert_eq!(table(&page.items), expected);
    }
}
