//! Redis that is away, at the worst instant: what a standby shows, and what nobody knows of.

use redis::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::super::hub::Found;
use super::super::outbox::{Head, Pending};
use super::super::wire::{self, Entry};
use super::*;
use crate::bus::Snapshot;
use crate::bus::memory::Log;

/// The rest of a stream that is cut off; no event of a call may be in it.
pub(super) async fn ends(stream: &mut Subscription) {
    loop {
        match timeout(PATIENCE, stream.next()).await.expect("it is cut off in time") {
            Ok(event) => assert_eq!(event.call(), None, "{event:?}"),
            Err(_) => return,
        }
    }
}

fn snapshot(stream: &mut Subscription) -> Snapshot {
    match stream.take_first() {
        Some(First::Snapshot(snapshot)) => snapshot,
        other => panic!("no snapshot: {other:?}"),
    }
}

fn states(snapshot: &Snapshot) -> BTreeMap<CallId, CallState> {
    snapshot.calls.iter().map(|call| (call.id, call.state)).collect()
}

/// A Redis that is there and answers everything with this.
async fn answers_all(error: &'static str) -> RedisAddress {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (asks, mut answers) = client.into_split();
                let mut lines = BufReader::new(asks).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    // A command begins with the number of its words; no word in these begins so.
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
    let loading = answers_all("-LOADING Redis is loading the dataset in memory\r\n").await;
    let alone = node_at(loading, "t", "osaka");
    alone.link_is_up();
    alone.until("it leads without it", |node| node.bus.common().unwrap().leads).await;
    let mut desk = alone.follow(None);
    alone.bus.publish_all(life("osaka", 1), Vec::new());
    assert_eq!(read_calls(&mut desk, 4).await.len(), 4);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_shows_its_own_sight_while_redis_is_away_and_then_what_was_told() {
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let prefix = backends.empty_prefix();
    let leader = Node::leading(&backends, &prefix, "osaka").await;
    let standby = node(&backends, &prefix, "osaka");
    standby.link_is_up();
    let both = |drafts: Vec<Draft>| {
        for draft in drafts {
            leader.bus.publish(draft.clone());
            standby.bus.publish(draft);
        }
    };
    let part = |n, range: std::ops::Range<usize>| life("osaka", n)[range].to_vec();
    standby.until("it has read", |n| !n.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx.is_empty()).await;
    let mut desk = standby.follow(None);
    both(part(0, 0..2));
    let before = read_calls(&mut desk, 2).await;

    backends.stop(Server::Redis);
    // One is answered, one comes and goes, one rings.
    both(part(0, 2..3));
    both(part(1, 0..4));
    both(part(2, 0..2));
    let alone = read_calls(&mut desk, 7).await;
    assert!(alone.iter().all(|id| !before.contains(id)));
    assert_eq!(standby.calls(), leader.calls());
    // Who comes back to the same gateway has lost nothing meanwhile.
    let mut again = standby.follow(Some(&alone[3]));
    assert!(matches!(again.take_first(), Some(First::Resumed(_))));
    assert_eq!(read_calls(&mut again, 3).await, alone[4..]);

    backends.revive(Server::Redis);
    ends(&mut desk).await;
    // A snapshot, of what the leader has told by then; the rest follows.
    snapshot(&mut standby.follow(alone.last().map(String::as_str)));
    leader.until("all is told", |n| n.bus.common().unwrap().spooled == 0).await;
    standby.until("it has read all", |n| n.bus.head() == leader.bus.head()).await;
    let mut desk = standby.follow(None);
    assert_eq!(states(&snapshot(&mut desk)), leader.calls());
    both(part(2, 2..4));
    let mut at_leader = leader.follow(Some(&before[1]));
    assert!(matches!(at_leader.take_first(), Some(First::Resumed(_))));
    let told = read_calls(&mut at_leader, 9).await;
    let last = read_calls(&mut desk, 2).await;
    assert_eq!(last, told[7..], "one order, the same ids");
    // And it takes over as ever.
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
async fn whoever_follows_a_redis_that_forgot_begins_anew_at_every_gateway() {
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
        let mut anew = node.follow(Some(last));
        assert_eq!(states(&snapshot(&mut anew)).into_values().collect::<Vec<_>>(), [CallState::Presented]);
        *desk = anew;
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

/// A daemon's side without its tasks: the test is Redis.
pub(super) fn hub(pbx: &str, generation: u64) -> Hub {
    let pbx = PbxId::parse(pbx).unwrap();
    let settings = BusSettings {
        pbx: pbx.clone(),
        stream: StreamToken::from_number(1),
        replay_events_max: 100,
        replay_age_max: Duration::from_secs(3600),
        subscriber_events_max: 100,
        subscribers_max: 10,
    };
    let log = Arc::new(Log::new(settings, crate::bus::Past::default(), None));
    let hub = Hub::new(pbx, log, None, generation, generation);
    hub.load(Found::default());
    hub.lead(1, None, Vec::new());
    hub
}

/// Names and values in turn, as the stream has the event.
pub(super) fn fields(pbx: &str, pending: &Pending) -> Vec<String> {
    let (k, f, v) = wire::change_words(&pending.change, &PbxId::parse(pbx).unwrap());
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

/// The event as the stream has it at this place.
pub(super) fn entry(place: u64, pbx: &str, pending: &Pending) -> Entry {
    let text = |text: String| Value::BulkString(text.into_bytes());
    let fields = fields(pbx, pending).into_iter().map(text).collect();
    let entry = Value::Array(vec![text(format!("{place}-0")), Value::Array(fields)]);
    wire::entries(Value::Array(vec![entry])).next().unwrap()
}

pub(super) fn desk(hub: &Hub, after: Option<&crate::bus::EventId>) -> Subscription {
    Log::subscribe(hub.log(), Viewer::all_seeing(Role::System), after).unwrap()
}

/// Redis dies after it took an event of Osaka's, behind one of Tokyo's that Osaka has not read; or before.
#[tokio::test]
async fn what_redis_took_with_it_is_no_place_to_go_on_from_elsewhere() {
    for taken in [true, false] {
        let (osaka, tokyo) = (hub("osaka", 10), hub("tokyo", 20));
        let mut at_osaka = desk(&osaka, None);
        tokyo.publish_all(vec![life("tokyo", 1)[0].clone()], Vec::new());
        let of_tokyo = tokyo.outbox().batch().remove(0);
        let sent = osaka.publish_all(vec![life("osaka", 1)[0].clone()], Vec::new()).remove(0);
        let of_osaka = osaka.outbox().batch().remove(0);
        assert_eq!(of_osaka.id, sent);
        tokyo.arrived(entry(1, "tokyo", &of_tokyo));
        if taken {
            tokyo.arrived(entry(2, "osaka", &of_osaka));
        }

        osaka.go_alone();
        let told = next(&mut at_osaka).await;
        assert_ne!(*told.id(), sent, "nobody may go on at another gateway from there");
        let mut moved = desk(&tokyo, Some(told.id()));
        let (calls, of_both) = (states(&snapshot(&mut moved)), 1 + usize::from(taken));
        assert_eq!(calls.len(), of_both, "what is known there, and all of it");
        // At its own gateway it goes on.
        assert!(matches!(desk(&osaka, Some(told.id())).take_first(), Some(First::Resumed(_))));

        // Redis is back and says how far it came.
        let head = Head { generation: 10, position: u64::from(taken) };
        let (_, first, anew) = osaka.begin(Some(head), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(anew, taken, "who was told it twice begins anew; else nobody notices");
        if taken {
            assert!(osaka.outbox().batch().is_empty(), "it is not told again");
            continue;
        }
        assert_eq!((first.generation, first.position), (11, 0));
        let again = osaka.outbox().batch().remove(0);
        assert_eq!((&again.id, again.after.is_some()), (told.id(), true));
        // In the common order, and nothing is missing for whoever comes from Osaka with it.
        for gateway in [&osaka, &tokyo] {
            if std::ptr::eq(gateway, &osaka) {
                gateway.arrived(entry(1, "tokyo", &of_tokyo));
            }
            gateway.arrived(entry(2, "osaka", &again));
            assert!(!gateway.wants_reload());
        }
        let mut desk_at_osaka = at_osaka;
        assert_eq!(*next(&mut desk_at_osaka).await.id(), of_tokyo.id);
    }
}
