//! Imports of CSV files, as jobs: a file is sent, and its import goes on while the client asks how far it is.
//!
//! | state | what happened |
//! |---|---|
//! | `running` | the file is read, checked and written |
//! | `done` | it was imported; with `dry_run`, it could be |
//! | `failed` | nothing was changed: the answer names the first lines that are invalid, or says what is wrong with the file |
//! | `stopped` | it ended in the middle: the rows up to there are imported, and the same file again does the rest |
//!
//! Invariants: one import at a time, so the memory of a file is held once; a job is known to the daemon that took it, and to no
//! other. The file is held in memory until its job is over, and nowhere else.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::responses::with_location;
use super::state::AppState;
use crate::directory::import::{
    ImportError, ImportKind, ImportOptions, ImportProgress, ImportReport, RowError, Sample, TextEncoding,
};
use crate::ids::RecordId;
use crate::people::role::Permission;

/// Largest file, in bytes: 100,000 customers are about 12 MB.
pub(crate) const IMPORT_FILE_BYTES_MAX: usize = 64 << 20;
/// Jobs that are kept; the oldest go.
const JOBS_MAX: usize = 20;
/// Rows of a file that are shown as they were read.
const SAMPLE_ROWS: usize = 20;

/// What is in the file, and whether anything is changed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// The kind of records.
    #[param(inline)]
    kind: ImportKindName,
    /// `utf-8` or `shift_jis`; absent: found in the file.
    #[param(inline)]
    encoding: Option<ImportEncoding>,
    /// `true`: everything is checked and nothing changed.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImportKindName {
    /// Companies that calls are answered for.
    Accounts,
    /// People who call the accounts.
    Customers,
    /// People of the accounts.
    Contacts,
}

/// The encoding of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum ImportEncoding {
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Shift_JIS as Windows writes it.
    #[serde(rename = "shift_jis", alias = "cp932")]
    ShiftJis,
}

/// How an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImportState {
    /// It goes on.
    Running,
    /// It is over.
    Done,
    /// Nothing was changed.
    Failed,
    /// It ended in the middle.
    Stopped,
}

/// A line that cannot be imported.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ImportLine {
    /// The line, from 1.
    line: u64,
    /// What is wrong with it.
    problem: String,
}

/// An import.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ImportJob {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// The kind of records.
    kind: ImportKindName,
    /// Whether nothing is changed.
    dry_run: bool,
    /// The encoding, as asked for or found.
    encoding: ImportEncoding,
    /// How it stands.
    state: ImportState,
    /// Lines of the file, which is about its rows.
    lines: u64,
    /// Rows that were read and checked.
    checked: u64,
    /// Rows that were written, or would have been.
    written: u64,
    /// New records, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    /// Records that existed and were changed, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<u64>,
    /// Records that existed as the file has them, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<u64>,
    /// Columns whose names are unknown.
    ignored_columns: Vec<String>,
    /// The names of the columns.
    header: Vec<String>,
    /// The first rows, as they were read; at most 20.
    sample: Vec<Vec<String>>,
    /// Lines that cannot be imported; at most 100.
    errors: Vec<ImportLine>,
    /// How many more there are.
    more_errors: u64,
    /// What is wrong with the file as a whole, or what stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// When the file came.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    started_at: Timestamp,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    ended_at: Option<Timestamp>,
}

/// The imports of this daemon.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportJobs {
    /// Newest first; at most 20.
    items: Vec<ImportJob>,
}

/// The jobs of this daemon.
#[derive(Debug, Default)]
pub(crate) struct Imports(Mutex<VecDeque<(ImportJob, ImportProgress)>>);

impl Imports {
    /// Adds a job; `None` while another one runs.
    fn begin(&self, job: ImportJob, progress: ImportProgress) -> Option<()> {
        let mut jobs = self.0.lock();
        if jobs.iter().any(|(job, _)| job.state == ImportState::Running) {
            return None;
        }
        jobs.push_front((job, progress));
        jobs.truncate(JOBS_MAX);
        Some(())
    }

    fn change(&self, id: RecordId, change: impl FnOnce(&mut ImportJob)) {
        if let Some((job, _)) = self.0.lock().iter_mut().find(|(job, _)| job.id == id) {
            change(job);
        }
    }

    fn all(&self) -> Vec<ImportJob> {
        self.0.lock().iter().map(|(job, progress)| job.as_of(progress)).collect()
    }
}

impl ImportJob {
    fn as_of(&self, progress: &ImportProgress) -> Self {
        Self { checked: progress.checked(), written: progress.written(), ..self.clone() }
    }

    fn end(&mut self, outcome: Result<ImportReport, ImportError>, at: Timestamp) {
        self.ended_at = Some(at);
        self.state = ImportState::Done;
        match outcome {
            Ok(report) => {
                (self.created, self.updated) = (Some(report.created), Some(report.updated));
                self.unchanged = Some(report.unchanged);
                self.ignored_columns = report.ignored_columns;
            }
            Err(ImportError::Stopped { written, source }) => {
                self.fail(*source);
                self.state = ImportState::Stopped;
                self.problem =
                    Some(format!("it stopped after {written} rows; import the same file again for the rest"));
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: ImportError) {
        self.state = ImportState::Failed;
        match error {
            ImportError::Rows { errors, more } => {
                let line = |RowError { line, problem }| ImportLine { line, problem };
                (self.errors, self.more_errors) = (errors.into_iter().map(line).collect(), more);
            }
            other => self.problem = Some(other.to_string()),
        }
    }
}

/// Lists the imports that this daemon took, newest first.
#[utoipa::path(get, path = "/v1/imports", tag = "imports", operation_id = "list_imports", responses(
    (status = 200, description = "The imports", body = ImportJobs),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<ImportJobs>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    Ok(Json(ImportJobs { items: state.imports.all() }))
}

/// Says how far an import is. A daemon knows the imports that it took itself.
#[utoipa::path(get, path = "/v1/imports/{import}", tag = "imports", operation_id = "show_import",
    params(("import" = uuid::Uuid, Path, description = "The import")),
    responses(
        (status = 200, description = "The import", body = ImportJob),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<ImportJob>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let found = state.imports.all().into_iter().find(|job| job.id == id);
    found
        .map(Json)
        .ok_or_else(|| Kind::UnknownRecord.with("this daemon has no such import; it may have started again"))
}

/// Takes a CSV file of up to 64 MiB and imports it. The answer comes at once; the import goes on.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", operation_id = "start_import", params(ImportQuery),
    request_body(content = String, content_type = "text/csv", description = "The file, as it is"),
    responses(
        (status = 202, description = "The import, as it begins", body = ImportJob),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 409, description = "import-running: another one is not over yet", body = ProblemBody),
        (status = 413, description = "body-too-large", body = ProblemBody),
    )
)]
pub(crate) async fn start(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<ImportQuery>,
    body: Body,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let file = to_bytes(body, IMPORT_FILE_BYTES_MAX).await.map_err(|_| Kind::BodyTooLarge)?;
    let encoding = query.encoding.map_or_else(|| TextEncoding::found_in(&file), TextEncoding::from);
    let options = ImportOptions { kind: query.kind.into(), encoding, dry_run: query.dry_run };
    let sample = Sample::of(Cursor::new(file.clone()), encoding, SAMPLE_ROWS).ok();
    let job = ImportJob {
        id: RecordId(Uuid::now_v7()),
        kind: query.kind,
        dry_run: query.dry_run,
        encoding: encoding.into(),
        state: ImportState::Running,
        lines: file.iter().filter(|byte| **byte == b'\n').count() as u64,
        checked: 0,
        written: 0,
        created: None,
        updated: None,
        unchanged: None,
        ignored_columns: Vec::new(),
        header: sample.as_ref().map(|sample| sample.header.clone()).unwrap_or_default(),
        sample: sample.map(|sample| sample.rows).unwrap_or_default(),
        errors: Vec::new(),
        more_errors: 0,
        problem: None,
        started_at: state.app.clock.now(),
        ended_at: None,
    };
    let (id, progress) = (job.id, ImportProgress::default());
    let answer = job.clone();
    state.imports.begin(job, progress.clone()).ok_or(Kind::ImportRunning)?;
    tokio::spawn(run(state, caller, (id, options), file, progress));
    with_location(StatusCode::ACCEPTED, format!("/v1/imports/{id}"), answer)
}

async fn run(
    state: Arc<AppState>,
    caller: Caller,
    (id, options): (RecordId, ImportOptions),
    file: bytes::Bytes,
    progress: ImportProgress,
) {
    let at = state.app.clock.now();
    let outcome = state.app.directory.import_followed(Cursor::new(file), options, at, &progress).await;
    let rows = match &outcome {
        Ok(report) => Some((report.rows, report.created, report.updated, report.unchanged)),
        Err(ImportError::Stopped { written, .. }) => Some((*written, 0, 0, 0)),
        Err(_) => None,
    };
    if let Some((rows, created, updated, unchanged)) = rows.filter(|_| !options.dry_run) {
        let action = match options.kind {
            ImportKind::Accounts => "account.imported",
            ImportKind::Customers => "customer.imported",
            ImportKind::Contacts => "contact.imported",
        };
        let details = json!({ "rows": rows, "created": created, "updated": updated, "unchanged": unchanged });
        audit_trail::record(&state, &caller, action, ("", None), details).await;
    }
    let ended = state.app.clock.now();
    state.imports.change(id, |job| job.end(outcome, ended));
}

impl From<ImportKindName> for ImportKind {
    fn from(kind: ImportKindName) -> Self {
        match kind {
            ImportKindName::Accounts => Self::Accounts,
            ImportKindName::Customers => Self::Customers,
            ImportKindName::Contacts => Self::Contacts,
        }
    }
}

impl From<ImportEncoding> for TextEncoding {
    fn from(encoding: ImportEncoding) -> Self {
        match encoding {
            ImportEncoding::Utf8 => Self::Utf8,
            ImportEncoding::ShiftJis => Self::ShiftJis,
        }
    }
}

impl From<TextEncoding> for ImportEncoding {
    fn from(encoding: TextEncoding) -> Self {
        match encoding {
            TextEncoding::Utf8 => Self::Utf8,
            TextEncoding::ShiftJis => Self::ShiftJis,
        }
    }
}
