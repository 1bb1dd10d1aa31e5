//! A restart, and a standby that takes over.

use super::super::outbox::Leadership;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn ids_continue_over_a_restart_and_calls_that_ended_meanwhile_are_ended() {
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

    // Meanwhile call 0 was answered and call 2 ended; call 1 still rings.
    let second = node(shared(), &prefix, "osaka");
    second.until("it has read", |n| n.calls().len() == 3).await;
    second.until("it leads", |n| n.bus.cluster_stats().unwrap().leads).await;
    let mut desktop = second.follow(Some(seen.last().unwrap()));
    assert!(matches!(desktop.take_start(), Some(StreamStart::Resumed(_))));
    for draft in life("osaka", 0).into_iter().take(3).chain(life("osaka", 1).into_iter().take(2)) {
        second.bus.publish(draft);
    }
    let live = vec![view("osaka", 0, CallState::Answered), view("osaka", 1, CallState::Presented)];
    second.bus.reconcile_calls(|| live, Timestamp::UNIX_EPOCH);
    let answered = next(&mut desktop).await;
    assert_eq!((answered.kind(), answered.call()), (EventKind::CallAnswered, life("osaka", 0)[0].call));
    let ended = next(&mut desktop).await;
    assert_eq!((ended.kind(), ended.call()), (EventKind::CallEnded, life("osaka", 2)[0].call));
    assert!(ended.id().is_after(&crate::contract::event_id::EventId::parse(seen.last().unwrap()).unwrap()));
    assert_eq!(second.calls().len(), 2);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_continues_where_the_leader_stopped() {
    let prefix = shared().empty_prefix();
    let leader = Node::leading(shared(), &prefix, "osaka").await;
    let standby = node(shared(), &prefix, "osaka");
    standby.link_is_up();
    let mut desktop = leader.follow(None);
    let lives: Vec<Vec<NewEvent>> = (0..20).map(|n| life("osaka", n)).collect();
    let mut published = 0;
    for (n, life) in lives.iter().enumerate() {
        for (step, draft) in life.iter().enumerate() {
            standby.bus.publish(draft.clone());
            // The leader stops during the last calls.
            if n < 17 || step < n - 16 {
                leader.bus.publish(draft.clone());
                published += 1;
            }
        }
    }
    let seen = read(&mut desktop, published).await;
    assert!(!standby.bus.cluster_stats().unwrap().leads);
    leader.stop().await;
    // A desktop that connects before the standby has read this far would get a snapshot.
    let last = crate::contract::event_id::EventId::parse(seen.last().unwrap()).unwrap();
    let unrestricted = Viewer::unrestricted(Role::System);
    standby.until("it has read the last event", |n| n.bus.event(&unrestricted, &last).is_some()).await;
    let mut moved = standby.follow(Some(seen.last().unwrap()));
    assert!(matches!(moved.take_start(), Some(StreamStart::Resumed(_))));
    let whole: usize = lives.iter().map(Vec::len).sum();
    let rest = read(&mut moved, whole - published).await;
    let mut all = seen.clone();
    all.extend(rest);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), whole, "every event once");
    assert!(standby.calls().is_empty());
    standby.stop().await;
}

/// Ordering rule 18 of `publish.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_publishes_the_missing_events_and_then_its_link() {
    let prefix = shared().empty_prefix();
    let leader = Node::leading(shared(), &prefix, "osaka").await;
    let standby = node(shared(), &prefix, "osaka");
    standby.link_is_up();
    let down = StateDelta::Pbx { up: false, since: Timestamp::UNIX_EPOCH };
    leader.bus.publish(draft(EventKind::PbxDown, None, Audience::All, down));
    let link_is_down = |n: &Node| {
        let links = n.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx;
        links.iter().any(|link| link.id.as_str() == "osaka" && !link.up)
    };
    standby.until("it has read that the leader's link is down", link_is_down).await;
    let mut desktop = standby.follow(None);
    for n in [3, 1, 2] {
        for event in life("osaka", n).into_iter().take(2) {
            standby.bus.publish(event);
        }
    }
    leader.stop().await;
    let mut published = Vec::new();
    while published.last() != Some(&("pbx.up", None)) {
        let event = next(&mut desktop).await;
        published.push((event.kind().as_str(), event.call()));
    }
    let of = |n| Some(view("osaka", n, CallState::Ended).id);
    let expected = [3, 1, 2].map(|n| [("call.offered", of(n)), ("call.presented", of(n))]);
    assert_eq!(published, [expected.concat(), vec![("pbx.up", None)]].concat());
    standby.stop().await;
}

/// Ordering rule 19 of `publish.rs`.
#[test]
fn after_the_list_ringing_stops_before_calls_end() {
    let hub = hub("osaka", 1);
    if let Leadership::Leader { prior, .. } = &mut hub.outbox().leadership {
        let published = (0..2).map(|n| view("osaka", n, CallState::Presented));
        prior.calls.extend(published.map(|view| (view.id, Arc::new(view))));
    }
    // The list has a new call; call 1 rings no more, and call 0 is gone.
    hub.publish_all(vec![life("osaka", 2)[0].clone()], Vec::new());
    let live = [view("osaka", 1, CallState::Offered), view("osaka", 2, CallState::Offered)];
    hub.reconcile_calls(&live, Timestamp::UNIX_EPOCH);
    let queued: Vec<_> = hub.outbox().pending.iter().map(|pending| pending.body.kind.as_str()).collect();
    assert_eq!(queued, ["call.offered", "call.rescinded", "call.ended"]);
}
