//! Measures what the daemon takes of the machine beside a real Asterisk: the time of the processors and the wake-ups of both,
//! on the same calls in the same run.
//!
//! Three phases, each with [`CALLS_PER_SECOND`] calls for [`PHASE`] after a quiet time: an administrator's desktop, the
//! desktops of [`OPERATORS`] operators besides, and [`OPERATORS`] administrators' desktops, who all see everything. The
//! daemon is the built command in a process of its own; the desktops are read and thrown away by this one. A wake-up is a
//! voluntary switch of one of the process's threads. Needs what `make lab` needs.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its results and stops on failure"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use support::pbx_lab::{CallSpec, Lab};
use support::people::{TestUser, add_token, add_user};
use support::service::Service;
use support::wait::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use toritsugi::people::role::Role;
use toritsugi::store::Store;

const CALLS_PER_SECOND: u32 = 5;
const PHASE: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_secs(10);
const OPERATORS: usize = 200;
const DIALLED: &str = "0355501001";

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let (operators, administrators) = people(&service).await;
    let mut daemon = start(&service);
    eventually("the daemon answers", async || service.metric("toritsugi_unwritten_events").await).await;
    service.until("admin", "/readyz", |status, _| status.is_success()).await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).talks_briefly(Duration::from_millis(200), Duration::from_millis(300)).await;
    }
    println!(
        "{:<42} {:>9} {:>9} {:>7} {:>12} {:>12} {:>11}",
        format!("{CALLS_PER_SECOND} calls/s"),
        "daemon",
        "PBX",
        "share",
        "ms per call",
        "wakes/call",
        "quiet"
    );
    let mut desktops = vec![desktop(service.address, service.token("admin")).await];
    phase(&lab, &daemon, "1 administrator's desktop").await;
    for token in &operators {
        desktops.push(desktop(service.address, token).await);
    }
    phase(&lab, &daemon, "and 200 operators' desktops").await;
    desktops.truncate(1);
    for token in &administrators {
        desktops.push(desktop(service.address, token).await);
    }
    phase(&lab, &daemon, "1 and 200 administrators' desktops").await;
    drop(desktops);
    daemon.kill().await.unwrap();
}

/// Adds the operators and administrators; returns their tokens.
async fn people(service: &Service) -> (Vec<String>, Vec<String>) {
    let (now, store) = (Timestamp::now(), Store::open(&service.config.store.path).await.unwrap());
    let (mut operators, mut administrators) = (Vec::new(), Vec::new());
    for n in 0..OPERATORS {
        let extension = (3_000 + n).to_string();
        let (name, team) = (format!("operator {n}"), format!("team {}", n / 20));
        let operator = TestUser::new(&name, Role::Operator, Some(&extension), Some(&team));
        let user = add_user(&store, &operator, now).await;
        operators.push(add_token(&store, user, None, now).await);
        let name = format!("administrator {n}");
        let user = add_user(&store, &TestUser::new(&name, Role::Admin, None, None), now).await;
        administrators.push(add_token(&store, user, None, now).await);
    }
    store.close().await;
    (operators, administrators)
}

fn start(service: &Service) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command.arg("serve").envs(service.environment.iter().cloned()).env("TORITSUGI__LOG__LEVEL", "error");
    command.kill_on_drop(true).spawn().unwrap()
}

/// A desktop that reads everything; it ends when the handle is dropped.
async fn desktop(address: SocketAddr, token: &str) -> tokio::task::JoinSet<()> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 65_536];
    let read = stream.read(&mut bytes).await.unwrap();
    assert!(bytes[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes[..read]));
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(async move { while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {} });
    reading
}

async fn phase(lab: &Lab, daemon: &Child, name: &str) {
    let (daemon, pbx) = (daemon.id().unwrap(), lab.fact("LAB_PBX_PID").parse().unwrap());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = Use::of(daemon);
    tokio::time::sleep(QUIET).await;
    let quiet = Use::of(daemon).since(&before);
    let (of_daemon, of_pbx) = (Use::of(daemon), Use::of(pbx));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / CALLS_PER_SECOND);
    let (began, mut calls) = (Instant::now(), Vec::new());
    while began.elapsed() < PHASE {
        ticks.tick().await;
        let from = format!("0901{:07}", calls.len());
        let spec = CallSpec::new(&from, DIALLED).gives_up_after(Duration::from_secs(4));
        calls.push(lab.place_call(spec).await);
    }
    for call in &calls {
        call.ends().await;
    }
    let (of_daemon, of_pbx) = (Use::of(daemon).since(&of_daemon), Use::of(pbx).since(&of_pbx));
    let number = calls.len() as f64;
    println!(
        "{name:<42} {:>7.2} s {:>7.2} s {:>5.1} % {:>12.2} {:>12.1} {:>9.1}/s",
        of_daemon.seconds(),
        of_pbx.seconds(),
        100.0 * of_daemon.seconds() / of_pbx.seconds(),
        1_000.0 * of_daemon.seconds() / number,
        of_daemon.wakes() / number,
        quiet.wakes() / QUIET.as_secs_f64(),
    );
    for (thread, Thread { nanos, wakes }) in &of_daemon.threads {
        let milliseconds = *nanos as f64 / 1e6 / number;
        println!("    {thread:<38} {milliseconds:>8.2} ms {:>10.1} wakes a call", *wakes as f64 / number);
    }
}

/// What the threads of a process used, by the name of the thread.
struct Use {
    threads: BTreeMap<String, Thread>,
}

#[derive(Clone, Copy, Default)]
struct Thread {
    nanos: u64,
    wakes: u64,
}

impl Use {
    fn of(process: u32) -> Self {
        let mut threads: BTreeMap<String, Thread> = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
            let task = task.unwrap().path();
            // One that ends meanwhile is left out.
            let read = |file: &str| fs::read_to_string(task.join(file)).unwrap_or_default();
            let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse().ok());
            let wakes = read("status")
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").and_then(&number));
            let thread = threads.entry(read("comm").trim().to_owned()).or_default();
            thread.nanos += number(&read("schedstat")).unwrap_or(0);
            thread.wakes += wakes.unwrap_or(0);
        }
        Self { threads }
    }

    fn since(mut self, before: &Self) -> Self {
        for (name, thread) in &mut self.threads {
            let before = before.threads.get(name).copied().unwrap_or_default();
            thread.nanos = thread.nanos.saturating_sub(before.nanos);
            thread.wakes = thread.wakes.saturating_sub(before.wakes);
        }
        self
    }

    fn seconds(&self) -> f64 {
        self.threads.values().map(|thread| thread.nanos as f64).sum::<f64>() / 1e9
    }

    fn wakes(&self) -> f64 {
        self.threads.values().map(|thread| thread.wakes as f64).sum()
    }
}
