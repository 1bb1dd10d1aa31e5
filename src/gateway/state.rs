//! The state that every handler shares, and what it is built from.
//!
//! [`App`] comes from the daemon (or from a test). [`AppState`] adds what only the gateway keeps: tables of
//! tokens, failures and answers. Handlers and middleware import this file; it imports the tables and no handler.
//!
//! People are kept in memory. A change through this gateway is visible when its request is answered; a change by
//! another process (the command line, another gateway) within [`PEOPLE_REFRESH_INTERVAL`]. While the store does
//! not answer, the last roster stays in use.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::active_tokens::ActiveTokens;
use super::answer_cache::AnswerCache;
use super::attention::LastAttention;
use super::audit_trail::AuditTrail;
use super::health::StoreProbe;
use super::imports::Imports;
use super::metrics::Metrics;
use super::proxies::AddressRange;
use super::setup::Setup;
use super::throttle::{PasswordCheckLimits, Throttle};
use super::token_checks::TokenChecks;
use super::token_uses::TokenUseRecorder;
use crate::bus::Bus;
use crate::callflow::SharedPlanStatus;
use crate::command::Commands;
use crate::directory::Directory;
use crate::messages::MessageRelay;
use crate::operators::{SharedQueueFaults, SharedWords};
use crate::pbx_link::Following;
use crate::people::presence::Presence;
use crate::people::roster::People;
use crate::store::{Store, StoreError};

/// Heartbeat interval of an event stream; part of the public contract.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// Connections allowed beyond `gateway.subscribers_max`: ordinary requests of the same desktops, probes, the
/// command line.
pub const CONNECTIONS_BESIDE_STREAMS: usize = 512;
/// Most calls of a file of finished calls.
pub const HISTORY_FILE_CALLS_MAX: usize = 20_000;
/// How often the roster is read from the store.
const PEOPLE_REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// What the gateway serves. The daemon builds it; a test builds its own.
#[derive(Debug, Clone)]
pub struct App {
    /// Limits and times of the gateway.
    pub settings: Settings,
    /// Live calls and events.
    pub bus: Bus,
    /// Records.
    pub store: Store,
    /// Accounts in memory, and changes to the directory's records.
    pub directory: Directory,
    /// The roster; the gateway refreshes it from the store.
    pub people: People,
    /// Whose desktops have an open event stream.
    pub presence: Presence,
    /// The way to the core, for commands about calls and operators.
    pub commands: Commands,
    /// Publishes messages that were changed in the store.
    pub message_relay: MessageRelay,
    /// Which targets a caller may be transferred to, and how.
    pub transfers: crate::directory::transfer_targets::Settings,
    /// What keeps the PBX's queues from following the operators' states.
    pub queue_faults: SharedQueueFaults,
    /// Whether this daemon's own link to the PBX is up.
    pub following: Following,
    /// Whether the PBX has the callflows as they were set.
    pub plan_status: SharedPlanStatus,
    /// The words that operators choose from.
    pub words: SharedWords,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// How the installation is set up, for administrators to read.
    pub setup: Arc<Setup>,
    /// The current time.
    pub clock: Clock,
}

impl App {
    /// Replaces the roster in memory by the one in the store.
    pub(super) async fn refresh_people(&self) -> Result<(), StoreError> {
        let roster = self.store.roster().await?;
        self.people.replace(roster, || self.bus.head());
        Ok(())
    }

    /// Replaces the words in memory by those in the store.
    pub(super) async fn refresh_words(&self) -> Result<(), StoreError> {
        self.words.replace(self.store.word_lists().await?);
        Ok(())
    }
}

/// Limits and times of the gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Origins besides the gateway's own whose pages may use the session cookie.
    pub allowed_origins: Vec<SmolStr>,
    /// Whether the session cookie is marked Secure.
    pub secure_cookie: bool,
    /// Reverse proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<AddressRange>,
    /// A session ends after this time without a request.
    pub session_ttl: Duration,
    /// Open connections; a further one is refused with 503.
    pub connections_max: usize,
    /// Largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Most calls of a file of finished calls, which is in memory while it is written.
    pub history_file_calls_max: usize,
    /// Whether supervisors set and end overrides.
    pub supervisors_switch: bool,
    /// Whether sounds that people upload are brought to the PBX.
    pub brings_sounds: bool,
    /// How long the history stays whole; `None`: for ever.
    pub history_whole_for: Option<Duration>,
    /// The font of reports; `None`: the first that the system has.
    pub report_font: Option<PathBuf>,
    /// On shutdown, how long open requests may take to finish.
    pub drain_timeout: Duration,
    /// Heartbeat interval of an event stream.
    pub heartbeat_interval: Duration,
    /// What the installation decides about messages.
    pub messages: crate::messages::Settings,
}

/// The source of the current time: the system's clocks in the daemon, fakes in tests.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// A clock that returns what `now` returns. Limits on time are measured with the system's monotonic clock.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let started = Instant::now();
        Self::with_elapsed(now, move || started.elapsed())
    }

    /// A clock that returns what `now` returns, and measures limits on time with `elapsed`, which never goes back.
    pub fn with_elapsed(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), elapsed: Arc::new(elapsed) }
    }

    /// The current time, which somebody may set. It is for records and for expiries that are in records.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The time since an arbitrary moment. Nobody can set it.
    pub(super) fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The state of the running gateway, shared by all handlers.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) app: App,
    pub(crate) active_tokens: ActiveTokens,
    pub(crate) token_checks: Arc<TokenChecks>,
    pub(crate) token_uses: Arc<TokenUseRecorder>,
    pub(crate) audit_trail: AuditTrail,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) password_checks: PasswordCheckLimits,
    pub(crate) answers: Arc<AnswerCache>,
    pub(crate) attention: LastAttention,
    pub(crate) store_probe: StoreProbe,
    pub(crate) imports: Imports,
    /// Whether the log names a peer whose `X-Forwarded-For` is ignored.
    pub(crate) is_ignored_proxy_logged: AtomicBool,
    pub(crate) shutdown: CancellationToken,
}

impl AppState {
    pub(crate) fn new(app: App, shutdown: CancellationToken) -> Self {
        Self {
            app,
            active_tokens: ActiveTokens::default(),
            token_checks: Arc::default(),
            token_uses: Arc::default(),
            audit_trail: AuditTrail::default(),
            throttle: Mutex::default(),
            password_checks: PasswordCheckLimits::default(),
            answers: Arc::default(),
            attention: LastAttention::default(),
            store_probe: StoreProbe::default(),
            imports: Imports::default(),
            is_ignored_proxy_logged: AtomicBool::new(false),
            shutdown,
        }
    }
}

/// Refreshes the roster at an interval until `shutdown`.
pub(super) async fn run_people_refresh(app: App, shutdown: CancellationToken) {
    let mut interval = tokio::time::interval(PEOPLE_REFRESH_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = interval.tick() => {}
        }
        if let Err(error) = app.refresh_words().await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "cannot read the words from the store; keeping the previous ones");
        }
        if let Err(error) = app.refresh_people().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read the roster from the store; keeping the previous roster"
            );
        }
    }
}
