//! Measures a pop through the whole daemon: from the ringing event on the AMI socket to the pop on a desktop's socket, at
//! 50 calls a second with 200 desktops connected, beside a bare TCP relay of the ringing event.
//!
//! `cargo bench --bench pop`. A scripted PBX plays recorded calls, each with its own ids. The daemon is the real one, on
//! SQLite with the sample companies. The desktops follow `/v1/events`. The time runs from handing the ringing event's
//! bytes to the fake PBX's socket task until the operator's desktop has read the pop's last byte; like the relay's, it
//! includes two passes through the kernel. Each call's pop goes to one operator of the 200; five supervisors' desktops
//! get every pop. A second daemon does the same while it has 10,000 mails to send, to a mail server that takes all of them.

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
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toritsugi::config::Config;
use toritsugi::contract::message::{MessageFields, MessageKind, NewMessage};
use toritsugi::contract::records::{AccountFields, ContactFields};
use toritsugi::daemon;
use toritsugi::directory::import::{ImportKind, ImportOptions, TextEncoding};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::ids::{Extension, PbxId, RecordId};
use toritsugi::numbers::NumberPlan;
use toritsugi::people::role::Role;
use toritsugi::store::Store;
use toritsugi::store::mail_servers::MAIL_SERVER;
use uuid::Uuid;

use calls::Template;
use support::client::{Sse, http};
use support::fake_pbx::{FakePbx, SECRET};

const CALL: &str = "answered-first-operator";
const DESKTOPS: usize = 200;
/// Mails that wait when the second measurement begins.
const QUEUED: usize = 10_000;
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
    println!(
        "| ringing event to pop, {CALLS_PER_SECOND} calls/s, {DESKTOPS} desktops | pops | p50 ms | p99 ms | max ms | p50 / p99 to relay |"
    );
    println!("|---|---:|---:|---:|---:|---|");
    let relayed = row("bare TCP relay of the ringing event", relay(&Template::recorded(CALL)).await, None);
    row("ringing event to the operator's desktop", measure(0).await, Some(&relayed));
    row(&format!("the same while {QUEUED} mails are sent"), measure(QUEUED).await, Some(&relayed));
    println!("| target | | 1.000 | 5.000 | | |");
}

/// The times of the pops of a daemon that has so many mails to send.
async fn measure(queued: usize) -> Vec<Duration> {
    let template = Template::recorded(CALL);
    let ringing_at = ringing_extension(&template);
    let directory = tempfile::tempdir().unwrap();
    let mut peer = FakePbx::start().await;
    let mail = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(&peer, mail.local_addr().unwrap(), &directory.path().join("bench.db"));
    let tokens = prepare_store(&config, &ringing_at, queued).await;
    let taken = serve_mail(mail);
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
    let (before, begun) = (taken.load(Ordering::Relaxed), Instant::now());
    let times = play(&peer, &template, &mut pops).await;
    let sent = taken.load(Ordering::Relaxed) - before;
    if queued > 0 {
        assert!(before + sent < queued, "the mails were all sent before the last call: there are too few");
        println!(
            "| mails a second meanwhile: {:.0} | | | | | |",
            f64::from(u32::try_from(sent).unwrap()) / begun.elapsed().as_secs_f64()
        );
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    times
}

/// A mail server that takes everything; counts the mails.
fn serve_mail(listener: TcpListener) -> Arc<AtomicUsize> {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut answer = "220 sink ESMTP\r\n";
                let (mut line, mut is_data) = (String::new(), false);
                loop {
                    if !answer.is_empty() && stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                    line.clear();
                    if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                        return;
                    }
                    answer = match (is_data, line.as_str()) {
                        (true, ".\r\n") => {
                            counted.fetch_add(1, Ordering::Relaxed);
                            is_data = false;
                            "250 taken\r\n"
                        }
                        (true, _) => "",
                        (false, "DATA\r\n") => {
                            is_data = true;
                            "354 go on\r\n"
                        }
                        (false, "QUIT\r\n") => return,
                        (false, _) => "250 ok\r\n",
                    };
                }
            });
        }
    });
    taken
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

fn config(peer: &FakePbx, mail: SocketAddr, database: &std::path::Path) -> Config {
    let set = |key: &str, value: &str| (format!("TORITSUGI__{key}"), value.to_owned());
    let environment = [
        set("PBX__PORT", &peer.port().to_string()),
        set("PBX__EVENT_SECRET", SECRET),
        set("PBX__ACTION_SECRET", SECRET),
        set("PBX__TRUNKS", "trunk"),
        set("STORE__PATH", database.to_str().unwrap()),
        set("MAIL__HOST", "127.0.0.1"),
        set("MAIL__PORT", &mail.port().to_string()),
        set("MAIL__TLS", "none"),
        set("MAIL__FROM", "report@example.jp"),
        set("MAIL__CONNECTIONS", "4"),
        set("MAIL__PER_MINUTE", "100000"),
    ];
    Config::from_layers(None, environment).unwrap()
}

/// Imports the sample companies and adds 200 users; calls ring at the first of them.
async fn prepare_store(config: &Config, ringing_at: &Extension, queued: usize) -> Vec<String> {
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
    queue_mails(&store, queued, now).await;
    store.close().await;
    tokens
}

/// Messages of 3 KB, each with a mail that waits.
async fn queue_mails(store: &Store, count: usize, now: Timestamp) {
    let plan = NumberPlan::default();
    let fields =
        AccountFields { code: "MAIL".into(), name: "さくら商事".into(), ..AccountFields::default() };
    let account = store.create_account(&fields.checked(&plan).unwrap(), now).await.unwrap().id;
    let fields =
        ContactFields { email: Some("desk@example.jp".into()), ..ContactFields::named(account, "佐々木") };
    let contact = store.create_contact(&fields.checked(&plan).unwrap(), now).await.unwrap().id;
    store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    let fields = MessageFields {
        contact: Some(contact),
        text: "納期を確認したい。".repeat(100),
        ..MessageFields::default()
    };
    let content = fields.checked(&plan).unwrap();
    let pbx = PbxId::parse("pbx").unwrap();
    for n in 0..count {
        let new = NewMessage {
            id: RecordId(Uuid::from_u128(n as u128 + 1)),
            account,
            call: None,
            customer: None,
            kind: MessageKind::Message,
            taken_by: Some(RecordId(Uuid::from_u128(7))),
            taken_by_name: "佐藤".into(),
            caller: None,
            content: content.clone(),
            day: "261130".into(),
            not_before: now,
        };
        store.create_message(&new, &pbx, now).await.unwrap();
    }
}
