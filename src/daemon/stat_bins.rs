//! Builds the counters of the quarters of an hour in which something changed ([`crate::store::stats`]).
//!
//! Invariant: figures are at most [`BUILD_INTERVAL`] behind the history, but for the time that a backlog takes: after an
//! upgrade, every bin of the history is built, the newest first. Eight bins are one short transaction.
//!
//! The figures of the present day are metrics, too ([`DayMetrics`]): the same counters as in `/v1/stats/live`. They begin
//! with zero at midnight in the time zone of the installation.

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::RetentionConfig;
use crate::gateway::Metrics;
use crate::stats::Counters;
use crate::store::stats::StatsOf;
use crate::store::{Store, StoreError};

/// How often marks are looked for: with the time that counting takes, figures are less than a second behind.
const BUILD_INTERVAL: Duration = Duration::from_millis(750);
/// Delay between two groups of bins while there is a backlog, in which other writers have their turn.
const BACKLOG_DELAY: Duration = Duration::from_millis(10);
/// How often a backlog says how far it has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How often the metrics of the day are read where something was built: Prometheus reads them every 10 s or less often.
const DAY_BUILT_INTERVAL: Duration = Duration::from_secs(5);
/// The same where nothing was built: another daemon may have built it, and a day ends.
const DAY_INTERVAL: Duration = Duration::from_secs(15);

/// The name of a metric, what it says, and its counter.
type DayMetric = (&'static str, &'static str, fn(&Counters) -> u64);

/// The counters of the day that are metrics.
const OF_DAY: [DayMetric; 16] = [
    ("day_calls_offered", "Inbound calls of the present day", |c| c.offered),
    ("day_calls_answered", "Those that an operator answered", |c| c.answered),
    ("day_calls_answered_elsewhere", "Those that somebody else answered", |c| c.elsewhere),
    ("day_calls_abandoned", "Those whose caller hung up first", |c| c.abandoned),
    ("day_calls_abandoned_at_once", "Those abandoned within 5 s of their wait", |c| c.short),
    ("day_calls_overflowed", "Those not answered in time", |c| c.overflowed),
    ("day_calls_blocked", "Those for which every phone was busy", |c| c.blocked),
    ("day_calls_closed", "Those outside the hours of their account", |c| c.closed),
    ("day_calls_refused", "Those that their account refuses", |c| c.refused),
    ("day_calls_voice_message", "Those whose caller left a voice message", |c| c.voice),
    ("day_calls_callback", "Those whose caller asked to be called back", |c| c.callbacks),
    ("day_calls_offline", "Those that the PBX recorded while no daemon followed it", |c| c.offline),
    ("day_calls_answered_in_20_seconds", "Those answered within 20 s of their wait", |c| c.answered_le_20),
    ("day_calls_abandoned_in_20_seconds", "Those abandoned within 20 s of their wait", |c| c.abandoned_le_20),
    ("day_wait_answered_milliseconds", "The wait of the answered ones together", |c| c.wait_answered_ms),
    ("day_wait_max_milliseconds", "The longest wait", |c| c.wait_max_ms),
];

/// The counters of the present day as gauges.
#[derive(Debug)]
pub(super) struct DayMetrics {
    zone: TimeZone,
    gauges: [Gauge; OF_DAY.len()],
    waiting: Gauge,
}

impl DayMetrics {
    /// Creates and registers them.
    pub(super) fn register(metrics: &Metrics, zone: TimeZone) -> Self {
        let new = Self { zone, gauges: std::array::from_fn(|_| Gauge::default()), waiting: Gauge::default() };
        metrics.register(|registry| {
            for ((name, help, _), gauge) in OF_DAY.iter().zip(&new.gauges) {
                registry.register(*name, *help, gauge.clone());
            }
            let help = "Quarters of an hour of the present day that are to be counted";
            registry.register("day_bins_waiting", help, new.waiting.clone());
        });
        new
    }

    /// The beginning and the end of the day of this time, in milliseconds since 1970.
    fn day_of(&self, now: Timestamp) -> (i64, i64) {
        let at = now.to_zoned(self.zone.clone());
        let midnight = at.start_of_day().unwrap_or(at);
        let next = midnight.checked_add(Span::new().days(1)).unwrap_or_else(|_| midnight.clone());
        (midnight.timestamp().as_millisecond(), next.timestamp().as_millisecond())
    }

    /// Reads the counters of the day.
    async fn read(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let (from, to) = self.day_of(now);
        let counters = store.stats(StatsOf::Total, from, to, |_| Some(())).await?;
        let counters = counters.get(&()).cloned().unwrap_or_default();
        for ((_, _, of), gauge) in OF_DAY.iter().zip(&self.gauges) {
            gauge.set(i64::try_from(of(&counters)).unwrap_or(i64::MAX));
        }
        let state = store.stats_state(from, to, now).await?;
        self.waiting.set(i64::try_from(state.pending).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// When the metrics of the day were read, and whether something was built since.
#[derive(Debug, Default)]
struct DayRead {
    at: Option<Instant>,
    is_behind: bool,
}

/// Builds bins until `shutdown`.
pub(super) async fn run(
    store: Store,
    retention: RetentionConfig,
    day: DayMetrics,
    shutdown: CancellationToken,
) {
    let mut read = DayRead::default();
    let mut ticks = tokio::time::interval(BUILD_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            built = build_and_read(&store, &retention, &day, &mut read) => match built {
                Ok(()) => is_failing = false,
                // One line for each failure of the store, not one a second.
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "figures cannot be counted; they go on when the store answers"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// Builds bins, and reads the metrics of the day where they may have changed.
async fn build_and_read(
    store: &Store,
    retention: &RetentionConfig,
    day: &DayMetrics,
    read: &mut DayRead,
) -> Result<(), StoreError> {
    read.is_behind |= build(store, retention).await? > 0;
    let interval = if read.is_behind { DAY_BUILT_INTERVAL } else { DAY_INTERVAL };
    if read.at.is_none_or(|at| at.elapsed() >= interval) {
        day.read(store, Timestamp::now()).await?;
        *read = DayRead { at: Some(Instant::now()), is_behind: false };
    }
    Ok(())
}

/// Builds bins until none is marked; returns how many.
async fn build(store: &Store, retention: &RetentionConfig) -> Result<u64, StoreError> {
    let (mut total, mut reported) = (0, Instant::now());
    loop {
        let built = store.build_stats(retention.history_whole_from(Timestamp::now())).await?;
        if built == 0 {
            return Ok(total);
        }
        total += built;
        if reported.elapsed() >= REPORT_INTERVAL {
            reported = Instant::now();
            tracing::info!(bins = total, "counting the figures of the history, the newest first");
        }
        tokio::time::sleep(BACKLOG_DELAY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::call::{Direction, Outcome};
    use crate::contract::card::MatchedBy;
    use crate::contract::history::{CallSource, FinishedCall};
    use crate::identity::Presentation;
    use crate::ids::{CallId, ChannelId, PbxId};
    use crate::store::Location;

    /// An abandoned call that was offered at this time.
    fn call(n: u32, offered_at: Timestamp) -> FinishedCall {
        let pbx = PbxId::parse("osaka-1").unwrap();
        let channel = ChannelId::parse(&format!("17{n}.1")).unwrap();
        FinishedCall {
            id: CallId::derive(&pbx, &channel),
            pbx,
            direction: Direction::Inbound,
            account: None,
            matched_by: MatchedBy::None,
            customer: None,
            caller: None,
            presentation: Presentation::Unavailable,
            dialled: None,
            diverted_by: None,
            offered_at,
            answered_at: None,
            ended_at: Timestamp::from_millisecond(offered_at.as_millisecond() + 3_000).unwrap(),
            outcome: Outcome::Abandoned,
            operators: Vec::new(),
            handled_by: None,
            channels: vec![channel],
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments: Vec::new(),
        }
    }

    fn value(metrics: &Metrics, name: &str) -> String {
        let text = metrics.render().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("toritsugi_{name} ")));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
    }

    #[tokio::test]
    async fn the_metrics_are_those_of_the_day_in_the_zone_of_the_installation() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_at(&Location::File(dir.path().join("t.db"))).await.unwrap();
        let metrics = Metrics::default();
        let day = DayMetrics::register(&metrics, TimeZone::get("Asia/Tokyo").unwrap());
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (n, offered) in
            ["2026-04-01T23:59:59.999+09:00", "2026-04-02T00:00:00+09:00", "2026-04-02T23:59:59.999+09:00"]
                .into_iter()
                .enumerate()
        {
            store.record_call(&call(u32::try_from(n).unwrap(), at(offered))).await.unwrap();
        }
        day.read(&store, at("2026-04-02T12:00:00+09:00")).await.unwrap();
        assert_eq!(
            (value(&metrics, "day_calls_offered"), value(&metrics, "day_bins_waiting")),
            ("0".into(), "2".into())
        );
        while store.build_stats(None).await.unwrap() > 0 {}
        day.read(&store, at("2026-04-02T12:00:00+09:00")).await.unwrap();
        for (name, expected) in [
            ("day_calls_offered", "2"),
            ("day_calls_abandoned_at_once", "2"),
            ("day_calls_answered", "0"),
            ("day_wait_max_milliseconds", "3000"),
            ("day_bins_waiting", "0"),
        ] {
            assert_eq!(value(&metrics, name), expected, "{name}");
        }
        day.read(&store, at("2026-04-03T00:00:00+09:00")).await.unwrap();
        assert_eq!(value(&metrics, "day_calls_offered"), "0");
    }
}
