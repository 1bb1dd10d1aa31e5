//! The tasks that connect this daemon with others, and their end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time limit for the last events to reach Redis.
const BUS_STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The tasks that connect this daemon with others through Redis. They outlive all other tasks, so that the last events
/// are still sent.
#[derive(Default)]
pub(super) struct ClusterTasks {
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl ClusterTasks {
    /// Sends the queued events and stops.
    pub(super) async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(BUS_STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(timeout = ?BUS_STOP_TIMEOUT, "Redis did not accept the last events in time");
        }
    }
}

impl Drop for ClusterTasks {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
