//! `toritsugi reports`: shows the report of an account for a month or writes it as a PDF, closes months, and says when and to
//! whom reports are mailed.
//!
//! Closing goes account by account; one that is closed already stays as it is, so a command that was interrupted is given
//! again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::billing::all;
use super::client::ClientArgs;
use super::named;
use super::output::{Output, Table, plain, print, print_bytes, print_error, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct Reports {
    #[command(subcommand)]
    command: ReportsCommand,
}

#[derive(Debug, Subcommand)]
enum ReportsCommand {
    /// Show the report of an account for a month, or write it as a PDF or a CSV file.
    Show(Show),
    /// Close a month: its reports never change afterwards.
    Close(Close),
    /// Show, write or remove when and to whom the report of an account is mailed.
    Plan(PlanArgs),
}

#[derive(Debug, Args)]
struct Show {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The month, for instance 2026-11.
    #[arg(long, value_name = "MONTH")]
    month: String,
    /// Write a PDF into this file, which must not exist yet.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "json"])]
    pdf: Option<PathBuf>,
    /// Print the days as a CSV file for a spreadsheet.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// The encoding of the CSV file.
    #[arg(long, value_name = "ENCODING", requires = "csv", default_value = "utf-8", value_parser = ["utf-8", "cp932"])]
    encoding: String,
    /// The language of the CSV file.
    #[arg(long, value_name = "LANGUAGE", requires = "csv", default_value = "ja", value_parser = ["ja", "en"])]
    language: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Close {
    /// The month, for instance 2026-11.
    #[arg(long, value_name = "MONTH")]
    month: String,
    /// Only this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// Close and mail the report of the month before on this day of the month, 1 to 28.
    #[arg(long, value_name = "DAY", requires = "to", value_parser = clap::value_parser!(u8).range(1..=28))]
    day: Option<u8>,
    /// An address that gets it; give the option once for each.
    #[arg(long, value_name = "ADDRESS", requires = "day")]
    to: Vec<String>,
    /// Mail no report.
    #[arg(long, conflicts_with_all = ["day", "to"])]
    remove: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// The printed fields of a report.
#[derive(Debug, Deserialize)]
struct Report {
    account_name: String,
    month: String,
    is_over: bool,
    missing: Vec<Value>,
    pending: u64,
    closed_at: Option<String>,
    total: serde_json::Map<String, Value>,
    figures: Vec<Figure>,
    mails: Vec<Mail>,
}

#[derive(Debug, Deserialize)]
struct Figure {
    id: String,
    formula: String,
    unit: String,
    value: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Mail {
    address: String,
    state: String,
    error: Option<String>,
}

/// The counters of the text; `--json` and `--csv` have all.
const COUNTERS: [&str; 8] =
    ["offered", "answered", "elsewhere", "abandoned", "overflowed", "blocked", "closed", "messages"];

impl Reports {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            ReportsCommand::Show(command) => command.run(global).await,
            ReportsCommand::Close(command) => command.run(global).await,
            ReportsCommand::Plan(command) => command.run(global).await,
        }
    }
}

impl Show {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let path = format!("/v1/accounts/{account}/reports/{}", self.month);
        const CUT_OFF: &str = "the connection ended in the middle of the file; try again";
        if let Some(file) = &self.pdf {
            let bytes = client.download(&format!("{path}/pdf"), &[]).await?.bytes().await.context(CUT_OFF)?;
            write_new(file, &bytes)?;
            print_line(&format!("{} bytes in {}", bytes.len(), file.display()))?;
        } else if self.csv {
            let query = [("encoding", self.encoding.as_str()), ("language", self.language.as_str())];
            let file = client.download(&format!("{path}/csv"), &query).await?.bytes().await;
            print_bytes(&file.context(CUT_OFF)?)?;
        } else if self.output.json {
            print_json(&client.get::<Value>(&path, &[]).await?)?;
        } else {
            print(&shown(&client.get(&path, &[]).await?))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a file that is not there yet.
fn write_new(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::fs::File::create_new(file)
        .with_context(|| format!("cannot create {}; name a file that is not there yet", file.display()))?;
    out.write_all(bytes).with_context(|| format!("cannot write {}", file.display()))
}

fn shown(report: &Report) -> String {
    let state = match &report.closed_at {
        Some(at) => format!("closed {at}"),
        None if report.is_over => "open".to_owned(),
        None => "open, the month is not over".to_owned(),
    };
    let mut text = format!("{} {} ({state})\n", report.month, plain(&report.account_name));
    let count = |counter: &str| report.total.get(counter).and_then(Value::as_u64).unwrap_or(0);
    let counts: Vec<String> =
        COUNTERS.iter().map(|counter| format!("{counter} {}", count(counter))).collect();
    text.push_str(&format!("{}\n\n", counts.join(", ")));
    let mut table = Table::new(["FIGURE", "VALUE", "FORMULA"]);
    for figure in &report.figures {
        let value = match (figure.value, figure.unit.as_str()) {
            (None, _) => "–".to_owned(),
            (Some(value), "ratio") => format!("{:.1} %", value * 100.0),
            (Some(value), _) => format!("{:.1} s", value / 1_000.0),
        };
        table.row([figure.id.as_str(), &value, &figure.formula]);
    }
    text.push_str(&table.render());
    if !report.missing.is_empty() {
        text.push_str(&format!("not complete: a PBX was not followed for {} times\n", report.missing.len()));
    }
    if report.pending > 0 {
        text.push_str(&format!("{} quarters of an hour are being counted; ask again\n", report.pending));
    }
    for mail in &report.mails {
        let error = mail.error.as_deref().map(|error| format!(": {}", plain(error))).unwrap_or_default();
        text.push_str(&format!("mail to {}: {}{error}\n", plain(&mail.address), mail.state));
    }
    text
}

impl Close {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let accounts = match &self.account {
            Some(account) => vec![named::account(&client, account).await?],
            None => {
                let accounts = all(&client, "/v1/accounts", &[]).await?;
                accounts.iter().filter_map(|account| account["id"].as_str().map(str::to_owned)).collect()
            }
        };
        let (mut closed, mut failed) = (0_u32, 0_u32);
        for account in accounts {
            let path = format!("/v1/accounts/{account}/reports/{}/close", self.month);
            match client.post::<_, Value>(&path, &json!({})).await {
                Ok(_) => closed += 1,
                Err(error) => {
                    failed += 1;
                    print_error(&format!("{}: {error:#}", &account[..8]));
                }
            }
        }
        if self.output.json {
            print_json(&json!({ "closed": closed, "failed": failed }))?;
        } else {
            print_line(&format!("closed {}: accounts {closed}", self.month))?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl PlanArgs {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let path = format!("/v1/accounts/{account}/report-plan");
        if self.remove {
            client.delete(&path).await?;
            print_line("no report of the account is mailed")?;
            return Ok(ExitCode::SUCCESS);
        }
        let plan: Value = match self.day {
            Some(day) => client.put(&path, &json!({ "mail_day": day, "to": self.to })).await?,
            None => client.get(&path, &[]).await?,
        };
        print_json(&plan)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_its_counters_its_figures_and_its_mails() {
        let report: Report = serde_json::from_value(json!({
            "account_name": "さくら\u{1b}[2J歯科", "month": "2026-11", "is_over": true, "missing": [{}], "pending": 2,
            "total": { "offered": 4, "answered": 3 },
            "figures": [
                { "id": "AR-all", "formula": "answered / offered", "unit": "ratio", "value": 0.75 },
                { "id": "ASA", "formula": "wait_answered_ms / answered", "unit": "milliseconds", "value": null },
            ],
            "mails": [{ "address": "a@example.jp", "state": "bounced", "error": "550 no" }],
        }))
        .unwrap();
        let text = shown(&report);
        assert!(
            text.starts_with("2026-11 さくら?[2J歯科 (open)\noffered 4, answered 3, elsewhere 0"),
            "{text}"
        );
        assert!(text.contains("AR-all  75.0 %  answered / offered"), "{text}");
        assert!(text.contains("ASA     –"), "{text}");
        assert!(text.contains("not complete") && text.contains("2 quarters"), "{text}");
        assert!(text.ends_with("mail to a@example.jp: bounced: 550 no\n"), "{text}");
    }
}
