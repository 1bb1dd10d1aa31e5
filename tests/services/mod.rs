//! A private Redis and a private PostgreSQL for the tests.
//!
//! One pair of servers serves a whole test binary ([`shared`]); each test takes its own empty database and its own key
//! prefix. A test that stops a server starts its own pair ([`Backends::start`]). A shell script (`up.sh`) starts the
//! servers and ends them with the test binary; `tests/pbx_lab/process.rs` says why a shell.
//!
//! `before/` has databases of the version before, for the test of the upgrade (`src/store/upgrade_tests.rs`).
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "servers that fail must fail the test, with the reason"
)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use sqlx::{ConnectOptions as _, Connection as _};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgres,
}

/// A running pair of servers.
pub struct Backends {
    shell: Mutex<Shell>,
    run_dir: PathBuf,
    redis_port: String,
    postgres_port: String,
}

struct Shell {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The pair that this test binary shares. It ends with the binary.
pub fn shared() -> &'static Backends {
    static SHARED: OnceLock<Backends> = OnceLock::new();
    SHARED.get_or_init(Backends::start)
}

/// The shared pair, for tests of PostgreSQL.
pub fn postgres() -> &'static Backends {
    shared()
}

impl Backends {
    /// Starts a pair. Blocks: some seconds, or some minutes where the servers have to be installed first.
    pub fn start() -> Self {
        let run = NEXT.fetch_add(1, Ordering::Relaxed);
        let run_dir = std::env::temp_dir().join(format!("toritsugi-backends-{}-{run}", std::process::id()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/up.sh");
        let mut child = Command::new(script)
            .arg(&run_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/services/up.sh runs (bash is installed)");
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped above"));
        let mut shell = Shell { child, commands, answers };
        shell.expect("ready");
        Self {
            shell: Mutex::new(shell),
            redis_port: setting(&run_dir, "REDIS_PORT"),
            postgres_port: setting(&run_dir, "POSTGRES_PORT"),
            run_dir,
        }
    }

    /// Starts a Sentinel that knows this Redis as the master `cti`; returns its address.
    pub fn start_sentinel(&self) -> String {
        self.command("start sentinel", "ready");
        format!("redis://127.0.0.1:{}", setting(&self.run_dir, "SENTINEL_PORT"))
    }

    /// Starts a Redis Cluster of one node; returns its address.
    pub fn start_cluster(&self) -> String {
        self.command("start cluster", "ready");
        format!("redis://127.0.0.1:{}", setting(&self.run_dir, "CLUSTER_PORT"))
    }

    /// Starts a Redis that accepts only TLS and has this certificate, which is for `localhost`; returns its address and
    /// the file with the certificate.
    pub fn start_tls(&self, cert_pem: &str, key_pem: &str) -> (String, PathBuf) {
        let dir = self.run_dir.join("tls");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("cert.pem"), cert_pem).unwrap();
        std::fs::write(dir.join("key.pem"), key_pem).unwrap();
        self.command("start tls", "ready");
        (format!("rediss://localhost:{}/", setting(&self.run_dir, "TLS_PORT")), dir.join("cert.pem"))
    }

    /// The address of Redis.
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.redis_port)
    }

    /// A key prefix that no other test has.
    pub fn empty_prefix(&self) -> String {
        format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates an empty database; returns its address.
    pub async fn empty_database(&self) -> String {
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let server = format!("postgres://toritsugi@127.0.0.1:{}", self.postgres_port);
        let options: sqlx::postgres::PgConnectOptions = format!("{server}/postgres").parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        let create = format!("CREATE DATABASE {name}");
        sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        format!("{server}/{name}")
    }

    /// Stops a server cleanly; all that it has confirmed is on its disk.
    pub fn stop(&self, server: Server) {
        self.send("stop", server, "stopped");
    }

    /// Ends a server as a crash does.
    pub fn kill(&self, server: Server) {
        self.send("kill", server, "stopped");
    }

    /// Starts a server again, on the same port and data; returns when it answers.
    pub fn revive(&self, server: Server) {
        self.send("start", server, "ready");
    }

    fn send(&self, command: &str, server: Server, answer: &str) {
        let server = match server {
            Server::Redis => "redis",
            Server::Postgres => "postgres",
        };
        self.command(&format!("{command} {server}"), answer);
    }

    fn command(&self, command: &str, answer: &str) {
        let mut shell = self.shell.lock().unwrap();
        let commands = shell.commands.as_mut().expect("taken only when it is dropped");
        writeln!(commands, "{command}").expect("the shell reads commands");
        shell.expect(answer);
    }
}

fn setting(run_dir: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(run_dir.join("backends.env")).expect("up.sh writes it before ready");
    let settings: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    settings[name].to_owned()
}

impl Shell {
    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        assert!(
            read.is_ok() && line.trim_end() == answer,
            "Redis or PostgreSQL did not start; the reason is above (see tests/services/up.sh)"
        );
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // The closed pipe ends the shell; after the wait no process and no directory is left.
        shell.commands = None;
        let _ = shell.child.wait();
        let _ = std::fs::remove_dir_all(&self.run_dir);
    }
}
