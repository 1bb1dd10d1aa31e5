//! `toritsugi mail`: tests the mail server, passes mails that came back to the daemon, lists them, and the addresses to which nothing is sent; the templates of
//! mails.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::check;
use super::client::{Client, ClientArgs};
use super::named;
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
    /// Connect to the mail server, those of accounts, the backup and the mailbox of mails that come back, sign in, and say what to do. Sends nothing.
    Check(CheckMail),
    /// Pass a mail that came back to the daemon: on standard input, for an alias of the mail server.
    Bounce(Bounce),
    /// List the mails that came back and the refusals of the mail server, the newest first.
    Bounces(Bounces),
    /// List the addresses to which nothing is sent.
    Suspended(Suspended),
    /// Send to a suspended address again.
    Resume(Resume),
    /// Show the templates of an account's mails, chats, SMS and faxes, with what they write for a made-up message.
    Templates(Templates),
    /// Write a template of an account's mails from a file; one that cannot work is refused with the line.
    SetTemplate(SetTemplate),
    /// List what a template of an account's mails was, the newest first; or show one version.
    TemplateVersions(TemplateVersions),
    /// Use an earlier version of a template again.
    RestoreTemplate(RestoreTemplate),
    /// Let an account use the built-in template again.
    ResetTemplate(ResetTemplate),
}

#[derive(Debug, Args)]
struct CheckMail {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Templates {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct SetTemplate {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Which: subject, text, html, digest_subject, digest_text, chat_text, sms_text or fax_text.
    #[arg(value_name = "NAME")]
    name: String,
    /// The file with the template.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only try it: nothing is written.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct TemplateVersions {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Which: subject, text, html, digest_subject, digest_text, chat_text, sms_text or fax_text.
    #[arg(value_name = "NAME")]
    name: String,
    /// Print the text of this version.
    #[arg(value_name = "VERSION")]
    version: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct RestoreTemplate {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Which: subject, text, html, digest_subject, digest_text, chat_text, sms_text or fax_text.
    #[arg(value_name = "NAME")]
    name: String,
    /// The version, from `toritsugi mail template-versions`.
    #[arg(value_name = "VERSION")]
    version: u64,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct ResetTemplate {
    /// The account: its code, its name or the beginning of its id.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Which: subject, text, html, digest_subject, digest_text, chat_text, sms_text or fax_text.
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
    #[serde(default)]
    replaced: Vec<ReplacedCharacter>,
}

/// A character that systems without UTF-8 do not have.
#[derive(Debug, Deserialize)]
struct ReplacedCharacter {
    character: String,
    by: String,
}

/// The printed fields of a version of a template.
#[derive(Debug, Deserialize)]
struct VersionLine {
    version: u64,
    at: String,
    by_name: String,
    body: Option<String>,
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
            MailCommand::Check(CheckMail { output }) => return check::of_mail(global, &output).await,
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
            MailCommand::TemplateVersions(command) => command.run(global).await?,
            MailCommand::RestoreTemplate(command) => command.run(global).await?,
            MailCommand::ResetTemplate(ResetTemplate { account, name, client }) => {
                let client = client.client(global)?;
                client.delete(&path(&client, &account, &name).await?).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Templates {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let path = format!("/v1/accounts/{}/mail-templates", named::account(&client, &self.account).await?);
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
        let client = self.client.client(global)?;
        let path = path(&client, &self.account, &self.name).await?;
        let body = json!({ "body": body, "dry_run": self.dry_run });
        let written: TemplateLine = client.put(&path, &body).await?;
        print(&shown(&written))?;
        Ok(())
    }
}

impl TemplateVersions {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let path = format!("{}/versions", path(&client, &self.account, &self.name).await?);
        if self.output.json {
            print_json(&client.get::<Value>(&path, &[]).await?)?;
            return Ok(());
        }
        let items = client.get::<Items<VersionLine>>(&path, &[]).await?.items;
        match self.version {
            Some(version) => print(&body_of(&items, version)?)?,
            None => print(&versions(&items))?,
        }
        Ok(())
    }
}

impl RestoreTemplate {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let path = path(&client, &self.account, &self.name).await?;
        let known: Items<VersionLine> = client.get(&format!("{path}/versions"), &[]).await?;
        let body = body_of(&known.items, self.version)?;
        let written: TemplateLine = client.put(&path, &json!({ "body": body })).await?;
        print(&shown(&written))?;
        Ok(())
    }
}

/// The path of a template.
async fn path(client: &Client, account: &str, name: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/accounts/{}/mail-templates/{name}", named::account(client, account).await?))
}

/// What a template writes, and the characters that some systems do not have.
fn shown(template: &TemplateLine) -> String {
    let mut text: String = template.preview.lines().map(|line| format!("{}\n", plain(line))).collect();
    if !template.replaced.is_empty() {
        let replaced = template.replaced.iter().map(|one| format!("{}→{}", one.character, one.by));
        let replaced = replaced.collect::<Vec<_>>().join(" ");
        text.push_str(&format!("\nrecipients with charset iso-2022-jp get: {replaced}\n"));
    }
    text
}

fn body_of(items: &[VersionLine], version: u64) -> anyhow::Result<String> {
    let known = items.iter().find(|one| one.version == version);
    let known = known.with_context(|| format!("there is no version {version}"))?;
    known.body.clone().with_context(|| {
        format!("in version {version} the built-in template was used again: `toritsugi mail reset-template`")
    })
}

fn versions(items: &[VersionLine]) -> String {
    let mut table = Table::new(["VERSION", "WRITTEN", "BY", "TEXT"]);
    for one in items {
        let lines = one.body.as_ref().map(|body| format!("{} lines", body.lines().count()));
        table.row([&one.version.to_string(), &one.at, &one.by_name, lines.as_deref().unwrap_or("built in")]);
    }
    table.render()
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

    #[test]
    fn versions_of_a_template_are_a_table_and_each_text_can_be_had() {
        let known: Items<VersionLine> = serde_json::from_str(
            r#"{"items":[{"version":2,"at":"2026-11-29T05:00:00.000Z","by_name":"花"},
                {"version":1,"at":"2026-11-29T04:00:00.000Z","by_name":"葉","body":"a\nb\n"}]}"#,
        )
        .unwrap();
        let expected = "\
VERSION  WRITTEN                   BY  TEXT
2        2026-11-29T05:00:00.000Z  花  built in
1        2026-11-29T04:00:00.000Z  葉  2 lines
";
        assert_eq!(versions(&known.items), expected);
        assert_eq!(body_of(&known.items, 1).unwrap(), "a\nb\n");
        assert!(body_of(&known.items, 2).unwrap_err().to_string().contains("reset-template"));
        assert!(body_of(&known.items, 9).unwrap_err().to_string().contains("no version 9"));
    }
}
