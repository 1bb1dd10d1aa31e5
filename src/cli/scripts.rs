//! `toritsugi scripts`: checks, imports, exports and lists the scripts of accounts.
//!
//! `check` reads a file and needs no daemon, unless it is asked about an account; the other commands are clients of one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toritsugi::script;

use super::Global;
use super::client::{Client, ClientArgs};
use super::named;
use super::output::{Output, Table, plain, print, print_error, print_json, print_line};
use super::when;

/// The code of a script unless one is named.
const USUAL: &str = "usual";

#[derive(Debug, Args)]
pub(super) struct Scripts {
    #[command(subcommand)]
    command: ScriptsCommand,
}

#[derive(Debug, Subcommand)]
enum ScriptsCommand {
    /// List the scripts of an account.
    List(List),
    /// Print a script of an account: its text, or its versions.
    Show(Show),
    /// Check a file: every mistake with its line. Exits with 1 if the script cannot work.
    Check(CheckFile),
    /// Save a file as the next version of a script, and publish it.
    Import(Import),
    /// Write the text of a script to a file.
    Export(Export),
    /// Publish a draft, or an older version again.
    #[command(alias = "rollback")]
    Publish(Publish),
    /// Retire a script: none of its versions is used any more.
    Retire(Retire),
    /// Count what came of the offers of scripts.
    Offers(Offers),
}

#[derive(Debug, Args)]
struct List {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Show {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The code of the script.
    #[arg(default_value = USUAL)]
    script: String,
    /// This version instead of the newest.
    #[arg(long)]
    version: Option<u32>,
    /// Its versions instead of its text.
    #[arg(long, conflicts_with = "version")]
    versions: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct CheckFile {
    /// The file.
    file: PathBuf,
    /// Also whether it fits the account with this code; asks the daemon.
    #[arg(long, value_name = "CODE")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Import {
    /// The file.
    file: PathBuf,
    /// The code of the account [default: the one that the file names].
    #[arg(long, value_name = "CODE")]
    account: Option<String>,
    /// The code of the script.
    #[arg(long, default_value = USUAL)]
    script: String,
    /// Publish it; otherwise it is a draft.
    #[arg(long)]
    publish: bool,
    /// Check it, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Export {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The code of the script.
    #[arg(default_value = USUAL)]
    script: String,
    /// This version instead of the newest.
    #[arg(long)]
    version: Option<u32>,
    /// The file; standard output if absent. An existing file is replaced.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Publish {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The code of the script.
    script: String,
    /// The version: the newest one if it is a draft; of an older one a copy becomes the newest.
    version: u32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Retire {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The code of the script.
    script: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Offers {
    /// Only of this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "CODE")]
    account: Option<String>,
    /// Only in messages taken at or after this time: today, -2h, 2026-11-29, 14:30, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    from: Option<Timestamp>,
    /// Only in messages taken before this time.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    to: Option<Timestamp>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// The printed fields of a version.
#[derive(Debug, Deserialize, Serialize)]
struct Version {
    script: String,
    version: u32,
    state: String,
    name: String,
    body: Option<String>,
    by_name: String,
    restored: Option<u32>,
    at: Timestamp,
    published_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Versions {
    items: Vec<Version>,
}

/// The printed fields of a finding.
#[derive(Debug, Deserialize, Serialize)]
struct Finding {
    severity: String,
    line: u32,
    column: u32,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Findings {
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Written {
    script: Version,
}

#[derive(Debug, Deserialize)]
struct Counts {
    items: Vec<Count>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Count {
    account: String,
    script: String,
    offer: String,
    by: Option<String>,
    accepted: u64,
    declined: u64,
    later: u64,
}

impl Scripts {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            ScriptsCommand::Check(command) => return command.run(global).await,
            ScriptsCommand::Import(command) => return command.run(global).await,
            ScriptsCommand::List(command) => command.run(global).await?,
            ScriptsCommand::Show(command) => command.run(global).await?,
            ScriptsCommand::Export(command) => command.run(global).await?,
            ScriptsCommand::Publish(command) => command.run(global).await?,
            ScriptsCommand::Retire(command) => {
                let client = command.client.client(global)?;
                let account = account_id(&client, &command.account).await?;
                client.delete(&path(&account, &command.script)).await?;
            }
            ScriptsCommand::Offers(command) => command.run(global).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let account = account_id(&client, &self.account).await?;
        let list: Versions = client.get(&format!("/v1/accounts/{account}/scripts"), &[]).await?;
        print_versions(&list.items, self.output)
    }
}

impl Show {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let account = account_id(&client, &self.account).await?;
        let path = path(&account, &self.script);
        if self.versions {
            let list: Versions = client.get(&format!("{path}/versions"), &[]).await?;
            return print_versions(&list.items, self.output);
        }
        let version = read(&client, &path, self.version).await?;
        if self.output.json {
            return print_json(&version);
        }
        let published = if version.state == "live" { ", live" } else { "" };
        print_line(&format!("# {} version {}{published}", plain(&version.script), version.version))?;
        Ok(print(&text_of(&version))?)
    }
}

impl CheckFile {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let body = read_file(&self.file)?;
        let findings = match &self.account {
            Some(code) => {
                let client = self.client.client(global)?;
                let account = account_id(&client, code).await?;
                of_account(&client, &account, &body).await?
            }
            None => of_text(&body),
        };
        if self.output.json {
            print_json(&findings)?;
        }
        Ok(report(&self.file, &findings, self.output.json))
    }
}

impl Import {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let body = read_file(&self.file)?;
        let own = match script::read(&body) {
            Ok(script) => script.account,
            Err(_) => return Ok(report(&self.file, &of_text(&body), false)),
        };
        let Some(code) = self.account.or(own) else {
            bail!("the file names no account: give its code with --account");
        };
        let client = self.client.client(global)?;
        let account = account_id(&client, &code).await?;
        let findings = of_account(&client, &account, &body).await?;
        let outcome = report(&self.file, &findings, false);
        if self.dry_run || outcome != ExitCode::SUCCESS {
            return Ok(outcome);
        }
        let path = path(&account, &self.script);
        let list: Versions = client.get(&format!("/v1/accounts/{account}/scripts"), &[]).await?;
        let own = list.items.iter().filter(|version| version.script == self.script);
        let newest = own.map(|version| version.version).max().unwrap_or(0);
        let request = json!({ "body": body, "version": newest, "publish": self.publish });
        let written: Written = client.put(&path, &request).await?;
        if self.output.json {
            print_json(&written.script)?;
        } else {
            let Version { script, version, state, .. } = written.script;
            print_line(&format!(
                "{} {}: version {version}, {}",
                plain(&code),
                plain(&script),
                plain(&state)
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Export {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let account = account_id(&client, &self.account).await?;
        let version = read(&client, &path(&account, &self.script), self.version).await?;
        let body = version.body.unwrap_or_default();
        match &self.output {
            Some(file) => {
                std::fs::write(file, body).with_context(|| format!("cannot write {}", file.display()))
            }
            None => Ok(super::output::print_bytes(body.as_bytes())?),
        }
    }
}

impl Publish {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let account = account_id(&client, &self.account).await?;
        let path = path(&account, &self.script);
        let newest = read(&client, &path, None).await?.version;
        let request = json!({ "version": self.version, "newest": newest });
        let written: Written = client.post(&format!("{path}/publish"), &request).await?;
        if self.output.json {
            return print_json(&written.script);
        }
        let Version { script, version, restored, .. } = written.script;
        let from = restored.map(|old| format!(", the text of version {old}")).unwrap_or_default();
        Ok(print_line(&format!(
            "{} {}: version {version} is live{from}",
            plain(&self.account),
            plain(&script)
        ))?)
    }
}

impl Offers {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let mut query = Vec::new();
        if let Some(code) = &self.account {
            query.push(("account", account_id(&client, code).await?));
        }
        query.extend(self.from.map(|from| ("from", from.to_string())));
        query.extend(self.to.map(|to| ("to", to.to_string())));
        let query: Vec<_> = query.iter().map(|(key, text)| (*key, text.as_str())).collect();
        let counts: Counts = client.get("/v1/scripts/offers", &query).await?;
        if self.output.json {
            return print_json(&counts.items);
        }
        let mut table = Table::new(["ACCOUNT", "SCRIPT", "OFFER", "BY", "YES", "NO", "LATER"]);
        for one in &counts.items {
            let by = one.by.as_deref().unwrap_or("-");
            let [yes, no, later] = [one.accepted, one.declined, one.later].map(|count| count.to_string());
            table.row([&one.account, &one.script, &one.offer, by, &yes, &no, &later]);
        }
        Ok(print(&table.render())?)
    }
}

fn path(account: &str, script: &str) -> String {
    let code: String = url::form_urlencoded::byte_serialize(script.as_bytes()).collect();
    format!("/v1/accounts/{account}/scripts/{code}")
}

async fn read(client: &Client, path: &str, version: Option<u32>) -> anyhow::Result<Version> {
    let version = version.map(|version| version.to_string());
    let query: Vec<(&str, &str)> = version.iter().map(|version| ("version", version.as_str())).collect();
    client.get(path, &query).await
}

/// The id of the account that a text names.
async fn account_id(client: &Client, text: &str) -> anyhow::Result<String> {
    named::account(client, text).await
}

fn read_file(file: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{}: write the file in UTF-8", file.display()))
}

/// What is wrong with a text, without an account.
fn of_text(body: &str) -> Vec<Finding> {
    let found = script::read(body).err().unwrap_or_default();
    let finding = |found: script::Finding| Finding {
        severity: match found.severity {
            script::Severity::Error => "error",
            script::Severity::Warning => "warning",
        }
        .to_owned(),
        line: found.line,
        column: found.column,
        reason: found.reason,
    };
    found.into_iter().map(finding).collect()
}

async fn of_account(client: &Client, account: &str, body: &str) -> anyhow::Result<Vec<Finding>> {
    let request = json!({ "account": account, "body": body });
    let found: Findings = client.post("/v1/scripts/check", &request).await?;
    Ok(found.findings)
}

/// Prints one line for each finding on standard error, as compilers do; 1 if there is an error among them.
fn report(file: &Path, findings: &[Finding], is_silent: bool) -> ExitCode {
    for one in findings.iter().filter(|_| !is_silent) {
        let Finding { severity, line, column, reason } = one;
        print_error(&format!("{}:{line}:{column}: {}: {}", file.display(), plain(severity), plain(reason)));
    }
    let has_errors = findings.iter().any(|finding| finding.severity == "error");
    if has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print_versions(versions: &[Version], output: Output) -> anyhow::Result<()> {
    if output.json {
        return print_json(versions);
    }
    Ok(print(&table(versions, &TimeZone::system()))?)
}

fn table(versions: &[Version], zone: &TimeZone) -> String {
    let mut table = Table::new(["SCRIPT", "VERSION", "STATE", "NAME", "SAVED", "BY"]);
    for one in versions {
        let at = one.at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        table.row([&one.script, &one.version.to_string(), &one.state, &one.name, &at, &one.by_name]);
    }
    table.render()
}

/// A text for a terminal: its lines stay, control characters do not.
fn text_of(version: &Version) -> String {
    let body = version.body.as_deref().unwrap_or_default();
    body.lines().map(|line| plain(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_a_table_and_a_text_has_no_control_characters() {
        let version: Version = serde_json::from_value(json!({
            "script": "usual", "version": 3, "state": "live", "name": "通常", "by_name": "佐藤",
            "at": "2026-11-29T00:00:00Z", "body": "a\u{1b}[2J\nb\n",
        }))
        .unwrap();
        let text = table(std::slice::from_ref(&version), &TimeZone::UTC);
        assert!(text.lines().nth(1).unwrap().starts_with("usual   3        live   通常"), "{text}");
        assert_eq!(text_of(&version), "a?[2J\nb\n");
        assert_eq!(path("a", "../x"), "/v1/accounts/a/scripts/..%2Fx");
    }

    #[test]
    fn a_file_with_a_mistake_is_refused_with_its_line() {
        let findings = of_text("format = 1\nname = \"\"\n");
        assert_eq!((findings[0].severity.as_str(), findings[0].line), ("error", 1), "{findings:?}");
        assert_eq!(report(Path::new("x.toml"), &findings, true), ExitCode::FAILURE);
        assert_eq!(report(Path::new("x.toml"), &[], true), ExitCode::SUCCESS);
    }
}
