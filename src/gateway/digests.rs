//! Digests of accounts (まとめ報告): when they come, what came of them, and one at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::message::MessageState;
use crate::contract::time::as_time;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::digests::{DigestRun, DigestTimer, RunOutcome, RunWhen};

/// The digests of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Digests)]
pub(crate) struct Digests {
    /// Its digests, by name. They are written in its routes.
    items: Vec<Digest>,
    /// Its runs, the newest first; at most 100.
    runs: Vec<Run>,
}

/// A digest of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Digest)]
pub(crate) struct Digest {
    /// Its name.
    name: String,
    /// When the next one is sent.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "as_time")]
    next_at: Timestamp,
    /// The next one reports what came from this time on.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "as_time")]
    since: Timestamp,
}

/// A digest that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DigestRun)]
pub(crate) struct Run {
    /// Its message, whose deliveries say what became of it.
    #[schema(value_type = uuid::Uuid)]
    message: RecordId,
    /// The name of the digest.
    name: String,
    /// It reports what came from this time on.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "as_time")]
    from: Timestamp,
    /// Until this time.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "as_time")]
    to: Timestamp,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "as_time")]
    at: Timestamp,
    /// How many messages it reports.
    items: u32,
    /// The state of its message.
    state: MessageState,
    /// The calls that it counts, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<u64>,
    /// How many times it names at which calls could not be counted.
    gaps: usize,
}

/// What a digest that was asked for came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DigestMade)]
pub(crate) struct Made {
    /// Its message; absent: there was nothing to report, and the digest says nothing then.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<RecordId>,
}

/// Returns the digests of an account with their next times, and what came of the last ones.
#[utoipa::path(get, path = "/v1/accounts/{account}/digests", tag = "routes",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The digests", body = Digests),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Digests>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let store = &state.app.store;
    let found = store.account(account).await?;
    found.ok_or_else(|| Kind::UnknownRecord.with("there is no such account"))?;
    let items = store.digest_timers(account).await?;
    let runs = store.digest_runs(account).await?;
    Ok(Json(Digests {
        items: items.into_iter().map(Digest::from).collect(),
        runs: runs.into_iter().map(Run::from).collect(),
    }))
}

/// Makes a digest at once, of what came since the last one. The next time stays.
#[utoipa::path(post, path = "/v1/accounts/{account}/digests/{digest}/run", tag = "routes",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("digest" = String, Path, description = "The name of the digest"),
    ),
    responses(
        (status = 201, description = "It is on its way", body = Made),
        (status = 200, description = "There was nothing to report", body = Made),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the account has no such digest", body = ProblemBody),
    )
)]
pub(crate) async fn run(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path((account, name)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    caller.needs(Permission::EditDirectory)?;
    let unknown =
        || Kind::UnknownRecord.with("the account has no such digest: digests are written in its routes");
    let account = record_id(&account).ok_or_else(unknown)?;
    let (now, pbx) = (state.app.clock.now(), state.app.bus.own_pbx());
    let (status, message) = match state.app.store.run_digest(account, &name, RunWhen::Now, (pbx, now)).await?
    {
        RunOutcome::Made(message) => (StatusCode::CREATED, Some(message)),
        RunOutcome::Empty => (StatusCode::OK, None),
        RunOutcome::Unknown | RunOutcome::NotDue | RunOutcome::Missed => return Err(unknown()),
    };
    state.app.message_relay.wake();
    let details = json!({ "digest": name, "message": message });
    audit_trail::record(&state, &caller, "digest.run", ("", Some(account)), details).await;
    Ok((status, Json(Made { message })))
}

impl From<DigestTimer> for Digest {
    fn from(timer: DigestTimer) -> Self {
        Self { name: timer.name, next_at: timer.next_at, since: timer.since }
    }
}

impl From<DigestRun> for Run {
    fn from(run: DigestRun) -> Self {
        Self {
            message: run.message,
            name: run.name,
            from: run.from,
            to: run.to,
            at: run.at,
            items: run.items,
            state: run.state,
            calls: run.report.calls.map(|calls| calls.offered),
            gaps: run.report.gaps.len(),
        }
    }
}
