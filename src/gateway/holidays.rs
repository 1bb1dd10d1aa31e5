//! National holidays, and the installation's own days off.

use std::io::Cursor;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail::record;
use super::auth::Caller;
use super::extract::{Body, QueryParams};
use super::imports::ImportEncoding;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::holidays::{HOLIDAY_NAME_MAX, Holiday, HolidaySource};
use crate::directory::import::holidays::HolidayReport;
use crate::directory::import::{ImportError, TextEncoding};
use crate::identity::printable;
use crate::people::role::Permission;
use crate::store::holidays::{SITE_DAYS_MAX, SiteDayOutcome};

/// Which year.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HolidayQuery {
    /// The year; the present one in the installation's time zone if absent.
    #[param(minimum = 1950, maximum = 2199)]
    year: Option<i16>,
}

/// How a table is read, and whether anything is changed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TableQuery {
    /// `utf-8` or `shift_jis`; absent: found in the file.
    #[param(inline)]
    encoding: Option<ImportEncoding>,
    /// `true`: the file is checked and nothing changed.
    #[serde(default)]
    dry_run: bool,
}

/// Lines of a wrong table that an answer names.
const LINES_NAMED_MAX: usize = 5;

/// The holidays of a year.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Holidays {
    /// By day.
    items: Vec<Holiday>,
}

/// A day off to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteHoliday {
    /// Its name, for instance `年末年始休業`; up to 60 characters.
    #[schema(min_length = 1, max_length = 60)]
    name: String,
}

/// The day in the path.
#[derive(Debug)]
pub(crate) struct DayPath(Date);

impl<S: Send + Sync> FromRequestParts<S> for DayPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text);
        let day = text.ok().and_then(|text| text.parse::<Date>().ok());
        day.map(Self).ok_or_else(|| Kind::UnknownRecord.with("write the day as 2026-12-29"))
    }
}

/// Lists the holidays of a year: those of the Cabinet Office's table or, without one, of the law, and the installation's own
/// days off.
#[utoipa::path(get, path = "/v1/holidays", tag = "holidays", params(HolidayQuery), responses(
    (status = 200, description = "The holidays", body = Holidays),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<HolidayQuery>,
) -> Result<Json<Holidays>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let directory = &state.app.directory;
    let today = state.app.clock.now().to_zoned(directory.time_zone().clone()).date();
    let year = query.year.unwrap_or(today.year());
    if !(1950..2200).contains(&year) {
        return Err(Kind::InvalidQuery.with("year: from 1950 to 2199"));
    }
    Ok(Json(Holidays { items: directory.holidays(year) }))
}

/// Replaces the national holidays of years by the Cabinet Office's table (`syukujitsu.csv`, as it is published: Shift_JIS), which
/// then holds instead of what the law says. Each year in the file is replaced as a whole; a file with an invalid line changes
/// nothing.
#[utoipa::path(post, path = "/v1/holidays/table", tag = "holidays", params(TableQuery),
    request_body(content = String, content_type = "text/csv", description = "The file, as it is"),
    responses(
        (status = 200, description = "The days", body = HolidayReport),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 413, description = "body-too-large", body = ProblemBody),
        (status = 422, description = "invalid-body: the first lines that are wrong", body = ProblemBody),
    )
)]
pub(crate) async fn import_table(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<TableQuery>,
    file: Bytes,
) -> Result<Json<HolidayReport>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let encoding = query.encoding.map_or_else(|| TextEncoding::found_in(&file), TextEncoding::from);
    let read = state.app.directory.import_holidays(Cursor::new(file), encoding, query.dry_run).await;
    let report = read.map_err(refused)?;
    if !report.dry_run {
        let years = (report.first_year, report.last_year);
        let details = json!({ "days": report.days, "first_year": years.0, "last_year": years.1 });
        record(&state, &caller, "holiday.imported", ("", None), details).await;
    }
    Ok(Json(report))
}

/// Why a table is not taken: its first wrong lines.
fn refused(error: ImportError) -> Problem {
    match error {
        ImportError::Rows { errors, more } => {
            let lines = errors.iter().take(LINES_NAMED_MAX);
            let mut detail: Vec<String> =
                lines.map(|error| format!("line {}: {}", error.line, error.problem)).collect();
            let hidden = more + errors.len().saturating_sub(LINES_NAMED_MAX) as u64;
            if hidden > 0 {
                detail.push(format!("and {hidden} more"));
            }
            Kind::InvalidBody.with(detail.join("; "))
        }
        ImportError::Store(error) => error.into(),
        error => Kind::InvalidBody.with(error.to_string()),
    }
}

/// Makes a day one of the installation's own days off, or renames it. Accounts that are closed on holidays are closed on it.
#[utoipa::path(put, path = "/v1/holidays/{day}", tag = "holidays", request_body = WriteHoliday,
    params(("day" = String, Path, description = "The day, `2026-12-29`")),
    responses(
        (status = 200, description = "The day", body = Holiday),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: that is no day", body = ProblemBody),
        (status = 409, description = "value-taken: there are too many days off", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    DayPath(day): DayPath,
    Body(WriteHoliday { name }): Body<WriteHoliday>,
) -> Result<Json<Holiday>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let name: String = printable(&name, usize::MAX).unwrap_or_default().into();
    if name.is_empty() || name.chars().count() > HOLIDAY_NAME_MAX {
        return Err(Kind::InvalidBody.with(format!("name: 1 to {HOLIDAY_NAME_MAX} characters")));
    }
    match state.app.store.write_site_day(day, &name).await? {
        SiteDayOutcome::Written => {}
        SiteDayOutcome::TooMany => {
            return Err(Kind::ValueTaken.with(format!("at most {SITE_DAYS_MAX} days off; delete past ones")));
        }
    }
    state.app.directory.refresh().await?;
    record(&state, &caller, "holiday.saved", ("", None), json!({ "day": day, "name": name })).await;
    Ok(Json(Holiday { day, name, source: HolidaySource::Site }))
}

/// Removes one of the installation's own days off.
#[utoipa::path(delete, path = "/v1/holidays/{day}", tag = "holidays",
    params(("day" = String, Path, description = "The day, `2026-12-29`")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: it is no day off of the installation", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    DayPath(day): DayPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    if !state.app.store.delete_site_day(day).await? {
        return Err(
            Kind::UnknownRecord.with("it is no day off of the installation; a national holiday stays")
        );
    }
    state.app.directory.refresh().await?;
    record(&state, &caller, "holiday.deleted", ("", None), json!({ "day": day })).await;
    Ok(StatusCode::NO_CONTENT)
}
