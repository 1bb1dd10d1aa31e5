//! The heartbeat of a daemon without Redis: every [`HEARTBEAT_INTERVAL`] it marks the PBX link as alive in the store, so
//! that after a crash the gap has a beginning. It also drops events that are older than the replay window.
//!
//! (With Redis the leader writes its heartbeat from the core: `gap_detection.rs`.)
//!
//! Invariant: at most [`HEARTBEAT_INTERVAL`] of a followed link is taken for a gap.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::ids::PbxId;
use crate::people::role::Role;
use crate::people::viewer::Viewer;
use crate::store::Store;

/// Interval between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until `shutdown`, and once more then.
pub(super) async fn run(bus: Bus, store: Store, pbx: PbxId, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(HEARTBEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    while !stopping {
        tokio::select! {
            () = shutdown.cancelled() => stopping = true,
            _ = ticks.tick() => {}
        }
        let now = Timestamp::now();
        bus.evict_expired(now);
        let up = bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.iter().any(|link| link.up);
        if up && let Err(error) = store.mark_alive(&pbx, now).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot write the heartbeat");
        }
    }
}
