//! Buses of several daemons over a real Redis. This file is the rig; the tests are in the files by subject.

mod checkpoints;
mod gaps;
mod gateways;
mod ownership;
mod presence;
mod redis_down;
mod resume;
mod rpc;
mod takeover;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use redis::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hub::ClusterState;
use super::outbox::Pending;
use super::wire::Entry;
use super::*;
use crate::backends::{Backends, Server, shared};
use crate::bus::event_log::EventLog;
use crate::bus::{Bus, BusSettings, StreamStart, Subscription, SubscriptionEnded};
use crate::contract::call::{CallState, CallView, Direction};
use crate::contract::event::{Audience, Event, EventKind, NewEvent, StateDelta};
use crate::contract::event_id::StreamToken;
use crate::ids::{CallId, ChannelId, Extension};
use crate::people::presence::Presence;
use crate::people::role::Role;
use crate::people::viewer::Viewer;

const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// One daemon's bus.
struct Node {
    bus: Bus,
    presence: Presence,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

fn node(backends: &Backends, prefix: &str, pbx: &str) -> Node {
    node_at(RedisAddress::parse(&[backends.redis_url()], None, false).unwrap().unwrap(), prefix, pbx)
}

fn node_at(address: RedisAddress, prefix: &str, pbx: &str) -> Node {
    node_with(address, prefix, pbx, false)
}

fn node_with(address: RedisAddress, prefix: &str, pbx: &str, accept_unsigned: bool) -> Node {
    static DAEMON: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let presence = Presence::default();
    let settings = BusSettings {
        pbx: PbxId::parse(pbx).unwrap(),
        stream: StreamToken::from_number(1),
        replay_events_max: 20_000,
        replay_age_max: Duration::from_secs(3600),
        subscriber_events_max: 20_000,
        subscribers_max: 1_000,
    };
    let redis = RedisSettings {
        address,
        prefix: prefix.to_owned(),
        daemon: DAEMON.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
        started_at: Timestamp::now(),
        known_calls: Vec::new(),
        teams: Vec::new(),
        signing_key: SigningKey::new([7; 32]),
        accept_unsigned,
        presence: presence.clone(),
    };
    Node { bus: Bus::shared(settings, redis, None, &tasks, &shutdown), presence, shutdown, tasks }
}

impl Node {
    /// A daemon that leads and whose link to its PBX is up.
    async fn leading(backends: &Backends, prefix: &str, pbx: &str) -> Self {
        let node = node(backends, prefix, pbx);
        node.link_is_up();
        node.until("it leads", |node| node.bus.cluster_stats().unwrap().leads).await;
        let is_published = |node: &Self| {
            let links = node.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx;
            links.iter().any(|link| link.id.as_str() == pbx)
        };
        node.until("its link is published", is_published).await;
        node
    }

    fn link_is_up(&self) {
        let change = StateDelta::Pbx { up: true, since: Timestamp::UNIX_EPOCH };
        self.bus.publish(draft(EventKind::PbxUp, None, Audience::All, change));
        self.bus.reconcile_calls(Vec::new, Timestamp::UNIX_EPOCH);
    }

    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(TEST_TIMEOUT, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
    }

    fn follow(&self, after: Option<&str>) -> Subscription {
        let after = after.map(|id| crate::contract::event_id::EventId::parse(id).unwrap());
        self.bus.subscribe(Viewer::unrestricted(Role::System), after.as_ref()).unwrap()
    }

    /// All live calls, by id.
    fn calls(&self) -> BTreeMap<CallId, CallState> {
        let snapshot = self.bus.snapshot(&Viewer::unrestricted(Role::System));
        snapshot.calls.iter().map(|call| (call.id, call.state)).collect()
    }

    /// Shuts its tasks down.
    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn draft(kind: EventKind, call: Option<CallId>, audience: Audience, change: StateDelta) -> NewEvent {
    NewEvent {
        kind,
        at: Timestamp::UNIX_EPOCH,
        call,
        audience,
        data: serde_json::json!({"operator": "1001"}),
        change,
    }
}

fn view(pbx: &str, n: u32, state: CallState) -> CallView {
    let pbx = PbxId::parse(pbx).unwrap();
    let at_1001 = vec![Extension::parse("1001").unwrap()];
    CallView {
        id: CallId::derive(&pbx, &ChannelId::parse(&format!("{n}.1")).unwrap()),
        pbx,
        direction: Direction::Inbound,
        state,
        offered_at: Timestamp::UNIX_EPOCH,
        answered_at: None,
        ended_at: None,
        presented_to: if state == CallState::Presented { at_1001.clone() } else { vec![] },
        operator: if state == CallState::Answered { at_1001.first().cloned() } else { None },
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    }
}

/// All events of a call.
fn life(pbx: &str, n: u32) -> Vec<NewEvent> {
    let event = |kind, state| {
        let view = view(pbx, n, state);
        draft(kind, Some(view.id), Audience::Supervisors, StateDelta::Call(Arc::new(view)))
    };
    let id = view(pbx, n, CallState::Ended).id;
    vec![
        event(EventKind::CallOffered, CallState::Offered),
        event(EventKind::CallPresented, CallState::Presented),
        event(EventKind::CallAnswered, CallState::Answered),
        draft(EventKind::CallEnded, Some(id), Audience::Supervisors, StateDelta::CallGone(id)),
    ]
}

async fn next(stream: &mut Subscription) -> Arc<Event> {
    timeout(TEST_TIMEOUT, stream.next()).await.expect("an event comes in time").unwrap()
}

async fn read(stream: &mut Subscription, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        ids.push(next(stream).await.id().to_string());
    }
    ids
}

/// The ids of the next events of calls.
async fn read_calls(stream: &mut Subscription, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        match timeout(TEST_TIMEOUT, stream.next()).await.expect("an event comes in time") {
            Ok(event) if event.call().is_some() => ids.push(event.id().to_string()),
            Ok(_) => {}
            Err(ended @ (SubscriptionEnded::TooSlow | SubscriptionEnded::Closed)) => panic!("{ended}"),
        }
    }
    ids
}

/// A daemon without its tasks, which never reached Redis.
fn unloaded_hub(pbx: &str, generation: u64) -> Hub {
    let pbx = PbxId::parse(pbx).unwrap();
    let settings = BusSettings {
        pbx: pbx.clone(),
        stream: StreamToken::from_number(1),
        replay_events_max: 100,
        replay_age_max: Duration::from_secs(3600),
        subscriber_events_max: 100,
        subscribers_max: 10,
    };
    let log = Arc::new(EventLog::new(settings, crate::journal::queue::RestoredLog::default(), None));
    Hub::new(pbx, log, None, generation, generation)
}

/// A leader without its tasks: the test plays Redis.
fn hub(pbx: &str, generation: u64) -> Hub {
    let hub = unloaded_hub(pbx, generation);
    hub.load(ClusterState::default());
    hub.start_leading(1, None, Vec::new());
    hub
}

fn desk(hub: &Hub, after: Option<&crate::contract::event_id::EventId>) -> Subscription {
    EventLog::subscribe(hub.log(), Viewer::unrestricted(Role::System), after).unwrap()
}

/// The fields of the event's entry in the stream.
fn fields(pbx: &str, pending: &Pending) -> Vec<String> {
    let (k, f, v) = wire::delta_fields(&pending.change, &PbxId::parse(pbx).unwrap());
    let after = pending.after.as_ref().map(ToString::to_string).unwrap_or_default();
    let (id, audience) = (pending.id.to_string(), wire::json(&pending.audience));
    let fields = [
        ("p", pbx),
        ("i", &id),
        ("a", &after),
        ("w", &audience),
        ("b", &pending.body.json),
        ("k", k),
        ("f", &f),
        ("v", &v),
    ];
    fields.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]).collect()
}

/// The event's entry at this place of the stream.
fn entry(place: u64, pbx: &str, pending: &Pending) -> Entry {
    let text = |text: String| Value::BulkString(text.into_bytes());
    let fields = fields(pbx, pending).into_iter().map(text).collect();
    let entry = Value::Array(vec![text(format!("{place}-0")), Value::Array(fields)]);
    wire::entries(Value::Array(vec![entry])).next().unwrap()
}

/// Reads until the stream is cut off; it may contain no further event of a call.
async fn ends(stream: &mut Subscription) {
    loop {
        match timeout(TEST_TIMEOUT, stream.next()).await.expect("it is cut off in time") {
            Ok(event) => assert_eq!(event.call(), None, "{event:?}"),
            Err(_) => return,
        }
    }
}
