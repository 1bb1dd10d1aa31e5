//! Numbers for Prometheus.
//!
//! Invariant: every label has a small, closed set of values (routes come from the table of routes, statuses
//! are classes), so nothing a client sends makes another time series, and no name, number or token is in any.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::problem::{Kind, Problem};
use super::routes::Gate;
use crate::bus::Bus;
use crate::operator::{Role, Viewer};

/// Bounds of how long requests take, in seconds.
const REQUEST_SECONDS: [f64; 9] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];
/// Bounds of how long pops take to be acknowledged, in seconds.
const POP_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// All numbers of the process. The daemon makes one; parts register what they count.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    streams: Gauge,
    connections_refused: Counter,
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
            clients_stalled: Counter::default(),
            sign_ins_failed: Counter::default(),
            pops_acknowledged: Counter::default(),
            pop_seconds: Histogram::new(POP_SECONDS),
            registry: Mutex::default(),
        };
        registry.register("http_requests", "Answered requests", new.requests.clone());
        registry.register(
            "http_request_seconds",
            "Time to the head of the answer",
            new.request_seconds.clone(),
        );
        registry.register("event_streams", "Open event streams", new.streams.clone());
        registry.register(
            "connections_refused",
            "Connections beyond the limit",
            new.connections_refused.clone(),
        );
        registry.register(
            "clients_stalled",
            "Connections given up because the client took nothing for too long",
            new.clients_stalled.clone(),
        );
        registry.register(
            "sign_ins_failed",
            "Unknown tokens and wrong passwords",
            new.sign_ins_failed.clone(),
        );
        registry.register(
            "pops_acknowledged",
            "Pops that a desktop has shown",
            new.pops_acknowledged.clone(),
        );
        registry.register(
            "pop_acknowledgement_seconds",
            "From the pop to its acknowledgement",
            new.pop_seconds.clone(),
        );
        *new.registry() = registry;
        new
    }
}

impl Metrics {
    /// Where parts of the daemon register what they count.
    pub fn register(&self, with: impl FnOnce(&mut Registry)) {
        with(&mut self.registry());
    }

    /// Shows the counters of `bus` from now on.
    pub(super) fn follow(&self, bus: &Bus) {
        self.registry().register_collector(Box::new(BusCollector(bus.clone())));
    }

    pub(super) fn stream_opened(&self) -> StreamCount {
        self.streams.inc();
        StreamCount(self.streams.clone())
    }

    pub(super) fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Counts clients that take nothing.
    pub(super) fn stalled(&self) -> Counter {
        self.clients_stalled.clone()
    }

    pub(super) fn sign_in_failed(&self) {
        self.sign_ins_failed.inc();
    }

    pub(super) fn pop_acknowledged(&self, after: Option<Duration>) {
        self.pops_acknowledged.inc();
        if let Some(after) = after {
            self.pop_seconds.observe(after.as_secs_f64());
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn render(&self) -> Result<String, fmt::Error> {
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

/// Counts an open stream until it is dropped.
#[derive(Debug)]
pub(super) struct StreamCount(Gauge);

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Debug)]
struct BusCollector(Bus);

impl Collector for BusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let figures = self.0.figures();
        let counters = [
            ("events_published", "Events published", figures.published_total),
            ("subscribers_cut_off", "Subscribers that read too slowly", figures.cut_off_total),
        ];
        let given_up = self.0.written().map(|log| {
            [
                (
                    "log_given_up",
                    "Times the store was too slow for the log: no resume over a restart from before",
                    log.given_up_total,
                ),
                (
                    "records_dropped",
                    "Finished calls that were not recorded: the store was behind",
                    log.records_dropped_total,
                ),
            ]
        });
        for (name, help, value) in counters.into_iter().chain(given_up.into_iter().flatten()) {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(encoder)?;
        }
        let links = self.0.snapshot(&Viewer::all_seeing(Role::System)).pbx;
        let gauges = [
            ("subscribers", "Who follows the events", figures.subscribers),
            ("kept_events", "Past events kept for a resume", figures.kept_events),
            ("kept_event_bytes", "Their bytes", figures.kept_bytes),
            ("calls", "Live calls", figures.calls),
            ("pbx_links_up", "Links to PBXes that are up", links.iter().filter(|link| link.up).count()),
            ("pbx_links_down", "Links to PBXes that are down", links.iter().filter(|link| !link.up).count()),
        ];
        let common = self.0.common().map(|common| {
            [
                ("redis_connected", "Whether Redis answers", usize::from(common.connected)),
                ("leads", "Whether this daemon leads for its PBX", usize::from(common.leads)),
                ("events_spooled", "Events that wait for Redis", common.spooled),
                (
                    "teams_kept_elsewhere",
                    "Teams of operators.teams whose people another PBX's daemon keeps",
                    self.0.kept_elsewhere().len(),
                ),
                (
                    "events_spooled_lost",
                    "Events that the spool could not hold",
                    usize::try_from(common.lost_total).unwrap_or(usize::MAX),
                ),
            ]
        });
        let written = self.0.written().map(|log| {
            [
                ("unwritten_events", "Events told that the store does not have yet", log.unwritten_events),
                (
                    "unwritten_records",
                    "Finished calls that the store does not have yet",
                    log.unwritten_records,
                ),
            ]
        });
        let behind = common.into_iter().flatten().chain(written.into_iter().flatten());
        for (name, help, value) in gauges.into_iter().chain(behind) {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::<i64>::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)?;
        }
        Ok(())
    }
}

/// The numbers, in the text form of OpenMetrics.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()), responses(
    (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String),
))]
pub(super) async fn show(State(gate): State<Arc<Gate>>) -> Result<Response, Problem> {
    let text = gate.app.metrics.render().map_err(|_| Kind::Internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Counts and times every request.
pub(super) async fn measure(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = method(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let took = begun.elapsed();
    let metrics = &gate.app.metrics;
    let status = class(response.status());
    tracing::debug!(%route, method, status = response.status().as_u16(), ?took, "answered");
    metrics.request_seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(took.as_secs_f64());
    metrics.requests.get_or_create(&RequestLabels { route, method, status }).inc();
    response
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
