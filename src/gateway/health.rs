//! Whether the daemon lives, and whether it can do its work.
//!
//! `/healthz` answers as long as anything does: restart the daemon when it does not. `/readyz` says 503 while
//! the PBX link or the store is down: the daemon then still serves what it can, and a restart would not help.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::routes::Gate;
use crate::operator::{Role, Viewer};

/// What the daemon needs, and whether it has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether everything is there.
    ready: bool,
    /// Whether the link to every PBX is up.
    pbx: bool,
    /// Whether records can be read.
    store: bool,
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
    let pbx = !links.is_empty() && links.iter().all(|link| link.up);
    let store = gate.app.store.ping().await.is_ok();
    let ready = pbx && store;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, pbx, store }))
}
