//! How long 1,000 desktops wait for what they missed when the daemon comes back.
//!
//! One life fills the log of a real database (20,000 events, written by the same transactions as in the daemon) and
//! ends. The next one opens that database, reads its log and serves; from the moment it begins, 1,000 desktops
//! connect at once, each with the id of the event that was the last but [`MISSED`] (all of them administrators, who
//! see everything), and read until they have the last one. What is timed is each desktop's wait from the beginning
//! of the second life on: opening and reading the database is in it. The limit is 2 s for all of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

#[path = "desktops/mod.rs"]
mod desktops;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use memchr::memmem::Finder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use toritsugi::bus::{Audience, Bus, BusSettings, Change, Draft, EventKind, Logbook, Past, StreamToken};
use toritsugi::gateway::{listen, serve};
use toritsugi::operator::Role;
use toritsugi::store::Store;
use toritsugi::store::log::LogLimits;

use desktops::pbx;

const DESKTOPS: usize = 1_000;
const LOGGED: usize = 20_000;
/// Events that each desktop missed.
const MISSED: usize = 100;
/// Bytes of text in an event, about as much as a pop has.
const TEXT_BYTES: usize = 900;
const LIMIT: Duration = Duration::from_secs(2);

fn main() {
    let server = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The desktops have threads of their own, as they have machines of their own.
    let clients = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toritsugi.db");
    let (tokens, after, last) = server.block_on(first_life(&path));
    // Both ends bind before the clock runs; a desktop that comes too early is simply not answered yet.
    let listener = server.block_on(async { listen("127.0.0.1:0".parse().unwrap()) }).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let begun = Instant::now();
    server.spawn(second_life(path, listener, shutdown.clone()));
    let desktops: Vec<_> = tokens
        .into_iter()
        .map(|token| clients.spawn(resume(address, token, after.clone(), last.clone(), begun)))
        .collect();
    let mut waits: Vec<Duration> = desktops.into_iter().map(|d| clients.block_on(d).unwrap()).collect();
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() * percent / 100).min(waits.len() - 1)];
    println!(
        "\nresume after a restart: {DESKTOPS} desktops, {LOGGED} events logged, {MISSED} missed by each"
    );
    println!("  p50 {:?}  p99 {:?}  the last one {:?}  (limit {LIMIT:?})", at(50), at(99), at(100));
    shutdown.cancel();
    assert!(at(100) <= LIMIT, "the last desktop waited longer than {LIMIT:?}");
}

fn settings(stream: &str) -> BusSettings {
    BusSettings {
        pbx: pbx(),
        stream: StreamToken::parse(stream).unwrap(),
        replay_events_max: LOGGED,
        replay_age_max: Duration::from_secs(86_400),
        subscriber_events_max: 1_024,
        subscribers_max: 2 * DESKTOPS,
    }
}

/// Fills the log; answers everybody's tokens, the id that desktops had last and the id of the last event.
async fn first_life(path: &Path) -> (Vec<String>, String, String) {
    let store = Store::open(path).await.unwrap();
    let mut tokens = Vec::new();
    for n in 0..DESKTOPS {
        tokens.push(desktops::admit(&store, format!("admin {n}"), Role::Admin, None, "").await);
    }
    let logbook = Arc::new(Logbook::default());
    let (first, stream) = (settings("first"), StreamToken::parse("first").unwrap());
    store.claim_log(&pbx(), &stream).await.unwrap();
    let bus = Bus::continued(first, Past::default(), Some(Arc::clone(&logbook)));
    let mut ids = Vec::new();
    for n in 0..LOGGED {
        ids.push(bus.publish(Draft {
            kind: EventKind::CallUpdated,
            at: Timestamp::now(),
            call: None,
            audience: Audience::All,
            data: json!({ "n": n, "text": "取".repeat(TEXT_BYTES / 3) }),
            change: Change::None,
        }));
        if n % 500 == 499 {
            let batch = logbook.next().await.expect("there are events");
            store.write_log(&pbx(), &stream, &batch).await.unwrap();
        }
    }
    store.close().await;
    (tokens, ids[LOGGED - 1 - MISSED].to_string(), ids[LOGGED - 1].to_string())
}

async fn second_life(path: std::path::PathBuf, listener: TcpListener, shutdown: CancellationToken) {
    let begun = Instant::now();
    let store = Store::open(&path).await.unwrap();
    let second = settings("second");
    store.claim_log(&pbx(), &second.stream).await.unwrap();
    let limits = LogLimits { events_max: LOGGED, bytes_max: usize::MAX, since: Timestamp::MIN };
    let found = store.read_log(&pbx(), limits).await.unwrap();
    let past = Past { head: found.head, events: found.events, ..Past::default() };
    let bus = Bus::continued(second, past, Some(Arc::new(Logbook::default())));
    println!("  opened, and {} events read back, in {:?}", bus.figures().kept_events, begun.elapsed());
    let app = desktops::app(store, bus, 2 * DESKTOPS).await;
    serve(listener, app, shutdown).await.unwrap();
}

/// One desktop: how long it waits until it has had everything.
async fn resume(address: SocketAddr, token: String, after: String, last: String, begun: Instant) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\nlast-event-id: {after}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // Looked for quickly: desktops have CPUs of their own.
    let wanted = Finder::new(&format!("id: {last}\n")).into_owned();
    let (mut bytes, mut looked) = (Vec::with_capacity(256 * 1024), 0);
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the stream ended before its last event");
        if wanted.find(&bytes[looked..]).is_some() {
            break;
        }
        looked = bytes.len().saturating_sub(wanted.needle().len());
    }
    let waited = begun.elapsed();
    assert!(Finder::new("stream.resumed").find(&bytes).is_some(), "it got a snapshot");
    let told = Finder::new("\nid: first-").find_iter(&bytes).count();
    assert_eq!(told, MISSED + 1, "the first frame and everything missed");
    waited
}
