//! The disk is full, fails, turns read-only or is locked, and the database file is gone, for the length of some calls. Meanwhile pops go
//! on and `/readyz` says that the store is not ready; afterwards everything that waited is in the store, once, and
//! writing goes on without a restart.
//!
//! A full disk is a tmpfs of a few MiB in a mount namespace of the daemon's own; the test fills it through
//! `/proc/<process>/root`. A failing disk is a limit of 0 bytes on the size of files: every write fails, which SQLite
//! takes for an I/O error. The daemon's log is on the same disk.
//!
//! No file system can be remounted read-only while a file is open for writing (EBUSY). One that turns itself read-only after
//! an error (ext4 with `errors=remount-ro`) cannot be written again before it is mounted anew. What a daemon meets
//! there is put together instead: every write to the files that are open fails, and a read-only mount over the directory
//! answers EROFS to each attempt to open them again. Both can be taken back.
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::process::{Child, Command};

use super::desktop::Desktop;
use super::load::Load;
use super::messages::MessageWriter;
use super::verify::nothing_is_lost;
use super::{all_is_logged, start, start_by};
use crate::far_end_cdr::Placed;
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;
use crate::support::wait::eventually;

/// Calls during each fault.
const CALLS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_no_call_no_message_and_no_state() {
    let lab = Lab::start().await;
    let mut service = Service::outside(&lab, &[]).await;
    let mut daemon = start_on_small_disk(&mut service);
    let bench = Bench::new(&lab, &service).await;
    let disk = PathBuf::from(format!("/proc/{}/root", daemon.id().unwrap()))
        .join(database(&service).parent().unwrap().strip_prefix("/").unwrap());
    let mut placed = Vec::new();
    for series in ["61", "62"] {
        let filler = disk.join("filler");
        let fault = Fault { series, not_ready: true };
        placed.extend(
            bench.endure(&fault, async || fill(&filler), async || fs::remove_file(&filler).unwrap()).await,
        );
    }
    println!("{}", bench.verify(&placed).await);
    drop(bench);
    daemon.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_a_locked_file_and_one_that_was_moved_lose_nothing() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    command.arg("serve").stderr(File::create(database(&service).with_extension("log")).unwrap());
    let mut daemon = start_by(command, &service);
    let bench = Bench::new(&lab, &service).await;
    let mut placed = Vec::new();

    let process = daemon.id().unwrap();
    let fault = Fault { series: "63", not_ready: true };
    let (fails, works) =
        (async || limit_file_size(process, "0").await, async || limit_file_size(process, "unlimited").await);
    placed.extend(bench.endure(&fault, fails, works).await);

    let (path, away) = (database(&service), database(&service).with_extension("away"));
    let fault = Fault { series: "64", not_ready: true };
    let (goes, returns) =
        (async || fs::rename(&path, &away).unwrap(), async || fs::rename(&away, &path).unwrap());
    placed.extend(bench.endure(&fault, goes, returns).await);

    // A large import holds the lock as long; that is no reason to take the daemon out of service.
    let fault = Fault { series: "65", not_ready: false };
    let holder = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let held = tokio::sync::Mutex::new(holder);
    let sql = async |sql: &'static str| {
        sqlx::query(sql).execute(&mut *held.lock().await).await.unwrap();
    };
    placed.extend(
        bench.endure(&fault, async || sql("BEGIN IMMEDIATE").await, async || sql("COMMIT").await).await,
    );

    println!("{}", bench.verify(&placed).await);
    drop(bench);
    daemon.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_turns_read_only_loses_no_call_no_message_and_no_state() {
    let lab = Lab::start().await;
    let mut service = Service::outside(&lab, &[]).await;
    let mut daemon = start_on_small_disk(&mut service);
    let bench = Bench::new(&lab, &service).await;
    let process = daemon.id().unwrap();
    let disk = database(&service).parent().unwrap().to_owned();
    let within = PathBuf::from(format!("/proc/{process}/root")).join(disk.strip_prefix("/").unwrap());
    let turns = async || {
        let over = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1""#;
        in_mounts_of(process, over, &disk).await;
        limit_file_size(process, "0").await;
        let error = File::create(within.join("new")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{error}");
    };
    let turns_back = async || {
        // Files that were opened on the read-only mount keep it in use until they are closed.
        in_mounts_of(process, r#"umount --lazy "$1""#, &disk).await;
        limit_file_size(process, "unlimited").await;
    };
    let mut placed = Vec::new();
    for series in ["67", "68"] {
        placed.extend(bench.endure(&Fault { series, not_ready: true }, turns, turns_back).await);
    }
    println!("{}", bench.verify(&placed).await);
    drop(bench);
    daemon.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_on_the_same_file_refuses_to_start_and_the_first_goes_on() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let mut daemon = start(&service);
    let bench = Bench::new(&lab, &service).await;
    let mut second = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    second
        .arg("serve")
        .envs(service.environment.iter().cloned())
        .env("TORITSUGI__GATEWAY__LISTEN", "127.0.0.1:0");
    let refused = second.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let process = format!("another daemon (process {}) uses the database", daemon.id().unwrap());
    assert!(!refused.status.success() && said.contains(&process), "{said}");
    let fault = Fault { series: "66", not_ready: false };
    let placed = bench.endure(&fault, async || {}, async || {}).await;
    println!("{}", bench.verify(&placed).await);
    drop(bench);
    daemon.kill().await.unwrap();
}

struct Fault {
    /// Part of the callers' numbers.
    series: &'static str,
    /// Whether `/readyz` must say so.
    not_ready: bool,
}

/// The daemon under test, the desktops, and what was written.
struct Bench<'a> {
    lab: &'a Lab,
    service: &'a Service,
    desktops: Vec<Desktop>,
    notes: MessageWriter,
    account: String,
    operator: String,
}

impl<'a> Bench<'a> {
    async fn new(lab: &'a Lab, service: &'a Service) -> Self {
        let desktops = Desktop::follow_many(service, 2).await;
        let first = async |path: &str| {
            let (status, list) = service.ask("1001", Method::GET, path, None).await;
            assert_eq!(status, StatusCode::OK, "{list}");
            let own = list["items"].as_array().unwrap().iter().find(|one| one["extension"] == "1001");
            own.unwrap_or(&list["items"][0])["id"].as_str().unwrap().to_owned()
        };
        let (account, operator) = (first("/v1/accounts").await, first("/v1/operators").await);
        Self { lab, service, desktops, notes: MessageWriter::new(), account, operator }
    }

    /// Breaks the disk, lets callers come, be answered and go, a message be taken and an operator take a break; then
    /// mends the disk and waits until everything is in the store.
    async fn endure(&self, fault: &Fault, breaks: impl AsyncFn(), mends: impl AsyncFn()) -> Vec<Placed> {
        let before = self.desktops[0].count("call.ended");
        breaks().await;
        let load = Load::new(self.lab, fault.series, 200, 3_600_000).await;
        for _ in 0..CALLS {
            load.place().await;
        }
        load.all_answered(&self.desktops[0]).await;
        let taken = self.desktops[0].count("message.saved");
        let state = self.take_break().await;
        let noting = self.notes.write(self.service, &self.account, &self.desktops[0]);
        let ending = async {
            load.hang_up_all().await;
            load.all_ended().await;
            for desktop in &self.desktops {
                let ended =
                    |model: &super::desktop::DesktopModel| model.count("call.ended") >= before + CALLS;
                desktop.wait("every call has ended, as far as the desktop was sent", ended).await;
            }
            if fault.not_ready {
                self.is_ready(false).await;
                eventually("the calls wait for the store", async || {
                    match self.service.metric("toritsugi_unwritten_records").await? {
                        0 => Err("none waits".to_owned()),
                        _ => Ok(()),
                    }
                })
                .await;
            }
            mends().await;
            all_is_logged(self.service).await;
            self.is_ready(true).await;
            let more = |model: &super::desktop::DesktopModel| model.count("message.saved") > taken;
            self.desktops[0].wait("messages are taken again", more).await;
            self.notes.stop();
        };
        tokio::join!(noting, ending);
        self.notes.go_on();
        self.had_state(&state).await;
        load.placed()
    }

    async fn is_ready(&self, wanted: bool) {
        eventually("/readyz says how the store is", async || {
            let request = self.service.request("admin", Method::GET, "/readyz").send();
            let answer = async { request.await?.json::<Value>().await }.await.map_err(|e| e.to_string())?;
            if answer["store"] == wanted && answer["ready"] == wanted {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        })
        .await;
    }

    async fn state(&self) -> Value {
        let (status, states) = self.service.ask("1001", Method::GET, "/v1/operators", None).await;
        assert_eq!(status, StatusCode::OK, "{states}");
        let own = states["items"].as_array().unwrap().iter().find(|state| state["id"] == *self.operator);
        own.expect("the operator has a state").clone()
    }

    /// The operator takes a break, or comes back from one; returns the state.
    async fn take_break(&self) -> Value {
        let state = self.state().await;
        let new = if state["state"] == "not_ready" {
            json!({ "state": "ready", "version": state["version"] })
        } else {
            json!({ "state": "not_ready", "reason": "break", "version": state["version"] })
        };
        let path = format!("/v1/operators/{}/state", self.operator);
        let (status, answer) = self.service.ask("1001", Method::PUT, &path, Some(new)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// The history has every change of the operator's state, once, in order; the last is to this state.
    async fn had_state(&self, state: &Value) {
        let path = format!("/v1/operators/{}/history", self.operator);
        let changes = state["version"].as_u64().unwrap() as usize;
        eventually("the state is in the history", async || {
            let (status, history) = self.service.ask("2001", Method::GET, &path, None).await;
            let items = history["items"].as_array().into_iter().flatten();
            let states: Vec<&str> = items.filter_map(|change| change["state"].as_str()).collect();
            let expected: Vec<&str> = ["not_ready", "ready"].into_iter().cycle().take(changes).collect();
            let is_last = states.last() == state["state"].as_str().as_ref();
            if states == expected && is_last { Ok(()) } else { Err(format!("{state} in {status} {history}")) }
        })
        .await;
    }

    async fn verify(&self, placed: &[Placed]) -> String {
        let figures = nothing_is_lost(self.lab, self.service, &self.desktops, placed).await;
        let (messages, repeats) = self.notes.are_kept(self.service, &self.desktops).await;
        format!(
            "{figures}, {messages} messages with {repeats} requests repeated: nothing lost, nothing twice"
        )
    }
}

fn database(service: &Service) -> PathBuf {
    let path = service.environment.iter().find(|(key, _)| key == "TORITSUGI__STORE__PATH");
    PathBuf::from(&path.unwrap().1)
}

/// Starts the daemon on a disk of its own with the database on it.
fn start_on_small_disk(service: &mut Service) -> Child {
    let made = database(service);
    let disk = made.parent().unwrap().join("disk");
    fs::create_dir(&disk).unwrap();
    let path = disk.join(made.file_name().unwrap());
    for (key, value) in &mut service.environment {
        if key == "TORITSUGI__STORE__PATH" {
            *value = path.to_str().unwrap().to_owned();
        }
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    // Each program takes the place of the one before, so that the child is the daemon.
    let script = r#"set -e; mount -t tmpfs -o size=16m none "$1"; cp "$2" "$3"; chmod 600 "$3"; exec "$4" serve 2> "$1/log""#;
    command
        .args(["sh", "-c", script, "sh"])
        .arg(&disk)
        .arg(&made)
        .arg(&path)
        .arg(env!("CARGO_BIN_EXE_toritsugi"));
    start_by(command, service)
}

/// Runs a script, with the disk as its argument, where the daemon's own mounts are seen.
async fn in_mounts_of(process: u32, script: &str, disk: &Path) {
    let mut command = Command::new("nsenter");
    command.args(["--target", &process.to_string(), "--mount"]);
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.args(["--user", "--preserve-credentials"]);
    }
    let done = command.args(["sh", "-c", script, "sh"]).arg(disk).status().await.unwrap();
    assert!(done.success(), "{script}: nsenter (package util-linux) could not change the mounts");
}

/// Writes until there is no room left.
fn fill(filler: &Path) {
    let mut file = File::create(filler).unwrap();
    let error = loop {
        if let Err(error) = file.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
}

/// Limits the size of the files that a process may write; `0` makes every write fail.
async fn limit_file_size(process: u32, soft: &str) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &process.to_string(), &format!("--fsize={soft}:")]);
    let limited = command.stdout(Stdio::null()).status().await.unwrap();
    assert!(limited.success(), "prlimit (package util-linux) could not limit the size of files");
}
