//! The pulse: notes every few seconds that somebody follows the PBX, so that after a crash the gap has a beginning;
//! and lets go of events that are too old.
//!
//! Invariant: at most [`PULSE`] of a followed link is taken for a gap.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::ids::PbxId;
use crate::operator::{Role, Viewer};
use crate::store::Store;

/// How often.
const PULSE: Duration = Duration::from_secs(5);

/// Goes on until `shutdown`.
pub(super) async fn beat(bus: Bus, store: Store, pbx: PbxId, shutdown: CancellationToken) {
    let mut every = tokio::time::interval(PULSE);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut over = false;
    while !over {
        tokio::select! {
            () = shutdown.cancelled() => over = true,
            _ = every.tick() => {}
        }
        let now = Timestamp::now();
        bus.forget(now);
        let up = bus.snapshot(&Viewer::all_seeing(Role::System)).pbx.iter().any(|link| link.up);
        if up && let Err(error) = store.mark_alive(&pbx, now).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the pulse could not be noted");
        }
    }
}
