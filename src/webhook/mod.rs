//! Webhooks: the events of the public contract, posted to other systems, each signed and each until it was taken.
//!
//! | file | holds |
//! |---|---|
//! | `signature.rs` | what a receiver checks |
//! | `post.rs` | one request, and which addresses it may go to |
//! | `fill.rs` | bus → outbox in the store |
//! | `deliver.rs` | outbox → receivers, with growing pauses |
//!
//! Invariants: an event that is in the outbox is posted until the receiver answers 2xx, or [`ATTEMPTS_MAX`] times;
//! then it stays in the list of failures, where an administrator can send it again. At least once, and under the
//! same `webhook-id` each time: receivers take a repeated id for done. Order is not promised; `id` grows. Nothing
//! here is on the way of a pop, and each receiver has an outbox of at most [`WAITING_MAX`]: what comes beyond is
//! counted and said loudly.
//!
//! Why receivers stand in the configuration alone, and are not set over HTTP: a daemon that posts wherever somebody
//! with a token says is a way into the network behind it. What remains is a name that leads somewhere unexpected:
//! the addresses are looked at after the name was resolved, and the connection goes to exactly the address that was
//! looked at; private and loopback addresses need `allow_private_addresses`, plain http needs them, too; redirects
//! are not followed; answers are not read beyond their status.

mod deliver;
mod fill;
mod post;
mod signature;
#[cfg(test)]
mod tests;

use std::time::Duration;

use smol_str::SmolStr;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::bus::{Bus, EventKind};
use crate::gateway::Metrics;
use crate::secret::Secret;
use crate::store::Store;

pub use fill::FILL_EVENTS_MAX;
pub use post::{POST_TIMEOUT, PostError, Poster, is_private};
pub use signature::sign;

/// How often an event is posted before it counts as failed: about nine hours with the pauses between.
pub const ATTEMPTS_MAX: u32 = 20;
/// Pause after the first failure; it doubles.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two attempts.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Most events that wait for one receiver.
pub const WAITING_MAX: u32 = 10_000;
/// Most failures that are kept of one receiver; older ones give way.
pub const FAILED_MAX: u32 = 1_000;

/// Where events are posted, and how.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The receivers.
    pub receivers: Vec<Receiver>,
    /// Whether private and loopback addresses may be posted to.
    pub allow_private: bool,
    /// Authorities trusted besides those of the machine.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// Somebody who gets events.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its name in the configuration.
    pub name: SmolStr,
    /// Where.
    pub url: Url,
    /// What proves to it that an event is ours.
    pub secret: Secret,
    /// Which events; empty: all.
    pub kinds: Vec<KindPattern>,
}

impl Receiver {
    /// Whether it gets events of this kind.
    #[must_use]
    pub fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|pattern| pattern.matches(kind))
    }
}

/// `call.ended`, or all that begin so: `call.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindPattern(SmolStr);

/// The text is no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of event: write one as call.ended, or several as call.*")]
pub struct KindPatternError(String);

impl KindPattern {
    fn matches(&self, kind: EventKind) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => kind.as_str().starts_with(beginning),
            None => kind.as_str() == self.0,
        }
    }
}

impl std::str::FromStr for KindPattern {
    type Err = KindPatternError;

    fn from_str(text: &str) -> Result<Self, KindPatternError> {
        let pattern = Self(text.into());
        let known = EventKind::ALL.iter().any(|kind| pattern.matches(*kind));
        if known { Ok(pattern) } else { Err(KindPatternError(text.to_owned())) }
    }
}

/// Starts the tasks, where there is anybody to post to. They end with `shutdown`; what waits is in the store.
pub fn start(
    settings: Settings,
    bus: &Bus,
    store: &Store,
    metrics: &Metrics,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(), PostError> {
    if settings.receivers.is_empty() {
        return Ok(());
    }
    let figures = Figures::registered(metrics);
    let poster = Poster::new(settings.allow_private, &settings.authorities)?;
    let filled = std::sync::Arc::new(tokio::sync::Notify::new());
    for receiver in &settings.receivers {
        let deliver = deliver::Deliver {
            receiver: receiver.clone(),
            store: store.clone(),
            poster: poster.clone(),
            filled: std::sync::Arc::clone(&filled),
            figures: figures.clone(),
        };
        tasks.spawn(deliver.run(shutdown.clone()));
    }
    let fill = fill::Fill {
        bus: bus.clone(),
        store: store.clone(),
        receivers: settings.receivers,
        beginning: bus.head(),
        filled,
        figures,
    };
    tasks.spawn(fill.run(shutdown.clone()));
    Ok(())
}

/// What is counted.
#[derive(Debug, Clone, Default)]
struct Figures {
    delivered: prometheus_client::metrics::counter::Counter,
    refused: prometheus_client::metrics::counter::Counter,
    dropped: prometheus_client::metrics::counter::Counter,
}

impl Figures {
    fn registered(metrics: &Metrics) -> Self {
        let figures = Self::default();
        let counters = [
            ("webhooks_delivered", "Events that a receiver has taken", &figures.delivered),
            ("webhooks_refused", "Attempts that a receiver did not take", &figures.refused),
            ("webhooks_dropped", "Events for which an outbox had no room", &figures.dropped),
        ];
        metrics.register(|registry| {
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
        });
        figures
    }
}
