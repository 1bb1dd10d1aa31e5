//! `toritsugi contracts`: prints which accounts' goals a month keeps, and writes what was agreed.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::Zoned;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::billing::all;
use super::client::ClientArgs;
use super::named;
use super::output::{Output, Table, print, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct Contracts {
    #[command(subcommand)]
    command: ContractsCommand,
}

#[derive(Debug, Subcommand)]
enum ContractsCommand {
    /// List the contracts with the verdict of each period of a month; the exit code is 1 where one is missed.
    List(List),
    /// Write the contract of an account.
    Set(Set),
    /// Remove the contract of an account.
    Remove(Remove),
}

#[derive(Debug, Args)]
struct List {
    /// The month, for instance 2026-11 [default: the present one of this machine].
    #[arg(long, value_name = "MONTH")]
    month: Option<String>,
    /// Also list the days that kept their goal.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Set {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    /// The formula, for instance AR-open or SL-ignore; docs/statistics.md has them.
    #[arg(long, value_name = "ID")]
    formula: String,
    /// The goal in percent, for instance 90.
    #[arg(long, value_name = "PERCENT")]
    goal: f64,
    /// The limit T of the formula, in seconds: 5, 10, 15, 20, 30, 60 or 120.
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    within: u32,
    /// What must keep the goal: each month, or each day.
    #[arg(long, value_name = "PERIOD", default_value = "month", value_parser = ["month", "day"])]
    period: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Remove {
    /// The account: its code, its name or the beginning of its id.
    account: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Judged {
    account_name: String,
    contract: Contract,
    at_most: bool,
    periods: Vec<Period>,
}

#[derive(Debug, Deserialize)]
struct Contract {
    formula: String,
    goal: f64,
    period: String,
}

#[derive(Debug, Deserialize)]
struct Period {
    name: String,
    verdict: String,
    figure: Option<f64>,
    room: Option<u64>,
}

impl Contracts {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            ContractsCommand::List(command) => command.run(global).await,
            ContractsCommand::Set(command) => command.run(global).await,
            ContractsCommand::Remove(command) => command.run(global).await,
        }
    }
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let month = self.month.unwrap_or_else(|| Zoned::now().strftime("%Y-%m").to_string());
        let found = all(&client, "/v1/contracts", &[("month", &month)]).await?;
        let judged: Vec<Judged> = serde_json::from_value(json!(found))?;
        let is_missed = judged.iter().flat_map(|one| &one.periods).any(|period| period.verdict == "missed");
        if self.output.json {
            print_json(&json!({ "items": found }))?;
        } else if judged.is_empty() {
            print_line("no account has a contract; write one with toritsugi contracts set")?;
        } else {
            print(&shown(&judged, self.all))?;
        }
        Ok(if is_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn shown(judged: &[Judged], with_all: bool) -> String {
    let mut table = Table::new(["ACCOUNT", "GOAL", "PERIOD", "FIGURE", "VERDICT", "MAY BE LOST"]);
    for Judged { account_name, contract, at_most, periods } in judged {
        let sign = if *at_most { "≤" } else { "≥" };
        let goal = format!("{} {sign} {:.1} %", contract.formula, contract.goal * 100.0);
        let is_daily = contract.period == "day";
        for period in periods {
            if is_daily && !with_all && matches!(period.verdict.as_str(), "met" | "no_calls") {
                continue;
            }
            let figure = period.figure.map_or_else(|| "–".to_owned(), percent);
            let room = period.room.map_or_else(|| "–".to_owned(), |room| room.to_string());
            table.row([account_name, &goal, &period.name, &figure, &period.verdict, &room]);
        }
    }
    table.render()
}

/// Cut and not rounded, so that no figure below its goal seems to be the goal.
fn percent(figure: f64) -> String {
    format!("{:.2} %", (figure * 10_000.0 + 1e-6).floor() / 100.0)
}

impl Set {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        if !(self.goal > 0.0 && self.goal < 100.0) {
            bail!("--goal: a percentage between 0 and 100, for instance 90");
        }
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        // 90 % is the nearest number to 0.9, as the daemon computes it.
        let goal: f64 = format!("{}e-2", self.goal).parse().context("--goal is no number")?;
        let body =
            json!({ "formula": self.formula, "goal": goal, "within_s": self.within, "period": self.period });
        let written: Value = client.put(&format!("/v1/accounts/{account}/contract"), &body).await?;
        print_json(&written)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        client.delete(&format!("/v1/accounts/{account}/contract")).await?;
        print_line("the account has no contract")?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_just_below_its_goal_does_not_seem_to_be_it() {
        let period = |figure: Option<f64>, verdict: &str| json!({ "name": "2026-11-01", "verdict": verdict, "figure": figure, "room": null });
        let judged: Vec<Judged> = serde_json::from_value(json!([{
            "account_name": "さくら", "contract": { "formula": "AR-open", "goal": 0.9, "period": "day" }, "at_most": false,
            "periods": [period(Some(0.899_99), "missed"), period(Some(0.9), "met"), period(None, "no_calls")],
        }]))
        .unwrap();
        let text = shown(&judged, false);
        assert!(text.contains("AR-open ≥ 90.0 %") && text.contains("89.99 %  missed"), "{text}");
        assert!(!text.contains("met"), "{text}");
        let text = shown(&judged, true);
        assert!(text.contains("90.00 %  met") && text.contains("–        no_calls"), "{text}");
    }
}
