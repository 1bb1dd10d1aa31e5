//! Whether this daemon's own link to the PBX is up and every channel listed, and when the PBX last took its heartbeat, for readers
//! outside the core (`/readyz`, `/v1/health`).
//!
//! The published link state is the leader's. A standby whose own link is down cannot take over the calls, so its readiness
//! depends on this flag as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;

/// The state; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Following(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_up: AtomicBool,
    /// In milliseconds since 1970; 0: never.
    heartbeat_ms: AtomicI64,
}

impl Following {
    /// Every channel is listed, or the link is lost.
    pub fn set(&self, follows: bool) {
        self.0.is_up.store(follows, Ordering::Relaxed);
    }

    /// Whether this daemon follows the PBX.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.is_up.load(Ordering::Relaxed)
    }

    /// The PBX took the heartbeat of this daemon.
    pub fn set_heartbeat(&self, at: Timestamp) {
        self.0.heartbeat_ms.store(at.as_millisecond(), Ordering::Relaxed);
    }

    /// When the PBX last took a heartbeat of this daemon.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Timestamp> {
        let ms = self.0.heartbeat_ms.load(Ordering::Relaxed);
        Timestamp::from_millisecond(ms).ok().filter(|_| ms > 0)
    }
}
