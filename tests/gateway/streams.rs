//! Event streams over both transports: order, resume, and what ends a stream.

use std::time::Duration;

use futures_util::SinkExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::Sse;
use crate::support::gateway_rig::{Options, Rig, answer};
use crate::support::ids::call;
use crate::support::wait::TEST_TIMEOUT;

#[tokio::test]
async fn the_first_frame_is_the_state_and_then_come_events() {
    let rig = Rig::start().await;
    rig.ring(1, &["1001"]);
    let mut sse = rig.follow("1001", None).await;
    let mut ws = rig.follow_ws("1001", None).await;
    for first in [sse.next().await.unwrap(), ws.next().await.unwrap()] {
        assert_eq!((&first["kind"], &first["id"]), (&json!("stream.snapshot"), &json!("t1-1")));
        assert_eq!(first["at"], "2026-01-05T00:00:00.000Z");
        assert_eq!(first["data"]["calls"][0]["id"], call(1).to_string());
        assert_eq!(first["data"]["calls"][0]["state"], "presented");
        assert_eq!(first["data"]["pbx"], json!([]));
    }
    rig.ring(2, &["1001"]);
    let (by_sse, by_ws) = (sse.next().await.unwrap(), ws.next().await.unwrap());
    assert_eq!(by_sse, by_ws);
    assert_eq!(
        by_sse,
        json!({
            "id": "t1-2", "kind": "call.presented", "at": "2026-01-05T00:00:00.000Z", "pbx": "osaka-1",
            "call": call(2).to_string(), "data": {"operators": ["1001"]},
        })
    );
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed() {
    let rig = Rig::with(Options { replay_events: 4, ..Options::default() }).await;
    for n in 1..=3 {
        rig.ring(n, &["1001"]);
    }
    let kinds = async |sse: &mut Sse, n: usize| -> Vec<Value> {
        let mut seen = Vec::new();
        for _ in 0..n {
            let event = sse.next().await.unwrap();
            seen.push(json!([event["kind"], event["id"]]));
        }
        seen
    };
    let mut sse = rig.follow("1001", Some("t1-1")).await;
    assert_eq!(
        kinds(&mut sse, 3).await,
        [
            json!(["stream.resumed", "t1-1"]),
            json!(["call.presented", "t1-2"]),
            json!(["call.presented", "t1-3"])
        ]
    );
    let mut ws = rig.follow_ws("1001", Some("t1-3")).await;
    assert_eq!(ws.next().await.unwrap()["kind"], "stream.resumed");

    // The query parameter is used when the header is missing or empty.
    let request = rig.request("1001", Method::GET, "/v1/events?after=t1-2").header("last-event-id", "");
    let mut sse = Sse::of(request.send().await.unwrap()).await;
    assert_eq!(
        kinds(&mut sse, 2).await,
        [json!(["stream.resumed", "t1-2"]), json!(["call.presented", "t1-3"])]
    );

    // An id that is too old, of another run of the daemon, or of the future: a snapshot.
    for n in 4..=6 {
        rig.ring(n, &["1001"]);
    }
    for after in ["t1-1", "other-5", "t1-7"] {
        let mut sse = rig.follow("1001", Some(after)).await;
        let first = sse.next().await.unwrap();
        assert_eq!((&first["kind"], &first["id"]), (&json!("stream.snapshot"), &json!("t1-6")), "{after}");
        assert_eq!(first["data"]["calls"].as_array().unwrap().len(), 6);
    }
    for (header, kind) in [(Some("5"), "invalid-header"), (None, "invalid-query")] {
        let mut request = rig.request("1001", Method::GET, "/v1/events?after=%22%3E");
        if let Some(header) = header {
            request = request.header("last-event-id", header);
        }
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!((status, &body["type"]), (StatusCode::BAD_REQUEST, &json!(kind)));
    }
}

#[tokio::test]
async fn a_revoked_token_ends_its_streams_and_no_others() {
    let rig = Rig::start().await;
    let (mut sse, mut ws) = (rig.follow("1001", None).await, rig.follow_ws("1001", None).await);
    let mut other = rig.follow("2001", None).await;
    assert!(sse.next().await.is_some() && ws.next().await.is_ok() && other.next().await.is_some());

    let (_, tokens) = rig.get("admin", &format!("/v1/users/{}/tokens", rig.user("1001"))).await;
    let token = tokens["items"][0]["id"].as_str().unwrap();
    let path = format!("/v1/users/{}/tokens/{token}", rig.user("1001"));
    assert_eq!(rig.send("admin", Method::DELETE, &path, &json!({})).await.0, StatusCode::NO_CONTENT);

    assert_eq!(sse.next().await, None);
    assert_eq!(sse.comments, ["end token-revoked"]);
    assert_eq!(ws.next().await.unwrap_err(), (1008, "token-revoked".into()));
    rig.ring(1, &["1001"]);
    assert_eq!(other.next().await.unwrap()["kind"], "call.presented");
}

#[tokio::test]
async fn another_team_has_another_visibility_and_begins_with_a_snapshot() {
    let rig = Rig::start().await;
    rig.ring(1, &["1001"]);
    rig.ring(2, &["1002"]);
    let mut sse = rig.follow("2001", None).await;
    assert_eq!(sse.next().await.unwrap()["data"]["calls"].as_array().unwrap().len(), 1);
    let path = format!("/v1/users/{}", rig.user("1002"));
    assert_eq!(rig.send("admin", Method::PATCH, &path, &json!({"team": "A班"})).await.0, StatusCode::OK);
    let again = sse.next().await.unwrap();
    assert_eq!(again["kind"], "stream.snapshot");
    assert_eq!(again["data"]["calls"].as_array().unwrap().len(), 2);
    // A client that was disconnected meanwhile must not resume from before the change.
    let mut away = rig.follow("2001", Some("t1-1")).await;
    assert_eq!(away.next().await.unwrap()["kind"], "stream.snapshot");
    let mut unchanged = rig.follow("1001", Some("t1-1")).await;
    assert_eq!(unchanged.next().await.unwrap()["kind"], "stream.resumed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_without_a_gap_while_other_people_change() {
    let rig = Rig::start().await;
    let mut sse = rig.follow("1001", None).await;
    assert_eq!(sse.next().await.unwrap()["kind"], "stream.snapshot");
    let changing = {
        let (store, people, bus) = (rig.app.store.clone(), rig.app.people.clone(), rig.app.bus.clone());
        let now = rig.app.clock.now();
        tokio::spawn(async move {
            for n in 0..20 {
                crate::support::gateway_rig::add(&store, &format!("新人{n}"), now).await;
                people.replace(store.roster().await.unwrap(), || bus.head());
            }
        })
    };
    let mut n = 0;
    while !changing.is_finished() || n < 100 {
        n += 1;
        let id = rig.ring(n, &["1001"]);
        assert_eq!(sse.next().await.unwrap()["id"], id.to_string());
    }
    changing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desktop_that_never_reads_is_cut_off_and_199_others_notice_nothing() {
    let rig = Rig::with(Options { subscriber_events: 32, ..Options::default() }).await;
    let mut stuck = StuckDesktop::connect(&rig).await;
    let mut others = Vec::new();
    // A person has few streams, a system many.
    let people = ["1001", "admin"].into_iter().cycle().take(40);
    for name in people.chain(std::iter::repeat("crm")).take(199) {
        others.push(rig.follow(name, None).await);
    }
    for other in &mut others {
        assert_eq!(other.next().await.unwrap()["kind"], "stream.snapshot");
    }
    // Publish as fast as the others read, until the stuck desktop is disconnected.
    let padding = "取".repeat(2 * 1024);
    let mut published = 0;
    while rig.app.bus.stats().cut_off_total == 0 {
        published += 1;
        assert!(published < 10_000, "it is never cut off");
        let data = json!({"padding": padding});
        let id = rig
            .publish(crate::support::gateway_rig::ringing(1, &["1001"], data, rig.app.clock.now()))
            .to_string();
        for other in &mut others {
            assert_eq!(other.next().await.unwrap()["id"], id.as_str());
        }
    }
    // Its subscription is free at once, although it still does not read.
    rig.streams(199).await;
    println!("cut off after {published} events; 199 others had each of them at once");

    // When it reads, the received events have no gap; it reconnects and gets the rest.
    let had = stuck.read_to_end().await;
    let expected: Vec<String> = (0..had.len()).map(|n| format!("t1-{n}")).collect();
    assert_eq!(had, expected);
    let mut back = rig.follow("1001", had.last().map(String::as_str)).await;
    assert_eq!(back.next().await.unwrap()["kind"], "stream.resumed");
    for n in had.len()..=published {
        assert_eq!(back.next().await.unwrap()["id"], format!("t1-{n}"));
    }
}

/// A desktop that requests events and then does not read.
struct StuckDesktop(tokio::net::TcpStream);

impl StuckDesktop {
    async fn connect(rig: &Rig) -> Self {
        use tokio::io::AsyncWriteExt;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut stream = socket.connect(rig.address).await.unwrap();
        let request = format!(
            "GET /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            rig.address,
            rig.token("1001")
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        rig.streams(1).await;
        Self(stream)
    }

    /// The ids of all complete events, until the gateway closes the connection.
    async fn read_to_end(&mut self) -> Vec<String> {
        use tokio::io::AsyncReadExt;
        let mut bytes = Vec::new();
        let read =
            tokio::time::timeout(TEST_TIMEOUT, self.0.read_to_end(&mut bytes)).await.expect("closed in time");
        drop(read);
        // Chunk sizes stand between the lines; a whole event ends with an empty line, then CRLF of its chunk.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut ids = Vec::new();
        for block in text
            .split_inclusive("\n\n")
            .filter(|block| block.ends_with("\"}}\n\n") || block.contains("snapshot"))
        {
            ids.extend(block.lines().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned));
        }
        ids
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_desktops_get_everything_in_order() {
    let rig = Rig::start().await;
    // A person has few streams, a system many.
    let people = ["1001", "1002", "2001", "admin"].into_iter().cycle().take(120);
    let mut desktops = Vec::new();
    for name in people.chain(std::iter::repeat("crm")).take(200) {
        let mut desktop = rig.follow(name, None).await;
        assert_eq!(desktop.next().await.unwrap()["kind"], "stream.snapshot");
        desktops.push((name, desktop));
    }
    let readers: Vec<_> = desktops
        .into_iter()
        .map(|(name, mut desktop)| {
            // The last event of every desktop is the end of call 0, which all of them see.
            let wanted: Vec<u32> = match name {
                "1001" | "2001" => (0..100).filter(|n| n % 2 == 0).collect(),
                "1002" => (0..100).filter(|n| n % 2 == 1).collect(),
                _ => (0..100).collect(),
            };
            tokio::spawn(async move {
                for n in wanted {
                    assert_eq!(desktop.next().await.unwrap()["call"], call(n).to_string(), "{name}");
                }
            })
        })
        .collect();
    for n in 0..100 {
        rig.ring(n, if n % 2 == 0 { &["1001"] } else { &["1002"] });
        if n % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        tokio::time::timeout(TEST_TIMEOUT, reader).await.unwrap().unwrap();
    }
    assert_eq!(rig.app.bus.stats().cut_off_total, 0);
}

#[tokio::test]
async fn a_stop_ends_every_stream_and_then_the_gateway() {
    let mut rig = Rig::start().await;
    let (mut sse, mut ws) = (rig.follow("1001", None).await, rig.follow_ws("1001", None).await);
    assert!(sse.next().await.is_some() && ws.next().await.is_ok());
    rig.shutdown.cancel();
    assert_eq!(sse.next().await, None);
    assert_eq!(sse.comments, ["end shutting-down"]);
    assert_eq!(ws.next().await.unwrap_err(), (1001, "shutting-down".into()));
    drop((sse, ws));
    let served = rig.served.take().unwrap();
    tokio::time::timeout(TEST_TIMEOUT, served).await.expect("it stops").unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(rig.address).await.is_err());
}

#[tokio::test]
async fn what_a_web_socket_says_is_ignored_up_to_a_limit() {
    let rig = Rig::start().await;
    let mut ws = rig.follow_ws("1001", None).await;
    assert!(ws.next().await.is_ok());
    for message in [Message::text("hello"), Message::binary(vec![0, 255]), Message::Ping("x".into())] {
        ws.0.send(message).await.unwrap();
    }
    rig.ring(1, &["1001"]);
    assert_eq!(ws.next().await.unwrap()["id"], "t1-1");
    ws.0.send(Message::text("x".repeat(5000))).await.unwrap();
    assert!(ws.next().await.is_err());
    let plain = rig.request("1001", Method::GET, "/v1/events/ws").send().await.unwrap();
    let (status, body) = answer(plain).await;
    assert_eq!((status, &body["type"]), (StatusCode::BAD_REQUEST, &json!("invalid-header")));
}

#[tokio::test]
async fn more_subscribers_than_allowed_are_refused_with_a_retry_time() {
    let rig = Rig::with(Options { subscribers: 2, ..Options::default() }).await;
    let first = rig.follow("1001", None).await;
    let _second = rig.follow("1001", None).await;
    let response = rig.request("1001", Method::GET, "/v1/events").send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "5");
    let (status, body) = answer(response).await;
    assert_eq!((status, &body["type"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded")));
    drop(first);
    rig.streams(1).await;
    rig.follow("1001", None).await;
}

#[tokio::test]
async fn an_expired_token_ends_its_stream_with_the_next_heartbeat() {
    let rig = Rig::with(Options { heartbeat: Duration::from_millis(50), ..Options::default() }).await;
    let now = rig.app.clock.now();
    let expires = Some(now + Duration::from_secs(5));
    let token = crate::support::people::add_token(&rig.app.store, rig.user("1001"), expires, now).await;
    let request = rig.bare(Method::GET, "/v1/events").bearer_auth(token);
    let mut sse = Sse::of(request.send().await.unwrap()).await;
    assert!(sse.next().await.is_some());
    rig.advance(Duration::from_secs(6));
    assert_eq!(sse.next().await, None);
    assert_eq!(sse.comments, ["end token-expired"]);
}

#[tokio::test]
async fn what_another_process_revokes_ends_with_the_next_heartbeat() {
    let rig = Rig::with(Options { heartbeat: Duration::from_millis(50), ..Options::default() }).await;
    let mut ws = rig.follow_ws("1001", None).await;
    assert!(ws.next().await.is_ok());
    rig.app.store.revoke_user(rig.user("1001"), rig.app.clock.now()).await.unwrap();
    assert_eq!(ws.next().await.unwrap_err(), (1008, "token-revoked".into()));
}

#[tokio::test]
async fn a_web_socket_that_answers_no_ping_is_closed() {
    let rig = Rig::with(Options { heartbeat: Duration::from_millis(50), ..Options::default() }).await;
    let _silent = rig.follow_ws("1001", None).await; // It answers pings only while it is read.
    let mut alive = rig.follow_ws("1001", None).await;
    let reading = tokio::spawn(async move {
        while alive.next().await.is_ok_and(|event| event["kind"] != "call.presented") {}
        alive
    });
    rig.streams(2).await;
    rig.streams(1).await;
    rig.ring(1, &["1001"]);
    tokio::time::timeout(TEST_TIMEOUT, reading).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_gets_a_close_frame() {
    let rig = Rig::start().await;
    let mut socket = rig.follow_ws("1001", None).await;
    assert_eq!(socket.next().await.unwrap()["kind"], "stream.snapshot");
    socket.0.send(Message::text("x".repeat(4_000))).await.unwrap();
    socket.0.send(Message::text("x".repeat(5_000))).await.unwrap();
    assert_eq!(socket.next().await.unwrap_err(), (1009, "message-too-large".into()));
}
