//! Figures as a CSV file: the rows of the same question of `/v1/stats`, a column for each counter and each formula, and the
//! sum at the end.
//!
//! Invariant: the heading of a figure has its arithmetic. A figure that does not exist (0/0) is an empty field, and a row
//! over a time that was not followed says so. Times are seconds.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::csv::{CsvFile, FileLanguage};
use super::extract::QueryParams;
use super::problem::{Problem, ProblemBody};
use super::query::{StatsBy, StatsFileQuery};
use super::state::AppState;
use super::stats::{StatsRowView, StatsView, figures};
use crate::people::role::Permission;
use crate::stats::{COUNTERS, CounterName, Counters, Unit};

/// Writes figures into a CSV file, with the same parameters as `/v1/stats`.
#[utoipa::path(get, path = "/v1/stats.csv", tag = "stats", params(StatsFileQuery), responses(
    (status = 200, description = "A CSV file (RFC 4180) with a row of headings; fields that a spreadsheet would take for \
        formulas begin with an apostrophe", body = String, content_type = "text/csv"),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such operator or team, or you may not see its work", body = ProblemBody),
))]
pub(crate) async fn download(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<StatsFileQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let (encoding, language) = (query.encoding.unwrap_or_default(), query.language.unwrap_or_default());
    let question = query.into_question();
    let view = figures(&state, &caller, &question).await?;
    let mut file = CsvFile::new(encoding);
    file.row(headings(&view, question.by, language).iter().map(String::as_str));
    for row in &view.rows {
        file.row(row_of(&state, &view, row, language).iter().map(String::as_str));
    }
    let mut total = row_of(&state, &view, &view.total, language);
    language.of("合計", "total").clone_into(&mut total[0]);
    file.row(total.iter().map(String::as_str));
    let details = json!({ "by": question.by, "from": view.from, "to": view.to });
    audit_trail::record(&state, &caller, "stats.exported", ("", None), details).await;
    Ok(file.into_response("stats.csv"))
}

fn is_time(counter: &CounterName) -> bool {
    counter.id.ends_with("_ms")
}

/// The heading of a counter, with its unit where that is seconds.
pub(super) fn heading_of(counter: &CounterName, language: FileLanguage) -> String {
    let name = language.of(counter.ja, counter.en);
    if is_time(counter) {
        format!("{}{}", name.trim_end_matches(" (ms)"), language.of("（秒）", " (s)"))
    } else {
        name.to_owned()
    }
}

/// A counter as a file has it: times in seconds.
pub(super) fn field_of(counter: &CounterName, counters: &Counters) -> String {
    let value = counters.get(counter.id).unwrap_or(0);
    if is_time(counter) { seconds(value) } else { value.to_string() }
}

fn headings(view: &StatsView, by: StatsBy, language: FileLanguage) -> Vec<String> {
    let subject = match by {
        StatsBy::Account => language.of("契約先", "Account"),
        StatsBy::Operator => language.of("オペレーター", "Operator"),
        StatsBy::Team => language.of("チーム", "Team"),
        StatsBy::Queue => language.of("キュー", "Queue"),
        StatsBy::Hour => language.of("時", "Hour"),
        StatsBy::Day => language.of("日", "Day"),
        StatsBy::Month => language.of("月", "Month"),
    };
    let counter = |counter: &CounterName| heading_of(counter, language);
    let figure = |formula: &super::stats::FormulaView| {
        let unit = match formula.unit {
            Unit::Ratio => language.of("（%）", " (%)"),
            Unit::Milliseconds => language.of("（秒）", " (s)"),
        };
        format!("{}{unit} = {}", language.of(formula.name_ja, formula.name_en), formula.formula)
    };
    let first = [subject.to_owned(), language.of("欠測あり", "Incomplete").to_owned()];
    first.into_iter().chain(COUNTERS.iter().map(counter)).chain(view.formulas.iter().map(figure)).collect()
}

fn row_of(state: &AppState, view: &StatsView, row: &StatsRowView, language: FileLanguage) -> Vec<String> {
    let time = |format: &str| {
        row.from.to_zoned(state.app.directory.time_zone().clone()).strftime(format).to_string()
    };
    let subject = match view.by {
        StatsBy::Hour => time("%Y-%m-%d %H:%M"),
        StatsBy::Day => time("%Y-%m-%d"),
        StatsBy::Month => time("%Y-%m"),
        _ => row
            .name
            .clone()
            .or_else(|| row.key.clone())
            .unwrap_or_else(|| language.of("（不明）", "(not known)").to_owned()),
    };
    let incomplete = if row.complete { "" } else { language.of("はい", "yes") };
    let counter = |counter: &CounterName| field_of(counter, &row.counters);
    let figure = |formula: &super::stats::FormulaView| {
        let value = row.figures.get(formula.id).copied().flatten();
        value.map_or_else(String::new, |value| match formula.unit {
            Unit::Ratio => format!("{:.1}", value * 100.0),
            Unit::Milliseconds => format!("{:.1}", value / 1_000.0),
        })
    };
    [subject, incomplete.to_owned()]
        .into_iter()
        .chain(COUNTERS.iter().map(counter))
        .chain(view.formulas.iter().map(figure))
        .collect()
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
