//! Measures the cost of sharing the stream over Redis: events a second, and the added latency of a pop.
//!
//! The bench runs a private Redis on loopback and the buses of two daemons: one leads and publishes for its PBX, the
//! other is a gateway of another PBX.
//!
//! As in the daemon, each event carries the checkpoint of its call, and each end of a call carries its record. The bench
//! confirms each record at once, in place of a store.
//!
//! - Throughput: the leader publishes `EVENTS` events of calls with a whole card, at most `AHEAD_MAX` ahead of the
//!   reader. The time ends when a subscriber of the other daemon has received the last event.
//! - Latency: 50 calls a second, 4 events each; from just before `publish` to the moment when a subscriber has the
//!   `call.presented`: in one process without Redis, through Redis at the same daemon, and through Redis at the other
//!   daemon. The difference between the first two is the latency that Redis adds.
//!
//! `REDIS_SECONDS` sets the duration of the latency measurement (10).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

#[path = "../tests/services/mod.rs"]
mod backends;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toritsugi::bus::redis::{RedisAddress, RedisSettings, SigningKey};
use toritsugi::bus::{Bus, BusSettings, Subscription};
use toritsugi::contract::call::{CallState, CallView, Direction};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::event_id::StreamToken;
use toritsugi::contract::history::{FinishedCall, Segment};
use toritsugi::ids::{CallId, ChannelId, Extension, PbxId};
use toritsugi::journal::entry::{CallCheckpoint, JournalEntry};
use toritsugi::numbers::NumberPlan;
use toritsugi::people::presence::Presence;
use toritsugi::people::role::Role;
use toritsugi::people::viewer::Viewer;

use crate::backends::Backends;

const EVENTS: usize = 200_000;
const CALLS_PER_SECOND: u64 = 50;
/// Most events published ahead of the reader.
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
        known_calls: Vec::new(),
        teams: Vec::new(),
        signing_key: SigningKey::new([7; 32]),
        accept_unsigned: false,
        presence: Presence::default(),
    };
    let bus = Bus::shared(settings(pbx), redis, None, tasks, shutdown);
    let change = StateDelta::Pbx { up: true, since: Timestamp::now() };
    bus.publish(draft(EventKind::PbxUp, None, change));
    while !bus.cluster_stats().unwrap().leads {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(bus.predecessor_checkpoints().is_some_and(|left| left.is_empty()), "there is no earlier leader");
    bus
}

/// The checkpoint of a call after three phones rang and one answered, of about the size of a real one.
static CHECKPOINT: LazyLock<CallCheckpoint> = LazyLock::new(|| {
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
    CallCheckpoint { snapshot: serde_json::from_value(memory).unwrap(), segments: story.into() }
});

fn checkpoint(id: CallId) -> CallCheckpoint {
    let mut live = CHECKPOINT.clone();
    live.snapshot.id = id;
    live
}

/// Publishes an event of call `n`, with its journal entry.
fn publish(bus: &Bus, n: u64, draft: NewEvent) {
    let id = draft.call.unwrap();
    let keep = match &draft.change {
        StateDelta::Call(_) => JournalEntry::Checkpoint(Box::new(checkpoint(id))),
        _ => JournalEntry::Finished(Box::new(record_of(id, n))),
    };
    let is_finished = matches!(keep, JournalEntry::Finished(_));
    bus.publish_all(vec![draft], vec![keep]);
    if is_finished {
        bus.mark_recorded(id);
    }
}

fn record_of(id: CallId, n: u64) -> FinishedCall {
    let record = FinishedCall::of(&view_of(n, CallState::Ended), &NumberPlan::default());
    FinishedCall { segments: checkpoint(id).segments, ..record }
}

fn draft(kind: EventKind, call: Option<CallId>, change: StateDelta) -> NewEvent {
    let data = json!({
        "operator": "1001", "dialled": "0355501001", "diverted_by": "0335550101",
        "caller": {"number": "090-1234-5678", "presentation": "allowed", "name": "田中太郎", "area": "携帯電話"},
        "account": {"name": "株式会社さくら商事", "kana": "さくらしょうじ", "answer_phrase": "お電話ありがとうございます。さくら商事でございます。", "notes": "本日、営業部は外出中", "matched_by": "diversion"},
        "customers": [], "history": {"calls": 12, "open_messages": 1},
    });
    NewEvent { kind, at: Timestamp::now(), call, audience: Audience::Supervisors, data, change }
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
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    }
}

fn events_of_call(n: u64) -> [NewEvent; 4] {
    let id = view_of(n, CallState::Ended).id;
    let event = |kind, state| draft(kind, Some(id), StateDelta::Call(Arc::new(view_of(n, state))));
    [
        event(EventKind::CallOffered, CallState::Offered),
        event(EventKind::CallPresented, CallState::Presented),
        event(EventKind::CallAnswered, CallState::Answered),
        draft(EventKind::CallEnded, Some(id), StateDelta::CallGone(id)),
    ]
}

fn follow(bus: &Bus) -> Subscription {
    bus.subscribe(Viewer::unrestricted(Role::System), None).unwrap()
}

async fn throughput(here: &Bus, there: &Bus) {
    let mut subscription = follow(there);
    let (progress, seen) = tokio::sync::watch::channel(0_usize);
    let started = Instant::now();
    let reader = tokio::spawn(async move {
        for n in 1..=EVENTS {
            subscription.next().await.expect("the subscriber reads fast enough");
            if n % 512 == 0 || n == EVENTS {
                progress.send_replace(n);
            }
        }
        started.elapsed()
    });
    let mut published = 0;
    for n in 0..(EVENTS / 4) as u64 {
        for draft in events_of_call(n) {
            publish(here, n, draft);
        }
        published += 4;
        while published - *seen.borrow() > AHEAD_MAX {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    let took = reader.await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a printed result")]
    let rate = EVENTS as f64 / took.as_secs_f64();
    println!(
        "throughput through Redis, publish to the subscriber of another daemon: {rate:.0} events/s (target: 20,000)"
    );
}

/// The latencies of the pops at the subscribers of `at`, from just before `publish`.
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
                    let event = subscription.next().await.expect("the subscriber reads fast enough");
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
        for draft in events_of_call(n) {
            if draft.kind == EventKind::CallPresented {
                published.push(epoch.elapsed());
            }
            publish(here, n, draft);
        }
    }
    let mut latencies = Vec::new();
    for reader in readers {
        let at = reader.await.unwrap();
        let mut one: Vec<_> = at.iter().zip(&published).map(|(at, from)| *at - *from).collect();
        one.sort_unstable();
        latencies.push(one);
    }
    latencies
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
        let single = Bus::new(settings("osaka"));
        let in_process = latency(&single, &[&single], seconds).await.remove(0);
        let [own, other] =
            latency(&here, &[&here, &there], seconds).await.try_into().expect("two subscribers");
        println!("from publish to a subscriber, {CALLS_PER_SECOND} calls/s        p50 ms    p99 ms");
        for (what, times) in [
            ("in this process, without Redis", &in_process),
            ("through Redis, this daemon's", &own),
            ("through Redis, another daemon's", &other),
        ] {
            println!("{what:<36}{:>12.3}{:>10.3}", percentile(times, 50), percentile(times, 99));
        }
        println!(
            "added by Redis: p50 {:.3} ms, p99 {:.3} ms (target: p99 5 ms)",
            percentile(&own, 50) - percentile(&in_process, 50),
            percentile(&own, 99) - percentile(&in_process, 99)
        );
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
    });
}
