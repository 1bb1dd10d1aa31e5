//! `toritsugi billing`: prints the bills of a month, writes accounts' plans, and closes months.
//!
//! A plan is a TOML file, as docs/statistics.md describes it. Closing goes account by account; one that is closed already
//! stays as it is, so a command that was interrupted is given again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::client::{Client, ClientArgs};
use super::named;
use super::output::{Output, Table, plain, print, print_bytes, print_error, print_json, print_line};

/// Accounts of one request.
const ACCOUNTS_PER_PAGE: &str = "100";

#[derive(Debug, Args)]
pub(super) struct Billing {
    #[command(subcommand)]
    command: BillingCommand,
}

#[derive(Debug, Subcommand)]
enum BillingCommand {
    /// List the bills of a month, or print their lines as a CSV file.
    List(List),
    /// Show the bill of one account: its lines, and with --calls why each call counts or not.
    Show(Show),
    /// Close a month: its bills never change afterwards, and later changes go into the next bill.
    Close(Close),
    /// Show, write or remove the plan of an account.
    Plan(PlanArgs),
}

#[derive(Debug, Args)]
struct List {
    /// The month, for instance 2026-11.
    #[arg(long, value_name = "MONTH")]
    month: String,
    /// Print a CSV file for a spreadsheet: one row for each line of each bill.
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
struct Show {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The month, for instance 2026-11.
    #[arg(long, value_name = "MONTH")]
    month: String,
    /// Also list the calls, each with the reason why it counts or not.
    #[arg(long)]
    calls: bool,
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
    /// Write the plan from this TOML file.
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    file: Option<PathBuf>,
    /// Remove the plan.
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// The printed fields of a bill.
#[derive(Debug, Deserialize)]
struct Bill {
    account: String,
    account_name: String,
    month: String,
    from: String,
    to: String,
    closed_at: Option<String>,
    plan: Plan,
    lines: Vec<Line>,
    yen: i64,
    counts: serde_json::Map<String, Value>,
    warnings: Vec<String>,
    #[serde(default)]
    calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Plan {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Line {
    kind: String,
    count: u64,
    unit_yen: Option<u32>,
    yen: i64,
    month: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Call {
    call: String,
    offered_at: String,
    why: String,
    units: u64,
    disposition: Option<String>,
    merged_with: Option<String>,
}

impl Billing {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            BillingCommand::List(command) => command.run(global).await,
            BillingCommand::Show(command) => command.run(global).await,
            BillingCommand::Close(command) => command.run(global).await,
            BillingCommand::Plan(command) => command.run(global).await,
        }
    }
}

/// All records of a list, page by page.
pub(super) async fn all(client: &Client, path: &str, filter: &[(&str, &str)]) -> anyhow::Result<Vec<Value>> {
    let (mut records, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", ACCOUNTS_PER_PAGE)];
        query.extend_from_slice(filter);
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page: Value = client.get(path, &query).await?;
        if let Some(items) = page["items"].as_array_mut() {
            records.append(items);
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(records),
        }
    }
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        if self.csv {
            let query = [("encoding", self.encoding.as_str()), ("language", self.language.as_str())];
            let file = client.download(&format!("/v1/bills/{}/lines.csv", self.month), &query).await?;
            let file = file.bytes().await;
            print_bytes(&file.context("the connection ended in the middle of the file; try again")?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let bills = all(&client, &format!("/v1/bills/{}", self.month), &[]).await?;
        if self.output.json {
            print_json(&json!({ "items": bills }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(["ACCOUNT", "NAME", "PLAN", "COUNTED", "YEN", "CLOSED", "TO LOOK AT"]);
        let mut sum = 0;
        for bill in bills {
            let bill: Bill = serde_json::from_value(bill)?;
            sum += bill.yen;
            table.row([
                &bill.account[..8],
                &bill.account_name,
                &bill.plan.name,
                &counted(&bill).to_string(),
                &bill.yen.to_string(),
                bill.closed_at.as_deref().map_or("", |_| "yes"),
                &bill.warnings.join(" "),
            ]);
        }
        print(&table.render())?;
        print_line(&format!("\n{sum} yen before tax"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// How many calls or messages the bill counts.
fn counted(bill: &Bill) -> u64 {
    let is_counted = |line: &&Line| matches!(line.kind.as_str(), "included" | "extra");
    bill.lines.iter().filter(is_counted).map(|line| line.count).sum()
}

impl Show {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let answer: Value = client.get(&format!("/v1/accounts/{account}/bills/{}", self.month), &[]).await?;
        if self.output.json {
            print_json(&answer)?;
        } else {
            print(&shown(&serde_json::from_value(answer)?, self.calls))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(bill: &Bill, with_calls: bool) -> String {
    let state = bill.closed_at.as_deref().map_or("open".to_owned(), |at| format!("closed {at}"));
    let mut text = format!(
        "{} {} ({state})\nfrom {} to {}\nplan {}\n\n",
        bill.month,
        plain(&bill.account_name),
        bill.from,
        bill.to,
        plain(&bill.plan.name)
    );
    let mut table = Table::new(["ITEM", "COUNT", "UNIT YEN", "YEN"]);
    for line in &bill.lines {
        let item = line.month.as_ref().map_or(line.kind.clone(), |month| format!("{} of {month}", line.kind));
        let unit = line.unit_yen.map(|yen| yen.to_string()).unwrap_or_default();
        table.row([&item, &line.count.to_string(), &unit, &line.yen.to_string()]);
    }
    table.row(["total", "", "", &bill.yen.to_string()]);
    text.push_str(&table.render());
    let counts: Vec<String> = bill.counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
    text.push_str(&format!(
        "\ncalls: {}\n",
        if counts.is_empty() { "none".into() } else { counts.join(", ") }
    ));
    for warning in &bill.warnings {
        text.push_str(match warning.as_str() {
            "few_dispositions" => {
                "look at this: many calls have no disposition, so the plan cannot leave them out\n"
            }
            "incomplete" => "look at this: a PBX was not followed for a time; calls may be missing\n",
            "not_over" => "the month is not over\n",
            "not_whole" => "look at this: retention has deleted some of the month\n",
            _ => "",
        });
    }
    if with_calls {
        let mut table = Table::new(["OFFERED", "CALL", "UNITS", "WHY"]);
        for call in &bill.calls {
            let why = match (&call.disposition, &call.merged_with) {
                (Some(disposition), _) => format!("{}: {disposition}", call.why),
                (_, Some(other)) => format!("{}: {}", call.why, &other[..8.min(other.len())]),
                _ => call.why.clone(),
            };
            table.row([&call.offered_at, &call.call, &call.units.to_string(), &why]);
        }
        text.push('\n');
        text.push_str(&table.render());
    }
    text
}

impl Close {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let accounts = match &self.account {
            Some(account) => vec![named::account(&client, account).await?],
            None => {
                let bills = all(&client, &format!("/v1/bills/{}", self.month), &[]).await?;
                let open = bills.iter().filter(|bill| bill["closed_at"].is_null());
                open.filter_map(|bill| bill["account"].as_str().map(str::to_owned)).collect()
            }
        };
        let (mut closed, mut failed, mut yen) = (0_u32, 0_u32, 0_i64);
        for account in accounts {
            let path = format!("/v1/accounts/{account}/bills/{}/close", self.month);
            match client.post::<_, Bill>(&path, &json!({})).await {
                Ok(bill) => (closed, yen) = (closed + 1, yen + bill.yen),
                Err(error) => {
                    failed += 1;
                    print_error(&format!("{}: {error:#}", &account[..8]));
                }
            }
        }
        if self.output.json {
            print_json(&json!({ "closed": closed, "failed": failed, "yen": yen }))?;
        } else {
            let nothing =
                if closed + failed == 0 { "; no account with a plan has an open bill of it" } else { "" };
            print_line(&format!("closed {}: accounts {closed}, yen before tax {yen}{nothing}", self.month))?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl PlanArgs {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let path = format!("/v1/accounts/{account}/billing-plan");
        if self.remove {
            client.delete(&path).await?;
            print_line("the account has no plan")?;
            return Ok(ExitCode::SUCCESS);
        }
        let plan: Value = match &self.file {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read the plan {}", file.display()))?;
                let plan: Value =
                    toml::from_str(&text).with_context(|| format!("{} is no TOML file", file.display()))?;
                client.put(&path, &plan).await?
            }
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
    fn a_bill_has_its_lines_its_sum_and_why_each_call_counts() {
        let call = |n: u32, why: &str| {
            json!({ "call": format!("0000000{n}-0000-0000-0000-000000000000"), "offered_at": "2026-11-01T00:00:00.000Z",
                "why": why, "units": u32::from(why == "counted") })
        };
        let mut silent = call(2, "disposition");
        silent["disposition"] = json!("silent");
        let bill: Bill = serde_json::from_value(json!({
            "account": "00000000-0000-0000-0000-000000000001", "account_name": "さくら\u{1b}[2J歯科", "month": "2026-11",
            "from": "2026-10-31T15:00:00.000Z", "to": "2026-11-30T15:00:00.000Z", "plan": { "name": "標準" },
            "lines": [
                { "kind": "base", "count": 1, "unit_yen": 3000, "yen": 3000 },
                { "kind": "included", "count": 1, "unit_yen": 0, "yen": 0 },
                { "kind": "correction", "count": 2, "yen": -190, "month": "2026-10" },
            ],
            "yen": 2810, "counts": { "counted": 1, "disposition": 1 }, "warnings": ["not_over"],
            "calls": [call(1, "counted"), silent],
        }))
        .unwrap();
        assert_eq!(counted(&bill), 1);
        let text = shown(&bill, true);
        assert!(text.starts_with("2026-11 さくら?[2J歯科 (open)"), "{text}");
        assert!(text.contains("correction of 2026-10  2                -190"), "{text}");
        assert!(text.contains("calls: 1 counted, 1 disposition") && text.contains("not over"), "{text}");
        assert!(text.contains("disposition: silent"), "{text}");
        assert!(!shown(&bill, false).contains("OFFERED"));
    }
}
