//! The metrics of the process, for Prometheus. `health.rs` serves them.
//!
//! Invariant: every label has a small, closed set of values (routes come from the table of routes, statuses are
//! classes). No client can therefore create a new time series, and no label holds a name, number or token.

use std::fmt;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::bus::{Bus, LiveFigures};
use crate::contract::operator::State;
use crate::people::role::Role;
use crate::people::viewer::Viewer;

/// Histogram buckets of request durations, in seconds.
const REQUEST_SECONDS: [f64; 9] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];
/// Histogram buckets of the time from a pop to its acknowledgement, in seconds.
const POP_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// All metrics of the process. The daemon creates one instance; its modules register their own metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    streams: Gauge,
    connections_refused: Counter,
    connections_displaced: Counter,
    clients_stalled: Counter,
    sign_ins_failed: Counter,
    pops_acknowledged: Counter,
    pop_seconds: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("toritsugi");
        let seconds: fn() -> Histogram = || Histogram::new(REQUEST_SECONDS);
        let new = Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            streams: Gauge::default(),
            connections_refused: Counter::default(),
            connections_displaced: Counter::default(),
            clients_stalled: Counter::default(),
            sign_ins_failed: Counter::default(),
            pops_acknowledged: Counter::default(),
            pop_seconds: Histogram::new(POP_SECONDS),
            registry: Mutex::default(),
        };
        registry.register("http_requests", "Answered requests", new.requests.clone());
        registry.register(
            "http_request_seconds",
            "Time from the request to the head of the answer",
            new.request_seconds.clone(),
        );
        registry.register("event_streams", "Open event streams", new.streams.clone());
        registry.register(
            "connections_refused",
            "Connections refused because the limit was reached",
            new.connections_refused.clone(),
        );
        registry.register(
            "connections_displaced",
            "Connections without a token closed to admit new ones because the limit was reached",
            new.connections_displaced.clone(),
        );
        registry.register(
            "clients_stalled",
            "Connections closed because the client stopped reading",
            new.clients_stalled.clone(),
        );
        registry.register(
            "sign_ins_failed",
            "Requests with an unknown token, and sign-ins with a wrong password",
            new.sign_ins_failed.clone(),
        );
        registry.register(
            "pops_acknowledged",
            "Pops that a desktop acknowledged as shown",
            new.pops_acknowledged.clone(),
        );
        registry.register(
            "pop_acknowledgement_seconds",
            "Time from a pop to its acknowledgement",
            new.pop_seconds.clone(),
        );
        *new.registry() = registry;
        new
    }
}

impl Metrics {
    /// Registers the metrics of another module.
    pub fn register(&self, with: impl FnOnce(&mut Registry)) {
        with(&mut self.registry());
    }

    /// Registers the counters and gauges of `bus`.
    pub(crate) fn register_bus(&self, bus: &Bus) {
        self.registry().register_collector(Box::new(BusCollector { bus: bus.clone() }));
    }

    /// Counts an open event stream until the guard is dropped.
    pub(super) fn count_stream(&self) -> StreamCount {
        self.streams.inc();
        StreamCount(self.streams.clone())
    }

    pub(super) fn count_refused_connection(&self) {
        self.connections_refused.inc();
    }

    pub(super) fn count_displaced_connection(&self) {
        self.connections_displaced.inc();
    }

    /// The counter of connections that were closed because the client stopped reading.
    pub(super) fn stalled_clients(&self) -> Counter {
        self.clients_stalled.clone()
    }

    pub(super) fn count_failed_sign_in(&self) {
        self.sign_ins_failed.inc();
    }

    /// Counts a request, and logs it.
    pub(super) fn record_request(
        &self,
        route: String,
        method: &Method,
        status: StatusCode,
        duration: Duration,
    ) {
        let method = method_label(method);
        tracing::debug!(%route, method, status = status.as_u16(), ?duration, "answered a request");
        let labels = RouteLabels { route: route.clone() };
        self.request_seconds.get_or_create(&labels).observe(duration.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route, method, status: status_class(status) }).inc();
    }

    /// Counts an acknowledged pop; `after` is the time since the pop, if known.
    pub(super) fn record_pop_acknowledgement(&self, after: Option<Duration>) {
        self.pops_acknowledged.inc();
        if let Some(after) = after {
            self.pop_seconds.observe(after.as_secs_f64());
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock()
    }

    /// All metrics in the text format of OpenMetrics.
    pub(crate) fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry())?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Guard that counts an open event stream.
#[derive(Debug)]
pub(super) struct StreamCount(Gauge);

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Debug)]
struct BusCollector {
    bus: Bus,
}

impl Collector for BusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let figures = self.bus.stats();
        let counters = [
            ("events_published", "Events published", figures.published_total),
            (
                "subscribers_cut_off",
                "Subscribers disconnected because they read too slowly",
                figures.cut_off_total,
            ),
        ];
        let journal = self.bus.journal_stats().map(|log| {
            [
                (
                    "log_given_up",
                    "Times the event log was discarded because the store was too slow for it",
                    log.discarded_total,
                ),
                (
                    "records_dropped",
                    "Records that were dropped because the store was behind",
                    log.records_dropped_total,
                ),
            ]
        });
        for (name, help, value) in counters.into_iter().chain(journal.into_iter().flatten()) {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(encoder)?;
        }
        let snapshot = self.bus.snapshot(&Viewer::unrestricted(Role::System));
        let links = &snapshot.pbx;
        let gauges = [
            ("subscribers", "Subscribers of the event stream", figures.subscribers),
            ("kept_events", "Past events kept in memory for a resume", figures.kept_events),
            ("kept_event_bytes", "Size of the past events kept in memory, in bytes", figures.kept_bytes),
            ("calls", "Live calls", figures.calls),
            ("pbx_links_up", "PBXes whose link is up", links.iter().filter(|link| link.up).count()),
            ("pbx_links_down", "PBXes whose link is down", links.iter().filter(|link| !link.up).count()),
        ];
        let cluster = self.bus.cluster_stats().map(|common| {
            [
                ("redis_connected", "1 if Redis answers", usize::from(common.connected)),
                ("leads", "1 if this daemon is the leader of its PBX", usize::from(common.leads)),
                ("events_spooled", "Events spooled until Redis confirms them", common.spooled),
                (
                    "teams_kept_elsewhere",
                    "Teams of operators.teams whose operator states the daemon of another PBX owns",
                    self.bus.teams_owned_elsewhere().len(),
                ),
                (
                    "events_spooled_lost",
                    "Events dropped because the spool was full",
                    usize::try_from(common.lost_total).unwrap_or(usize::MAX),
                ),
            ]
        });
        let written = self.bus.journal_stats().map(|log| {
            [
                ("unwritten_events", "Published events that are not yet in the store", log.unwritten_events),
                ("unwritten_records", "Records that are not yet in the store", log.unwritten_records),
            ]
        });
        let queues = cluster.into_iter().flatten().chain(written.into_iter().flatten());
        for (name, help, value) in
            of_the_floor(&snapshot.live_figures()).into_iter().chain(gauges).chain(queues)
        {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::<i64>::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)?;
        }
        Ok(())
    }
}

/// What the page's board counts too: name, help and value.
fn of_the_floor(live: &LiveFigures) -> [(&'static str, &'static str, usize); 8] {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let operators = |state: State| count(live.operators.get(state.as_str()).copied().unwrap_or(0));
    let oldest = live.oldest.map_or(0, |from| from.as_second());
    [
        ("calls_waiting", "Callers whom nobody has answered yet", count(live.waiting)),
        (
            "calls_waiting_oldest_timestamp_seconds",
            "Since when the first of them has been there, in seconds since 1970; 0 where nobody waits",
            usize::try_from(oldest).unwrap_or(0),
        ),
        ("operators_ready", "Operators who take the next call", operators(State::Ready)),
        ("operators_reserved", "Operators at whom a call rings", operators(State::Reserved)),
        ("operators_talking", "Operators who have a caller", operators(State::Talking)),
        ("operators_on_hold", "Operators whose caller is on hold", operators(State::OnHold)),
        ("operators_wrap_up", "Operators in after-call work", operators(State::WrapUp)),
        ("operators_not_ready", "Operators who are logged in and take no calls", operators(State::NotReady)),
    ]
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
