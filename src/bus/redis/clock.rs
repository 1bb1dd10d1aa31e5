//! The cluster clock: Redis' time, by which daemons on hosts with different clocks compare timestamps.
//!
//! | Redis | the clock shows |
//! |---|---|
//! | answers | Redis' time, at most [`super::REDIS_TIMEOUT`] behind |
//! | stopped answering | Redis' last answer, advanced by this host's monotonic clock |
//! | never answered | nothing; the bus uses this host's time |

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Redis' last answer, and when this host received it.
#[derive(Debug, Default)]
pub(in crate::bus) struct ClusterClock(Mutex<Option<(Timestamp, Instant)>>);

impl ClusterClock {
    /// Sets the clock to Redis' answer.
    pub(super) fn set(&self, at: Timestamp) {
        *self.0.lock() = Some((at, Instant::now()));
    }

    /// The present time; `None` while Redis never answered.
    pub(in crate::bus) fn now(&self) -> Option<Timestamp> {
        let (at, received) = (*self.0.lock())?;
        at.checked_add(received.elapsed()).ok()
    }
}
