//! `toritsugi alarms`: prints the rules of alarms and what was raised, and writes rules.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::ClientArgs;
use super::output::{Output, Table, plain, print, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct Alarms {
    #[command(subcommand)]
    command: AlarmsCommand,
}

#[derive(Debug, Subcommand)]
enum AlarmsCommand {
    /// List the alarms that were raised, the newest first; the exit code is 1 where one is raised now.
    List(List),
    /// List the rules.
    Rules(Rules),
    /// Make a rule from a TOML file, or write one again.
    Set(Set),
    /// Remove a rule.
    Remove(Remove),
}

#[derive(Debug, Args)]
struct List {
    /// At most so many, 1 to 500.
    #[arg(long, value_name = "NUMBER", default_value = "50")]
    limit: u32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Rules {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Set {
    /// The TOML file with the rule; docs/statistics.md has the keys.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Write this rule again: its id.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Remove {
    /// The id of the rule.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Rule {
    id: String,
    name: String,
    metric: String,
    formula: Option<String>,
    above: Option<f64>,
    below: Option<f64>,
    for_s: u32,
    clear_for_s: u32,
    raised: bool,
}

#[derive(Debug, Deserialize)]
struct Alarm {
    name: String,
    value: f64,
    raised_at: String,
    cleared_at: Option<String>,
}

impl Alarms {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            AlarmsCommand::List(command) => command.run(global).await,
            AlarmsCommand::Rules(command) => command.run(global).await,
            AlarmsCommand::Set(command) => command.run(global).await,
            AlarmsCommand::Remove(command) => command.run(global).await,
        }
    }
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let limit = self.limit.to_string();
        let found: Value = client.get("/v1/alarms", &[("limit", limit.as_str())]).await?;
        let alarms: Vec<Alarm> = serde_json::from_value(found["items"].clone())?;
        if self.output.json {
            print_json(&found)?;
        } else {
            print(&shown(&alarms))?;
        }
        let is_raised = alarms.iter().any(|alarm| alarm.cleared_at.is_none());
        Ok(if is_raised { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn shown(alarms: &[Alarm]) -> String {
    let mut table = Table::new(["RAISED", "CLEARED", "VALUE", "RULE"]);
    for alarm in alarms {
        let cleared = alarm.cleared_at.as_deref().unwrap_or("no");
        table.row([alarm.raised_at.as_str(), cleared, &alarm.value.to_string(), &plain(&alarm.name)]);
    }
    table.render()
}

fn shown_rules(rules: &[Rule]) -> String {
    let mut table = Table::new(["ID", "RULE", "THRESHOLD", "FOR", "CLEARED AFTER", "NOW"]);
    for rule in rules {
        let what = rule.formula.as_deref().unwrap_or(&rule.metric);
        let threshold = match (rule.above, rule.below) {
            (Some(above), _) => format!("{what} > {above}"),
            (None, below) => format!("{what} < {}", below.unwrap_or_default()),
        };
        let (for_s, clear_for_s) = (format!("{} s", rule.for_s), format!("{} s", rule.clear_for_s));
        let now = if rule.raised { "raised" } else { "-" };
        table.row([rule.id.as_str(), &plain(&rule.name), &threshold, &for_s, &clear_for_s, now]);
    }
    table.render()
}

impl Rules {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let found: Value = client.get("/v1/alarm-rules", &[]).await?;
        if self.output.json {
            print_json(&found)?;
        } else {
            let rules: Vec<Rule> = serde_json::from_value(found["items"].clone())?;
            print(&shown_rules(&rules))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read the rule {}", self.file.display()))?;
        let rule: Value =
            toml::from_str(&text).with_context(|| format!("{} is no TOML file", self.file.display()))?;
        let written: Value = match &self.id {
            Some(id) => client.put(&format!("/v1/alarm-rules/{id}"), &rule).await?,
            None => client.post("/v1/alarm-rules", &rule).await?,
        };
        print_json(&written)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        client.delete(&format!("/v1/alarm-rules/{}", self.id)).await?;
        print_line("there is no such rule any more")?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_and_alarms_are_tables() {
        let rules: Vec<Rule> = serde_json::from_value(json!([
            { "id": "1", "name": "応答率\u{1b}", "metric": "figure", "formula": "AR-open", "below": 0.9, "for_s": 30,
              "clear_for_s": 60, "raised": true },
            { "id": "2", "name": "待ち呼", "metric": "waiting", "above": 3.0, "for_s": 0, "clear_for_s": 60, "raised": false },
        ]))
        .unwrap();
        let text = shown_rules(&rules);
        assert!(
            text.contains("応答率?") && text.contains("AR-open < 0.9") && text.contains("raised"),
            "{text}"
        );
        assert!(text.contains("waiting > 3"), "{text}");
        let alarms: Vec<Alarm> = serde_json::from_value(json!([
            { "name": "待ち呼", "value": 4.0, "raised_at": "2026-11-30T00:00:00.000Z" },
        ]))
        .unwrap();
        assert!(
            shown(&alarms).contains("2026-11-30T00:00:00.000Z  no       4      待ち呼"),
            "{}",
            shown(&alarms)
        );
    }
}
