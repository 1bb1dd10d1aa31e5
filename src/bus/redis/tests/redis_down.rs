//! Redis is unreachable, still loading, dies during a send, or has lost events.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::super::position::Head;
use super::*;
use crate::bus::Snapshot;

fn snapshot(stream: &mut Subscription) -> Snapshot {
    match stream.take_start() {
        Some(StreamStart::Snapshot(snapshot)) => snapshot,
        other => panic!("no snapshot: {other:?}"),
    }
}

fn states(snapshot: &Snapshot) -> BTreeMap<CallId, CallState> {
    snapshot.calls.iter().map(|call| (call.id, call.state)).collect()
}

/// A Redis that answers every command with this.
async fn answering(error: &'static str) -> RedisAddress {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (commands, mut answers) = client.into_split();
                let mut lines = BufReader::new(commands).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    // Every command begins with the number of its arguments; no argument here begins with an asterisk.
                    if line.starts_with('*') && answers.write_all(error.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    RedisAddress::parse(&[url], None, false).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_still_loading_keeps_no_desktop_waiting() {
    let loading = answering("-LOADING Redis is loading the dataset in memory\r\n").await;
    let alone = node_at(loading, "t", "osaka");
    alone.link_is_up();
    alone.until("it leads without Redis", |node| node.bus.cluster_stats().unwrap().leads).await;
    let mut desk = alone.follow(None);
    alone.bus.publish_all(life("osaka", 1), Vec::new());
    assert_eq!(read_calls(&mut desk, 4).await.len(), 4);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_publishes_locally_while_redis_is_unreachable_and_then_follows_the_leader() {
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let prefix = backends.empty_prefix();
    let leader = Node::leading(&backends, &prefix, "osaka").await;
    let standby = node(&backends, &prefix, "osaka");
    standby.link_is_up();
    let both = |drafts: Vec<NewEvent>| {
        for draft in drafts {
            leader.bus.publish(draft.clone());
            standby.bus.publish(draft);
        }
    };
    let part = |n, range: std::ops::Range<usize>| life("osaka", n)[range].to_vec();
    standby
        .until("it has read", |n| !n.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.is_empty())
        .await;
    let mut desk = standby.follow(None);
    both(part(0, 0..2));
    let before = read_calls(&mut desk, 2).await;

    backends.stop(Server::Redis);
    // One call is answered, one comes and goes, one rings.
    both(part(0, 2..3));
    both(part(1, 0..4));
    both(part(2, 0..2));
    let alone = read_calls(&mut desk, 7).await;
    assert!(alone.iter().all(|id| !before.contains(id)));
    assert_eq!(standby.calls(), leader.calls());
    // A client that reconnects to the same gateway misses nothing.
    let mut again = standby.follow(Some(&alone[3]));
    assert!(matches!(again.take_start(), Some(StreamStart::Resumed(_))));
    assert_eq!(read_calls(&mut again, 3).await, alone[4..]);

    backends.revive(Server::Redis);
    ends(&mut desk).await;
    // A snapshot of what the leader has published by then; the rest follows.
    snapshot(&mut standby.follow(alone.last().map(String::as_str)));
    leader.until("the spool is empty", |n| n.bus.cluster_stats().unwrap().spooled == 0).await;
    standby.until("it has read all", |n| n.bus.head() == leader.bus.head()).await;
    let mut desk = standby.follow(None);
    assert_eq!(states(&snapshot(&mut desk)), leader.calls());
    both(part(2, 2..4));
    let mut at_leader = leader.follow(Some(&before[1]));
    assert!(matches!(at_leader.take_start(), Some(StreamStart::Resumed(_))));
    let published = read_calls(&mut at_leader, 9).await;
    let last = read_calls(&mut desk, 2).await;
    assert_eq!(last, published[7..], "one order, the same ids");
    // And it takes over as usual.
    let rest = life("osaka", 3);
    standby.bus.publish(rest[0].clone());
    leader.bus.publish(rest[0].clone());
    assert_eq!(read_calls(&mut desk, 1).await.len(), 1);
    leader.stop().await;
    for draft in &rest[1..] {
        standby.bus.publish(draft.clone());
    }
    assert_eq!(read_calls(&mut desk, 3).await.len(), 3);
    assert_eq!(standby.calls().len(), 1, "the one that was answered");
    standby.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_desktops_keep_receiving_events_and_the_spool_is_delivered_afterwards() {
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
    // Each delivers its own PBX's events.
    let mut osaka_had = read_calls(&mut at_osaka, 400).await;
    let tokyo_had = read_calls(&mut at_tokyo, 400).await;
    assert!(osaka_had.iter().all(|id| !tokyo_had.contains(id)));
    let stats = osaka.bus.cluster_stats().unwrap();
    assert!(!stats.connected && stats.leads, "{stats:?}");
    assert_eq!(stats.spooled, 400);

    backends.revive(Server::Redis);
    osaka_had.extend(read_calls(&mut at_osaka, 400).await);
    for node in [&osaka, &tokyo] {
        node.until("the spool is empty", |n| {
            let stats = n.bus.cluster_stats().unwrap();
            stats.connected && stats.spooled == 0
        })
        .await;
    }
    publish(&osaka, "osaka", 101);
    let last = read_calls(&mut at_osaka, 4).await;
    // A desktop that was connected to Osaka resumes at Tokyo after any event it received, and misses none.
    let kobe = Node::leading(backends, &prefix, "kobe").await;
    tokyo.until("it has read all", |n| n.bus.head().to_string() == osaka.bus.head().to_string()).await;
    for (index, from) in osaka_had.iter().enumerate().step_by(37) {
        for gateway in [&tokyo, &kobe] {
            let mut moved = gateway.follow(Some(from));
            assert!(matches!(moved.take_start(), Some(StreamStart::Resumed(_))), "{from}");
            let mut have: Vec<String> = osaka_had[..=index].to_vec();
            while have.last() != last.last() {
                have.extend(read_calls(&mut moved, 1).await);
            }
            let mut have_had: Vec<_> = have.clone();
            have_had.sort();
            have_had.dedup();
            assert_eq!(have_had.len(), 804, "every event after {from}, once");
        }
    }
    for node in [osaka, tokyo, kobe] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_redis_lost_events_every_client_restarts_from_a_snapshot() {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let mut desks = [osaka.follow(None), tokyo.follow(None)];
    for draft in life("osaka", 1).into_iter().take(2) {
        osaka.bus.publish(draft);
    }
    let mut last = Vec::new();
    for desk in &mut desks {
        last.push(read_calls(desk, 2).await.pop().unwrap());
    }
    // As after a failover to a replica that was behind.
    let client = redis::Client::open(shared().redis_url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let heads = format!("{{{prefix}}}:heads");
    let head: String = redis::cmd("HGET").arg(&heads).arg("osaka").query_async(&mut redis).await.unwrap();
    let behind = format!("{}-1", head.split_once('-').unwrap().0);
    redis::cmd("HSET").arg(&heads).arg("osaka").arg(behind).query_async::<()>(&mut redis).await.unwrap();
    for ((desk, last), node) in desks.iter_mut().zip(&last).zip([&osaka, &tokyo]) {
        ends(desk).await;
        let mut again = node.follow(Some(last));
        assert_eq!(states(&snapshot(&mut again)).into_values().collect::<Vec<_>>(), [CallState::Presented]);
        *desk = again;
    }
    let before = osaka.calls();
    for draft in life("osaka", 1).into_iter().skip(2) {
        osaka.bus.publish(draft);
    }
    let [at_osaka, at_tokyo] = &mut desks;
    assert_eq!(read_calls(at_osaka, 2).await, read_calls(at_tokyo, 2).await);
    assert_ne!(osaka.calls(), before);
    osaka.stop().await;
    tokyo.stop().await;
}

/// Redis dies after it accepted an event of Osaka, behind one of Tokyo that Osaka has not read; or before it.
#[tokio::test]
async fn an_event_in_doubt_cannot_be_resumed_from_at_another_gateway() {
    for accepted in [true, false] {
        let (osaka, tokyo) = (hub("osaka", 10), hub("tokyo", 20));
        let mut at_osaka = desk(&osaka, None);
        tokyo.publish_all(vec![life("tokyo", 1)[0].clone()], Vec::new());
        let of_tokyo = tokyo.outbox().start_batch().remove(0);
        let sent = osaka.publish_all(vec![life("osaka", 1)[0].clone()], Vec::new()).remove(0);
        let of_osaka = osaka.outbox().start_batch().remove(0);
        assert_eq!(of_osaka.id, sent);
        tokyo.on_entry(entry(1, "tokyo", &of_tokyo));
        if accepted {
            tokyo.on_entry(entry(2, "osaka", &of_osaka));
        }

        osaka.detach();
        let delivered = next(&mut at_osaka).await;
        assert_ne!(*delivered.id(), sent, "no client may resume after it at another gateway");
        let mut moved = desk(&tokyo, Some(delivered.id()));
        let (calls, of_both) = (states(&snapshot(&mut moved)), 1 + usize::from(accepted));
        assert_eq!(calls.len(), of_both, "a snapshot of all that Tokyo has");
        // At its own gateway a client resumes.
        assert!(matches!(desk(&osaka, Some(delivered.id())).take_start(), Some(StreamStart::Resumed(_))));

        // Redis is back, and its head is known.
        let head = Head { generation: 10, position: u64::from(accepted) };
        let upload = osaka.start_upload(Some(head), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            upload.reset, accepted,
            "a reset only if clients elsewhere have the event under another id"
        );
        if accepted {
            assert!(osaka.outbox().start_batch().is_empty(), "it is not sent again");
            continue;
        }
        assert_eq!((upload.head.generation, upload.head.position), (11, 0));
        let again = osaka.outbox().start_batch().remove(0);
        assert_eq!((&again.id, again.after.is_some()), (delivered.id(), true));
        // In the global order, and a client that moves from Osaka misses nothing.
        for gateway in [&osaka, &tokyo] {
            if std::ptr::eq(gateway, &osaka) {
                gateway.on_entry(entry(1, "tokyo", &of_tokyo));
            }
            gateway.on_entry(entry(2, "osaka", &again));
            assert!(!gateway.needs_resync());
        }
        let mut desk_at_osaka = at_osaka;
        assert_eq!(*next(&mut desk_at_osaka).await.id(), of_tokyo.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_leader_and_redis_die_together_the_standby_publishes_what_redis_never_had() {
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let prefix = backends.empty_prefix();
    let leader = Node::leading(&backends, &prefix, "osaka").await;
    let standby = node(&backends, &prefix, "osaka");
    standby.link_is_up();
    let both = |drafts: Vec<NewEvent>| {
        for draft in drafts {
            leader.bus.publish(draft.clone());
            standby.bus.publish(draft);
        }
    };
    let part = |n, range: std::ops::Range<usize>| life("osaka", n)[range].to_vec();
    let has_link = |n: &Node| !n.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.is_empty();
    standby.until("it has read the link", has_link).await;
    let mut desk = standby.follow(None);
    both(part(0, 0..2));
    read_calls(&mut desk, 2).await;

    // The leader's last events reach nobody but the standby, which derives them itself.
    backends.stop(Server::Redis);
    both(part(0, 2..3));
    let answered = read_calls(&mut desk, 1).await;
    leader.stop().await;
    for draft in part(1, 0..2) {
        standby.bus.publish(draft);
    }
    read_calls(&mut desk, 2).await;
    assert!(!standby.bus.cluster_stats().unwrap().leads, "nobody leads without Redis");

    backends.revive(Server::Redis);
    ends(&mut desk).await;
    // The client gets the older state that Redis has, then exactly the missing events. On a slow machine the standby may
    // lead before the client is back: then the snapshot has them.
    let mut desk = standby.follow(answered.first().map(String::as_str));
    let older = states(&snapshot(&mut desk));
    let (first, second) = (view("osaka", 0, CallState::Ended).id, view("osaka", 1, CallState::Ended).id);
    let missing = if older == BTreeMap::from([(first, CallState::Presented)]) { 3 } else { 0 };
    standby.until("it leads", |n| n.bus.cluster_stats().unwrap().leads).await;
    let mut published = Vec::new();
    while published.len() < missing {
        let event = next(&mut desk).await;
        if let Some(call) = event.call() {
            published.push((call, event.kind()));
        }
    }
    let expected = [
        (first, EventKind::CallAnswered),
        (second, EventKind::CallOffered),
        (second, EventKind::CallPresented),
    ];
    assert_eq!(published, expected[..missing]);
    assert_eq!(
        standby.calls(),
        BTreeMap::from([(first, CallState::Answered), (second, CallState::Presented)])
    );
    standby.stop().await;
}
