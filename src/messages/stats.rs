//! Metrics of messages: how many nobody confirmed, and how long the others took.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::contract::message::{Message, Urgency};

/// Histogram buckets of the time from saving a message to its confirmation, in seconds: a minute to a day.
const ACK_SECONDS: [f64; 10] =
    [60.0, 180.0, 300.0, 600.0, 1_200.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0];

/// The metrics; clones count the same.
#[derive(Clone)]
pub struct MessageStats {
    unanswered: Family<[(&'static str, &'static str); 1], Gauge>,
    ack_seconds: Histogram,
}

impl Default for MessageStats {
    fn default() -> Self {
        Self { unanswered: Family::default(), ack_seconds: Histogram::new(ACK_SECONDS) }
    }
}

impl fmt::Debug for MessageStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageStats")
    }
}

impl MessageStats {
    /// Makes them part of `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "messages_unanswered",
            "Messages whose route is over without anybody's confirmation",
            self.unanswered.clone(),
        );
        registry.register(
            "messages_ack_seconds",
            "Time from saving a message to its confirmation",
            self.ack_seconds.clone(),
        );
    }

    /// So many messages of each urgency are not confirmed.
    pub(super) fn unanswered(&self, counts: &[(Urgency, u64)]) {
        for urgency in Urgency::ALL.iter().copied() {
            let count = counts.iter().find(|(of, _)| *of == urgency).map_or(0, |(_, count)| *count);
            let gauge = self.unanswered.get_or_create(&[("urgency", urgency.as_str())]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// A change of a message is published: its confirmation counts, a later change of it does not.
    pub(super) fn published(&self, message: &Message) {
        if let Some(at) = message.acknowledged_at.filter(|at| *at == message.changed_at) {
            self.ack_seconds.observe(seconds_between(message.created_at, at));
        }
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_say_what_is_not_confirmed_and_how_long_it_took() {
        let stats = MessageStats::default();
        let mut registry = Registry::with_prefix("toritsugi");
        stats.register(&mut registry);
        stats.unanswered(&[(Urgency::Urgent, 2)]);
        stats.ack_seconds.observe(90.0);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "toritsugi_messages_unanswered{urgency=\"urgent\"} 2",
            "toritsugi_messages_unanswered{urgency=\"normal\"} 0",
            "toritsugi_messages_ack_seconds_bucket{le=\"60.0\"} 0",
            "toritsugi_messages_ack_seconds_bucket{le=\"180.0\"} 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
