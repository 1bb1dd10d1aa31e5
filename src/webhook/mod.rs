//! Webhooks: the events of the public contract, signed and posted to other systems until they are accepted.
//!
//! | file | holds |
//! |---|---|
//! | `outbox_writer.rs` | bus → outbox in the store |
//! | `delivery.rs` | outbox → one receiver, with increasing delays |
//! | `client.rs` | one HTTP request, and which addresses it may go to |
//! | `signature.rs` | the signature that a receiver verifies |
//!
//! Invariants:
//! - An event in the outbox is posted until the receiver answers 2xx, or [`ATTEMPTS_MAX`] times. Then it stays in the
//!   list of failed deliveries, where an administrator can retry it.
//! - Delivery is at least once, under the same `webhook-id` each time: a receiver ignores an id that it has seen. The
//!   order of deliveries is not guaranteed; `id` increases.
//! - Nothing here delays a screen pop. The outbox of a receiver holds at most [`OUTBOX_EVENTS_MAX`] events; further
//!   events are dropped, counted and logged as an error.
//!
//! | what fails | what happens |
//! |---|---|
//! | the receiver answers another status than 2xx | this event is posted again after a delay that doubles, up to [`RETRY_DELAY_LONGEST`] |
//! | the receiver cannot be reached or does not answer in time | all its events wait for that delay |
//! | the store | the outbox writer resumes the stream when the store is back; if the stream no longer has those events, it logs a warning and continues from now |
//! | the daemon | the next leader continues after the last event in the outbox |
//!
//! Why receivers are set in the configuration only, not over HTTP: a daemon that posts to any URL given by an API
//! client is a way into the network behind it. A host name can still resolve to an unexpected address. Therefore the
//! address is checked after the name is resolved, and the connection goes to exactly the checked address; private and
//! loopback addresses need `allow_private_addresses`; plain http is allowed to those addresses only; redirects are not
//! followed; of the answer to an event only the status is looked at.

mod client;
mod delivery;
mod outbox_writer;
mod signature;
#[cfg(test)]
mod tests;

use std::time::Duration;

use smol_str::SmolStr;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::bus::Bus;
use crate::contract::event::EventKind;
use crate::gateway::Metrics;
use crate::secret::Secret;
use crate::store::Store;

pub use client::{POST_TIMEOUT, PostError, REPLY_BYTES_MAX, Reply, WebhookClient, is_private};
pub use outbox_writer::OUTBOX_BATCH_MAX;
pub use signature::sign;

/// Attempts before a delivery counts as failed; with the delays between them about nine hours.
pub const ATTEMPTS_MAX: u32 = 20;
/// Delay after the first failed attempt; it doubles with every further one.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Longest delay between two attempts.
pub const RETRY_DELAY_LONGEST: Duration = Duration::from_secs(3_600);
/// Most events in the outbox of one receiver.
pub const OUTBOX_EVENTS_MAX: u32 = 10_000;
/// Most failed deliveries kept for one receiver; the oldest are deleted.
pub const FAILED_DELIVERIES_MAX: u32 = 1_000;

/// Settings of the webhooks.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The receivers.
    pub receivers: Vec<Receiver>,
    /// Whether events may be posted to private and loopback addresses.
    pub allow_private: bool,
    /// Certificate authorities trusted in addition to the system's.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// A system that receives events.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its name in the configuration.
    pub name: SmolStr,
    /// The URL to post to.
    pub url: Url,
    /// The secret that signs the events.
    pub secret: Secret,
    /// The event kinds it receives; empty: all.
    pub kinds: Vec<KindPattern>,
}

impl Receiver {
    /// Whether it receives events of this kind.
    #[must_use]
    pub fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|pattern| pattern.matches(kind))
    }
}

/// One event kind (`call.ended`) or a prefix of kinds (`call.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindPattern(SmolStr);

/// The text matches no event kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of event: write one kind as call.ended, or several as call.*")]
pub struct KindPatternError(String);

impl KindPattern {
    fn matches(&self, kind: EventKind) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => kind.as_str().starts_with(prefix),
            None => kind.as_str() == self.0,
        }
    }
}

impl std::fmt::Display for KindPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
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

/// Starts the tasks, if there are receivers. They end with `shutdown`; undelivered events stay in the store.
///
/// # Errors
/// TLS cannot be set up.
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
    let stats = Stats::registered(metrics);
    let client = WebhookClient::new(settings.allow_private, &settings.authorities)?;
    let written = std::sync::Arc::new(tokio::sync::Notify::new());
    for receiver in &settings.receivers {
        let worker = delivery::DeliveryWorker {
            receiver: receiver.clone(),
            store: store.clone(),
            client: client.clone(),
            written: std::sync::Arc::clone(&written),
            stats: stats.clone(),
        };
        tasks.spawn(worker.run(shutdown.clone()));
    }
    let writer = outbox_writer::OutboxWriter {
        bus: bus.clone(),
        store: store.clone(),
        receivers: settings.receivers,
        beginning: bus.head(),
        written,
        stats,
    };
    tasks.spawn(writer.run(shutdown.clone()));
    Ok(())
}

/// Counters, for the metrics.
#[derive(Debug, Clone, Default)]
struct Stats {
    delivered: prometheus_client::metrics::counter::Counter,
    refused: prometheus_client::metrics::counter::Counter,
    dropped: prometheus_client::metrics::counter::Counter,
}

impl Stats {
    fn registered(metrics: &Metrics) -> Self {
        let stats = Self::default();
        let counters = [
            ("webhooks_delivered", "Events that a receiver accepted", &stats.delivered),
            ("webhooks_refused", "Attempts that a receiver did not accept", &stats.refused),
            ("webhooks_dropped", "Events dropped because a receiver's outbox was full", &stats.dropped),
        ];
        metrics.register(|registry| {
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
        });
        stats
    }
}
