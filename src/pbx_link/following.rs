//! Whether this daemon's own link to the PBX is up and every channel listed, for readers outside the core (`/readyz`).
//!
//! The published link state is the leader's. A standby whose own link is down cannot take over the calls, so its readiness
//! depends on this flag as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Following(Arc<AtomicBool>);

impl Following {
    /// Every channel is listed, or the link is lost.
    pub fn set(&self, follows: bool) {
        self.0.store(follows, Ordering::Relaxed);
    }

    /// Whether this daemon follows the PBX.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
