//! A missing position, or a stream reset: no client may get a later event before the state was loaded.

use super::super::position::Head;
use super::*;

/// Tokyo publishes five events; Osaka reads those for which `is_there`, in order.
fn reads(is_there: impl Fn(u64) -> bool) -> (Hub, Vec<crate::contract::event_id::EventId>, Subscription) {
    let (osaka, tokyo) = (hub("osaka", 10), hub("tokyo", 20));
    for draft in life("tokyo", 1).into_iter().chain(life("tokyo", 2).into_iter().take(1)) {
        tokyo.publish_all(vec![draft], Vec::new());
    }
    let sent = tokyo.outbox().start_batch();
    let at_osaka = desk(&osaka, None);
    for (place, pending) in (1..).zip(&sent) {
        if is_there(place) {
            osaka.on_entry(entry(place, "tokyo", pending));
        }
    }
    (osaka, sent.into_iter().map(|pending| pending.id).collect(), at_osaka)
}

#[tokio::test]
async fn events_behind_a_missing_position_are_not_delivered_before_a_resync() {
    let (osaka, ids, mut at_osaka) = reads(|place| place != 3);
    assert!(osaka.needs_resync());
    assert_eq!(read(&mut at_osaka, 2).await, [ids[0].to_string(), ids[1].to_string()]);
    assert_eq!(osaka.log().head(), ids[1], "nothing behind the gap was delivered");

    let (osaka, ids, _at_osaka) = reads(|_| true);
    assert!(!osaka.needs_resync());
    assert_eq!(osaka.log().head(), ids[4]);
}

/// The reset and the event behind it are read in one answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_behind_a_reset_can_be_resumed_from_only_after_the_state_was_loaded() {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let both = |n: &Node| n.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.len() == 2;
    osaka.until("both links", both).await;
    let address = RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap();
    let (mut redis, keys) = (address.connect(false).await.unwrap(), Keys::new(&prefix));
    tokyo.stop().await;

    let head: String =
        redis::cmd("HGET").arg(keys.heads()).arg("tokyo").query_async(&mut redis).await.unwrap();
    let at_tokyo = hub("tokyo", 20);
    at_tokyo.outbox().continue_after(Head::parse(&head).unwrap());
    at_tokyo.publish_all(vec![life("tokyo", 1)[0].clone()], Vec::new());
    let behind = at_tokyo.outbox().start_batch().remove(0);

    let mut desk = osaka.follow(None);
    let mut step = redis::pipe();
    step.atomic().cmd("XADD").arg(keys.events()).arg("*").arg(&["p", "tokyo", "k", "anew"]);
    step.cmd("XADD").arg(keys.events()).arg("*").arg(fields("tokyo", &behind));
    step.query_async::<()>(&mut redis).await.unwrap();
    ends(&mut desk).await;
    osaka.until("it has read", |n| n.bus.head() == behind.id).await;
    osaka.stop().await;
}
