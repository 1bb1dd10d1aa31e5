//! The HTTP interface: what desktops, the command line and other systems see of the daemon.
//!
//! | file | holds |
//! |---|---|
//! | `routes.rs` | the table of routes: start here |
//! | `serve.rs`, `connection.rs` | accepting, limits, time-outs, the end |
//! | `auth.rs`, `bearers.rs`, `uses.rs`, `throttle.rs`, `session.rs` | who asks: tokens, cookies, when they were used, sign-in, too many failures |
//! | `problem.rs`, `extract.rs`, `query.rs` | errors (RFC 9457) and the reading of requests |
//! | `stream.rs`, `sse.rs`, `websocket.rs` | the events, once, and over two transports |
//! | `elsewhere.rs` | orders about a PBX of another daemon |
//! | `idempotency.rs` | a repeated order gets the first answer |
//! | `calls.rs`, `operators.rs`, `users.rs`, … | one file per resource |
//! | `page.rs` | the operators' and supervisors' page, built into the binary |
//! | `metrics.rs`, `health.rs`, `openapi.rs` | for those who run it |
//!
//! Invariants: every path under `/v1` but the sign-in asks for a valid token before it does anything; what
//! somebody may do or see is asked of [`crate::operator`], never decided here. Nothing a client does, or fails
//! to do, slows the PBX or another client: connections, bodies, waiting and reading all have limits. A token
//! is in no URL, log or metric.
//!
//! It holds no state of calls: it reads the [`Bus`] and the [`Store`], and gives orders through the daemon.

mod accounts;
mod audit;
mod auth;
mod bearers;
mod calls;
mod connection;
mod contacts;
mod customers;
mod elsewhere;
mod explain;
mod extract;
mod health;
mod history;
mod idempotency;
mod located;
mod messages;
mod metrics;
mod openapi;
mod operators;
mod page;
mod people;
mod problem;
mod query;
mod routes;
mod serve;
mod session;
mod sse;
mod stream;
mod supervisions;
mod throttle;
mod tokens;
mod transfers;
mod users;
mod uses;
mod webhooks;
mod websocket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::bus::Bus;
use crate::command::Commands;
use crate::config::GatewayConfig;
use crate::directory::Directory;
use crate::message::Teller;
use crate::operator::{People, Presence};
use crate::store::Store;
use crate::transfer;

pub use metrics::Metrics;
pub use openapi::document as openapi_document;
pub use serve::{listen, serve};

/// What the gateway serves. The daemon builds it; a test builds its own.
#[derive(Debug, Clone)]
pub struct App {
    /// How it behaves.
    pub settings: Settings,
    /// Calls and events.
    pub bus: Bus,
    /// Records.
    pub store: Store,
    /// Accounts in memory, and the door to the directory's records.
    pub directory: Directory,
    /// Who is who; refreshed from the store by the gateway.
    pub people: People,
    /// Whose desktops follow the events.
    pub presence: Presence,
    /// Where orders about calls are given.
    pub commands: Commands,
    /// Who is told that a message has changed.
    pub teller: Teller,
    /// Who may be transferred to, and how.
    pub transfers: transfer::Settings,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Clock,
}

/// How the gateway behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Origins besides its own whose pages may use the cookie.
    pub allowed_origins: Vec<SmolStr>,
    /// Whether the cookie is marked Secure.
    pub secure_cookie: bool,
    /// After so long without use a sign-in ends.
    pub session: Duration,
    /// Connections at the same time; one more is refused with 503.
    pub connections_max: usize,
    /// Largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// On a stop, how long open requests get to finish.
    pub drain: Duration,
    /// How often a stream gets a sign of life.
    pub heartbeat: Duration,
}

/// How often a stream gets a sign of life: the contract says so.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Connections beyond those that follow the events: requests of the same desktops, probes, the command line.
const CONNECTIONS_BESIDE_STREAMS: usize = 512;

impl From<&GatewayConfig> for Settings {
    fn from(config: &GatewayConfig) -> Self {
        Self {
            allowed_origins: config.allowed_origins.clone(),
            secure_cookie: config.secure_cookie,
            session: config.session,
            connections_max: config.subscribers_max + CONNECTIONS_BESIDE_STREAMS,
            body_bytes_max: config.body_bytes_max,
            drain: config.drain,
            heartbeat: HEARTBEAT,
        }
    }
}

/// Tells the time. The daemon gives the system's; tests give their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
