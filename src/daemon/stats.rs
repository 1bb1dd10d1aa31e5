//! The daemon's own counters, published under `/metrics` beside those of the gateway.
//!
//! Invariant: counting costs an atomic addition. No counter has a label, so that no input can create a time series.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::gateway::Metrics;

/// Histogram buckets of the look-up time, in seconds.
const LOOKUP_SECONDS: [f64; 8] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.2, 5.0];

/// The counters; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Stats {
    pub(super) frames: Counter,
    pub(super) frames_quarantined: Counter,
    pub(super) events_incomplete: Counter,
    pub(super) unknown_endpoints: Counter,
    pub(super) unreported_rings: Counter,
    pub(super) overruns: Counter,
    pub(super) resyncs: Counter,
    pub(super) pops: Counter,
    pub(super) lookup_seconds: Histogram,
    pub(super) lookups_failed: Counter,
    pub(super) members_repaired: Counter,
    pub(super) pops_repeated: Counter,
    pub(super) pops_without_desktop: Counter,
    pub(super) pops_not_confirmed: Counter,
    pub(super) reconciliations: Counter,
    pub(super) drifts: Counter,
    pub(super) queue_faults: Gauge,
    pub(super) sounds_missing: Gauge,
    pub(super) erasures: Gauge,
    pub(super) rows_erased: Counter,
    pub(super) rows_purged: Counter,
}

impl Stats {
    /// Creates and registers all counters.
    #[expect(clippy::too_many_lines, reason = "one entry for each metric")]
    pub(super) fn register(metrics: &Metrics) -> Self {
        let new = Self {
            frames: Counter::default(),
            frames_quarantined: Counter::default(),
            events_incomplete: Counter::default(),
            unknown_endpoints: Counter::default(),
            unreported_rings: Counter::default(),
            overruns: Counter::default(),
            resyncs: Counter::default(),
            pops: Counter::default(),
            lookup_seconds: Histogram::new(LOOKUP_SECONDS),
            lookups_failed: Counter::default(),
            members_repaired: Counter::default(),
            pops_repeated: Counter::default(),
            pops_without_desktop: Counter::default(),
            pops_not_confirmed: Counter::default(),
            reconciliations: Counter::default(),
            drifts: Counter::default(),
            queue_faults: Gauge::default(),
            sounds_missing: Gauge::default(),
            erasures: Gauge::default(),
            rows_erased: Counter::default(),
            rows_purged: Counter::default(),
        };
        let counters = [
            ("pops_repeated", "Pops sent again because no desktop confirmed them", &new.pops_repeated),
            (
                "pops_without_desktop",
                "Pops that no desktop confirmed because none was connected",
                &new.pops_without_desktop,
            ),
            ("pops_not_confirmed", "Pops that a connected desktop did not confirm", &new.pops_not_confirmed),
            ("pbx_audits", "Comparisons of the model with the PBX", &new.reconciliations),
            ("pbx_drifted_channels", "Channels on which the model differed from the PBX", &new.drifts),
            ("pbx_frames", "AMI frames read", &new.frames),
            ("pbx_frames_quarantined", "Malformed AMI frames that were quarantined", &new.frames_quarantined),
            (
                "pbx_events_incomplete",
                "AMI events ignored because a field was missing",
                &new.events_incomplete,
            ),
            (
                "pbx_unknown_endpoints",
                "Endpoints that are neither a trunk nor a phone, as far as the configuration says",
                &new.unknown_endpoints,
            ),
            (
                "pbx_unreported_rings",
                "Times that an operator's phone rang for a call that was not reported",
                &new.unreported_rings,
            ),
            (
                "pbx_overruns",
                "Times that AMI events were dropped because they arrived faster than they were read",
                &new.overruns,
            ),
            ("pbx_resyncs", "Times that the PBX was listed again outside the schedule", &new.resyncs),
            ("pops", "Calls presented to an operator", &new.pops),
            ("lookups_failed", "Caller look-ups that failed", &new.lookups_failed),
            (
                "queue_members_repaired",
                "Times that a queue membership was repaired because it contradicted an operator's state",
                &new.members_repaired,
            ),
            (
                "rows_erased",
                "Rows that were cleared or looked at to remove what deleted customers left",
                &new.rows_erased,
            ),
            ("rows_purged", "Rows that were removed or cleared because they had expired", &new.rows_purged),
        ];
        metrics.register(|registry| {
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
            registry.register(
                "queue_faults",
                "Queues that do not follow the operators' states; /readyz lists them",
                new.queue_faults.clone(),
            );
            registry.register(
                "sounds_missing",
                "Sounds of callflows of which the PBX has no file; toritsugi callflow check lists them",
                new.sounds_missing.clone(),
            );
            registry.register(
                "erasures",
                "Deleted customers and accounts of which something is still to be removed",
                new.erasures.clone(),
            );
            registry.register("lookup_seconds", "Time to look a caller up", new.lookup_seconds.clone());
        });
        new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::stat_bins::DayMetrics;
    use super::*;
    use crate::bus::{Bus, BusSettings};
    use crate::contract::event_id::StreamToken;
    use crate::ids::PbxId;
    use crate::journal::queue::{JournalQueue, RestoredLog};

    /// Every metric of a daemon that sends no mails.
    fn published() -> String {
        let metrics = Metrics::default();
        Stats::register(&metrics);
        DayMetrics::register(&metrics, jiff::tz::TimeZone::UTC);
        let settings = BusSettings {
            pbx: PbxId::parse("tokyo").unwrap(),
            stream: StreamToken::from_number(1),
            replay_events_max: 100,
            replay_age_max: std::time::Duration::from_secs(60),
            subscriber_events_max: 100,
            subscribers_max: 10,
        };
        let journal = std::sync::Arc::new(JournalQueue::default());
        metrics.register_bus(&Bus::restored(settings, RestoredLog::default(), Some(journal)));
        metrics.render().unwrap()
    }

    /// A scraper refuses a page that names a metric twice.
    #[test]
    fn every_metric_is_published_once() {
        let text = published();
        let mut seen = HashSet::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(seen.insert(name), "{name} twice");
        }
        assert!(seen.len() > 30, "{}", seen.len());
        assert!(seen.contains("toritsugi_records_dropped"), "{text}");
    }

    /// A panel with a metric that nobody publishes shows nothing, and nobody sees why.
    #[test]
    fn the_dashboard_names_metrics_that_are_published() {
        let text = published();
        let dashboard = include_str!("../../docker/grafana/toritsugi-figures.json");
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        let mut names = HashSet::new();
        for query in queries {
            let query = query["expr"].as_str().unwrap();
            let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            names.extend(words.filter(|word| word.starts_with("toritsugi_")));
        }
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            let is_published = text
                .lines()
                .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
            assert!(is_published, "no metric {name}: {text}");
        }
    }
}
