//! Measures what one gateway and one Redis hold: accounts, live calls, operators, desktops, daemons.
//!
//! | part | what is measured |
//! |---|---|
//! | [`ACCOUNTS`] accounts | the import, the load, the memory of the directory |
//! | [`CALLS`] live calls, [`OPERATORS`] operators in one board | their memory; an administrator's and an operator's snapshot |
//! | a shift change of [`LOG_INS`] operators, as fast as they come | the gateway's processor time for each, and the last one's wait |
//! | [`DESKTOPS`] desktops, [`EVENTS_PER_SECOND`] events a second | memory of each; from publishing to the desktop |
//! | [`DAEMONS`] daemons on one Redis, each with [`CALLS_PER_DAEMON`] calls a second | processor time of all and of Redis; from publishing to another daemon |
//!
//! The desktops are read by a second process (this command with `desktops`), so that memory and time are the gateway's alone.
//! The memory of accounts, calls and operators is that of a new process each (`memory`), which has no freed memory to use again.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

#[path = "../tests/services/mod.rs"]
mod backends;
#[path = "desktops/mod.rs"]
mod desktops;

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toritsugi::bus::redis::{RedisAddress, RedisSettings, SigningKey};
use toritsugi::bus::{Bus, BusSettings, Subscription};
use toritsugi::contract::call::{CallState, CallView, Direction};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::event_id::StreamToken;
use toritsugi::contract::operator::{State, StateView};
use toritsugi::directory::import::{ImportKind, ImportOptions, TextEncoding};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::gateway::serve;
use toritsugi::ids::{CallId, ChannelId, Extension, PbxId, RecordId};
use toritsugi::people::password::PasswordHash;
use toritsugi::people::presence::Presence;
use toritsugi::people::role::Role;
use toritsugi::people::viewer::Viewer;
use toritsugi::store::Store;

const ACCOUNTS: usize = 10_000;
const CALLS: usize = 10_000;
const OPERATORS: usize = 2_000;
const LOG_INS: usize = 1_500;
const DESKTOPS: usize = 4_000;
const EVENTS_PER_SECOND: u64 = 50;
const DAEMONS: usize = 20;
const CALLS_PER_DAEMON: u64 = 5;

const SECONDS: u64 = 10;
/// Clients that connect at the same time.
const CONNECTING_MAX: usize = 32;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("desktops") {
        let (address, tokens) = (arguments.next().unwrap(), arguments.next().unwrap());
        return runtime().block_on(clients(address.parse().unwrap(), tokens));
    }
    // `cargo test --benches` and `--list` measure nothing here.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    if first.as_deref() == Some("memory") {
        return runtime().block_on(memory(&arguments.next().unwrap(), arguments.next()));
    }
    runtime().block_on(gateway());
    runtime().block_on(daemons());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn row(what: &str, figures: &str) {
    println!("{what:<62} {figures}");
}

// ---- One gateway ---------------------------------------------------------------------

async fn gateway() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
    let file = dir.path().join("toritsugi.db");
    accounts(&store, &file).await;
    let (tokens, people) = users(&store).await;
    let tokens_file = dir.path().join("tokens");
    fs::write(&tokens_file, tokens.join("\n")).unwrap();
    let bus = Bus::new(settings(&desktops::pbx()));
    fill_calls(&bus);
    fill_operators(&bus, &people);
    let (of_calls, of_operators) = (measured("calls", None).await, measured("operators", None).await);
    row(
        &format!("{CALLS} live calls, {OPERATORS} operators, with their last events"),
        &format!("{} and {} bytes each", of_calls / CALLS as u64, of_operators / OPERATORS as u64),
    );
    let app = desktops::app(store, bus.clone(), 2 * DESKTOPS).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, app, shutdown.clone()));
    let mut clients = Clients::start(address, tokens_file.to_str().unwrap());
    for (who, n) in [("administrator", 0), ("operator", OPERATORS)] {
        let answer = clients.ask(&format!("snapshot {n}")).await;
        row(&format!("snapshot for an {who}: {CALLS} calls, {OPERATORS} operators"), &answer);
    }
    let (memory, before, began) = (resident(), processor(), Instant::now());
    let waits = clients.ask(&format!("connect {} {}", OPERATORS, OPERATORS + LOG_INS)).await;
    let used = (processor() - before) / LOG_INS as u32;
    let took = began.elapsed();
    row(
        &format!("{LOG_INS} operators' desktops at once"),
        &format!("{took:.1?}, {used:.0?} of a processor each; {waits}"),
    );
    sign_in();
    clients.ask(&format!("connect 1 {OPERATORS}")).await;
    clients.ask(&format!("connect {} {DESKTOPS}", OPERATORS + LOG_INS)).await;
    let each = resident().saturating_sub(memory) / DESKTOPS as u64;
    row(&format!("{DESKTOPS} desktops"), &format!("{} KiB of memory each", each / 1024));
    let before = processor();
    publish(&bus).await;
    let share = (processor() - before).as_secs_f64() / SECONDS as f64;
    let answer = clients.ask("report").await;
    row(
        &format!("{EVENTS_PER_SECOND} events/s to an operator, 1 of 20 to everybody"),
        &format!("{:.0} % of a processor; {answer}", 100.0 * share),
    );
    assert_eq!(bus.stats().cut_off_total, 0, "a desktop was cut off");
    shutdown.cancel();
}

/// Prints how much memory a part takes, in bytes: `accounts` of this database, `calls` or `operators`.
async fn memory(part: &str, database: Option<String>) {
    let bus = Bus::new(settings(&desktops::pbx()));
    let people: Vec<RecordId> = (0..OPERATORS).map(|_| RecordId(uuid::Uuid::now_v7())).collect();
    let store = match database {
        Some(database) => Some(Store::open(database.as_ref()).await.unwrap()),
        None => None,
    };
    let before = resident();
    let directory = match (part, store) {
        ("accounts", Some(store)) => Some(Directory::load(store, DirectoryOptions::default()).await.unwrap()),
        ("calls", None) => {
            fill_calls(&bus);
            None
        }
        ("operators", None) => {
            fill_operators(&bus, &people);
            None
        }
        _ => panic!("{part}"),
    };
    println!("{}", resident().saturating_sub(before));
    drop((bus, directory));
}

/// What a new process says about the memory of a part.
async fn measured(part: &str, database: Option<&Path>) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["memory", part]).args(database).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

async fn accounts(store: &Store, file: &Path) {
    let mut lines = String::from("code,name,kana,answer_phrase,notes,dialled,forwarding\n");
    for n in 0..ACCOUNTS {
        let _ = writeln!(
            lines,
            "A{n:05},株式会社見本{n},みほん,お電話ありがとうございます。見本{n}でございます。,急ぎの用件は営業部へ。,0355{n:06},0366{n:06}"
        );
    }
    let directory = Directory::load(store.clone(), DirectoryOptions::default()).await.unwrap();
    let options = ImportOptions { kind: ImportKind::Accounts, encoding: TextEncoding::Utf8, dry_run: false };
    let started = Instant::now();
    directory.import(Cursor::new(lines.into_bytes()), options, Timestamp::now()).await.unwrap();
    let imported = started.elapsed();
    drop(directory);
    let started = Instant::now();
    drop(Directory::load(store.clone(), DirectoryOptions::default()).await.unwrap());
    let loaded = started.elapsed();
    let mib = measured("accounts", Some(file)).await / (1024 * 1024);
    row(
        &format!("{ACCOUNTS} accounts"),
        &format!("imported in {imported:.1?}, loaded in {loaded:.1?}; {mib} MiB"),
    );
}

/// One administrator and supervisors, then operators: their tokens, and the operators' records.
async fn users(store: &Store) -> (Vec<String>, Vec<RecordId>) {
    let mut tokens = Vec::with_capacity(DESKTOPS);
    for n in 0..DESKTOPS {
        let role = match n {
            0 => Role::Admin,
            n if n < OPERATORS / 20 => Role::Supervisor,
            _ => Role::Operator,
        };
        let name = (10_000 + n).to_string();
        let extension = (role != Role::Admin).then(|| Extension::parse(&name).unwrap());
        tokens.push(desktops::add_user(store, name, role, extension, &format!("team {}", n % 100)).await);
    }
    let people = store.roster().await.unwrap().everybody().map(|person| person.id).collect();
    (tokens, people)
}

/// Publishes the live calls.
fn fill_calls(bus: &Bus) {
    for n in 0..CALLS {
        let change = StateDelta::Call(Arc::new(call(n)));
        bus.publish(event(EventKind::CallOffered, n, Audience::Supervisors, change));
    }
}

/// Publishes the operators' states.
fn fill_operators(bus: &Bus, people: &[RecordId]) {
    for (n, id) in people.iter().take(OPERATORS).enumerate() {
        let extension = Extension::parse(&(10_000 + n).to_string()).ok();
        let unknown = StateView::unknown(*id, format!("operator {n}").into(), extension);
        let view = StateView { state: State::Ready, version: 1, ..unknown };
        bus.publish(event(EventKind::OperatorState, n, Audience::All, StateDelta::Operator(Arc::new(view))));
    }
}

fn call(n: usize) -> CallView {
    let operator = Extension::parse(&(10_000 + n % OPERATORS).to_string()).unwrap();
    CallView {
        id: CallId::derive(&desktops::pbx(), &ChannelId::parse(&format!("{n}.1")).unwrap()),
        pbx: desktops::pbx(),
        direction: Direction::Inbound,
        state: CallState::Answered,
        offered_at: Timestamp::now(),
        answered_at: None,
        ended_at: None,
        presented_to: Vec::new(),
        operator: Some(operator),
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    }
}

fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn event(kind: EventKind, n: usize, audience: Audience, change: StateDelta) -> NewEvent {
    // About as long as a pop.
    let data = json!({ "sent": now_nanos(), "n": n, "text": "取".repeat(300) });
    NewEvent { kind, at: Timestamp::now(), call: None, audience, data, change }
}

async fn publish(bus: &Bus) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / EVENTS_PER_SECOND));
    for n in 0..usize::try_from(EVENTS_PER_SECOND * SECONDS).unwrap() {
        ticks.tick().await;
        let operator = Extension::parse(&(12_000 + n % LOG_INS).to_string()).unwrap();
        let audience = if n % 20 == 0 { Audience::All } else { Audience::Operators(vec![operator]) };
        bus.publish(event(EventKind::CallUpdated, n, audience, StateDelta::None));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// What a password costs, beside the snapshot.
fn sign_in() {
    let hash = PasswordHash::of("a password of a person").unwrap();
    let started = Instant::now();
    for _ in 0..10 {
        assert!(hash.verify("a password of a person"));
    }
    let each = started.elapsed() / 10;
    let share = 100.0 * each.as_secs_f64() * LOG_INS as f64 / 120.0;
    row(
        "a password at a sign-in",
        &format!("{each:.1?}; {LOG_INS} in two minutes take {share:.0} % of a processor"),
    );
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Processor time of this process.
fn processor() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

// ---- The desktops, in a process of their own -----------------------------------------

struct Clients {
    _process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Clients {
    fn start(address: SocketAddr, tokens: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["desktops", &address.to_string(), tokens]).kill_on_drop(true);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { _process: process, commands, answers }
    }

    async fn ask(&mut self, command: &str) -> String {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).await.unwrap();
        assert!(!line.is_empty(), "the desktops ended at {command}");
        line.trim_end().to_owned()
    }
}

type Latencies = Arc<parking_lot::Mutex<Vec<Duration>>>;

async fn clients(address: SocketAddr, tokens: String) {
    let tokens: Vec<String> = fs::read_to_string(tokens).unwrap().lines().map(str::to_owned).collect();
    let latencies = Latencies::default();
    let (sender, mut commands) = tokio::sync::mpsc::channel::<String>(1);
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lines();
        while let Some(Ok(line)) = lines.next()
            && sender.blocking_send(line).is_ok()
        {}
    });
    while let Some(command) = commands.recv().await {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["snapshot", n] => {
                let (started, token) = (Instant::now(), &tokens[n.parse::<usize>().unwrap()]);
                let (_stream, bytes) = connect(address, token).await;
                println!("{:.1?}, {bytes} bytes", started.elapsed());
            }
            ["connect", from, to] => {
                let range = from.parse::<usize>().unwrap()..to.parse().unwrap();
                let mut waits = connect_all(address, &tokens[range], &latencies).await;
                waits.sort_unstable();
                println!("the last one waited {:.1?}", waits.last().unwrap());
            }
            ["report"] => {
                let mut all = std::mem::take(&mut *latencies.lock());
                all.sort_unstable();
                let at = |percent: usize| all[(all.len() - 1) * percent / 100];
                println!("{} deliveries, p50 {:.1?}, p99 {:.1?}", all.len(), at(50), at(99));
            }
            _ => panic!("{command}"),
        }
    }
}

/// Connects these people's desktops, some at a time; returns how long each waited for the snapshot.
async fn connect_all(address: SocketAddr, tokens: &[String], latencies: &Latencies) -> Vec<Duration> {
    let permits = Arc::new(tokio::sync::Semaphore::new(CONNECTING_MAX));
    let mut connecting = tokio::task::JoinSet::new();
    for token in tokens {
        let (token, permits, latencies) = (token.clone(), Arc::clone(&permits), Arc::clone(latencies));
        connecting.spawn(async move {
            let permit = permits.acquire_owned().await.unwrap();
            let started = Instant::now();
            let (stream, _) = connect(address, &token).await;
            drop(permit);
            tokio::spawn(read(stream, latencies));
            started.elapsed()
        });
    }
    connecting.join_all().await
}

/// Opens a desktop's stream and reads its snapshot; returns how long that was.
async fn connect(address: SocketAddr, token: &str) -> (TcpStream, usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        let before = bytes.len().saturating_sub(1);
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the gateway closed the connection");
        if bytes[before..].windows(2).any(|pair| pair == b"\n\n") {
            assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
            return (stream, bytes.len());
        }
    }
}

async fn read(mut stream: TcpStream, latencies: Latencies) {
    let (mut bytes, finder) = (vec![0; 8 * 1024], memchr::memmem::Finder::new(b"\"sent\":"));
    while let Ok(length) = stream.read(&mut bytes).await
        && length > 0
    {
        let now = now_nanos();
        for at in finder.find_iter(&bytes[..length]) {
            let digits = bytes[at + 7..length].iter().take_while(|byte| byte.is_ascii_digit());
            let sent = digits.fold(0_u64, |sent, digit| sent.wrapping_mul(10) + u64::from(digit - b'0'));
            // A number that the end of the buffer cuts off is left out.
            if let Some(took) = now.checked_sub(sent).filter(|took| *took < 60_000_000_000) {
                latencies.lock().push(Duration::from_nanos(took));
            }
        }
    }
}

// ---- Daemons on one Redis ------------------------------------------------------------

fn settings(pbx: &PbxId) -> BusSettings {
    BusSettings {
        pbx: pbx.clone(),
        stream: StreamToken::parse("b").unwrap(),
        replay_events_max: 20_000,
        replay_age_max: Duration::from_secs(3_600),
        subscriber_events_max: 4_096,
        subscribers_max: 2 * DESKTOPS,
    }
}

async fn daemons() {
    let backends = backends::Backends::start();
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let mut buses = Vec::new();
    for n in 0..DAEMONS {
        buses.push(shared(&backends.redis_url(), &format!("pbx{n}"), &tasks, &shutdown).await);
    }
    let events = 4 * CALLS_PER_DAEMON * DAEMONS as u64;
    let mut subscription = buses[0].subscribe(Viewer::unrestricted(Role::System), None).unwrap();
    let reading = tokio::spawn(async move { latencies_of(&mut subscription, events * SECONDS / 2).await });
    let before = processor();
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / events));
    for n in 0..usize::try_from(events * SECONDS).unwrap() {
        ticks.tick().await;
        let delta = StateDelta::Call(Arc::new(CallView { pbx: pbx(n % DAEMONS), ..call(n % CALLS) }));
        let mut event = event(EventKind::CallUpdated, n, Audience::All, delta);
        event.call = Some(call(n % CALLS).id);
        buses[n % DAEMONS].publish(event);
    }
    let share = 100.0 * (processor() - before).as_secs_f64() / SECONDS as f64 / DAEMONS as f64;
    let mut took = reading.await.unwrap();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    row(
        &format!("{DAEMONS} daemons on one Redis, {events} events/s in all"),
        &format!(
            "{share:.1} % of a processor for each; at one of them p50 {:.1?}, p99 {:.1?}",
            at(50),
            at(99)
        ),
    );
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
}

fn pbx(n: usize) -> PbxId {
    PbxId::parse(&format!("pbx{n}")).unwrap()
}

async fn latencies_of(subscription: &mut Subscription, events: u64) -> Vec<Duration> {
    let mut found = Vec::new();
    while (found.len() as u64) < events {
        let event = subscription.next().await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&event.json()).unwrap();
        if let Some(sent) = body["data"]["sent"].as_u64() {
            found.push(Duration::from_nanos(now_nanos().saturating_sub(sent)));
        }
    }
    found
}

async fn shared(url: &str, pbx: &str, tasks: &TaskTracker, shutdown: &CancellationToken) -> Bus {
    let pbx = PbxId::parse(pbx).unwrap();
    let redis = RedisSettings {
        address: RedisAddress::parse(&[url], None, false).unwrap().unwrap(),
        prefix: "bench".into(),
        daemon: getrandom::u64().unwrap(),
        started_at: Timestamp::now(),
        known_calls: Vec::new(),
        teams: Vec::new(),
        signing_key: SigningKey::new([7; 32]),
        accept_unsigned: false,
        presence: Presence::default(),
    };
    let bus = Bus::shared(settings(&pbx), redis, None, tasks, shutdown);
    let up = StateDelta::Pbx { up: true, since: Timestamp::now() };
    let (kind, at) = (EventKind::PbxUp, Timestamp::now());
    bus.publish(NewEvent { kind, at, call: None, audience: Audience::All, data: json!({}), change: up });
    while !bus.cluster_stats().unwrap().leads {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bus
}
