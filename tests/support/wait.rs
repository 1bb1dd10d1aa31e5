//! Waiting for a condition that no event reports: a file that grows, an answer that changes, a daemon that restarts.
//!
//! The one place of the tests that polls. Where an event reports the change
//! ([`EventLog`](super::pbx_lab::EventLog), a desktop's stream), wait for the event instead: it arrives at once, and
//! a state that lasts less than the poll interval is not missed.
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long a test waits for anything before it fails. Generous: tests state what happens, not how fast, and a busy
/// virtual machine may stand still for a while.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls until `condition` returns `Ok`, and returns that value. `Err` describes what was seen instead.
///
/// # Panics
/// After [`TEST_TIMEOUT`], with `what` was awaited and what was seen last.
pub(crate) async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(TEST_TIMEOUT, what, condition).await
}

/// Like [`eventually`], with another time-out.
pub(crate) async fn eventually_within<T>(
    time_out: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let mut seen = "nothing".to_owned();
    let polling = poll(async || condition().await.map_err(|instead| seen = instead).ok());
    match timeout(time_out, polling).await {
        Ok(found) => found,
        Err(_) => panic!("waited {time_out:?} in vain until {what}; seen last: {seen}"),
    }
}

/// Polls until `condition` returns a value, without a time-out: the caller limits the time.
pub(crate) async fn poll<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        sleep(POLL_INTERVAL).await;
    }
}
