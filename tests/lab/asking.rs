//! Waiting for what no event tells: a file that grows, an answer that changes, a daemon that comes back.
//!
//! The one place that sleeps between two looks. Where an event tells ([`super::EventLog`], a desktop's stream), wait
//! for that: it comes at once, and nothing between two looks is missed.
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::PATIENCE;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until there is something; `look` says what it saw instead.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for and what was seen last.
pub(crate) async fn ask_until<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    ask_within(PATIENCE, what, look).await
}

/// As [`ask_until`], for what takes its time.
pub(crate) async fn ask_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let mut seen = "nothing".to_owned();
    let looking = ask_at_any_time(async || look().await.map_err(|instead| seen = instead).ok());
    match timeout(patience, looking).await {
        Ok(found) => found,
        Err(_) => panic!("waited {patience:?} in vain until {what}; seen last: {seen}"),
    }
}

/// The same for one who need not get an answer: the caller says for how long.
pub(crate) async fn ask_at_any_time<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look().await {
            return found;
        }
        sleep(PAUSE).await;
    }
}
