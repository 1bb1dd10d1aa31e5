//! The lines of all accounts' bills of a month as a CSV file, for accounting.
//!
//! Invariant: the amounts of an account's rows add up to its bill; a row says whether the bill is closed, and what to look
//! at before it is sent.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::billing::{BillView, month_of, page};
use super::csv::{CsvFile, FileLanguage};
use super::extract::QueryParams;
use super::problem::{Problem, ProblemBody};
use super::query::{FileFormQuery, PageRequest};
use super::state::AppState;
use crate::billing::{Line, LineKind, Warning};
use crate::people::role::Permission;
use crate::store::PAGE_RECORDS_MAX;

/// The columns, in Japanese and English.
const COLUMNS: [(&str, &str); 11] = [
    ("請求月", "Month"),
    ("契約先コード", "Account code"),
    ("契約先", "Account"),
    ("プラン", "Plan"),
    ("内訳", "Item"),
    ("数量", "Count"),
    ("単価（円・税抜）", "Unit price (yen, before tax)"),
    ("金額（円・税抜）", "Amount (yen, before tax)"),
    ("訂正する月", "Corrected month"),
    ("締め", "Closed"),
    ("確認事項", "To look at"),
];

/// Writes the lines of all bills of a month into a CSV file.
#[utoipa::path(get, path = "/v1/bills/{month}/lines.csv", tag = "billing",
    params(("month" = String, Path, description = "The month, `2026-11`"), FileFormQuery),
    responses(
        (status = 200, description = "A CSV file (RFC 4180) with a row of headings; fields that a spreadsheet would take for \
            formulas begin with an apostrophe", body = String, content_type = "text/csv"),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: that is no month", body = ProblemBody),
    )
)]
pub(crate) async fn download(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(month): Path<String>,
    QueryParams(query): QueryParams<FileFormQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ReadBills)?;
    let (encoding, language) = (query.encoding.unwrap_or_default(), query.language.unwrap_or_default());
    let month = month_of(&month)?;
    let mut file = CsvFile::new(encoding);
    file.row(COLUMNS.map(|(ja, en)| language.of(ja, en)));
    let (mut after, mut bills) = (None, 0);
    loop {
        let (items, next) = page(&state, month, PageRequest { after, limit: PAGE_RECORDS_MAX }).await?;
        bills += items.len();
        for view in &items {
            for line in &view.bill.lines {
                file.row(row_of(&state, view, line, language).iter().map(String::as_str));
            }
        }
        match next {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let details = json!({ "month": month.to_string(), "bills": bills });
    audit_trail::record(&state, &caller, "bills.exported", ("", None), details).await;
    Ok(file.into_response(&format!("bills-{month}.csv")))
}

fn row_of(state: &AppState, view: &BillView, line: &Line, language: FileLanguage) -> [String; COLUMNS.len()] {
    let account = state.app.directory.account(view.account);
    let is_closed = view.closed_at.is_some();
    let warnings: Vec<&str> = view.bill.warnings.iter().map(|one| warning(*one, language)).collect();
    [
        view.month.clone(),
        account.map(|account| account.fields.code.clone()).unwrap_or_default(),
        view.account_name.clone(),
        view.bill.plan.name.clone(),
        item(line.kind, language).to_owned(),
        line.count.to_string(),
        line.unit_yen.map(|yen| yen.to_string()).unwrap_or_default(),
        line.yen.to_string(),
        line.month.clone().unwrap_or_default(),
        if is_closed { language.of("はい", "yes").to_owned() } else { String::new() },
        warnings.join(language.of("、", ", ")),
    ]
}

fn item(kind: LineKind, language: FileLanguage) -> &'static str {
    match kind {
        LineKind::Base => language.of("基本料金", "base price"),
        LineKind::Included => language.of("基本料金に含む件数", "calls included"),
        LineKind::Extra => language.of("超過件数", "calls above those included"),
        LineKind::Talk => language.of("長時間通話", "long talk"),
        LineKind::Transfer => language.of("転送", "transfers"),
        LineKind::TransferTime => language.of("転送通話", "talk of transfers"),
        LineKind::Outbound => language.of("発信", "calls to others"),
        LineKind::VoiceMessage => language.of("音声メール", "voice messages"),
        LineKind::Correction => language.of("前月以前の訂正", "correction of an earlier month"),
    }
}

fn warning(warning: Warning, language: FileLanguage) -> &'static str {
    match warning {
        Warning::FewDispositions => {
            language.of("応対結果が入力されていない通話が多い", "many calls have no disposition")
        }
        Warning::Incomplete => language.of("欠測あり", "a PBX was not followed all the time"),
        Warning::NotOver => language.of("月の途中", "the month is not over"),
        Warning::NotWhole => language.of("履歴の一部が削除済み", "some of the history has been deleted"),
    }
}
