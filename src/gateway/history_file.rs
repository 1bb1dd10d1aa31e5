//! Finished calls as a CSV file, for the administrator's spreadsheet and the client's report: the calls that the same
//! question of `/v1/history` lists, all pages in one, with words in place of codes.
//!
//! Invariant: a file is whole or is not written; one with more calls than `Settings::history_file_calls_max` is refused.
//! Who took a file is in the audit trail, without the name or number that was asked for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::csv::{CsvFile, FileLanguage};
use super::extract::QueryParams;
use super::history::{FinishedCallView, filter_of, views_of};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::HistoryFileQuery;
use super::state::AppState;
use crate::contract::call::{Direction, Outcome};
use crate::contract::choice::Choice;
use crate::contract::history::{CallSource, LeftBehind};
use crate::contract::words::WordKind;
use crate::identity::Presentation;
use crate::people::role::Permission;
use crate::store::PAGE_RECORDS_MAX;
use crate::store::history::HistoryCursor;

/// Writes the finished calls that the user may see into a CSV file, newest first: with the same filters as `/v1/history`,
/// up to 20,000 calls.
#[utoipa::path(get, path = "/v1/history.csv", tag = "history", params(HistoryFileQuery), responses(
    (status = 200, description = "A CSV file (RFC 4180) with a row of headings; fields that a spreadsheet would take for \
        formulas begin with an apostrophe", body = String, content_type = "text/csv"),
    (status = 400, description = "invalid-query; too-many-matches: ask for a shorter time or one account", body = ProblemBody),
))]
pub(crate) async fn download(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<HistoryFileQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::FollowCalls)?;
    let (encoding, language) = (query.encoding.unwrap_or_default(), query.language.unwrap_or_default());
    let filter = filter_of(&state, &caller, query.into_filter()).await?;
    let mut file = CsvFile::new(encoding);
    file.row(COLUMNS.iter().map(|(japanese, english)| language.of(japanese, english)));
    let known = state.app.words.current().labels(WordKind::Disposition);
    let calls_max = state.app.settings.history_file_calls_max;
    let (mut cursor, mut written) = (None, 0);
    loop {
        let calls = state.app.store.history(&filter, cursor, PAGE_RECORDS_MAX).await?;
        let is_last = calls.len() < PAGE_RECORDS_MAX as usize;
        cursor = calls.last().map(HistoryCursor::of);
        written += calls.len();
        if written > calls_max {
            return Err(Kind::TooManyMatches.with(format!(
                "a file has up to {calls_max} calls; ask for a shorter time, or for one account"
            )));
        }
        for view in views_of(&state, calls).await? {
            file.row(row_of(&state, &view, (language, &known)).iter().map(String::as_str));
        }
        if is_last {
            break;
        }
    }
    let details =
        json!({ "calls": written, "account": filter.account, "from": filter.from, "to": filter.to });
    audit_trail::record(&state, &caller, "history.exported", ("", None), details).await;
    Ok(file.into_response("calls.csv"))
}

const COLUMNS: [(&str, &str); 17] = [
    ("日時", "Time"),
    ("着信・発信", "Direction"),
    ("契約先コード", "Account code"),
    ("契約先", "Account"),
    ("相手の番号", "Number"),
    ("相手のお名前", "Name"),
    ("着信番号", "Dialled"),
    ("応対者", "Operators"),
    ("待ち時間（秒）", "Waited (s)"),
    ("通話時間（秒）", "Talked (s)"),
    ("通話の結果", "Outcome"),
    ("応対結果", "Disposition"),
    ("応対メモ", "Notes"),
    ("終了は推定", "Inferred"),
    ("通話ID", "Call"),
    ("残されたもの", "Left behind"),
    ("記録元", "Recorded by"),
];

fn row_of(
    state: &AppState,
    view: &FinishedCallView,
    (language, known): (FileLanguage, &[Choice]),
) -> [String; COLUMNS.len()] {
    let call = &view.call;
    let is_outbound = call.direction == Direction::Outbound;
    let written = |text: &str| {
        state.app.directory.number(text).map_or_else(|| text.to_owned(), |number| number.display())
    };
    let dialled = call.dialled.as_deref().map(written).unwrap_or_default();
    let number = match &call.caller {
        _ if is_outbound => dialled.clone(),
        Some(key) => written(key),
        None => presentation(call.presentation, language).to_owned(),
    };
    let roster = state.app.people.current();
    let names = call.handled_by.as_deref().map(|people| {
        people
            .iter()
            .filter_map(|id| roster.person(*id).map(|person| person.name.clone()))
            .collect::<Vec<_>>()
    });
    let mut operators = names
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| call.operators.iter().map(|extension| extension.as_str().to_owned()).collect());
    operators.dedup();
    let account = call.account.and_then(|id| state.app.directory.account(id));
    let label = |code: &str| {
        let found = known.iter().find(|choice| choice.code == code);
        found.map_or(code, |choice| choice.label.as_str()).to_owned()
    };
    let dispositions: Vec<String> =
        view.wrap_ups.iter().filter_map(|one| one.disposition.as_deref()).map(label).collect();
    let notes: Vec<&str> = view.wrap_ups.iter().filter_map(|one| one.notes.as_deref()).collect();
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs().max(0).to_string();
    let time = call.offered_at.to_zoned(state.app.directory.time_zone().clone());
    let and = language.of("、", ", ");
    [
        time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        direction(call.direction, language).to_owned(),
        account.map(|account| account.fields.code.clone()).unwrap_or_default(),
        view.account_name.clone().unwrap_or_default(),
        number,
        view.customer_name.clone().unwrap_or_default(),
        if is_outbound { String::new() } else { dialled },
        operators.join(and),
        seconds(call.offered_at, call.answered_at.unwrap_or(call.ended_at)),
        call.answered_at.map(|from| seconds(from, call.ended_at)).unwrap_or_default(),
        outcome(call.outcome, is_outbound, language).to_owned(),
        dispositions.join(and),
        notes.join("\n"),
        if call.inferred { language.of("はい", "yes").to_owned() } else { String::new() },
        call.id.to_string(),
        call.left_behind.map(|left| left_behind(left, language)).unwrap_or_default().to_owned(),
        match call.source {
            CallSource::Seen => String::new(),
            CallSource::Offline => language.of("PBX の控え", "the PBX, while no daemon ran").to_owned(),
        },
    ]
}

fn left_behind(left: LeftBehind, language: FileLanguage) -> &'static str {
    match left {
        LeftBehind::VoiceMessage => language.of("音声メール", "voice message"),
        LeftBehind::Callback => language.of("折り返し依頼", "callback request"),
    }
}

fn direction(direction: Direction, language: FileLanguage) -> &'static str {
    match direction {
        Direction::Inbound => language.of("着信", "inbound"),
        Direction::Outbound => language.of("発信", "outbound"),
        Direction::Internal => language.of("内線", "internal"),
    }
}

/// Why there is no number.
fn presentation(presentation: Presentation, language: FileLanguage) -> &'static str {
    match presentation {
        Presentation::Allowed => "",
        Presentation::Withheld => language.of("非通知", "withheld"),
        Presentation::Payphone => language.of("公衆電話", "payphone"),
        Presentation::Unavailable => language.of("表示圏外", "unavailable"),
    }
}

fn outcome(outcome: Outcome, is_outbound: bool, language: FileLanguage) -> &'static str {
    match outcome {
        Outcome::Answered => language.of("応答", "answered"),
        Outcome::Abandoned if is_outbound => language.of("応答なし・取りやめ", "no answer, or given up"),
        Outcome::Abandoned => language.of("放棄呼", "abandoned"),
        Outcome::Overflowed => language.of("あふれ呼", "overflowed"),
        Outcome::Closed => language.of("時間外", "closed"),
        Outcome::Blocked if is_outbound => language.of("話中・つながらず", "busy or not reached"),
        Outcome::Blocked => language.of("回線話中", "blocked"),
        Outcome::Refused => language.of("着信拒否", "refused"),
        Outcome::Elsewhere => language.of("ほかの人が応答", "elsewhere"),
        Outcome::Fax => language.of("FAX", "fax"),
        Outcome::Unknown => language.of("不明", "unknown"),
    }
}
