//! Measures how long a pop takes from `bus.publish` to the desktop's socket, with 200 desktops connected.
//!
//! A whole gateway on a loopback port serves 180 operators, 15 supervisors with twelve operators each and 5
//! administrators, each with an open SSE stream on a separate TCP connection. 50 calls a second are offered, presented,
//! answered and ended. The bench times `call.presented`, from just before `publish` to the moment when the desktop has
//! read the whole frame. In the same run it times a bare relay: one task that writes as many bytes to one socket as
//! soon as it is woken. The ratio between the two is the cost of the gateway.
//!
//! `FANOUT_SECONDS` sets the duration of the measurement (10).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

#[path = "desktops/mod.rs"]
mod desktops;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toritsugi::bus::{Bus, BusSettings};
use toritsugi::contract::call::{CallState, CallView, Direction};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::event_id::StreamToken;
use toritsugi::gateway::serve;
use toritsugi::ids::{CallId, ChannelId, Extension};
use toritsugi::people::role::Role;
use toritsugi::store::Store;

use desktops::pbx;

const OPERATORS: u32 = 180;
const SUPERVISORS: u32 = 15;
const ADMINS: u32 = 5;
const CALLS_PER_SECOND: u64 = 50;
/// Number of events of a call.
const EVENTS_PER_CALL: usize = 4;

/// Time of each event's publication, by its position; in nanoseconds since `epoch`.
struct Published {
    epoch: Instant,
    at: Vec<AtomicU64>,
}

impl Published {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap()
    }
}

/// Latencies in nanoseconds.
type Samples = Arc<Mutex<Vec<u64>>>;

struct Desktop {
    name: String,
    is_operator: bool,
    token: String,
}

fn main() {
    let seconds = std::env::var("FANOUT_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_u64);
    let calls = usize::try_from(CALLS_PER_SECOND * seconds).unwrap();
    let at = std::iter::repeat_with(|| AtomicU64::new(0)).take(calls * EVENTS_PER_CALL + 1).collect();
    let published = Arc::new(Published { epoch: Instant::now(), at });
    // The desktops have separate threads, as real ones have separate machines.
    let server = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clients = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let (address, bus, desktops) = server.block_on(start(dir.path(), shutdown.clone()));
    let (own, all, relay) = (Samples::default(), Samples::default(), Samples::default());
    for desktop in desktops {
        let all = Arc::clone(&all);
        let own = desktop.is_operator.then(|| Arc::clone(&own));
        let stream = clients.block_on(connect(address, &desktop));
        clients.spawn(read(stream, Arc::clone(&published), own, all));
    }
    let (relay_in, relay_address) = server.block_on(bare_relay());
    let stream = clients.block_on(TcpStream::connect(relay_address)).unwrap();
    clients.spawn(read_relay(stream, Arc::clone(&published), Arc::clone(&relay)));

    server.block_on(async {
        server.spawn(publish(bus.clone(), Arc::clone(&published), relay_in, calls)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    });
    let stats = bus.stats();
    assert_eq!((stats.cut_off_total, own.lock().unwrap().len()), (0, calls), "a pop did not arrive");
    println!(
        "\nfrom bus.publish to the desktop's socket: {} desktops, {CALLS_PER_SECOND} calls/s, {calls} pops",
        OPERATORS + SUPERVISORS + ADMINS
    );
    let base = print("bare relay of the same bytes", &relay, None);
    print("the operator's own pop", &own, Some(base));
    print("every desktop that sees it", &all, Some(base));
    shutdown.cancel();
}

/// Prints p50, p99 and the largest in microseconds, and the ratio to `base`; returns the first two.
fn print(name: &str, samples: &Samples, base: Option<(f64, f64)>) -> (f64, f64) {
    let mut samples = samples.lock().unwrap().clone();
    samples.sort_unstable();
    let at = |percent: usize| {
        let index = (samples.len() * percent / 100).min(samples.len() - 1);
        Duration::from_nanos(samples[index]).as_secs_f64() * 1e6
    };
    let (p50, p99, max) = (at(50), at(99), at(100));
    let ratio =
        base.map_or(String::new(), |(b50, b99)| format!("  ratio {:.2} / {:.2}", p50 / b50, p99 / b99));
    println!(
        "  {name:<30} n={:<6} p50 {p50:>7.0} us  p99 {p99:>7.0} us  max {max:>7.0} us{ratio}",
        samples.len()
    );
    (p50, p99)
}

/// A gateway with its users, each with a token.
async fn start(dir: &std::path::Path, shutdown: CancellationToken) -> (SocketAddr, Bus, Vec<Desktop>) {
    let store = Store::open(&dir.join("toritsugi.db")).await.unwrap();
    let mut desktops = Vec::new();
    for n in 0..OPERATORS + SUPERVISORS + ADMINS {
        let role = match n {
            n if n < OPERATORS => Role::Operator,
            n if n < OPERATORS + SUPERVISORS => Role::Supervisor,
            _ => Role::Admin,
        };
        let name = (1000 + n).to_string();
        let extension = (role != Role::Admin).then(|| Extension::parse(&name).unwrap());
        let team = format!("team {}", n % SUPERVISORS);
        let token = desktops::add_user(&store, name.clone(), role, extension, &team).await;
        desktops.push(Desktop { name, is_operator: role == Role::Operator, token });
    }
    let bus = Bus::new(BusSettings {
        pbx: pbx(),
        stream: StreamToken::parse("b").unwrap(),
        replay_events_max: 20_000,
        replay_age_max: Duration::from_secs(3600),
        subscriber_events_max: 1024,
        subscribers_max: 1000,
    });
    let app = desktops::app(store, bus.clone(), 1000).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, app, shutdown));
    (address, bus, desktops)
}

/// Opens a desktop's stream and reads up to its snapshot.
async fn connect(address: SocketAddr, desktop: &Desktop) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request =
        format!("GET /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\r\n", desktop.token);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(2).any(|pair| pair == b"\n\n") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0, "{} was refused", desktop.name);
    }
    stream
}

/// Reads events and times the pops: into `all`, and into `own` for the desktop of the operator whose phone rings.
async fn read(mut stream: TcpStream, published: Arc<Published>, own: Option<Samples>, all: Samples) {
    let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
    while stream.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
        let now = published.now();
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = buffer.drain(..end + 2).collect();
            if let Some(position) = position(&frame)
                && frame.windows(16).any(|part| part == b"\"call.presented\"")
            {
                let took = now - published.at[position].load(Ordering::Relaxed);
                all.lock().unwrap().push(took);
                own.iter().for_each(|own| own.lock().unwrap().push(took));
            }
        }
    }
}

/// The position in `id: b-<position>`.
fn position(frame: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(frame);
    let id = text.split_once("id: b-")?.1;
    id.lines().next()?.trim().parse().ok()
}

/// A task that writes the bytes from its channel to the first client that connects.
async fn bare_relay() -> (mpsc::Sender<Bytes>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1024);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        while let Some(bytes) = receiver.recv().await {
            stream.write_all(&bytes).await.unwrap();
        }
    });
    (sender, address)
}

/// Length of a relayed frame: the time when it was sent, in 8 bytes, then zeros.
const RELAYED_BYTES: usize = 1500;

async fn read_relay(mut stream: TcpStream, published: Arc<Published>, samples: Samples) {
    let mut frame = [0; RELAYED_BYTES];
    while stream.read_exact(&mut frame).await.is_ok() {
        let sent = u64::from_be_bytes(frame[..8].try_into().expect("eight bytes"));
        samples.lock().unwrap().push(published.now() - sent);
    }
}

/// Offers, presents, answers and ends calls, evenly over time; relays one frame between two calls.
async fn publish(bus: Bus, published: Arc<Published>, relay: mpsc::Sender<Bytes>, calls: usize) {
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / CALLS_PER_SECOND / 2));
    let mut position = 0;
    let mut publish_timed = |draft: NewEvent| {
        position += 1;
        published.at[position].store(published.now(), Ordering::Relaxed);
        bus.publish(draft);
    };
    for n in 0..calls {
        tick.tick().await;
        let extension =
            Extension::parse(&(1000 + n % usize::try_from(OPERATORS).unwrap()).to_string()).unwrap();
        publish_timed(draft(n, EventKind::CallOffered, CallState::Offered, None));
        publish_timed(draft(n, EventKind::CallPresented, CallState::Presented, Some(&extension)));
        publish_timed(draft(n, EventKind::CallAnswered, CallState::Answered, Some(&extension)));
        let mut ended = draft(n, EventKind::CallEnded, CallState::Ended, Some(&extension));
        ended.change = StateDelta::CallGone(call(n));
        publish_timed(ended);
        tick.tick().await;
        let mut bytes = vec![0; RELAYED_BYTES];
        bytes[..8].copy_from_slice(&published.now().to_be_bytes());
        relay.send(bytes.into()).await.unwrap();
    }
}

fn call(n: usize) -> CallId {
    CallId::derive(&pbx(), &ChannelId::parse(&format!("1700000000.{n}")).unwrap())
}

fn draft(n: usize, kind: EventKind, state: CallState, operator: Option<&Extension>) -> NewEvent {
    let view = CallView {
        id: call(n),
        pbx: pbx(),
        direction: Direction::Inbound,
        state,
        offered_at: Timestamp::UNIX_EPOCH,
        answered_at: None,
        ended_at: None,
        presented_to: operator.filter(|_| state == CallState::Presented).into_iter().cloned().collect(),
        operator: operator.filter(|_| state == CallState::Answered).cloned(),
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    };
    let audience =
        operator.map_or(Audience::Supervisors, |operator| Audience::Operators(vec![operator.clone()]));
    let change = StateDelta::Call(Arc::new(view));
    NewEvent { kind, at: Timestamp::UNIX_EPOCH, call: Some(call(n)), audience, data: card(), change }
}

/// Data of about the size of a real pop.
fn card() -> Value {
    json!({
        "operator": "1001", "dialled": "0355501001", "diverted_by": "0312345678",
        "caller": {"number": "090-1111-2222", "presentation": "allowed", "name": "田中太郎", "area": "携帯電話"},
        "account": {
            "id": "018f0000-0000-7000-8000-000000000001", "name": "株式会社さくら商事", "kana": "さくらしょうじ",
            "answer_phrase": "お電話ありがとうございます。株式会社さくら商事でございます。",
            "notes": "本日は社長が終日外出。急ぎの用件は営業部の佐藤へ転送してください。", "matched_by": "diversion",
        },
        "customers": [{
            "id": "018f0000-0000-7000-8000-000000000002", "name": "田中太郎", "kana": "たなかたろう",
            "company": "田中工務店", "notes": "折り返しは夕方以降を希望。", "flags": ["vip"],
        }],
        "history": {"calls": 12, "last_call": "2026-01-05T00:00:00.000Z", "last_message": "見積もりの件で折り返し希望", "open_messages": 1},
    })
}
