//! Metrics of the outbox.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::contract::bounce::BounceKind;
use crate::contract::delivery::DeliveryState;
use crate::contract::message::Urgency;
use crate::gateway::Metrics;
use crate::store::mail_servers::OutboxLoad;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    channel: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BounceLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OldestLabels {
    server: String,
    urgency: &'static str,
}

/// The metrics.
#[derive(Debug, Clone, Default)]
pub(super) struct Stats {
    settled: Family<ResultLabels, Counter>,
    waiting: Family<ServerLabels, Gauge>,
    oldest_seconds: Family<OldestLabels, Gauge>,
    paused: Family<ServerLabels, Gauge>,
    /// How often the server refused everybody.
    pub(super) refused: Counter,
    /// Mails that came back to the mailbox.
    came_back: Family<BounceLabels, Counter>,
    /// Templates of accounts that failed.
    pub(super) failed_templates: Counter,
    /// Deliveries that another daemon had taken over before they were settled.
    pub(super) claims_lost: Counter,
}

impl Stats {
    pub(super) fn registered(metrics: &Metrics) -> Self {
        let stats = Self::default();
        metrics.register(|registry| {
            registry.register(
                "deliveries",
                "Outcomes of attempts to deliver a message",
                stats.settled.clone(),
            );
            registry.register("deliveries_waiting", "Deliveries that are not settled", stats.waiting.clone());
            registry.register(
                "deliveries_oldest_seconds",
                "Age of the oldest delivery of an urgency that is not settled",
                stats.oldest_seconds.clone(),
            );
            registry.register(
                "deliveries_server_paused",
                "1 while the server refuses all mails",
                stats.paused.clone(),
            );
            registry.register(
                "deliveries_server_refusals",
                "How often the server refused all mails",
                stats.refused.clone(),
            );
            registry.register("bounces", "Mails that came back to the mailbox", stats.came_back.clone());
            registry.register(
                "deliveries_failed_templates",
                "Mails that were written by a built-in template, since the account's own failed",
                stats.failed_templates.clone(),
            );
            registry.register(
                "outbox_claims_lost",
                "Deliveries that another daemon took over while they were sent",
                stats.claims_lost.clone(),
            );
        });
        stats
    }

    pub(super) fn settled(&self, state: DeliveryState) {
        let result = match state {
            DeliveryState::Queued => "deferred",
            state => state.as_str(),
        };
        self.settled.get_or_create(&ResultLabels { channel: "mail", result }).inc();
    }

    pub(super) fn came_back(&self, kind: BounceKind) {
        self.came_back.get_or_create(&BounceLabels { kind: kind.as_str() }).inc();
    }

    pub(super) fn loaded(&self, server: &str, load: &OutboxLoad, now: Timestamp, is_paused: bool) {
        let labels = ServerLabels { server: server.to_owned() };
        let waiting = i64::try_from(load.waiting).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&labels).set(waiting);
        for urgency in Urgency::ALL {
            let oldest = load.oldest_of.iter().find(|(of, _)| of == urgency);
            let oldest_s = oldest.map_or(0, |(_, at)| (now.as_second() - at.as_second()).max(0));
            let labels = OldestLabels { server: server.to_owned(), urgency: urgency.as_str() };
            self.oldest_seconds.get_or_create(&labels).set(oldest_s);
        }
        self.paused.get_or_create(&labels).set(i64::from(is_paused));
    }
}
