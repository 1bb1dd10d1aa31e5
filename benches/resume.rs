//! Measures how long 1,000 desktops wait for the events they missed when the daemon restarts.
//!
//! The first run fills the log of a real database (20,000 events, written by the same transactions as in the daemon) and
//! ends. The second run opens that database, reads its log and serves. When it starts, 1,000 desktops connect at once
//! (all of them administrators, who see everything). Each resumes [`MISSED`] events before the last one and reads until
//! it has the last one. The bench times each desktop's wait from the start of the second run, so that opening and
//! reading the database is included. The limit is 2 s for all of them.

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
use toritsugi::bus::{Bus, BusSettings};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::event_id::StreamToken;
use toritsugi::gateway::{listen, serve};
use toritsugi::journal::RestoredLog;
use toritsugi::journal::queue::JournalQueue;
use toritsugi::people::role::Role;
use toritsugi::store::Store;
use toritsugi::store::log::LogLimits;

use desktops::pbx;

const DESKTOPS: usize = 1_000;
const LOGGED: usize = 20_000;
/// Number of events that each desktop missed.
const MISSED: usize = 100;
/// Bytes of text in an event, about the size of a pop.
const TEXT_BYTES: usize = 900;
const RESUME_TIMEOUT: Duration = Duration::from_secs(2);

fn main() {
    let server = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The desktops have separate threads, as real ones have separate machines.
    let clients = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toritsugi.db");
    let (tokens, after, last) = server.block_on(first_run(&path));
    // The listener binds before the clock starts; a desktop that connects early waits for its answer.
    let listener = server.block_on(async { listen("127.0.0.1:0".parse().unwrap()) }).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let started = Instant::now();
    server.spawn(second_run(path, listener, shutdown.clone()));
    let desktops: Vec<_> = tokens
        .into_iter()
        .map(|token| clients.spawn(resume(address, token, after.clone(), last.clone(), started)))
        .collect();
    let mut waits: Vec<Duration> = desktops.into_iter().map(|d| clients.block_on(d).unwrap()).collect();
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() * percent / 100).min(waits.len() - 1)];
    println!(
        "\nresume after a restart: {DESKTOPS} desktops, {LOGGED} events logged, {MISSED} missed by each"
    );
    println!("  p50 {:?}  p99 {:?}  the last one {:?}  (limit {RESUME_TIMEOUT:?})", at(50), at(99), at(100));
    shutdown.cancel();
    assert!(at(100) <= RESUME_TIMEOUT, "the last desktop waited longer than {RESUME_TIMEOUT:?}");
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

/// Fills the log; returns the users' tokens, the id to resume from and the id of the last event.
async fn first_run(path: &Path) -> (Vec<String>, String, String) {
    let store = Store::open(path).await.unwrap();
    let mut tokens = Vec::new();
    for n in 0..DESKTOPS {
        tokens.push(desktops::add_user(&store, format!("admin {n}"), Role::Admin, None, "").await);
    }
    let journal = Arc::new(JournalQueue::default());
    let (first, stream) = (settings("first"), StreamToken::parse("first").unwrap());
    store.claim_log(&pbx(), &stream).await.unwrap();
    let bus = Bus::restored(first, RestoredLog::default(), Some(Arc::clone(&journal)));
    let mut ids = Vec::new();
    for n in 0..LOGGED {
        ids.push(bus.publish(NewEvent {
            kind: EventKind::CallUpdated,
            at: Timestamp::now(),
            call: None,
            audience: Audience::All,
            data: json!({ "n": n, "text": "取".repeat(TEXT_BYTES / 3) }),
            change: StateDelta::None,
        }));
        if n % 500 == 499 {
            let batch = journal.next_batch(Duration::ZERO).await.expect("there are events");
            store.write_log(&pbx(), &stream, &batch).await.unwrap();
        }
    }
    store.close().await;
    (tokens, ids[LOGGED - 1 - MISSED].to_string(), ids[LOGGED - 1].to_string())
}

async fn second_run(path: std::path::PathBuf, listener: TcpListener, shutdown: CancellationToken) {
    let started = Instant::now();
    let store = Store::open(&path).await.unwrap();
    let second = settings("second");
    store.claim_log(&pbx(), &second.stream).await.unwrap();
    let limits = LogLimits { events_max: LOGGED, bytes_max: usize::MAX, since: Timestamp::MIN };
    let found = store.read_log(&pbx(), limits).await.unwrap();
    let past = RestoredLog { head: found.head, events: found.events, ..RestoredLog::default() };
    let bus = Bus::restored(second, past, Some(Arc::new(JournalQueue::default())));
    println!("  opened, and {} events read back, in {:?}", bus.stats().kept_events, started.elapsed());
    let app = desktops::app(store, bus, 2 * DESKTOPS).await;
    serve(listener, app, shutdown).await.unwrap();
}

/// Runs one desktop; returns how long it waits for the last event.
async fn resume(
    address: SocketAddr,
    token: String,
    after: String,
    last: String,
    started: Instant,
) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\nlast-event-id: {after}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // A fast search, because real desktops do not share the daemon's CPUs.
    let last_id = Finder::new(&format!("id: {last}\n")).into_owned();
    let (mut bytes, mut searched) = (Vec::with_capacity(256 * 1024), 0);
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the stream ended before its last event");
        if last_id.find(&bytes[searched..]).is_some() {
            break;
        }
        searched = bytes.len().saturating_sub(last_id.needle().len());
    }
    let waited = started.elapsed();
    assert!(Finder::new("stream.resumed").find(&bytes).is_some(), "the desktop got a snapshot");
    let received = Finder::new("\nid: first-").find_iter(&bytes).count();
    assert_eq!(received, MISSED + 1, "the first frame and everything missed");
    waited
}
