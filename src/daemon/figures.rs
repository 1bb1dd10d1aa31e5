//! What the daemon counts beside the gateway's own numbers; all of it under `/metrics`.
//!
//! Invariant: counting costs an atomic addition; no label, so that nothing from outside can make a series.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::gateway::Metrics;

/// Bounds of how long look-ups take, in seconds.
const LOOKUP_SECONDS: [f64; 8] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.2, 5.0];

/// The counters; clones count together.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) frames: Counter,
    pub(super) frames_quarantined: Counter,
    pub(super) events_incomplete: Counter,
    pub(super) overruns: Counter,
    pub(super) resyncs: Counter,
    pub(super) pops: Counter,
    pub(super) lookup_seconds: Histogram,
    pub(super) lookups_failed: Counter,
    pub(super) records_dropped: Counter,
    pub(super) members_repaired: Counter,
    pub(super) pops_repeated: Counter,
    pub(super) pops_without_desktop: Counter,
    pub(super) pops_not_confirmed: Counter,
    pub(super) audits: Counter,
    pub(super) drifts: Counter,
}

impl Figures {
    /// Registers all of them.
    pub(super) fn registered(metrics: &Metrics) -> Self {
        let new = Self {
            frames: Counter::default(),
            frames_quarantined: Counter::default(),
            events_incomplete: Counter::default(),
            overruns: Counter::default(),
            resyncs: Counter::default(),
            pops: Counter::default(),
            lookup_seconds: Histogram::new(LOOKUP_SECONDS),
            lookups_failed: Counter::default(),
            records_dropped: Counter::default(),
            members_repaired: Counter::default(),
            pops_repeated: Counter::default(),
            pops_without_desktop: Counter::default(),
            pops_not_confirmed: Counter::default(),
            audits: Counter::default(),
            drifts: Counter::default(),
        };
        let counters = [
            ("pops_repeated", "Pops sent again because no desktop confirmed them", &new.pops_repeated),
            (
                "pops_without_desktop",
                "Pops that nobody confirmed: no desktop was connected",
                &new.pops_without_desktop,
            ),
            ("pops_not_confirmed", "Pops that a connected desktop did not confirm", &new.pops_not_confirmed),
            ("pbx_audits", "Comparisons of the model with the PBX", &new.audits),
            ("pbx_drifted_channels", "Channels that the model had wrong, found by audits", &new.drifts),
            ("pbx_frames", "Frames of the PBX that were read", &new.frames),
            ("pbx_frames_quarantined", "Frames that no Asterisk writes, set aside", &new.frames_quarantined),
            ("pbx_events_incomplete", "Events that lacked what is needed of them", &new.events_incomplete),
            ("pbx_overruns", "Times that events came faster than they were read", &new.overruns),
            ("pbx_resyncs", "Times that all channels were listed again out of turn", &new.resyncs),
            ("pops", "Calls presented to an operator", &new.pops),
            ("lookups_failed", "Callers that could not be looked up", &new.lookups_failed),
            (
                "records_dropped",
                "Records of the audit trail and the link that could not be kept",
                &new.records_dropped,
            ),
            (
                "queue_members_repaired",
                "Times that queues were not as an operator's state wants them",
                &new.members_repaired,
            ),
        ];
        metrics.register(|registry| {
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
            registry.register("lookup_seconds", "Time to look a caller up", new.lookup_seconds.clone());
        });
        new
    }
}
