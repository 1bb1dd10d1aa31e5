//! `toritsugi mail`: passes mails that came back to the daemon, lists them, and the addresses to which nothing is sent; the templates of
//! mails.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::client::ClientArgs;
use super::output::{Output, Table, plain, print, print_json};

const BOUNCES_PATH: &str = "/v1/mail/bounces";
const SUSPENDED_PATH: &str = "/v1/mail/suspended";
/// Most bytes that are passed on: what a report says stands at its beginning.
const MAIL_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Mail {
    #[command(subcommand)]
    command: MailCommand,
}

#[derive(Debug, Subcommand)]
enum MailCommand {
    /// Pass a mail that came back to the daemon: on standard input, for an alias of the mail server.
    Bounce(Bounce),
    /// List the mails that came back and the refusals of the mail server, the newest first.
    Bounces(Bounces),
    /// List the addresses to which nothing is sent.
    Suspended(Suspended),
    /// Send to a suspended address again.
    Resume(Resume),
    /// Show the templates of an account's mails, with what they write for a made-up message.
    Templates(Templates),
    /// Write a template of an account's mails from a file; one that cannot work is refused with the line.
    SetTemplate(SetTemplate),
    /// Let an account use the built-in template again.
    ResetTemplate(ResetTemplate),
}

#[derive(Debug, Args)]
struct Templates {
    /// The account: its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct SetTemplate {
    /// The account: its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Which: subject, text or html.
    #[arg(value_name = "NAME")]
    name: String,
    /// The file with the template.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct ResetTemplate {
    /// The account: its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Which: subject, text or html.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Bounce {
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Bounces {
    /// Only those that are about no delivery of this installation.
    #[arg(long)]
    unmatched: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Suspended {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Resume {
    /// The address, from `toritsugi mail suspended`.
    #[arg(value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

/// The printed fields of a mail that came back.
#[derive(Debug, Deserialize)]
struct BounceLine {
    at: String,
    kind: String,
    class: Option<String>,
    recipient: Option<String>,
    delivery: Option<String>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct SuspendedLine {
    address: String,
    since: String,
    why: String,
}

#[derive(Debug, Deserialize)]
struct TemplateLine {
    name: String,
    body: String,
    is_own: bool,
    preview: String,
}

#[derive(Debug, Deserialize)]
struct Resumed {
    resumed: bool,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    kind: String,
    outcome: String,
    delivery: Option<String>,
}

impl Mail {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            MailCommand::Bounce(Bounce { client }) => {
                let mut mail = Vec::new();
                std::io::stdin()
                    .lock()
                    .take(MAIL_BYTES_MAX)
                    .read_to_end(&mut mail)
                    .context("cannot read the mail")?;
                let taken: Items<Outcome> = client.client(global)?.post_mail(BOUNCES_PATH, mail).await?;
                let mut table = Table::new(["REPORT", "OUTCOME", "DELIVERY"]);
                for Outcome { kind, outcome, delivery } in &taken.items {
                    table.row([kind, outcome, delivery.as_deref().unwrap_or("-")]);
                }
                print(&table.render())?;
            }
            MailCommand::Bounces(Bounces { unmatched, client, output }) => {
                let client = client.client(global)?;
                let query: &[(&str, &str)] = if unmatched { &[("unmatched", "true")] } else { &[] };
                if output.json {
                    print_json(&client.get::<Value>(BOUNCES_PATH, query).await?)?;
                } else {
                    print(&bounces(&client.get::<Items<BounceLine>>(BOUNCES_PATH, query).await?.items))?;
                }
            }
            MailCommand::Suspended(Suspended { client, output }) => {
                let client = client.client(global)?;
                if output.json {
                    print_json(&client.get::<Value>(SUSPENDED_PATH, &[]).await?)?;
                } else {
                    print(&suspended(&client.get::<Items<SuspendedLine>>(SUSPENDED_PATH, &[]).await?.items))?;
                }
            }
            MailCommand::Resume(Resume { address, client }) => {
                let path = format!("{SUSPENDED_PATH}/resume");
                let done: Resumed =
                    client.client(global)?.post(&path, &json!({ "address": address })).await?;
                if !done.resumed {
                    bail!("{address} is not suspended: `toritsugi mail suspended` lists those that are");
                }
            }
            MailCommand::Templates(command) => command.run(global).await?,
            MailCommand::SetTemplate(command) => command.run(global).await?,
            MailCommand::ResetTemplate(ResetTemplate { account, name, client }) => {
                client
                    .client(global)?
                    .delete(&format!("/v1/accounts/{account}/mail-templates/{name}"))
                    .await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Templates {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let path = format!("/v1/accounts/{}/mail-templates", self.account);
        if self.output.json {
            print_json(&client.get::<Value>(&path, &[]).await?)?;
            return Ok(());
        }
        for template in client.get::<Items<TemplateLine>>(&path, &[]).await?.items {
            let of = if template.is_own { "the account's own" } else { "built in" };
            print(&format!("{} ({of})\n", template.name))?;
            for line in template.body.lines() {
                print(&format!("  {}\n", plain(line)))?;
            }
        }
        Ok(())
    }
}

impl SetTemplate {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let body = std::fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let path = format!("/v1/accounts/{}/mail-templates/{}", self.account, self.name);
        let client = self.client.client(global)?;
        let written: TemplateLine = client.put(&path, &json!({ "body": body })).await?;
        for line in written.preview.lines() {
            print(&format!("{}\n", plain(line)))?;
        }
        Ok(())
    }
}

fn bounces(lines: &[BounceLine]) -> String {
    let mut table = Table::new(["CAME", "REPORT", "CLASS", "RECIPIENT", "DELIVERY", "WORDS"]);
    for line in lines {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        table.row([
            &line.at,
            &line.kind,
            &or_dash(&line.class),
            &or_dash(&line.recipient),
            &or_dash(&line.delivery),
            &line.text,
        ]);
    }
    table.render()
}

fn suspended(lines: &[SuspendedLine]) -> String {
    let mut table = Table::new(["ADDRESS", "SINCE", "WHY"]);
    for line in lines {
        table.row([&line.address, &line.since, &line.why]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_that_came_back_are_a_table() {
        let lines: Items<BounceLine> = serde_json::from_str(
            r#"{"items":[{"at":"2026-11-29T05:00:00.000Z","kind":"failed","class":"gone","recipient":"a@example.jp",
                "text":"no such user","source":"imap"}]}"#,
        )
        .unwrap();
        let expected = "\
CAME                      REPORT  CLASS  RECIPIENT     DELIVERY  WORDS
2026-11-29T05:00:00.000Z  failed  gone   a@example.jp  -         no such user
";
        assert_eq!(bounces(&lines.items), expected);
    }
}
