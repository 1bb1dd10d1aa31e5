//! Requests to the leader of another PBX: not delivered, or outcome unknown.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_not_delivered_differs_from_one_with_an_unknown_outcome() {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let requests = osaka.bus.cluster_rpc().unwrap();
    // Claimed and never answered.
    let mut asked = tokyo.bus.cluster_rpc().unwrap().take_incoming().unwrap();
    let holding = tokio::spawn(async move { (asked.recv().await, asked) });
    let tokyos = PbxId::parse("tokyo").unwrap();
    assert_eq!(requests.call(&tokyos, "hang up").await, Err(RpcError::OutcomeUnknown));
    let (held, asked) = holding.await.unwrap();
    assert_eq!(held.unwrap().body, "hang up");
    // No leader: withdrawn, and not carried out by a later leader.
    tokyo.stop().await;
    drop(asked);
    assert_eq!(requests.call(&tokyos, "hang up again").await, Err(RpcError::NotDelivered));
    let again = Node::leading(shared(), &prefix, "tokyo").await;
    let mut asked = again.bus.cluster_rpc().unwrap().take_incoming().unwrap();
    let sent = requests.call(&tokyos, "hold");
    let (answer, taken) = tokio::join!(sent, async {
        let incoming = asked.recv().await.unwrap();
        let body = incoming.body.clone();
        incoming.reply.send("held".into()).unwrap();
        body
    });
    assert_eq!(
        (answer.as_deref(), taken.as_str()),
        (Ok("held"), "hold"),
        "the withdrawn request is not carried out"
    );
    osaka.stop().await;
    again.stop().await;
}
