//! Several daemons' streams over a real Redis: one order, one set of ids, wherever a desktop goes on.

mod away;
mod holes;
mod lives;
mod whole;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::backends::{Backends, Server, shared};
use crate::bus::{
    Audience, Bus, BusSettings, Change, Draft, Ended, Event, EventKind, First, StreamToken, Subscription,
};
use crate::call::view::{CallState, CallView, Direction};
use crate::ids::{CallId, ChannelId, Extension};
use crate::operator::{Presence, Role, Viewer};

const PATIENCE: Duration = Duration::from_secs(30);

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
        known: Vec::new(),
        teams: Vec::new(),
        presence: presence.clone(),
    };
    Node { bus: Bus::shared(settings, redis, None, &tasks, &shutdown), presence, shutdown, tasks }
}

impl Node {
    /// A daemon whose link to its PBX is up, and that leads.
    async fn leading(backends: &Backends, prefix: &str, pbx: &str) -> Self {
        let node = node(backends, prefix, pbx);
        node.link_is_up();
        node.until("it leads", |node| node.bus.common().unwrap().leads).await;
        let told = |node: &Self| {
            let links = node.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx;
            links.iter().any(|link| link.id.as_str() == pbx)
        };
        node.until("its link is told", told).await;
        node
    }

    fn link_is_up(&self) {
        let change = Change::Pbx { up: true, since: Timestamp::UNIX_EPOCH };
        self.bus.publish(draft(EventKind::PbxUp, None, Audience::All, change));
        self.bus.settled(Vec::new, Timestamp::UNIX_EPOCH);
    }

    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    fn follow(&self, after: Option<&str>) -> Subscription {
        let after = after.map(|id| crate::bus::EventId::parse(id).unwrap());
        self.bus.subscribe(Viewer::all_seeing(Role::System), after.as_ref()).unwrap()
    }

    /// All live calls, by id.
    fn calls(&self) -> BTreeMap<CallId, CallState> {
        let snapshot = self.bus.snapshot(&Viewer::all_seeing(Role::System));
        snapshot.calls.iter().map(|call| (call.id, call.state)).collect()
    }

    /// Ends its tasks without giving anything back.
    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn draft(kind: EventKind, call: Option<CallId>, audience: Audience, change: Change) -> Draft {
    Draft {
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
        outcome: None,
        card: None,
        inferred: false,
    }
}

/// The drafts of a call's life.
fn life(pbx: &str, n: u32) -> Vec<Draft> {
    let step = |kind, state| {
        let view = view(pbx, n, state);
        draft(kind, Some(view.id), Audience::Supervisors, Change::Call(Arc::new(view)))
    };
    let id = view(pbx, n, CallState::Ended).id;
    vec![
        step(EventKind::CallOffered, CallState::Offered),
        step(EventKind::CallPresented, CallState::Presented),
        step(EventKind::CallAnswered, CallState::Answered),
        draft(EventKind::CallEnded, Some(id), Audience::Supervisors, Change::CallGone(id)),
    ]
}

async fn next(stream: &mut Subscription) -> Arc<Event> {
    timeout(PATIENCE, stream.next()).await.expect("an event comes in time").unwrap()
}

async fn read(stream: &mut Subscription, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        ids.push(next(stream).await.id().to_string());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn any_gateway_serves_any_desktop_in_one_order_under_the_same_ids() {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    tokyo
        .until("both links are seen", |n| n.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx.len() == 2)
        .await;
    osaka
        .until("both links are seen", |n| n.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx.len() == 2)
        .await;
    let (mut at_osaka, mut at_tokyo) = (osaka.follow(None), tokyo.follow(None));
    for n in 0..50 {
        for draft in life("osaka", n).into_iter().take(3) {
            osaka.bus.publish(draft);
        }
        for draft in life("tokyo", n) {
            tokyo.bus.publish(draft);
        }
    }
    let seen = read(&mut at_osaka, 350).await;
    assert_eq!(read(&mut at_tokyo, 350).await, seen, "both gateways tell the same in the same order");
    assert_eq!(osaka.calls(), tokyo.calls());
    assert_eq!(osaka.calls().len(), 50);

    // A desktop of Osaka goes on at Tokyo, and at a gateway that is new.
    let kobe = Node::leading(shared(), &prefix, "kobe").await;
    for gateway in [&tokyo, &kobe] {
        let mut moved = gateway.follow(Some(&seen[100]));
        assert_eq!(moved.take_first(), Some(First::Resumed(crate::bus::EventId::parse(&seen[100]).unwrap())));
        assert_eq!(read(&mut moved, 249).await, seen[101..]);
    }
    assert_eq!(kobe.calls(), osaka.calls());
    for node in [osaka, tokyo, kobe] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_clusters_carry_the_stream_too() {
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let sentinel = RedisAddress::parse(&[backends.start_sentinel()], Some("cti"), false).unwrap().unwrap();
    let cluster = RedisAddress::parse(&[backends.start_cluster()], None, true).unwrap().unwrap();
    for address in [sentinel, cluster] {
        assert!(address.look().await.unwrap().version.starts_with(|c: char| c.is_ascii_digit()), "{address}");
        let (osaka, tokyo) =
            (node_at(address.clone(), "cti", "osaka"), node_at(address.clone(), "cti", "tokyo"));
        for node in [&osaka, &tokyo] {
            node.link_is_up();
            node.until("it leads", |node| node.bus.common().unwrap().leads).await;
        }
        tokyo
            .until("it has read", |node| node.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx.len() == 2)
            .await;
        let mut at_tokyo = tokyo.follow(None);
        let call = life("osaka", 1)[0].call;
        for draft in life("osaka", 1) {
            osaka.bus.publish(draft);
        }
        assert_eq!(read_calls(&mut at_tokyo, 4).await.len(), 4, "{address}");

        // A question to the other daemon, and one that nobody is there to take.
        let mut asked = tokyo.bus.requests().unwrap().take_incoming().unwrap();
        let answering = tokio::spawn(async move {
            let incoming = asked.recv().await.unwrap();
            incoming.reply.send(format!("{} pong", incoming.body)).unwrap();
        });
        let requests = osaka.bus.requests().unwrap();
        let answer = requests.ask(&PbxId::parse("tokyo").unwrap(), "ping").await;
        assert_eq!(answer.as_deref(), Ok("ping pong"), "{address} {call:?}");
        answering.await.unwrap();
        for node in [osaka, tokyo] {
            node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_is_told_apart_from_what_nobody_knows() {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let requests = osaka.bus.requests().unwrap();
    // Claimed, and never answered.
    let mut asked = tokyo.bus.requests().unwrap().take_incoming().unwrap();
    let holding = tokio::spawn(async move { (asked.recv().await, asked) });
    let tokyos = PbxId::parse("tokyo").unwrap();
    assert_eq!(requests.ask(&tokyos, "hang up").await, Err(AskError::FateUnknown));
    let (held, asked) = holding.await.unwrap();
    assert_eq!(held.unwrap().body, "hang up");
    // Nobody there: taken back, and not carried out by whoever leads later.
    tokyo.stop().await;
    drop(asked);
    assert_eq!(requests.ask(&tokyos, "hang up again").await, Err(AskError::NotDelivered));
    let again = Node::leading(shared(), &prefix, "tokyo").await;
    let mut asked = again.bus.requests().unwrap().take_incoming().unwrap();
    let sent = requests.ask(&tokyos, "hold");
    let (answer, taken) = tokio::join!(sent, async {
        let incoming = asked.recv().await.unwrap();
        let body = incoming.body.clone();
        incoming.reply.send("held".into()).unwrap();
        body
    });
    assert_eq!((answer.as_deref(), taken.as_str()), (Ok("held"), "hold"), "what was taken back is not done");
    osaka.stop().await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_go_on_over_a_restart_and_calls_that_ended_meanwhile_are_over() {
    let prefix = shared().empty_prefix();
    let first = Node::leading(shared(), &prefix, "osaka").await;
    let mut desktop = first.follow(None);
    for n in 0..3 {
        for draft in life("osaka", n).into_iter().take(2) {
            first.bus.publish(draft);
        }
    }
    let seen = read(&mut desktop, 6).await;
    first.stop().await;

    // Call 0 was answered meanwhile, call 1 rings as before, call 2 is over.
    let second = node(shared(), &prefix, "osaka");
    second.until("it has read", |n| n.calls().len() == 3).await;
    second.until("it leads", |n| n.bus.common().unwrap().leads).await;
    let mut desktop = second.follow(Some(seen.last().unwrap()));
    assert!(matches!(desktop.take_first(), Some(First::Resumed(_))));
    for draft in life("osaka", 0).into_iter().take(3).chain(life("osaka", 1).into_iter().take(2)) {
        second.bus.publish(draft);
    }
    let live = vec![view("osaka", 0, CallState::Answered), view("osaka", 1, CallState::Presented)];
    second.bus.settled(|| live, Timestamp::UNIX_EPOCH);
    let answered = next(&mut desktop).await;
    assert_eq!((answered.kind(), answered.call()), (EventKind::CallAnswered, life("osaka", 0)[0].call));
    let ended = next(&mut desktop).await;
    assert_eq!((ended.kind(), ended.call()), (EventKind::CallEnded, life("osaka", 2)[0].call));
    assert!(ended.id().is_after(&crate::bus::EventId::parse(seen.last().unwrap()).unwrap()));
    assert_eq!(second.calls().len(), 2);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_where_the_leader_ended() {
    let prefix = shared().empty_prefix();
    let leader = Node::leading(shared(), &prefix, "osaka").await;
    let standby = node(shared(), &prefix, "osaka");
    standby.link_is_up();
    let mut desktop = leader.follow(None);
    let lives: Vec<Vec<Draft>> = (0..20).map(|n| life("osaka", n)).collect();
    let mut told = 0;
    for (n, life) in lives.iter().enumerate() {
        for (step, draft) in life.iter().enumerate() {
            standby.bus.publish(draft.clone());
            // The leader is stopped while the last calls are under way.
            if n < 17 || step < n - 16 {
                leader.bus.publish(draft.clone());
                told += 1;
            }
        }
    }
    let seen = read(&mut desktop, told).await;
    assert!(!standby.bus.common().unwrap().leads);
    leader.stop().await;
    // A desktop that comes before the standby has read so far gets a snapshot.
    let last = crate::bus::EventId::parse(seen.last().unwrap()).unwrap();
    let all_seeing = Viewer::all_seeing(Role::System);
    standby.until("it has read what was told", |n| n.bus.event(&all_seeing, &last).is_some()).await;
    let mut moved = standby.follow(Some(seen.last().unwrap()));
    assert!(matches!(moved.take_first(), Some(First::Resumed(_))));
    let whole: usize = lives.iter().map(Vec::len).sum();
    let rest = read(&mut moved, whole - told).await;
    let mut all = seen.clone();
    all.extend(rest);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), whole, "every event once");
    assert!(standby.calls().is_empty());
    standby.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_desktops_go_on_and_all_is_delivered_when_it_is_back() {
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let backends = &backends;
    let prefix = backends.empty_prefix();
    let osaka = Node::leading(backends, &prefix, "osaka").await;
    let tokyo = Node::leading(backends, &prefix, "tokyo").await;
    let (mut at_osaka, mut at_tokyo) = (osaka.follow(None), tokyo.follow(None));
    let publish = |node: &Node, pbx: &str, n: u32| {
        life(pbx, n).into_iter().for_each(|d| {
            node.bus.publish(d);
        })
    };
    publish(&osaka, "osaka", 0);
    publish(&tokyo, "tokyo", 0);
    let before = read_calls(&mut at_osaka, 8).await;
    assert_eq!(read_calls(&mut at_tokyo, 8).await, before);

    backends.stop(Server::Redis);
    for n in 1..=100 {
        publish(&osaka, "osaka", n);
        publish(&tokyo, "tokyo", n);
    }
    // Each goes on with its own PBX.
    let mut osaka_had = read_calls(&mut at_osaka, 400).await;
    let tokyo_had = read_calls(&mut at_tokyo, 400).await;
    assert!(osaka_had.iter().all(|id| !tokyo_had.contains(id)));
    let figures = osaka.bus.common().unwrap();
    assert!(!figures.connected && figures.leads, "{figures:?}");
    assert_eq!(figures.spooled, 400);

    backends.revive(Server::Redis);
    osaka_had.extend(read_calls(&mut at_osaka, 400).await);
    for node in [&osaka, &tokyo] {
        node.until("the spool is empty", |n| {
            let figures = n.bus.common().unwrap();
            figures.connected && figures.spooled == 0
        })
        .await;
    }
    publish(&osaka, "osaka", 101);
    let last = read_calls(&mut at_osaka, 4).await;
    // A desktop that was at Osaka all the time goes on at Tokyo, from any event it had: nothing is missing.
    let kobe = Node::leading(backends, &prefix, "kobe").await;
    tokyo.until("it has read all", |n| n.bus.head().to_string() == osaka.bus.head().to_string()).await;
    for (index, from) in osaka_had.iter().enumerate().step_by(37) {
        for gateway in [&tokyo, &kobe] {
            let mut moved = gateway.follow(Some(from));
            assert!(matches!(moved.take_first(), Some(First::Resumed(_))), "{from}");
            let mut have: Vec<String> = osaka_had[..=index].to_vec();
            while have.last() != last.last() {
                have.extend(read_calls(&mut moved, 1).await);
            }
            let mut have_had: Vec<_> = have.clone();
            have_had.sort();
            have_had.dedup();
            assert_eq!(have_had.len(), 804, "everything from {from} on, once");
        }
    }
    for node in [osaka, tokyo, kobe] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn desktops_at_other_gateways_count_while_their_daemon_says_so() {
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let prefix = backends.empty_prefix();
    let [osaka, tokyo, kobe] = ["osaka", "tokyo", "kobe"].map(|pbx| node(&backends, &prefix, pbx));
    let user = crate::ids::RecordId(uuid::Uuid::from_u128(7));
    let _at_osaka = osaka.presence.attend(user);
    let at_tokyo = (tokyo.presence.attend(user), tokyo.presence.attend(user));
    let at_kobe = kobe.presence.attend(user);
    for node in [&osaka, &tokyo, &kobe] {
        node.until("all four are counted", |node| node.presence.of(user) == 4).await;
    }
    drop(at_kobe);
    osaka.until("one has gone", |node| node.presence.of(user) == 3).await;
    // Its daemon ends while they are there; then Redis does.
    tokyo.stop().await;
    osaka.until("Tokyo's are gone", |node| node.presence.of(user) == 1).await;
    drop(at_tokyo);
    let _at_kobe = kobe.presence.attend(user);
    osaka.until("it has come back", |node| node.presence.of(user) == 2).await;
    backends.stop(Server::Redis);
    for node in [&osaka, &kobe] {
        node.until("each counts its own", |node| node.presence.of(user) == 1).await;
    }
    backends.revive(Server::Redis);
    for node in [&osaka, &kobe] {
        node.until("both again", |node| node.presence.of(user) == 2).await;
    }
    osaka.stop().await;
    kobe.stop().await;
}

/// The ids of the next events of calls.
async fn read_calls(stream: &mut Subscription, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        match timeout(PATIENCE, stream.next()).await.expect("an event comes in time") {
            Ok(event) if event.call().is_some() => ids.push(event.id().to_string()),
            Ok(_) => {}
            Err(ended @ (Ended::TooSlow | Ended::Closed)) => panic!("{ended}"),
        }
    }
    ids
}
