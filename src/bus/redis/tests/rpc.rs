//! Requests to the leader of another PBX: not delivered, or outcome unknown.

use redis::streams::StreamRangeReply;

use super::super::scripts::Keys;
use super::super::signature::Message;
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

/// A client of Redis without the key of the group.
struct Intruder {
    redis: client::Connection,
    keys: Keys,
}

impl Intruder {
    async fn at(prefix: &str) -> Self {
        let address = RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap();
        Self { redis: address.connect(false).await.unwrap(), keys: Keys::new(prefix) }
    }

    async fn add(&mut self, stream: &str, fields: &[(String, String)]) {
        redis::cmd("XADD").arg(stream).arg("*").arg(fields).exec_async(&mut self.redis).await.unwrap();
    }

    /// The entries of a stream, as they were written.
    async fn read(&mut self, stream: &str) -> Vec<Vec<(String, String)>> {
        let read: StreamRangeReply =
            redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async(&mut self.redis).await.unwrap();
        let text = |value: &Value| redis::from_redis_value(value.clone()).unwrap();
        read.ids
            .iter()
            .map(|e| e.map.iter().map(|(name, value)| (name.clone(), text(value))).collect())
            .collect()
    }
}

fn request(id: &str, body: &str, signature: &[(&str, &str)]) -> Vec<(String, String)> {
    let fields = [("i", id), ("f", "intruder"), ("b", body)];
    fields.iter().chain(signature).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_can_write_to_redis_cannot_send_a_request() {
    let prefix = shared().empty_prefix();
    let osaka = Node::leading(shared(), &prefix, "osaka").await;
    let tokyo = Node::leading(shared(), &prefix, "tokyo").await;
    let tokyos = PbxId::parse("tokyo").unwrap();
    let mut asked = tokyo.bus.cluster_rpc().unwrap().take_incoming().unwrap();
    let requests = osaka.bus.cluster_rpc().unwrap().clone();
    let mut intruder = Intruder::at(&prefix).await;
    let stream = intruder.keys.requests(&tokyos);

    let now = Timestamp::now().as_millisecond();
    let signed = |key: [u8; 32], pbx: &str, at_ms: i64| {
        let at_ms = at_ms.to_string();
        let message = Message::Request { pbx, id: "1", from: "intruder", at_ms: &at_ms, body: "forged" };
        (SigningKey::new(key).sign(&message), at_ms)
    };
    intruder.add(&stream, &request("1", "forged", &[])).await;
    intruder.add(&stream, &request("1", "forged", &[("s", ""), ("t", "")])).await;
    for (signature, at_ms) in [
        signed([8; 32], "tokyo", now),
        // Of another PBX, and much too old, although a daemon of the group signed it.
        signed([7; 32], "osaka", now),
        signed([7; 32], "tokyo", now - 3_600_000),
    ] {
        intruder.add(&stream, &request("1", "forged", &[("s", &signature), ("t", &at_ms)])).await;
    }
    // A genuine request, which arrives after all the forged ones; an answer that the intruder forges does not count.
    let answer = tokio::spawn({
        let (requests, tokyos) = (requests.clone(), tokyos.clone());
        async move { requests.call(&tokyos, "hold").await }
    });
    let incoming = timeout(TEST_TIMEOUT, asked.recv()).await.unwrap().unwrap();
    assert_eq!(incoming.body, "hold", "no forged request is carried out");
    let sent = intruder.read(&stream).await.pop().unwrap();
    let field = |name: &str| sent.iter().find(|(key, _)| key == name).unwrap().1.clone();
    let inbox = intruder.keys.inbox(&field("f"));
    let forged = [("i".to_owned(), field("i")), ("b".to_owned(), "forged".to_owned())];
    intruder.add(&inbox, &forged).await;
    incoming.reply.send("held".into()).unwrap();
    assert_eq!(answer.await.unwrap().as_deref(), Ok("held"));

    // The same entry again, after the claim was deleted.
    let claim = intruder.keys.claim(&field("i"));
    redis::cmd("DEL").arg(claim).exec_async(&mut intruder.redis).await.unwrap();
    intruder.add(&stream, &sent).await;
    let again = tokio::spawn(async move { requests.call(&tokyos, "resume").await });
    let incoming = timeout(TEST_TIMEOUT, asked.recv()).await.unwrap().unwrap();
    assert_eq!(incoming.body, "resume", "the repeated request is not carried out");
    incoming.reply.send("resumed".into()).unwrap();
    assert_eq!(again.await.unwrap().as_deref(), Ok("resumed"));
    osaka.stop().await;
    tokyo.stop().await;
}

/// A daemon of the version before, which neither signs nor looks at signatures.
#[tokio::test(flavor = "multi_thread")]
async fn during_an_upgrade_requests_without_a_signature_can_be_accepted() {
    let prefix = shared().empty_prefix();
    let address = RedisAddress::parse(&[shared().redis_url()], None, false).unwrap().unwrap();
    let upgraded = node_with(address, &prefix, "tokyo", true);
    upgraded.link_is_up();
    upgraded.until("it leads", |node| node.bus.cluster_stats().unwrap().leads).await;
    let mut asked = upgraded.bus.cluster_rpc().unwrap().take_incoming().unwrap();
    let mut before = Intruder::at(&prefix).await;
    let stream = before.keys.requests(&PbxId::parse("tokyo").unwrap());
    let wrong = request("1", "wrong", &[("s", "00"), ("t", "1")]);
    before.add(&stream, &wrong).await;
    before.add(&stream, &request("2", "hold", &[])).await;
    let incoming = timeout(TEST_TIMEOUT, asked.recv()).await.unwrap().unwrap();
    assert_eq!(incoming.body, "hold", "a wrong signature never counts");
    upgraded.stop().await;
}
