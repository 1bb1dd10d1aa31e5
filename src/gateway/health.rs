//! Liveness, readiness and metrics.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 as long as the daemon answers requests; restart the daemon when there is no answer |
//! | `/readyz` | 503 while the PBX link (of a standby also its own), the store or (with several daemons) Redis is down; the daemon still serves what it can, and a restart would not help |
//! | `/metrics` | metrics in the text format of OpenMetrics |
//!
//! The store is up while it takes a small write, and holds up no writer of the daemon. A store that only reads, because
//! its disk is full or read-only, is down. One that is busy is up for [`BUSY_GRACE`]: another process imports a large file.
//!
//! Invariant: however often `/readyz` is asked, the store is written at most once in [`PROBE_INTERVAL`], and an answer takes
//! no longer than [`crate::store::PROBE_TIMEOUT`].

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use smol_str::SmolStr;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use super::state::AppState;
use crate::contract::operator::QueueFault;
use crate::ids::PbxId;
use crate::people::role::Role;
use crate::people::viewer::Viewer;
use crate::store::erasure::ErasureStatus;
use crate::store::mail_servers::{BACKUP_SERVER, MAIL_SERVER};
use crate::store::retention::PurgeStatus;
use crate::store::{Store, StoreError};

/// Shortest time between two writes that test the store.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a store that is busy still counts as up.
const BUSY_GRACE: Duration = Duration::from_secs(60);

/// Whether the store can be written, as of the last test.
#[derive(Debug, Default)]
pub(crate) struct StoreProbe(Mutex<Probed>);

#[derive(Debug, Default)]
struct Probed {
    /// When the last test ended, and whether the store was up.
    last: Option<(Instant, bool)>,
    /// When a write last succeeded.
    written_at: Option<Instant>,
    /// How long the last write that succeeded took.
    took: Option<Duration>,
}

impl StoreProbe {
    /// Whether the store can be written; tests it unless that was just done. Requests that come meanwhile wait for the
    /// same test.
    pub(crate) async fn is_up(&self, store: &Store) -> bool {
        let mut probed = self.0.lock().await;
        let is_up = match probed.last {
            Some((at, is_up)) if at.elapsed() < PROBE_INTERVAL => is_up,
            _ => probed.test(store).await,
        };
        is_up && store.stalled().is_empty()
    }

    /// How long the last write that succeeded took.
    pub(crate) async fn latency(&self) -> Option<Duration> {
        self.0.lock().await.took
    }
}

impl Probed {
    async fn test(&mut self, store: &Store) -> bool {
        let began = Instant::now();
        let is_up = match store.probe_write().await {
            Ok(()) => {
                self.written_at = Some(Instant::now());
                self.took = Some(began.elapsed());
                true
            }
            Err(StoreError::Busy) if self.written_at.is_some_and(|at| at.elapsed() < BUSY_GRACE) => true,
            Err(error) => {
                if self.last.is_none_or(|(_, was_up)| was_up) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "not ready: the store cannot be written");
                }
                false
            }
        };
        self.last = Some((Instant::now(), is_up));
        is_up
    }
}

/// The state of what the daemon depends on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether all dependencies are available.
    ready: bool,
    /// The version of this daemon.
    #[schema(value_type = String)]
    version: &'static str,
    /// Whether the link to the PBX is up: that of this daemon and, beside a standby, that of the leader.
    pbx: bool,
    /// Whether the store answers and can be written.
    store: bool,
    /// Whether Redis, which connects several daemons, answers; while it does not, this daemon serves its own PBX
    /// alone. Absent where there is only one daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<bool>,
    /// Teams of this daemon's `operators.teams` whose operator states the daemon of another PBX owns; absent when
    /// there are none. The daemon is ready all the same: this gateway shows and changes these
    /// states like any other.
    #[serde(rename = "kept_elsewhere", skip_serializing_if = "Vec::is_empty")]
    teams_owned_elsewhere: Vec<ForeignTeam>,
    /// Queues that the configuration names and the PBX does not have, and changes of membership that the PBX refuses;
    /// absent when there are none. The daemon is ready all the same, but calls may ring at an operator who is paused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_faults: Vec<QueueFault>,
    /// Since when the mail server has refused all mails, and why; absent while it takes them, and in the first minute. The
    /// daemon is ready all the same: messages are saved, and wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_fault: Option<MailFault>,
    /// Deleted customers and accounts of which something is still to be removed from the store; absent when there are none. No
    /// reader shows it any more, and the daemon is ready all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    erasures: Option<Erasures>,
    /// How far the removal of expired records has come; absent while none are removed. The daemon is ready all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    purge: Option<Purge>,
}

/// The mail server refuses all mails.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailFault {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    since: Timestamp,
    /// What it said last, or why it cannot be reached.
    why: String,
}

/// How far the removal of what deleted customers left has come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Erasures {
    /// Customers of whom something may be left.
    left: u64,
    /// Those of them that wait until calls with them are over.
    waiting: u64,
    /// Accounts of which something may be left.
    accounts: u64,
    /// When the oldest of these customers was deleted.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest: Option<Timestamp>,
}

/// How far the removal of records that are older than `[retention]` allows has come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Purge {
    /// When it removed the first rows.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    since: Timestamp,
    /// Rows that it has removed or cleared.
    rows: u64,
}

impl Purge {
    fn of(PurgeStatus { since, rows }: PurgeStatus) -> Self {
        Self { since, rows }
    }
}

impl Erasures {
    fn of(status: ErasureStatus) -> Option<Self> {
        let ErasureStatus { left, waiting, accounts, oldest } = status;
        (left + accounts > 0).then_some(Self { left, waiting, accounts, oldest })
    }
}

/// A team that this daemon is configured to own and the daemon of another PBX owns.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptElsewhere)]
pub(crate) struct ForeignTeam {
    /// The team; absent for the people whose team is configured at no PBX.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// The PBX whose daemon owns the team.
    #[schema(value_type = String)]
    pbx: PbxId,
}

/// Answers as long as the daemon runs.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()), responses(
    (status = 200, description = "The daemon runs", content_type = "text/plain", body = String),
))]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether all dependencies of the daemon are available.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()), responses(
    (status = 200, description = "All dependencies are available", body = Readiness),
    (status = 503, description = "A dependency is down; the body says which", body = Readiness),
))]
pub(crate) async fn ready(State(state): State<Arc<AppState>>) -> (StatusCode, Json<Readiness>) {
    let links = state.app.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx;
    // Other daemons report the links of their own PBXes.
    let own = state.app.bus.own_pbx();
    let pbx = state.app.following.is_up() && links.iter().any(|link| link.id == *own && link.up);
    let bus = state.app.bus.cluster_stats().map(|cluster| cluster.connected);
    let team = |team: SmolStr| (!team.is_empty()).then(|| team.to_string());
    let foreign = state.app.bus.teams_owned_elsewhere().into_iter();
    let teams_owned_elsewhere = foreign.map(|(name, pbx)| ForeignTeam { team: team(name), pbx }).collect();
    let store = state.store_probe.is_up(&state.app.store).await;
    let ready = pbx && store && bus.unwrap_or(true);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let queue_faults = state.app.queue_faults.present();
    let mail_fault = if store { mail_fault(&state).await } else { None };
    let erasures = Erasures::of(state.app.store.erasure_progress().status());
    let purge = state.app.store.purge_progress().status().map(Purge::of);
    let body = Readiness {
        ready,
        version: env!("CARGO_PKG_VERSION"),
        pbx,
        store,
        bus,
        teams_owned_elsewhere,
        queue_faults,
        mail_fault,
        erasures,
        purge,
    };
    (status, Json(body))
}

impl MailFault {
    /// What the server said last, or why it cannot be reached.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }
}

/// What keeps a mail server from taking mails, if it has for long.
pub(crate) async fn mail_fault(state: &AppState) -> Option<MailFault> {
    let (store, now) = (&state.app.store, state.app.clock.now());
    for name in store.mail_servers().await.ok()?.into_iter().filter(|name| name != BACKUP_SERVER) {
        let pause = store.mail_server_pause(&name).await.ok()?;
        let Some(pause) = pause.filter(|pause| pause.is_alarming(now)) else { continue };
        let why = if name == MAIL_SERVER { pause.why } else { format!("{name}: {}", pause.why) };
        return Some(MailFault { since: pause.since, why });
    }
    None
}

/// The metrics, in the text format of OpenMetrics.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "show", security(()), responses(
    (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String),
))]
pub(crate) async fn metrics(State(state): State<Arc<AppState>>) -> Result<Response, Problem> {
    let text = state.app.metrics.render().map_err(|_| Kind::Internal)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
