//! Checkpoints of calls for the next leader; the cluster clock.

use super::*;
use crate::call::snapshot::samples;
use crate::contract::history::{FinishedCall, Segment};
use crate::journal::entry::{CallCheckpoint, JournalEntry};

fn live(n: u32, segments: usize) -> CallCheckpoint {
    let shown = Segment {
        kind: "shown".into(),
        operator: Extension::parse("1001").ok(),
        target: None,
        from: Timestamp::UNIX_EPOCH,
        until: None,
        result: None,
    };
    CallCheckpoint { snapshot: samples::talking(n), segments: vec![shown; segments] }
}

fn settings(prefix: &str) -> RedisSettings {
    RedisSettings {
        address: RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap(),
        prefix: prefix.to_owned(),
        daemon: 0,
        started_at: Timestamp::now(),
        known_calls: Vec::new(),
        teams: Vec::new(),
        signing_key: SigningKey::new([7; 32]),
        accept_unsigned: false,
        presence: Presence::default(),
    }
}

/// Waits until the numbers of segments of the checkpoints in Redis satisfy `is`.
async fn wait_for(prefix: &str, pbx: &str, is: impl Fn(&[usize]) -> bool) {
    let (settings, pbx) = (settings(prefix), PbxId::parse(pbx).unwrap());
    let wait = async {
        loop {
            let checkpoints = load_checkpoints(&settings, &pbx).await.unwrap();
            let mut counts: Vec<usize> = checkpoints.iter().map(|live| live.segments.len()).collect();
            counts.sort_unstable();
            if is(&counts) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(TEST_TIMEOUT, wait).await.expect("Redis has it in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_has_the_checkpoints_until_the_calls_are_recorded() {
    let prefix = shared().empty_prefix();
    let first = Node::leading(shared(), &prefix, "lab").await;
    assert_eq!(
        first.bus.predecessor_checkpoints().map(|left| left.len()),
        Some(0),
        "there was no leader before"
    );
    assert!(first.bus.predecessor_checkpoints().is_none());
    let keep = |live: CallCheckpoint| JournalEntry::Checkpoint(Box::new(live));
    let offered = life("lab", 1).remove(0);
    // With its event, and without any.
    first.bus.publish_all(vec![offered], vec![keep(live(1, 1))]);
    first.bus.publish_all(Vec::new(), vec![keep(live(1, 2)), keep(live(2, 3))]);
    wait_for(&prefix, "lab", |counts| counts == [2, 3]).await;
    // Ended, and on the way to the store.
    let view = view("lab", 2, CallState::Answered);
    let record = FinishedCall {
        id: live(2, 0).snapshot.id,
        segments: live(2, 4).segments,
        ..FinishedCall::of(&view, &crate::numbers::NumberPlan::default())
    };
    first.bus.publish_all(Vec::new(), vec![JournalEntry::Finished(Box::new(record.clone()))]);
    wait_for(&prefix, "lab", |counts| counts == [2, 4]).await;
    // An unreadable checkpoint is skipped, and a standby writes none.
    let standby = node(shared(), &prefix, "lab");
    standby.until("it has read", |node| !node.calls().is_empty()).await;
    standby.bus.publish_all(Vec::new(), vec![keep(live(3, 9))]);
    assert!(standby.bus.predecessor_checkpoints().is_none());
    let garbage = async |field: &str, value: &str| {
        let mut redis = settings(&prefix).address.connect(false).await.unwrap();
        let key = Keys::new(&prefix).checkpoints(&PbxId::parse("lab").unwrap());
        let set = redis::cmd("HSET").arg(key).arg(field).arg(value).to_owned();
        set.query_async::<i64>(&mut redis).await.unwrap();
    };
    garbage("x", "no JSON").await;
    garbage("y", r#"{"memory":{},"story":[]}"#).await;
    garbage("z", "\u{0}").await;
    first.stop().await;
    standby.link_is_up();
    standby.until("it leads", |node| node.bus.cluster_stats().unwrap().leads).await;
    let mut counts: Vec<usize> =
        standby.bus.predecessor_checkpoints().unwrap().iter().map(|live| live.segments.len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 4]);
    // The store has the record.
    standby.bus.mark_recorded(record.id);
    wait_for(&prefix, "lab", |counts| counts == [2]).await;
    standby.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_clocks_differ_agree_on_the_time() {
    let prefix = shared().empty_prefix();
    let node = Node::leading(shared(), &prefix, "lab").await;
    let mut redis = settings(&prefix).address.connect(false).await.unwrap();
    let (seconds, _): (i64, i64) = redis::cmd("TIME").query_async(&mut redis).await.unwrap();
    for wrong_by_min in [-10, 0, 10] {
        let own = Timestamp::now().checked_add(jiff::SignedDuration::from_mins(wrong_by_min)).unwrap();
        let apart = node.bus.cluster_clock(own).as_second() - seconds;
        assert!((0..=TEST_TIMEOUT.as_secs()).contains(&apart.unsigned_abs()), "{apart} s apart");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checkpoints_of_every_pbx_of_the_group_are_found() {
    let prefix = shared().empty_prefix();
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    for (node, pbx, n) in [(&tokyo, "tokyo", 1), (&osaka, "osaka", 2)] {
        // What the leader before left is none, and is taken.
        assert!(node.bus.predecessor_checkpoints().is_some());
        let keep = JournalEntry::Checkpoint(Box::new(live(n, 1)));
        node.bus.publish_all(vec![life(pbx, n).remove(0)], vec![keep]);
        wait_for(&prefix, pbx, |counts| counts.len() == 1).await;
    }
    let found = load_all_checkpoints(&settings(&prefix).address, &prefix).await.unwrap();
    assert_eq!(found.len(), 2);
    tokyo.stop().await;
    osaka.stop().await;
}
