//! Every gateway serves every desktop: one order, the same ids; over a server, Sentinels and a cluster.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn any_gateway_serves_any_desktop_in_one_order_under_the_same_ids() {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    tokyo
        .until("both links are seen", |n| n.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.len() == 2)
        .await;
    osaka
        .until("both links are seen", |n| n.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.len() == 2)
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
    assert_eq!(
        read(&mut at_tokyo, 350).await,
        seen,
        "both gateways deliver the same events in the same order"
    );
    assert_eq!(osaka.calls(), tokyo.calls());
    assert_eq!(osaka.calls().len(), 50);

    // A desktop of Osaka resumes at Tokyo, and at a new gateway.
    let kobe = Node::leading(shared(), &prefix, "kobe").await;
    for gateway in [&tokyo, &kobe] {
        let mut moved = gateway.follow(Some(&seen[100]));
        assert_eq!(
            moved.take_start(),
            Some(StreamStart::Resumed(crate::contract::event_id::EventId::parse(&seen[100]).unwrap()))
        );
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
        assert!(
            address.inspect().await.unwrap().version.starts_with(|c: char| c.is_ascii_digit()),
            "{address}"
        );
        let (osaka, tokyo) =
            (node_at(address.clone(), "cti", "osaka"), node_at(address.clone(), "cti", "tokyo"));
        for node in [&osaka, &tokyo] {
            node.link_is_up();
            node.until("it leads", |node| node.bus.cluster_stats().unwrap().leads).await;
        }
        tokyo
            .until("it has read", |node| {
                node.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx.len() == 2
            })
            .await;
        let mut at_tokyo = tokyo.follow(None);
        let call = life("osaka", 1)[0].call;
        for draft in life("osaka", 1) {
            osaka.bus.publish(draft);
        }
        assert_eq!(read_calls(&mut at_tokyo, 4).await.len(), 4, "{address}");

        // A request to the other daemon.
        let mut asked = tokyo.bus.cluster_rpc().unwrap().take_incoming().unwrap();
        let answering = tokio::spawn(async move {
            let incoming = asked.recv().await.unwrap();
            incoming.reply.send(format!("{} pong", incoming.body)).unwrap();
        });
        let requests = osaka.bus.cluster_rpc().unwrap();
        let answer = requests.call(&PbxId::parse("tokyo").unwrap(), "ping").await;
        assert_eq!(answer.as_deref(), Ok("ping pong"), "{address} {call:?}");
        answering.await.unwrap();
        for node in [osaka, tokyo] {
            node.stop().await;
        }
    }
}
