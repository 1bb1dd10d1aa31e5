//! `toritsugi stats`: prints figures by account, operator, team, queue, hour, day or month; `stats check` compares what is
//! stored with the history, and `stats rebuild` counts it again.
//!
//! Figures come from a daemon. `check` and `rebuild` use the store that the configuration names; a daemon may run meanwhile.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use toritsugi::store::Store;

use super::Global;
use super::client::ClientArgs;
use super::named;
use super::output::{Output, Table, print, print_bytes, print_error, print_json, print_line};
use super::when::{self, Moment};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Stats {
    #[command(subcommand)]
    command: Option<StatsCommand>,
    /// What each row is about.
    #[arg(long, required = true, value_name = "WHAT", value_parser = ["account", "operator", "team", "queue", "hour", "day", "month"])]
    by: Option<String>,
    /// Calls from this day or time on: today, -7d, 2026-11-29, or RFC 3339. Days begin at midnight in the time zone of the
    /// installation.
    #[arg(long, required = true, value_name = "TIME", value_parser = when::day_or_time, allow_hyphen_values = true)]
    from: Option<Moment>,
    /// Calls before this day or time.
    #[arg(long, required = true, value_name = "TIME", value_parser = when::day_or_time, allow_hyphen_values = true)]
    to: Option<Moment>,
    /// Only this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only the work of this operator: an extension, or the id of a user.
    #[arg(long, value_name = "OPERATOR")]
    operator: Option<String>,
    /// Only the work of this team's people: its id.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// Only these formulas: ids with commas between them [default: AR-open,SL-ignore,AB-net,ASA,AHT, of people's work
    /// AHT,ATT,AHold,ACW,TR,OCC,UTL; with --json or --csv all; docs/statistics.md has them].
    #[arg(long, value_name = "IDS")]
    formula: Option<String>,
    /// The limit of formulas for calls answered in time, in seconds: 5, 10, 15, 20, 30, 60 or 120.
    #[arg(long, value_name = "SECONDS")]
    within: Option<u32>,
    /// Print a CSV file for a spreadsheet.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// The encoding of the CSV file.
    #[arg(long, value_name = "ENCODING", requires = "csv", default_value = "utf-8", value_parser = ["utf-8", "cp932"])]
    encoding: String,
    /// The language of the headings in the CSV file.
    #[arg(long, value_name = "LANGUAGE", requires = "csv", default_value = "ja", value_parser = ["ja", "en"])]
    language: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum StatsCommand {
    /// Compare the stored figures with the history; the exit code is 1 where they differ.
    Check(Span),
    /// Count the figures from the history again.
    Rebuild(Span),
}

#[derive(Debug, Args)]
struct Span {
    /// From this day or time on [default: the beginning of the history].
    #[arg(long, value_name = "TIME", value_parser = when::day_or_time, allow_hyphen_values = true)]
    from: Option<Moment>,
    /// Before this day or time [default: now].
    #[arg(long, value_name = "TIME", value_parser = when::day_or_time, allow_hyphen_values = true)]
    to: Option<Moment>,
    #[command(flatten)]
    output: Output,
}

/// The printed fields of the answer of `/v1/stats`.
#[derive(Debug, Deserialize)]
struct Answer {
    time_zone: String,
    complete: bool,
    pending: u64,
    missing: Vec<Value>,
    formulas: Vec<Formula>,
    rows: Vec<Row>,
    total: Row,
}

#[derive(Debug, Deserialize)]
struct Formula {
    id: String,
    name_en: String,
    formula: String,
    unit: String,
    note_en: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Row {
    key: Option<String>,
    name: Option<String>,
    from: Timestamp,
    complete: bool,
    counters: serde_json::Map<String, Value>,
    figures: serde_json::Map<String, Value>,
}

/// The formulas of the table where none is asked for: as many as a terminal has room for.
const FORMULAS_OF_CALLS: &str = "AR-open,SL-ignore,AB-net,ASA,AHT";
const FORMULAS_OF_WORK: &str = "AHT,ATT,AHold,ACW,TR,OCC,UTL";
/// The counters of the table; `--json` and `--csv` have all.
const COUNTERS_OF_CALLS: &[&str] =
    &["offered", "answered", "abandoned", "overflowed", "closed", "blocked", "parts", "messages"];
const COUNTERS_OF_WORK: &[&str] = &["answered", "parts", "transfers_tried", "transfers_reached"];

impl Stats {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            Some(StatsCommand::Check(span)) => span.check(global).await,
            Some(StatsCommand::Rebuild(span)) => span.rebuild(global).await,
            None => self.print(global).await,
        }
    }

    async fn print(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let by = self.by.unwrap_or_default();
        let is_work =
            matches!(by.as_str(), "operator" | "team") || self.operator.is_some() || self.team.is_some();
        let (formulas, counters) = if is_work {
            (FORMULAS_OF_WORK, COUNTERS_OF_WORK)
        } else {
            (FORMULAS_OF_CALLS, COUNTERS_OF_CALLS)
        };
        let is_table = !self.csv && !self.output.json;
        let formula = self.formula.or_else(|| is_table.then(|| formulas.to_owned()));
        let time = |at: Option<Moment>| at.map(|at| at.to_string()).unwrap_or_default();
        let (from, to, within) =
            (time(self.from), time(self.to), self.within.map(|within| within.to_string()));
        let mut query: Vec<(&str, &str)> = vec![("by", &by), ("from", &from), ("to", &to)];
        let account = named::account_filter(&client, self.account.as_deref()).await?.pop().map(|(_, id)| id);
        for (key, value) in [
            ("account", &account),
            ("operator", &self.operator),
            ("team", &self.team),
            ("formula", &formula),
            ("within", &within),
        ] {
            query.extend(value.as_deref().map(|value| (key, value)));
        }
        if self.csv {
            query.extend([("encoding", self.encoding.as_str()), ("language", self.language.as_str())]);
            let file = client.download("/v1/stats.csv", &query).await?.bytes().await;
            print_bytes(&file.context("the connection ended in the middle of the file; try again")?)?;
        } else if self.output.json {
            print_json(&client.get::<Value>("/v1/stats", &query).await?)?;
        } else {
            let answer: Answer = client.get("/v1/stats", &query).await?;
            print(&shown(&answer, &by, counters))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The rows as a table of counters, the figures below each other, and the arithmetic of each.
fn shown(answer: &Answer, by: &str, counters: &[&str]) -> String {
    let zone = TimeZone::get(&answer.time_zone).unwrap_or(TimeZone::UTC);
    let time = |row: &Row, format: &str| row.from.to_zoned(zone.clone()).strftime(format).to_string();
    let subject = |row: &Row| match (by, &row.name, &row.key) {
        ("hour", ..) => time(row, "%Y-%m-%d %H:%M"),
        ("day", ..) => time(row, "%Y-%m-%d"),
        ("month", ..) => time(row, "%Y-%m"),
        (_, Some(name), _) | (_, None, Some(name)) => name.clone(),
        (_, None, None) => "(not known)".to_owned(),
    };
    let mut heading = vec![by.to_uppercase()];
    heading.extend(counters.iter().map(|counter| counter.to_uppercase()));
    heading.extend(answer.formulas.iter().map(|formula| formula.id.clone()));
    let mut table = Table::of(&heading);
    let total = std::iter::once((&answer.total, "total".to_owned()));
    for (row, name) in answer.rows.iter().map(|row| (row, subject(row))).chain(total) {
        let mark = if row.complete { "" } else { " *" };
        let mut cells = vec![format!("{name}{mark}")];
        cells.extend(
            counters
                .iter()
                .map(|counter| row.counters.get(*counter).and_then(Value::as_u64).unwrap_or(0).to_string()),
        );
        cells.extend(answer.formulas.iter().map(|formula| {
            let value = row.figures.get(&formula.id).and_then(Value::as_f64);
            value.map_or_else(|| "–".to_owned(), |value| figure(value, &formula.unit))
        }));
        table.row_of(&cells);
    }
    let mut text = table.render();
    text.push('\n');
    for formula in &answer.formulas {
        let note = formula.note_en.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
        text.push_str(&format!("{}: {} = {}{note}\n", formula.id, formula.name_en, formula.formula));
    }
    if !answer.complete {
        text.push_str(&format!(
            "* not complete: a PBX was not followed for {} times in it; see toritsugi stats --json\n",
            answer.missing.len()
        ));
    }
    if answer.pending > 0 {
        text.push_str(&format!("{} quarters of an hour are being counted; ask again\n", answer.pending));
    }
    text
}

fn figure(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{:.1} %", value * 100.0),
        _ => format!("{:.1} s", value / 1_000.0),
    }
}

impl Span {
    async fn check(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let store = Store::open_at(&config.store.location()?).await?;
        let (from, to) = self.bounds(&config.directory.time_zone);
        let kept_before = config.retention.history_whole_from(Timestamp::now());
        let check = store.check_stats(from, to, kept_before).await;
        store.close().await;
        let check = check?;
        let counts = |counters| serde_json::to_value(counters).unwrap_or_default();
        if self.output.json {
            let differing: Vec<Value> = check
                .differing
                .iter()
                .map(|one| {
                    let from = Timestamp::from_millisecond(one.bin.bin_ms).unwrap_or_default();
                    json!({ "from": from, "pbx": one.bin.pbx, "stored": counts(&one.stored), "history": counts(&one.counted) })
                })
                .collect();
            print_json(&json!({
                "checked": check.checked, "kept": check.kept, "waiting": check.waiting, "differing": differing,
            }))?;
        } else {
            for one in &check.differing {
                let from = Timestamp::from_millisecond(one.bin.bin_ms).unwrap_or_default();
                print_error(&format!(
                    "{from} {}: stored {}, the history says {}",
                    one.bin.pbx,
                    counts(&one.stored),
                    counts(&one.counted)
                ));
            }
            print_line(&format!(
                "{} quarters of an hour compared, {} differ; {} wait to be counted, {} are kept without their calls",
                check.checked,
                check.differing.len(),
                check.waiting,
                check.kept
            ))?;
        }
        if check.differing.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        print_error("toritsugi: some figures are not those of the history; run toritsugi stats rebuild");
        Ok(ExitCode::FAILURE)
    }

    async fn rebuild(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let store = Store::open_at(&config.store.location()?).await?;
        let bounds = self.bounds(&config.directory.time_zone);
        let built = build(&store, bounds, config.retention.history_whole_from(Timestamp::now())).await;
        store.close().await;
        let built = built?;
        if self.output.json {
            print_json(&json!({ "built": built }))?;
        } else {
            print_line(&format!("{built} quarters of an hour counted again"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn bounds(&self, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let time = |at: Moment| match at {
            Moment::At(at) => at,
            Moment::Day(day) => {
                day.to_zoned(zone.clone()).map_or(Timestamp::UNIX_EPOCH, |midnight| midnight.timestamp())
            }
        };
        (self.from.map_or(Timestamp::UNIX_EPOCH, time), self.to.map_or_else(Timestamp::now, time))
    }
}

async fn build(
    store: &Store,
    (from, to): (Timestamp, Timestamp),
    kept_before: Option<Timestamp>,
) -> anyhow::Result<u64> {
    store.mark_stats(from, to).await?;
    let mut total = 0;
    loop {
        let built = store.build_stats(kept_before).await?;
        if built == 0 {
            return Ok(total);
        }
        total += built;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_counters_figures_and_the_arithmetic() {
        let row = |key: &str, answered: u64| {
            json!({
                "key": key, "name": null, "from": "2026-03-31T15:00:00Z", "to": "2026-04-01T15:00:00Z",
                "complete": key == "day", "counters": { "offered": 4, "answered": answered },
                "figures": { "AR-all": 0.75, "ASA": null },
            })
        };
        let formula = |id: &str, unit: &str| {
            json!({ "id": id, "version": 1, "name_ja": "", "name_en": "answer rate, all calls",
                "formula": "answered / offered", "unit": unit, "note_en": "for reference only" })
        };
        let answer: Answer = serde_json::from_value(json!({
            "time_zone": "Asia/Tokyo", "complete": false, "pending": 2, "missing": [{}], "rows": [row("day", 3)], "total": row("total", 3),
            "formulas": [formula("AR-all", "ratio"), formula("ASA", "milliseconds")],
        }))
        .unwrap();
        let text = shown(&answer, "day", COUNTERS_OF_CALLS);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("DAY         OFFERED  ANSWERED"), "{text}");
        assert!(lines[1].starts_with("2026-04-01  4        3"), "{text}");
        assert!(lines[1].contains("75.0 %") && lines[1].ends_with('–'), "{text}");
        assert!(lines[2].starts_with("total *"), "{text}");
        assert_eq!(lines[4], "AR-all: answer rate, all calls = answered / offered (for reference only)");
        assert!(text.contains("not complete") && text.contains("2 quarters of an hour"), "{text}");
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_installation() {
        let read = |text| when::day_or_time(text).unwrap();
        let (from, to) = (read("2026-04-01"), read("2026-04-01T00:00:00Z"));
        assert_eq!((from.to_string(), to.to_string()), ("2026-04-01".into(), "2026-04-01T00:00:00Z".into()));
        let span = Span { from: Some(from), to: Some(to), output: Output { json: false } };
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let bounds = ("2026-03-31T15:00:00Z".parse().unwrap(), "2026-04-01T00:00:00Z".parse().unwrap());
        assert_eq!(span.bounds(&tokyo), bounds);
        for text in ["last year", "2026-04", "2026-04-31", ""] {
            assert!(when::day_or_time(text).is_err(), "{text}");
        }
    }
}
