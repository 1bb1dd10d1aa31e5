//! What sharing the stream over Redis costs: events a second through it, and how much later a pop comes.
//!
//! A private Redis on loopback; two daemons' buses, one that publishes for its PBX and one gateway elsewhere.
//!
//! Each event brings how its call stands, for the next daemon, and each end its record, as in the daemon; a store that
//! takes records at once is played here.
//!
//! - Throughput: `EVENTS` events of calls with a whole card are published in bursts that the spool never holds for
//!   long; timed until the gateway elsewhere has handed the last one to a subscriber.
//! - Latency: 50 calls a second, 4 events each; from just before `publish` to the moment a subscriber has the
//!   `call.presented`: in one process, through Redis at the same daemon, and at the other one. The difference between
//!   the first two is what Redis adds.
//!
//! `REDIS_SECONDS` sets how long to measure the latency (10).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

#[path = "../tests/backends/mod.rs"]
mod backends;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toritsugi::bus::redis::{RedisAddress, RedisSettings};
use toritsugi::bus::{Audience, Bus, BusSettings, Change, Draft, EventKind, StreamToken, Subscription};
use toritsugi::call::view::{CallState, CallView, Direction};
use toritsugi::directory::numbers::NumberPlan;
use toritsugi::ids::{CallId, ChannelId, Extension, PbxId};
use toritsugi::operator::{Presence, Role, Viewer};
use toritsugi::store::log::{Keep, LiveCall};
use toritsugi::store::{FinishedCall, Segment};

use crate::backends::Backends;

const EVENTS: usize = 200_000;
const CALLS_PER_SECOND: u64 = 50;
/// Events that wait for Redis before the next burst.
const AHEAD_MAX: usize = 4_000;

fn settings(pbx: &str) -> BusSettings {
    BusSettings {
        pbx: PbxId::parse(pbx).unwrap(),
        stream: StreamToken::parse("b").unwrap(),
        replay_events_max: 20_000,
        replay_age_max: Duration::from_secs(3600),
        subscriber_events_max: 60_000,
        subscribers_max: 100,
    }
}

async fn shared(url: &str, pbx: &str, tasks: &TaskTracker, shutdown: &CancellationToken) -> Bus {
    let redis = RedisSettings {
        address: RedisAddress::parse(&[url], None, false).unwrap().unwrap(),
        prefix: "bench".into(),
        daemon: getrandom::u64().unwrap(),
        started_at: Timestamp::now(),
        known: Vec::new(),
        teams: Vec::new(),
        presence: Presence::default(),
    };
    let bus = Bus::shared(settings(pbx), redis, None, tasks, shutdown);
    let change = Change::Pbx { up: true, since: Timestamp::now() };
    bus.publish(draft(EventKind::PbxUp, None, change));
    while !bus.common().unwrap().leads {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(bus.left().is_some_and(|left| left.is_empty()), "nobody led before");
    bus
}

/// How a call stands after three phones rang and one was answered: about what the daemon keeps of it.
static STANDING: LazyLock<LiveCall> = LazyLock::new(|| {
    let leg = |id: &str, endpoint: serde_json::Value| {
        json!({
            "id": id, "endpoint": endpoint, "state": "up", "bridge": null, "dialled_by": null, "dial_ended": null,
            "peer": null, "holding": false, "hangup_requested": null, "progress": false,
        })
    };
    let memory = json!({
        "id": view_of(1, CallState::Answered).id, "legs": [leg("1.1", json!("trunk")), leg("1.2", json!({ "phone": "1001" }))],
        "linked": ["1.1"], "caller": "1.1", "channels": ["1.1", "1.2"], "card": null,
        "offered_at": "2026-01-05T00:00:00Z", "answered_at": null, "presented": [], "operator": ["1001", "1.2"],
        "operators": ["1001"], "operators_legs": ["1.2"], "held": false, "queued": false, "abandoned": false,
        "overflowed": false, "told": null, "state": "answered", "inferred": false,
    });
    let segment = |kind: &str| Segment {
        kind: kind.into(),
        operator: Extension::parse("1001").ok(),
        target: None,
        from: Timestamp::UNIX_EPOCH,
        until: Some(Timestamp::UNIX_EPOCH),
        result: Some("answered".into()),
    };
    let story = ["presented", "shown", "presented", "shown", "presented", "shown", "talking"].map(segment);
    LiveCall { memory: serde_json::from_value(memory).unwrap(), story: story.into() }
});

fn standing(id: CallId) -> LiveCall {
    let mut live = STANDING.clone();
    live.memory.id = id;
    live
}

/// Tells an event of call `n`, with what is kept.
fn tell(bus: &Bus, n: u64, draft: Draft) {
    let id = draft.call.unwrap();
    let keep = match &draft.change {
        Change::Call(_) => Keep::Live(Box::new(standing(id))),
        _ => Keep::Finished(Box::new(record_of(id, n))),
    };
    let is_over = matches!(keep, Keep::Finished(_));
    bus.publish_all(vec![draft], vec![keep]);
    if is_over {
        bus.recorded(id);
    }
}

fn record_of(id: CallId, n: u64) -> FinishedCall {
    let record = FinishedCall::of(&view_of(n, CallState::Ended), &NumberPlan::default());
    FinishedCall { segments: standing(id).story, ..record }
}

fn draft(kind: EventKind, call: Option<CallId>, change: Change) -> Draft {
    let data = json!({
        "operator": "1001", "dialled": "0355501001", "diverted_by": "0335550101",
        "caller": {"number": "090-1234-5678", "presentation": "allowed", "name": "田中太郎", "area": "携帯電話"},
        "account": {"name": "株式会社さくら商事", "kana": "さくらしょうじ", "answer_phrase": "お電話ありがとうございます。さくら商事でございます。", "notes": "本日、営業部は外出中", "matched_by": "diversion"},
        "customers": [], "history": {"calls": 12, "open_messages": 1},
    });
    Draft { kind, at: Timestamp::now(), call, audience: Audience::Supervisors, data, change }
}

fn view_of(n: u64, state: CallState) -> CallView {
    let pbx = PbxId::parse("osaka").unwrap();
    let operator = Extension::parse("1001").unwrap();
    CallView {
        id: CallId::derive(&pbx, &ChannelId::parse(&format!("{n}.1")).unwrap()),
        pbx,
        direction: Direction::Inbound,
        state,
        offered_at: Timestamp::now(),
        answered_at: None,
        ended_at: None,
        presented_to: if state == CallState::Presented { vec![operator.clone()] } else { vec![] },
        operator: (state == CallState::Answered).then_some(operator),
        outcome: None,
        card: None,
        inferred: false,
    }
}

fn life(n: u64) -> [Draft; 4] {
    let id = view_of(n, CallState::Ended).id;
    let step = |kind, state| draft(kind, Some(id), Change::Call(Arc::new(view_of(n, state))));
    [
        step(EventKind::CallOffered, CallState::Offered),
        step(EventKind::CallPresented, CallState::Presented),
        step(EventKind::CallAnswered, CallState::Answered),
        draft(EventKind::CallEnded, Some(id), Change::CallGone(id)),
    ]
}

fn follow(bus: &Bus) -> Subscription {
    bus.subscribe(Viewer::all_seeing(Role::System), None).unwrap()
}

async fn throughput(here: &Bus, there: &Bus) {
    let mut subscription = follow(there);
    let (progress, seen) = tokio::sync::watch::channel(0_usize);
    let begun = Instant::now();
    let reader = tokio::spawn(async move {
        for n in 1..=EVENTS {
            subscription.next().await.expect("it reads fast enough");
            if n % 512 == 0 || n == EVENTS {
                progress.send_replace(n);
            }
        }
        begun.elapsed()
    });
    let mut published = 0;
    for n in 0..(EVENTS / 4) as u64 {
        for draft in life(n) {
            tell(here, n, draft);
        }
        published += 4;
        while published - *seen.borrow() > AHEAD_MAX {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    let took = reader.await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = EVENTS as f64 / took.as_secs_f64();
    println!(
        "throughput through Redis, publish to the subscriber of another daemon: {rate:.0} events/s (wanted: 20,000)"
    );
}

/// When each call's pop came, from just before it was published.
async fn latency(here: &Bus, at: &[&Bus], seconds: u64) -> Vec<Vec<Duration>> {
    let calls = usize::try_from(CALLS_PER_SECOND * seconds).unwrap();
    let epoch = Instant::now();
    let readers: Vec<_> = at
        .iter()
        .map(|bus| {
            let mut subscription = follow(bus);
            tokio::spawn(async move {
                let mut at = Vec::with_capacity(calls);
                while at.len() < calls {
                    let event = subscription.next().await.expect("it reads fast enough");
                    if event.kind() == EventKind::CallPresented {
                        at.push(epoch.elapsed());
                    }
                }
                at
            })
        })
        .collect();
    let mut ticks = interval(Duration::from_micros(1_000_000 / CALLS_PER_SECOND));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut published = Vec::with_capacity(calls);
    for n in 0..calls as u64 {
        ticks.tick().await;
        let n = 1_000_000_000 + n;
        for draft in life(n) {
            if draft.kind == EventKind::CallPresented {
                published.push(epoch.elapsed());
            }
            tell(here, n, draft);
        }
    }
    let mut taken = Vec::new();
    for reader in readers {
        let at = reader.await.unwrap();
        let mut one: Vec<_> = at.iter().zip(&published).map(|(at, from)| *at - *from).collect();
        one.sort_unstable();
        taken.push(one);
    }
    taken
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1_000.0
}

fn main() {
    let backends = Backends::start();
    let seconds = std::env::var("REDIS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let here = shared(&backends.redis_url(), "osaka", &tasks, &shutdown).await;
        let there = shared(&backends.redis_url(), "tokyo", &tasks, &shutdown).await;
        throughput(&here, &there).await;
        let alone = Bus::new(settings("osaka"));
        let in_process = latency(&alone, &[&alone], seconds).await.remove(0);
        let [own, other] =
            latency(&here, &[&here, &there], seconds).await.try_into().expect("two subscribers");
        println!("from publish to a subscriber, {CALLS_PER_SECOND} calls/s        p50 ms    p99 ms");
        for (what, times) in [
            ("in this process alone", &in_process),
            ("through Redis, this daemon's", &own),
            ("through Redis, another daemon's", &other),
        ] {
            println!("{what:<36}{:>12.3}{:>10.3}", percentile(times, 50), percentile(times, 99));
        }
        println!(
            "added by Redis: p50 {:.3} ms, p99 {:.3} ms (wanted: p99 5 ms)",
            percentile(&own, 50) - percentile(&in_process, 50),
            percentile(&own, 99) - percentile(&in_process, 99)
        );
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
    });
}
