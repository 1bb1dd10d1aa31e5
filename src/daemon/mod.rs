//! The daemon: builds the parts, owns the tasks, and ends them in order.
//!
//! Start: configuration → store → directory and people → bus → PBX link → gateway. What cannot work later (the
//! port is taken, the database cannot be used) stops the start with one line that says what to do. What may
//! come and go (the PBX, its users and permissions, Redis) does not: the daemon serves, says so, and tries again. A
//! database server that is away is waited for, since nothing can be served without the people and accounts.
//!
//! Stop: no new requests; streams end, so that desktops resume elsewhere or later; the PBX link logs off; records
//! that wait are written. [`STOP_MAX`] bounds it all.
//!
//! Only this module reads clocks and draws random numbers; what it starts gets them as parameters.
//!
//! Read next: `core.rs` (the one loop), `recall.rs` (how it goes on after a restart), `logbook.rs`, `journal.rs` and
//! `records.rs` (what is kept), `clock.rs`.

mod audit;
mod clock;
mod core;
mod figures;
mod hearings;
mod inherit;
mod journal;
mod link;
mod logbook;
mod operators;
mod orders;
mod pops;
mod pulse;
mod purge;
mod recall;
mod records;
mod sight;
mod supervise;
mod transfers;
mod unseen;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::core::{Core, Parts};
pub use self::core::{LOOKUP_TIMEOUT, LOOKUPS_MAX};
use self::figures::Figures;
use self::recall::GoingOn;
pub use self::records::RECORDS_QUEUED_MAX;
use crate::ami::client;
use crate::bus::redis::{RedisSettings, calls_left};
use crate::bus::{Bus, BusSettings, StreamToken};
use crate::command::Commands;
use crate::config::{Config, ConfigError, DeletedCustomers};
use crate::directory::{Directory, DirectoryOptions};
use crate::gateway::{self, App, Metrics};
use crate::message::Teller;
use crate::operator::{Floor, Members, People, Presence};
use crate::pop::Waits;
use crate::store::{Location, Store, StoreError};
use crate::webhook;

/// How often accounts that another process changed are read anew.
pub const DIRECTORY_REFRESH: Duration = Duration::from_secs(2);
/// How long what still runs may take after the gateway has drained.
pub const STOP_MAX: Duration = Duration::from_secs(10);

/// Pause before a store that is away is looked for again, on a start.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// So often it is looked for until the log says so once more: about every five minutes.
const STORE_TRIES_PER_LINE: u32 = 300;
/// How long the last events may take to reach the other daemons.
const BUS_STOP_MAX: Duration = Duration::from_secs(2);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store; its error names the database.
    #[error("cannot start without the store")]
    Store(#[from] StoreError),
    /// The gateway's address.
    #[error("cannot listen on {address}: is another daemon running there? choose another gateway.listen")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway.
    #[error("the gateway failed")]
    Gateway(#[source] std::io::Error),
    /// Webhooks cannot be posted.
    #[error("webhooks cannot be posted")]
    Webhooks(#[from] webhook::PostError),
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Runs the daemon until `shutdown`; it answers on the configured address.
///
/// # Errors
/// [`RunError`]: it could not be started, or the gateway's listener failed.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let address = config.gateway.listen;
    let listener = gateway::listen(address).map_err(|source| RunError::Listen { address, source })?;
    run_on(listener, config, shutdown).await
}

/// As [`run`], on a listener that is there already: tests bind port 0.
///
/// # Errors
/// [`RunError`]: it could not be started, or the gateway's listener failed.
pub async fn run_on(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let (tasks, link) = (TaskTracker::new(), config.pbx.link(seed)?);
    let Some(store) = opened(&config.store.location()?, &shutdown).await? else { return Ok(()) };
    let directory = Directory::load(store.clone(), directory_options(&config)).await?;
    let (sharing, presence) = (Sharing::default(), Presence::default());
    let (recalled, going_on) = go_on(&config, &store, &sharing, &presence).await?;
    let GoingOn { bus, people, .. } = &going_on;
    // The link outlives the gateway's drain: a call that is being answered is still followed.
    let link_shutdown = CancellationToken::new();
    // However this function ends: no second daemon may follow the PBX for the same store.
    let _ended = link_shutdown.clone().drop_guard();
    let (pbx, events) = client::connect(link, link_shutdown.clone());
    let metrics = Arc::new(Metrics::default());
    let figures = Figures::registered(&metrics);
    let parts = Parts {
        plan: config.plan(),
        bus: bus.clone(),
        store: store.clone(),
        directory: directory.clone(),
        clerk: records::Clerk::start(store.clone(), &tasks, figures.records_dropped.clone()),
        pbx: pbx.clone(),
        tasks: tasks.clone(),
        figures,
        notify: config.supervision.notify,
        people: people.clone(),
        presence: presence.clone(),
        link: config.pop.link.clone(),
        audit: audit::Audit::new(config.pbx.audit),
        pop_waits: Waits { repeat: config.pop.repeat, report: config.pop.report },
    };
    let floor = floor_as_left(&config, &store, people).await?;
    webhook::start(config.webhooks()?, bus, &store, &metrics, &tasks, &link_shutdown)?;
    let (commands, given) = Commands::channel();
    let core = Core::run(
        parts,
        recalled,
        sight::machine(&config.supervision),
        (floor, Members::new(config.operators.queues.clone()), config.operators.audit),
        events,
        given,
        link_shutdown.clone(),
    );
    going_on.spawn(core, &tasks, &store, &link_shutdown);
    tasks.spawn(purge::keep(store.clone(), config.retention.clone(), link_shutdown.clone()));
    tasks.spawn(keep_directory(directory.clone(), link_shutdown.clone()));
    let teller = Teller::default();
    tasks.spawn(teller.clone().run(bus.clone(), store.clone(), people.clone(), link_shutdown.clone()));
    let app = App {
        settings: (&config.gateway).into(),
        bus: bus.clone(),
        store: store.clone(),
        directory,
        people: people.clone(),
        presence,
        commands,
        teller,
        transfers: config.transfers(),
        metrics,
        clock: gateway::Clock::new(Timestamp::now),
    };
    let served = gateway::serve(listener, app, shutdown).await.map_err(RunError::Gateway);
    bus.close();
    link_shutdown.cancel();
    tasks.close();
    finish(&pbx, &tasks).await;
    sharing.end().await;
    store.close().await;
    served
}

/// The store. A server that is away or still starting is waited for, however long that takes: beside a PBX whose
/// machine boots before the database's, nobody is there to start the daemon once more. `None`: it was stopped meanwhile.
async fn opened(location: &Location, shutdown: &CancellationToken) -> Result<Option<Store>, StoreError> {
    for tries in 0_u32.. {
        let opened = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            opened = Store::open_at(location) => opened,
        };
        match opened {
            Err(error) if error.is_away() => {
                if tries % STORE_TRIES_PER_LINE == 0 {
                    tracing::warn!(%error, "waiting for the store; the daemon starts when it is there");
                }
            }
            opened => return opened.map(Some),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(STORE_PAUSE) => {}
        }
    }
    Ok(None)
}

/// Operators as they were when the daemon ended.
async fn floor_as_left(config: &Config, store: &Store, people: &People) -> Result<Floor, StoreError> {
    let mut floor = Floor::new(config.floor());
    let roster = people.current();
    let mut kept = store.states().await?;
    kept.retain(|saved| roster.person(saved.user).is_none_or(|person| floor.keeps(&roster, person)));
    floor.restore(Timestamp::now(), kept);
    Ok(floor)
}

/// Waits for what still runs, within [`STOP_MAX`].
async fn finish(pbx: &client::Handle, tasks: &TaskTracker) {
    let ended = async {
        pbx.closed().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
        tracing::error!("records were still waiting for the store when the time to stop was over");
    }
}

fn directory_options(config: &Config) -> DirectoryOptions {
    let forget_deleted = config.retention.deleted_customers == DeletedCustomers::Anonymise;
    DirectoryOptions { forget_deleted, ..DirectoryOptions::from(&config.directory) }
}

fn bus_settings(config: &Config, stream: u64) -> BusSettings {
    BusSettings {
        pbx: config.pbx.name.clone(),
        stream: StreamToken::from_number(stream),
        replay_events_max: config.bus.replay_events,
        replay_age_max: config.bus.replay_age,
        subscriber_events_max: config.bus.subscriber_events_max,
        subscribers_max: config.gateway.subscribers_max,
    }
}

/// What connects this daemon with others. It outlives the other tasks: what they tell last is still sent.
#[derive(Default)]
struct Sharing {
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Sharing {
    /// Sends what is left, and ends.
    async fn end(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(BUS_STOP_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("Redis did not take the last events in time");
        }
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The stream of events and what is known of before: from the store, or from the other daemons.
async fn go_on(
    config: &Config,
    store: &Store,
    sharing: &Sharing,
    presence: &Presence,
) -> Result<(recall::Recalled, GoingOn), RunError> {
    let settings = bus_settings(config, random().map_err(|_| RunError::Random)?);
    let Some(mut redis) = redis_settings(config, presence)? else {
        return Ok(recall::recall(store, config.plan(), settings, Timestamp::now()).await?);
    };
    let left = calls_left(&redis, &config.pbx.name).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "Redis does not say how the calls of this PBX stood; they are followed from now on");
        Vec::new()
    });
    redis.known = left.iter().map(|live| live.memory.id).collect();
    let shared = |logbook| Bus::shared(settings, redis, Some(logbook), &sharing.tasks, &sharing.shutdown);
    Ok(recall::join(store, config.plan(), left, shared).await?)
}

/// How this daemon shares its events, if it does.
fn redis_settings(config: &Config, presence: &Presence) -> Result<Option<RedisSettings>, RunError> {
    let Some(address) = config.bus.redis()? else { return Ok(None) };
    Ok(Some(RedisSettings {
        address,
        prefix: config.bus.redis_prefix.to_string(),
        daemon: random().map_err(|_| RunError::Random)?,
        started_at: Timestamp::now(),
        known: Vec::new(),
        teams: config.operators.teams.clone(),
        presence: presence.clone(),
    }))
}

/// Accounts that the command line imported show in the next pop.
async fn keep_directory(directory: Directory, shutdown: CancellationToken) {
    let mut every = tokio::time::interval(DIRECTORY_REFRESH);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        match directory.refresh().await {
            Ok(true) => {
                tracing::info!(accounts = directory.accounts_in_memory(), "the accounts were read anew")
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read the accounts; pops go on from memory"
            ),
        }
    }
}

fn random() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

/// Makes ActionIDs that nobody outside can guess. [`run`] has seen that random numbers can be had.
#[expect(clippy::expect_used, reason = "a system that stops giving random numbers cannot log in safely")]
fn seed() -> u64 {
    random().expect("the system gave random numbers before")
}
