//! The daemon: builds every component, owns the tasks, and stops them in order.
//!
//! Start: listening socket → lock on the database file → store → directory → event stream and people (from the store, or from Redis) → PBX link →
//! operators → core and background tasks → gateway. A fault that would last (the port is taken, the database cannot be
//! used) ends the start with an error that says what to do. A service that may come back (the PBX, its users and
//! permissions, Redis) does not: the daemon serves, logs the fault, and tries again. A database server that cannot be
//! reached is waited for, since nothing can be served without people and accounts.
//!
//! Stop: the gateway accepts no new requests and ends the streams, so that desktops resume at another gateway or later.
//! Then the PBX link logs off and the queued records are written, within [`STOP_TIMEOUT`]. Last, the bus sends its last
//! events to Redis, within `BUS_STOP_TIMEOUT`.
//!
//! The daemon's modules read clocks and draw random numbers; the machines that they run get both as parameters.
//!
//! Read next: `core.rs` (the loop), `restore.rs` (how a daemon continues after a restart), `journal_writer.rs`,
//! `timelines.rs` and `journal_writer.rs` (what is stored), `clock.rs`.

mod actions;
mod alarms;
mod audit;
mod before_operator;
mod caller_id;
mod callflow;
mod clock;
mod cluster;
mod core;
mod erasure;
mod faxes;
mod guidance;
mod heartbeat;
mod hints;
mod journal_writer;
mod link;
mod lookups;
mod oddities;
mod offline;
mod operators;
mod phone_devices;
mod pops;
mod positions;
mod purge;
mod reconcile;
mod reports;
mod restore;
mod search_texts;
mod settings;
mod sounds;
mod stat_bins;
mod stats;
mod supervision;
mod supervision_context;
mod supervision_segments;
mod takeover;
mod transfers;
mod voices;
mod words;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::alarms::AlarmWatch;
use self::before_operator::{BeforeOperator, voice_receiver};
pub use self::caller_id::{read_headers, read_presentation};
use self::cluster::ClusterTasks;
use self::core::{Core, Deps};
use self::erasure::Eraser;
pub use self::lookups::{LOOKUP_TIMEOUT, LOOKUPS_MAX};
use self::restore::EventPipeline;
use self::stat_bins::DayMetrics;
use self::stats::Stats;

use crate::ami::client;
use crate::backoff::Backoff;
use crate::bus::redis::{RedisAddress, RedisSettings, SigningKey, load_checkpoints};
use crate::bus::{Bus, BusSettings};
use crate::callflow::{SharedPlanStatus, SoundProbe};
use crate::chat;
use crate::command::Commands;
use crate::config::{Config, ConfigError};
use crate::contract::event_id::StreamToken;
use crate::directory::Directory;
use crate::fax::{FaxDoor, FaxHouse, FaxReceiver, FaxStats};
use crate::gateway::{self, App, Metrics, PublicApp};
use crate::ids::PbxId;
use crate::mail::ReturnPath;
use crate::messages::MessageRelay;
use crate::messages::call_reports;
use crate::messages::call_reports::CallReporting;
use crate::messages::escalation;
use crate::operators::queue_members::QueueMembership;
use crate::operators::{OperatorRegistry, SharedQueueFaults, SharedWords};
use crate::outbox;
use crate::pbx_link::Following;
use crate::people::presence::Presence;
use crate::people::roster::People;
use crate::screen_pop::AckTimeouts;
use crate::store::group_key::GROUP_KEY_BYTES;
use crate::store::{DaemonLock, Location, Store, StoreError};
use crate::webhook;

/// How often the directory checks whether another process changed accounts.
pub const DIRECTORY_REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// Time limit for the tasks that still run after the gateway has drained.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts per log line while the store cannot be reached: a line about every five minutes, at the longest delay.
const STORE_ATTEMPTS_PER_LOG_LINE: u32 = 60;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened or read; the source names the database.
    #[error("cannot start without the store")]
    Store(#[from] StoreError),
    /// The gateway cannot listen on its address.
    #[error("cannot listen on {address}: is another daemon running there? choose another gateway.listen")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The public pages cannot listen on their address.
    #[error("cannot listen on {address} for the public pages: choose another public.listen")]
    ListenPublic {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The gateway's listener failed.
    #[error("the gateway failed")]
    Gateway(#[source] std::io::Error),
    /// The HTTP client of webhooks cannot be built.
    #[error("webhooks cannot be posted")]
    Webhooks(#[from] webhook::PostError),
    /// Nothing can be posted to chats.
    #[error(transparent)]
    Chat(#[from] chat::ChatError),
    /// The operating system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Runs the daemon until `shutdown`; the gateway listens on the configured address.
///
/// # Errors
/// [`RunError`]: the daemon could not start, or the gateway's listener failed.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let address = config.gateway.listen;
    let listener = gateway::listen(address).map_err(|source| RunError::Listen { address, source })?;
    run_on(listener, config, shutdown).await
}

/// As [`run`], on an open listener: tests bind port 0.
///
/// # Errors
/// [`RunError`]: the daemon could not start, or the gateway's listener failed.
#[expect(clippy::too_many_lines, reason = "each part of the daemon is built once, in order")]
pub async fn run_on(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let (tasks, link_config) = (TaskTracker::new(), config.pbx.connection_settings(seed)?);
    // The lock is held until everything below has ended.
    let Some((only_daemon, store)) = open_alone(&config, &shutdown).await? else { return Ok(()) };
    let directory = Directory::load(store.clone(), config.directory_options()).await?;
    let (cluster, presence) = (ClusterTasks::default(), Presence::default());
    let (restored, pipeline) = restore_or_join(&config, &store, &cluster, &presence).await?;
    let EventPipeline { bus, people, .. } = &pipeline;
    // The PBX link outlives the gateway's drain, so that calls are followed until the last stream has ended.
    let link_shutdown = CancellationToken::new();
    // However this function ends, the link is closed: two daemons must not follow one PBX for the same store.
    let _link_guard = link_shutdown.clone().drop_guard();
    let (pbx, events) = client::connect(link_config, link_shutdown.clone());
    let metrics = Arc::new(Metrics::default());
    let stats = Stats::register(&metrics);
    let eraser = eraser(&config, &store, bus, &directory, &stats)?;
    let rows_purged = stats.rows_purged.clone();
    let (queue_faults, following, plan_status, sounds) =
        <(SharedQueueFaults, Following, SharedPlanStatus, SoundProbe)>::default();
    let (faxes, fax_receiver) = fax_receiver(&config, &metrics);
    let (voices, voice_receiver) = voice_receiver(&config, &metrics);
    let words = words::load(&store, &config).await?;
    let deps = Deps {
        words: words.clone(),
        plan: config.endpoint_rules(),
        bus: bus.clone(),
        store: store.clone(),
        directory: directory.clone(),
        pbx: pbx.clone(),
        tasks: tasks.clone(),
        stats,
        notify: config.supervision.notify,
        people: people.clone(),
        presence: presence.clone(),
        url_template: config.pop.url_template.clone(),
        reconciler: reconcile::ModelReconciler::new(config.pbx.reconcile_interval),
        queue_faults: queue_faults.clone(),
        faxes,
        voices: voices.clone(),
        sounds: sounds.clone(),
        guidance: guidance::recorder(&config, bus, &store, &directory),
        following: following.clone(),
        transfer_queues: config.transfer.queues.clone(),
        pop_timeouts: AckTimeouts { repeat: config.pop.repeat_delay, report: config.pop.report_delay },
    };
    let operators = load_operators(&config, &store, people).await?;
    webhook::start(config.webhook_settings()?, bus, &store, &metrics, &tasks, &link_shutdown)?;
    let relay = MessageRelay::default();
    metrics.register(|registry| relay.stats().register(registry));
    let of_store = (&store, only_daemon.is_held());
    let (mail, (return_path, reply_path)) = mail_of_house(config.mail_settings()?, &store, &words).await?;
    outbox::start(mail, of_store, &relay, &metrics, &tasks, &link_shutdown).await?;
    let mut chats = config.chat_settings()?;
    chats.letter.words = words.clone();
    chat::start(chats, &store, &relay, &metrics, &tasks, &link_shutdown)?;
    let (commands, requests) = Commands::channel();
    let core = Core::run(
        deps,
        restored,
        supervision_context::supervisions(&config.supervision),
        (
            operators,
            QueueMembership::new(config.operators.queues.clone(), config.transfer.queues.clone()),
            config.operators.reconcile_interval,
        ),
        events,
        requests,
        link_shutdown.clone(),
    );
    pipeline.spawn(core, &tasks, &store, &link_shutdown);
    tasks.spawn(eraser.run(link_shutdown.clone()));
    tasks.spawn(purge::run(store.clone(), config.retention.clone(), rows_purged, link_shutdown.clone()));
    let day = DayMetrics::register(&metrics, config.directory.time_zone.clone());
    tasks.spawn(stat_bins::run(store.clone(), config.retention.clone(), day, link_shutdown.clone()));
    keep_directory(&directory, bus, &tasks, &link_shutdown);
    if let Some(receiver) = fax_receiver {
        let (bus, store, directory, relay) = (bus.clone(), store.clone(), directory.clone(), relay.clone());
        tasks.spawn(receiver.run(FaxHouse { bus, store, directory, relay }, link_shutdown.clone()));
    }
    let before_operator = BeforeOperator {
        config: &config,
        bus,
        store: &store,
        directory: &directory,
        relay: &relay,
        following: &following,
        pbx: &pbx,
        status: &plan_status,
        sounds: &sounds,
    };
    before_operator.start((voices, voice_receiver), &tasks, (&shutdown, &link_shutdown));
    start_public_pages(&config, &store, &relay, &metrics, &tasks, &link_shutdown).await?;
    start_routes(&config, (&store, bus.own_pbx()), (&relay, &words), &tasks, &link_shutdown).await?;
    reports::start(&config, (&store, &words), &directory, &relay, &tasks, &link_shutdown);
    let alarms = AlarmWatch {
        bus: bus.clone(),
        store: store.clone(),
        directory: directory.clone(),
        relay: relay.clone(),
    };
    tasks.spawn(alarms.run(link_shutdown.clone()));
    tasks.spawn(relay.clone().run(bus.clone(), store.clone(), people.clone(), link_shutdown.clone()));
    let mut settings = config.gateway_settings();
    settings.messages.words = words.clone();
    settings.messages.return_path = return_path;
    settings.messages.reply_path = reply_path;
    settings.messages.channels = config.channel_rules()?;
    settings.messages.fax =
        config.mail_settings()?.map(|mail| mail.fax.into_values().collect()).unwrap_or_default();
    let app = App {
        settings,
        bus: bus.clone(),
        store: store.clone(),
        directory,
        people: people.clone(),
        presence,
        commands,
        message_relay: relay,
        transfers: config.transfer_settings(),
        queue_faults,
        following,
        plan_status,
        words,
        metrics,
        setup: Arc::new(config.setup()?),
        clock: gateway::Clock::new(Timestamp::now),
    };
    let served = gateway::serve(listener, app, shutdown).await.map_err(RunError::Gateway);
    bus.close();
    link_shutdown.cancel();
    stop(&pbx, &tasks, cluster, store).await;
    served
}

/// Opens the store as its only daemon: a second daemon must not write to the same file. `None`: the daemon was stopped
/// meanwhile.
async fn open_alone(
    config: &Config,
    shutdown: &CancellationToken,
) -> Result<Option<(DaemonLock, Store)>, RunError> {
    warn_of_open_secrets(config);
    let location = config.store.location()?;
    let lock = Store::lock(&location)?;
    Ok(open_store(&location, shutdown).await?.map(|store| (lock, store)))
}

/// Starts the listener of the public pages, if there is one.
async fn start_public_pages(
    config: &Config,
    store: &Store,
    relay: &MessageRelay,
    metrics: &Arc<Metrics>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(), RunError> {
    let Some(address) = config.public.listen else { return Ok(()) };
    config.links()?;
    let listener = gateway::listen(address).map_err(|source| RunError::ListenPublic { address, source })?;
    let mut candidate = [0; GROUP_KEY_BYTES];
    getrandom::fill(&mut candidate).map_err(|_| RunError::Random)?;
    let app = PublicApp {
        store: store.clone(),
        relay: relay.clone(),
        key: store.group_key(candidate).await?,
        trusted_proxies: config.public.trusted_proxies.clone(),
        time_zone: config.directory.time_zone.clone(),
        plan: config.directory_options().plan,
        service_name: config.mail.from_name().to_owned(),
        clock: gateway::Clock::new(Timestamp::now),
    };
    let (metrics, shutdown) = (Arc::clone(metrics), shutdown.clone());
    tasks.spawn(async move {
        if let Err(error) = gateway::serve_public(listener, app, metrics, shutdown).await {
            tracing::error!(%error, "the public pages failed; links in mails do not open");
        }
    });
    Ok(())
}

/// Starts the timers of messages' routes, and the reports of calls without a message.
async fn start_routes(
    config: &Config,
    (store, pbx): (&Store, &PbxId),
    (relay, words): (&MessageRelay, &SharedWords),
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(), StoreError> {
    if let Some(zone) = config.directory.time_zone.iana_name() {
        store.set_route_time_zone(zone).await?;
    }
    tasks.spawn(escalation::run(store.clone(), relay.clone(), pbx.clone(), shutdown.clone()));
    let reporting = CallReporting {
        settings: config.message_settings(),
        words: words.clone(),
        plan: config.directory_options().plan,
    };
    tasks.spawn(call_reports::run(reporting, store.clone(), relay.clone(), pbx.clone(), shutdown.clone()));
    Ok(())
}

/// The settings of mails, with what the store has: the words of calls, and the group's key, which proves
/// the addresses that mails and answers come back to.
async fn mail_of_house(
    settings: Option<outbox::Settings>,
    store: &Store,
    words: &SharedWords,
) -> Result<(Option<outbox::Settings>, (Option<ReturnPath>, Option<ReturnPath>)), RunError> {
    let Some(mut settings) = settings else { return Ok((None, (None, None))) };
    settings.letter.words = words.clone();
    let (bounces, answers) = (settings.bounce_address.clone(), settings.reply_address.clone());
    if bounces.is_some() || answers.is_some() {
        let mut candidate = [0; GROUP_KEY_BYTES];
        getrandom::fill(&mut candidate).map_err(|_| RunError::Random)?;
        let key = store.group_key(candidate).await?;
        settings.return_path = bounces.map(|address| ReturnPath::new(address, &key));
        settings.letter.reply_path = answers.map(|address| ReturnPath::of_answers(address, &key));
    }
    let paths = (settings.return_path.clone(), settings.letter.reply_path.clone());
    Ok((Some(settings), paths))
}

/// Starts the tasks that keep accounts in memory and customers searchable, and that let callers hear guidance that waited.
fn keep_directory(directory: &Directory, bus: &Bus, tasks: &TaskTracker, shutdown: &CancellationToken) {
    tasks.spawn(refresh_directory(directory.clone(), shutdown.clone()));
    tasks.spawn(search_texts::run(directory.clone(), shutdown.clone()));
    tasks.spawn(guidance::run(directory.clone(), bus.clone(), shutdown.clone()));
}

fn warn_of_open_secrets(config: &Config) {
    for (file, mode) in config.secrets_open_to_others() {
        tracing::warn!(
            file = %file.display(), mode = format_args!("{mode:04o}"),
            "everybody on this machine can read a secret; run chmod 640 on it, and change it if somebody may have read it"
        );
    }
}

/// Lets the tasks finish what they have, and closes what they use.
async fn stop(pbx: &client::Handle, tasks: &TaskTracker, cluster: ClusterTasks, store: Store) {
    tasks.close();
    wait_for_tasks(pbx, tasks).await;
    cluster.stop().await;
    store.close().await;
}

/// Opens the store. A server that cannot be reached is retried without limit: when the PBX host boots before the
/// database host, nobody is there to start the daemon again. `None`: the daemon was stopped meanwhile.
async fn open_store(location: &Location, shutdown: &CancellationToken) -> Result<Option<Store>, StoreError> {
    let mut backoff = Backoff::of_store();
    for attempts in 0_u32.. {
        let opened = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            opened = Store::open_at(location) => opened,
        };
        match opened {
            Err(error) if error.is_unavailable() => {
                if attempts % STORE_ATTEMPTS_PER_LOG_LINE == 0 {
                    tracing::warn!(%error, "waiting for the store; the daemon starts when it can be reached");
                }
            }
            opened => return opened.map(Some),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
    Ok(None)
}

/// The operator registry with the states that the store has.
async fn load_operators(
    config: &Config,
    store: &Store,
    people: &People,
) -> Result<OperatorRegistry, StoreError> {
    let mut operators = OperatorRegistry::new(config.operator_settings());
    let roster = people.current();
    let mut saved_states = store.states().await?;
    saved_states
        .retain(|saved| roster.person(saved.user).is_none_or(|person| operators.owns(&roster, person)));
    operators.restore(Timestamp::now(), saved_states);
    Ok(operators)
}

/// Waits for the PBX link and the tasks to end, within [`STOP_TIMEOUT`].
async fn wait_for_tasks(pbx: &client::Handle, tasks: &TaskTracker) {
    let ended = async {
        pbx.closed().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
        tracing::error!(
            timeout = ?STOP_TIMEOUT,
            "stopped with unwritten records: the tasks did not end in time; check the store"
        );
    }
}

/// The receiver of faxes, and where the core hands over what the PBX reports of them.
fn fax_receiver(config: &Config, metrics: &Metrics) -> (FaxDoor, Option<FaxReceiver>) {
    let stats = FaxStats::default();
    stats.register(metrics);
    FaxReceiver::new(config.fax_settings(), stats)
}

fn eraser(
    config: &Config,
    store: &Store,
    bus: &Bus,
    directory: &Directory,
    stats: &Stats,
) -> Result<Eraser, RunError> {
    let redis = config.bus.redis_address()?.map(|address| (address, config.bus.redis_prefix.clone()));
    Ok(Eraser {
        store: store.clone(),
        bus: bus.clone(),
        plan: *directory.plan(),
        stats: stats.clone(),
        redis,
    })
}

fn bus_settings(config: &Config, stream: u64) -> BusSettings {
    BusSettings {
        pbx: config.pbx.name.clone(),
        stream: StreamToken::from_number(stream),
        replay_events_max: config.bus.replay_events,
        replay_age_max: config.bus.replay_ttl,
        subscriber_events_max: config.bus.subscriber_events_max,
        subscribers_max: config.gateway.subscribers_max,
    }
}

/// Builds the event pipeline and the core's initial state: from the store, or with Redis from the other daemons.
async fn restore_or_join(
    config: &Config,
    store: &Store,
    cluster: &ClusterTasks,
    presence: &Presence,
) -> Result<(restore::RestoredState, EventPipeline), RunError> {
    let settings = bus_settings(config, random().map_err(|_| RunError::Random)?);
    let Some(address) = config.bus.redis_address()? else {
        return Ok(restore::restore(store, config.endpoint_rules(), settings, Timestamp::now()).await?);
    };
    let mut redis = redis_settings(config, store, address, presence).await?;
    let checkpoints = load_checkpoints(&redis, &config.pbx.name).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read the call checkpoints of this PBX from Redis; calls are followed from now on");
        Vec::new()
    });
    redis.known_calls = checkpoints.iter().map(|live| live.snapshot.id).collect();
    let shared = |journal| Bus::shared(settings, redis, Some(journal), &cluster.tasks, &cluster.shutdown);
    Ok(restore::join_cluster(store, config.endpoint_rules(), checkpoints, shared).await?)
}

/// The settings of the connection with the other daemons, among them the key that the daemons share in the store.
async fn redis_settings(
    config: &Config,
    store: &Store,
    address: RedisAddress,
    presence: &Presence,
) -> Result<RedisSettings, RunError> {
    let mut candidate = [0; GROUP_KEY_BYTES];
    getrandom::fill(&mut candidate).map_err(|_| RunError::Random)?;
    if config.bus.accept_unsigned_requests {
        tracing::warn!(
            "requests of other daemons are carried out without a signature: set bus.accept_unsigned_requests to false \
             once every daemon of the group is upgraded"
        );
    }
    Ok(RedisSettings {
        address,
        prefix: config.bus.redis_prefix.to_string(),
        daemon: random().map_err(|_| RunError::Random)?,
        started_at: Timestamp::now(),
        known_calls: Vec::new(),
        teams: config.operators.teams.clone(),
        signing_key: SigningKey::new(store.group_key(candidate).await?),
        accept_unsigned: config.bus.accept_unsigned_requests,
        presence: presence.clone(),
    })
}

/// Reads accounts that another process changed (for instance a CLI import), so that the next pop shows them.
async fn refresh_directory(directory: Directory, shutdown: CancellationToken) {
    let mut every = tokio::time::interval(DIRECTORY_REFRESH_INTERVAL);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        match directory.refresh().await {
            Ok(true) => {
                tracing::info!(accounts = directory.accounts_in_memory(), "reloaded the accounts")
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read the accounts; pops use those in memory"
            ),
        }
    }
}

fn random() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

/// The seed of ActionIDs, so that nobody outside can guess them. [`run`] has drawn random numbers before.
#[expect(clippy::expect_used, reason = "a system that stops giving random numbers cannot log in safely")]
fn seed() -> u64 {
    random().expect("the system gave random numbers before")
}
