//! How calls stand, for whoever leads next; and the time by which daemons compare.

use super::*;
use crate::call::memory::samples;
use crate::store::log::{Keep, LiveCall};
use crate::store::{FinishedCall, Segment};

fn live(n: u32, segments: usize) -> LiveCall {
    let shown = Segment {
        kind: "shown".into(),
        operator: Extension::parse("1001").ok(),
        target: None,
        from: Timestamp::UNIX_EPOCH,
        until: None,
        result: None,
    };
    LiveCall { memory: samples::talking(n), story: vec![shown; segments] }
}

fn settings(prefix: &str) -> RedisSettings {
    RedisSettings {
        address: RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap(),
        prefix: prefix.to_owned(),
        daemon: 0,
        started_at: Timestamp::now(),
        known: Vec::new(),
        teams: Vec::new(),
        presence: Presence::default(),
    }
}

/// The entries in Redis, by how many segments each has, once `is` says so.
async fn entries(prefix: &str, pbx: &str, is: impl Fn(&[usize]) -> bool) {
    let (settings, pbx) = (settings(prefix), PbxId::parse(pbx).unwrap());
    let wait = async {
        loop {
            let left = calls_left(&settings, &pbx).await.unwrap();
            let mut stories: Vec<usize> = left.iter().map(|live| live.story.len()).collect();
            stories.sort_unstable();
            if is(&stories) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("Redis has it in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leads_next_has_how_calls_stood_until_they_are_recorded() {
    let prefix = shared().empty_prefix();
    let first = Node::leading(shared(), &prefix, "lab").await;
    assert_eq!(first.bus.left().map(|left| left.len()), Some(0), "nobody led before");
    assert!(first.bus.left().is_none());
    let keep = |live: LiveCall| Keep::Live(Box::new(live));
    let offered = life("lab", 1).remove(0);
    // With its event, and without any.
    first.bus.publish_all(vec![offered], vec![keep(live(1, 1))]);
    first.bus.publish_all(Vec::new(), vec![keep(live(1, 2)), keep(live(2, 3))]);
    entries(&prefix, "lab", |stories| stories == [2, 3]).await;
    // Over, and on its way to the store.
    let view = view("lab", 2, CallState::Answered);
    let record = FinishedCall {
        id: live(2, 0).memory.id,
        segments: live(2, 4).story,
        ..FinishedCall::of(&view, &crate::directory::numbers::NumberPlan::default())
    };
    first.bus.publish_all(Vec::new(), vec![Keep::Finished(Box::new(record.clone()))]);
    entries(&prefix, "lab", |stories| stories == [2, 4]).await;
    // What nobody can read is left out, and what another daemon says while this one leads is not written.
    let standby = node(shared(), &prefix, "lab");
    standby.until("it has read", |node| !node.calls().is_empty()).await;
    standby.bus.publish_all(Vec::new(), vec![keep(live(3, 9))]);
    assert!(standby.bus.left().is_none());
    let garbage = async |field: &str, value: &str| {
        let mut redis = settings(&prefix).address.connect(false).await.unwrap();
        let key = Keys::new(&prefix).lives(&PbxId::parse("lab").unwrap());
        let set = redis::cmd("HSET").arg(key).arg(field).arg(value).to_owned();
        set.query_async::<i64>(&mut redis).await.unwrap();
    };
    garbage("x", "no JSON").await;
    garbage("y", r#"{"memory":{},"story":[]}"#).await;
    garbage("z", "\u{0}").await;
    first.stop().await;
    standby.link_is_up();
    standby.until("it leads", |node| node.bus.common().unwrap().leads).await;
    let mut left: Vec<usize> = standby.bus.left().unwrap().iter().map(|live| live.story.len()).collect();
    left.sort_unstable();
    assert_eq!(left, [2, 4]);
    // Recorded at last.
    standby.bus.recorded(record.id);
    entries(&prefix, "lab", |stories| stories == [2]).await;
    standby.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_clocks_differ_agree_upon_the_time() {
    let prefix = shared().empty_prefix();
    let node = Node::leading(shared(), &prefix, "lab").await;
    let mut redis = settings(&prefix).address.connect(false).await.unwrap();
    let (seconds, _): (i64, i64) = redis::cmd("TIME").query_async(&mut redis).await.unwrap();
    for wrong_by_min in [-10, 0, 10] {
        let own = Timestamp::now().checked_add(jiff::SignedDuration::from_mins(wrong_by_min)).unwrap();
        let apart = node.bus.common_time(own).as_second() - seconds;
        assert!((0..=PATIENCE.as_secs()).contains(&apart.unsigned_abs()), "{apart} s apart");
    }
    node.stop().await;
}
