//! Whether the daemon lives, and whether it can do its work.
//!
//! `/healthz` answers as long as anything does: restart the daemon when it does not. `/readyz` says 503 while
//! the PBX link, the store or the Redis of several daemons is down: the daemon then still serves what it can, and a restart would not help.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::routes::Gate;
use crate::ids::PbxId;
use crate::operator::{Role, Viewer};

/// What the daemon needs, and whether it has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether everything is there.
    ready: bool,
    /// Whether the link to the PBX is up.
    pbx: bool,
    /// Whether records can be read.
    store: bool,
    /// Whether the other daemons can be heard, where there are others; else this one serves its own PBX alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<bool>,
    /// Teams of `operators.teams` whose people the daemon of another PBX keeps; all is well without any. It is no
    /// reason not to serve: this gateway shows and changes their states like any other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept_elsewhere: Vec<KeptElsewhere>,
}

/// People whose states are wanted here and kept by another PBX's daemon.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeptElsewhere {
    /// The team; absent: everybody whose team is named at no PBX.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// The PBX whose daemon keeps them.
    #[schema(value_type = String)]
    pbx: PbxId,
}

/// The daemon is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()), responses(
    (status = 200, description = "It is alive", content_type = "text/plain", body = String),
))]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether the daemon can do its work.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()), responses(
    (status = 200, description = "Everything is there", body = Readiness),
    (status = 503, description = "Something is missing", body = Readiness),
))]
pub(crate) async fn ready(State(gate): State<Arc<Gate>>) -> (StatusCode, Json<Readiness>) {
    let links = gate.app.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx;
    // The PBXes of other daemons are theirs to watch.
    let own = gate.app.bus.own_pbx();
    let pbx = links.iter().any(|link| link.id == *own && link.up);
    let bus = gate.app.bus.common().map(|common| common.connected);
    let team = |team: SmolStr| (!team.is_empty()).then(|| team.to_string());
    let elsewhere = gate.app.bus.kept_elsewhere().into_iter();
    let kept_elsewhere = elsewhere.map(|(name, pbx)| KeptElsewhere { team: team(name), pbx }).collect();
    let store = gate.app.store.ping().await.is_ok();
    let ready = pbx && store && bus.unwrap_or(true);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, pbx, store, bus, kept_elsewhere }))
}
