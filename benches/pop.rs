//! Measures a pop through the whole daemon: from the ringing event on the AMI socket to the pop on a desktop's socket, at
//! 50 calls a second with 200 desktops connected, beside a bare TCP relay of the ringing event.
//!
//! `cargo bench --bench pop`. A scripted PBX plays recorded calls, each with its own ids. The daemon is the real one, on
//! SQLite with the sample companies. The desktops follow `/v1/events`. The time runs from handing the ringing event's
//! bytes to the fake PBX's socket task until the operator's desktop has read the pop's last byte; like the relay's, it
//! includes two passes through the kernel. Each call's pop goes to one operator of the 200; five supervisors' desktops
//! get every pop.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its results and stops on failure"
)]

#[path = "calls/mod.rs"]
mod calls;
#[path = "desktops/mod.rs"]
mod desktops;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toritsugi::config::Config;
use toritsugi::daemon;
use toritsugi::directory::import::{ImportKind, ImportOptions, TextEncoding};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::ids::Extension;
use toritsugi::people::role::Role;
use toritsugi::store::Store;

use calls::Template;
use support::client::{Sse, http};
use support::fake_pbx::{FakePbx, SECRET};

const DESKTOPS: usize = 200;
const SUPERVISORS: usize = 5;
const CALLS_PER_SECOND: u32 = 50;
const CALLS: u64 = 1_500;
/// Time from the identity of a call to its first ringing: how long a phone takes to answer an INVITE with 180.
const RING_DELAY: Duration = Duration::from_millis(10);
/// Number of first calls, with cold caches, that are not counted.
const WARM_UP_CALLS: u64 = 50;

/// A percentile of sorted values, in milliseconds.
fn percentile(sorted: &[Duration], of_hundred: usize) -> f64 {
    sorted[(sorted.len() * of_hundred / 100).min(sorted.len() - 1)].as_secs_f64() * 1e3
}

fn row(what: &str, mut times: Vec<Duration>, relay: Option<&[f64; 3]>) -> [f64; 3] {
    times.sort_unstable();
    let values = [percentile(&times, 50), percentile(&times, 99), percentile(&times, 100)];
    let ratio = relay.map_or("1.00".into(), |r| format!("{:.1} / {:.1}", values[0] / r[0], values[1] / r[1]));
    println!(
        "| {what} | {} | {:.3} | {:.3} | {:.3} | {ratio} |",
        times.len(),
        values[0],
        values[1],
        values[2]
    );
    values
}

#[tokio::main]
async fn main() {
    let template = Template::recorded("answered-first-operator");
    let ringing_at = ringing_extension(&template);
    let directory = tempfile::tempdir().unwrap();
    let mut peer = FakePbx::start().await;
    let config = config(&peer, &directory.path().join("bench.db"));
    let tokens = prepare_store(&config, &ringing_at).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(daemon::run_on(listener, config, shutdown.clone()));
    peer.wait_for(1, 1).await;

    let (seen, mut pops) = mpsc::unbounded_channel();
    let [ringing, others @ ..] = &tokens[..] else { panic!("no desktop") };
    let mut desk = Sse::of(follow(address, ringing).await).await;
    desk.next().await.expect("a first frame");
    tokio::spawn(async move {
        while let Some(event) = desk.next().await {
            let at = Instant::now();
            if event["kind"] == "call.presented" {
                seen.send(at).unwrap();
            }
        }
    });
    for token in others {
        let mut desk = follow(address, token).await;
        desk.chunk().await.unwrap().expect("a first frame");
        // Keep the desktop connected, although no phone rings there.
        tokio::spawn(async move { while let Ok(Some(_)) = desk.chunk().await {} });
    }

    println!(
        "| ringing event to pop, {CALLS_PER_SECOND} calls/s, {DESKTOPS} desktops | pops | p50 ms | p99 ms | max ms | p50 / p99 to relay |"
    );
    println!("|---|---:|---:|---:|---:|---|");
    let relayed = row("bare TCP relay of the ringing event", relay(&template).await, None);
    let times = play(&peer, &template, &mut pops).await;
    row("ringing event to the operator's desktop", times, Some(&relayed));
    println!("| target | | 1.000 | 5.000 | | |");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

/// Plays the calls at [`CALLS_PER_SECOND`]; returns the time of each pop.
async fn play(
    peer: &FakePbx,
    template: &Template,
    pops: &mut mpsc::UnboundedReceiver<Instant>,
) -> Vec<Duration> {
    let parts = template.around_ringing();
    let mut every = tokio::time::interval(Duration::from_secs(1) / CALLS_PER_SECOND);
    let mut times = Vec::new();
    for n in 0..CALLS {
        every.tick().await;
        let [before, ringing, after] = [&parts[0], &parts[1], &parts[2]].map(|part| stamped(part, n));
        peer.emit_bytes(before);
        tokio::time::sleep(RING_DELAY).await;
        let started = Instant::now();
        peer.emit_bytes(ringing);
        let at = pops.recv().await.expect("a pop");
        if n >= WARM_UP_CALLS {
            times.push(at - started);
        }
        peer.emit_bytes(after);
    }
    times
}

fn stamped(part: &Template, n: u64) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    part.stamp(n, &mut bytes);
    bytes.to_vec()
}

/// Sends the same ringing event, at the same rate, through a task that copies bytes from one socket to another.
async fn relay(template: &Template) -> Vec<Duration> {
    let [before, ringing, _] = template.around_ringing();
    let (mut source, mut inward) = pair().await;
    let (mut outward, mut reader) = pair().await;
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = inward.read(&mut buffer).await {
            outward.write_all(&buffer[..n]).await.unwrap();
        }
    });
    let mut every = tokio::time::interval(Duration::from_secs(1) / CALLS_PER_SECOND);
    let mut buffer = vec![0; before.bytes.len().max(ringing.bytes.len())];
    let mut times = Vec::new();
    for n in 0..CALLS / 3 {
        every.tick().await;
        source.write_all(&before.bytes).await.unwrap();
        reader.read_exact(&mut buffer[..before.bytes.len()]).await.unwrap();
        tokio::time::sleep(RING_DELAY).await;
        let started = Instant::now();
        source.write_all(&ringing.bytes).await.unwrap();
        reader.read_exact(&mut buffer[..ringing.bytes.len()]).await.unwrap();
        if n >= WARM_UP_CALLS {
            times.push(started.elapsed());
        }
    }
    times
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, two) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (one, two) = (one.unwrap(), two.unwrap().0);
    one.set_nodelay(true).unwrap();
    two.set_nodelay(true).unwrap();
    (one, two)
}

/// The extension at which the recorded call rings first.
fn ringing_extension(template: &Template) -> Extension {
    let [_, ringing, _] = template.around_ringing();
    let text = String::from_utf8(ringing.bytes).unwrap();
    let channel = text.lines().find_map(|line| line.strip_prefix("Channel: PJSIP/")).unwrap();
    Extension::parse(channel.split('-').next().unwrap()).unwrap()
}

async fn follow(address: SocketAddr, token: &str) -> reqwest::Response {
    let http = http();
    http.get(format!("http://{address}/v1/events")).bearer_auth(token).send().await.unwrap()
}

fn config(peer: &FakePbx, database: &std::path::Path) -> Config {
    let set = |key: &str, value: &str| (format!("TORITSUGI__{key}"), value.to_owned());
    let environment = [
        set("PBX__PORT", &peer.port().to_string()),
        set("PBX__EVENT_SECRET", SECRET),
        set("PBX__ACTION_SECRET", SECRET),
        set("PBX__TRUNKS", "trunk"),
        set("STORE__PATH", database.to_str().unwrap()),
    ];
    Config::from_layers(None, environment).unwrap()
}

/// Imports the sample companies and adds 200 users; calls ring at the first of them.
async fn prepare_store(config: &Config, ringing_at: &Extension) -> Vec<String> {
    let now = Timestamp::now();
    let store = Store::open(&config.store.path).await.unwrap();
    let directory = Directory::load(store.clone(), DirectoryOptions::default()).await.unwrap();
    for (kind, file) in [(ImportKind::Accounts, "accounts.csv"), (ImportKind::Customers, "customers.csv")] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(file);
        let options = ImportOptions { kind, encoding: TextEncoding::Utf8, dry_run: false };
        directory.import(std::fs::File::open(path).unwrap(), options, now).await.unwrap();
    }
    let mut tokens = Vec::new();
    for n in 0..DESKTOPS {
        let supervisor = n >= DESKTOPS - SUPERVISORS;
        let own = Extension::parse(&format!("1{:03}", 100 + n)).unwrap();
        let role = if supervisor { Role::Supervisor } else { Role::Operator };
        let extension = if n == 0 { ringing_at.clone() } else { own };
        tokens.push(desktops::add_user(&store, format!("person {n}"), role, Some(extension), "all").await);
    }
    store.close().await;
    tokens
}
