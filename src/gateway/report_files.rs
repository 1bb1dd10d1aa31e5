//! A monthly report as a file: the PDF that the company gets, and its table of days as CSV.
//!
//! Invariant: the numbers are those of `/v1/accounts/{account}/reports/{month}`; a PDF of a closed month is the same at each
//! request, as long as program and font are the same.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::csv::{CsvFile, FileLanguage};
use super::extract::{NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::FileFormQuery;
use super::reports::report_for;
use super::state::AppState;
use super::stats_file::{field_of, heading_of};
use crate::report::{MonthlyReport, ReportFont, pdf_of};
use crate::stats::{
    COUNTERS, CounterName, Counters, FORMULAS, Formula, NOT_OF_CALLS, Unit, WITHIN_DEFAULT_S,
};

/// Writes the report of an account for a month as a PDF.
#[utoipa::path(get, path = "/v1/accounts/{account}/reports/{month}/pdf", tag = "reports",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("month" = String, Path, description = "The month, `2026-11`"),
    ),
    responses(
        (status = 200, description = "The PDF, in Japanese, on A4", body = Vec<u8>, content_type = "application/pdf"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such account, or that is no month", body = ProblemBody),
        (status = 409, description = "no-report-font: the daemon finds no Japanese font", body = ProblemBody),
    )
)]
pub(crate) async fn pdf(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Response, Problem> {
    let (account, month, read) = report_for(&state, &caller, &path).await?;
    let named = state.app.settings.report_font.clone();
    let at = read.closed.as_ref().map_or_else(|| state.app.clock.now(), |(at, ..)| *at);
    // Reading a font and writing the pages takes some milliseconds of computing.
    let made = tokio::task::spawn_blocking(move || {
        let font =
            ReportFont::load(named.as_deref()).map_err(|error| Kind::NoReportFont.with(error.to_string()))?;
        pdf_of(&read.report, &font, at).map_err(|error| Kind::NoReportFont.with(error.to_string()))
    });
    let bytes = made.await.map_err(|_| Problem::from(Kind::Internal))??;
    let details = json!({ "month": month.to_string(), "form": "pdf" });
    audit_trail::record(&state, &caller, "report.exported", ("", Some(account)), details).await;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"report-{month}.pdf\"")),
    ];
    Ok((headers, bytes).into_response())
}

/// Writes the days of an account's report into a CSV file: every counter and every figure, and the month in the last row.
#[utoipa::path(get, path = "/v1/accounts/{account}/reports/{month}/csv", tag = "reports",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("month" = String, Path, description = "The month, `2026-11`"),
        FileFormQuery,
    ),
    responses(
        (status = 200, description = "A CSV file (RFC 4180) with a row of headings; fields that a spreadsheet would take for \
            formulas begin with an apostrophe", body = String, content_type = "text/csv"),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such account, or that is no month", body = ProblemBody),
    )
)]
pub(crate) async fn csv(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    QueryParams(query): QueryParams<FileFormQuery>,
) -> Result<Response, Problem> {
    let (account, month, read) = report_for(&state, &caller, &path).await?;
    let (encoding, language) = (query.encoding.unwrap_or_default(), query.language.unwrap_or_default());
    let mut file = CsvFile::new(encoding);
    for row in rows_of(&read.report, language) {
        file.row(row.iter().map(String::as_str));
    }
    let details = json!({ "month": month.to_string(), "form": "csv" });
    audit_trail::record(&state, &caller, "report.exported", ("", Some(account)), details).await;
    Ok(file.into_response(&format!("report-{month}.csv")))
}

/// The counters and formulas that an account has, as far as the version knew them that closed the report.
fn known_to(report: &MonthlyReport) -> (Vec<&'static CounterName>, Vec<&'static Formula>) {
    let is_of_accounts = |id: &str| id == "messages" || !NOT_OF_CALLS.contains(&id);
    let counters =
        COUNTERS.iter().filter(|counter| is_of_accounts(counter.id) && counter.is_counted_by(report.rules));
    let formulas =
        FORMULAS.iter().filter(|formula| !formula.is_of_states() && report.figure(formula.id).is_some());
    (counters.collect(), formulas.collect())
}

/// The headings, the days and the sum.
fn rows_of(report: &MonthlyReport, language: FileLanguage) -> Vec<Vec<String>> {
    let (known, formulas) = known_to(report);
    let mut headings: Vec<String> =
        vec![language.of("日", "Day").into(), language.of("欠測あり", "Incomplete").into()];
    headings.extend(known.iter().map(|counter| heading_of(counter, language)));
    headings.extend(formulas.iter().map(|formula| {
        let unit = match formula.unit {
            Unit::Ratio => language.of("（%）", " (%)"),
            Unit::Milliseconds => language.of("（秒）", " (s)"),
        };
        let name = language.of(formula.ja, formula.en);
        let arithmetic = report.figure(formula.id).map_or_else(String::new, |figure| figure.formula.clone());
        format!("{name}{unit} = {arithmetic}")
    }));
    let row = |name: String, is_complete: bool, counters: &Counters| {
        let incomplete = if is_complete { "" } else { language.of("はい", "yes") };
        let mut row = vec![name, incomplete.to_owned()];
        row.extend(known.iter().map(|counter| field_of(counter, counters)));
        row.extend(formulas.iter().map(|formula| {
            let value = formula.figure(counters, WITHIN_DEFAULT_S).value;
            value.map_or_else(String::new, |value| match formula.unit {
                Unit::Ratio => format!("{:.1}", value * 100.0),
                Unit::Milliseconds => format!("{:.1}", value / 1_000.0),
            })
        }));
        row
    };
    let days = report.days.iter().map(|day| row(day.day.clone(), day.is_complete, &day.counters));
    let total = row(language.of("合計", "total").to_owned(), report.is_complete(), &report.total);
    std::iter::once(headings).chain(days).chain(std::iter::once(total)).collect()
}
