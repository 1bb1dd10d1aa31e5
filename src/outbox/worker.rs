//! The tasks that send: one for each connection, and one that keeps the store's outbox in order.
//!
//! A connection task claims a few due deliveries, renders those that were never tried, sends them one after another over its
//! connection, and settles each. While one of its mails takes long, the others that it has claimed go back, so that another
//! connection sends them.
//!
//! | the server | what the tasks do |
//! |---|---|
//! | is not paused | each claims up to [`CLAIM_SIZE`] deliveries |
//! | is paused | none claims |
//! | its pause is over | one task of all daemons claims one delivery and tries |
//! | has a backup | a task of the backup claims its urgent deliveries, and the service's own mails, while it is paused |
//!
//! Invariant: a claimed delivery is settled, given back or left to its lease: never forgotten. A task that is stopped sends its
//! mail to the end if that takes at most [`STOP_TIMEOUT`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Settings;
use super::limits::Limits;
use super::mailbox::Reader;
use super::rendering::render;
use super::smtp::{Envelope, PhaseTimeouts, SendFailure, ServerRefusal, SmtpConnection};
use super::stats::Stats;
use crate::contract::delivery::DeliveryState;
use crate::contract::records::EndpointKind;
use crate::delivery::{BounceClass, DeliveryInput, LEASE_TTL, ServerPause};
use crate::gateway::Metrics;
use crate::ids::RecordId;
use crate::mail::{FaxGateway, MailAddress};
use crate::messages::letter::Templates;
use crate::messages::{MessageRelay, OutboxWaker};
use crate::numbers::Number;
use crate::store::deliveries::{ClaimedDelivery, SUSPENDED_PREFIX};
use crate::store::mail_servers::{BACKUP_SERVER, MAIL_SERVER};
use crate::store::{Store, StoreError};

/// How often the outbox is read when nobody wakes the tasks.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Deliveries that a task claims at once.
const CLAIM_SIZE: u32 = 8;
/// A mail that takes longer lets the others go to another connection.
const SLOW_MAIL_DELAY: Duration = Duration::from_secs(5);
/// How often a claim is renewed.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);
/// Mails that are sent over one connection.
const MAILS_PER_CONNECTION_MAX: u32 = 100;
/// A connection without work is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a mail that is being sent may take after the daemon was stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
/// How often metrics are read from the store, and the server is entered there.
const KEEP_INTERVAL: Duration = Duration::from_secs(15);

/// Starts the tasks; without settings, enters in the store that there is no server. `is_alone`: no other daemon uses this
/// store, so what a daemon had claimed before this one is due at once.
///
/// # Errors
/// The store cannot be written.
pub async fn start(
    settings: Option<Settings>,
    (store, is_alone): (&Store, bool),
    relay: &MessageRelay,
    metrics: &Metrics,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(), StoreError> {
    store.keep_mail_servers(&names_of(settings.as_ref())).await?;
    if is_alone {
        store.end_delivery_claims(Timestamp::now()).await?;
        store.end_service_mail_claims(Timestamp::now()).await?;
    }
    let Some(mut settings) = settings else { return Ok(()) };
    let stats = Arc::new(Stats::registered(metrics));
    if let Some(mailbox) = settings.mailbox.take() {
        let reader = Reader {
            mailbox,
            return_path: settings.return_path.clone(),
            reply_path: settings.letter.reply_path.clone(),
            fax: settings.fax.values().cloned().collect(),
            store: store.clone(),
            relay: relay.clone(),
            stats: Arc::clone(&stats),
        };
        tasks.spawn(reader.run(shutdown.clone()));
    }
    let (backup, hosts) = (settings.backup.take(), std::mem::take(&mut settings.hosts));
    let of_hosts = hosts.iter().map(|(name, host)| (name.clone(), settings.of_host(host)));
    let servers: Vec<_> = std::iter::once((MAIL_SERVER.into(), settings.clone())).chain(of_hosts).collect();
    let started = Instant::now();
    let limits_of = |per_minute| Arc::new(Limits::new(per_minute, &settings.domains, started.elapsed()));
    let limits_of_backup = backup.as_ref().map(|backup| limits_of(backup.per_minute));
    let spawn = |name: &SmolStr, serves: &SmolStr, settings: Settings, limits| {
        let shared = Arc::new(Shared {
            name: name.clone(),
            serves: serves.clone(),
            stats: Arc::clone(&stats),
            templates: Templates::default(),
            limits,
            settings,
            store: store.clone(),
            relay: relay.clone(),
            waker: relay.outbox(),
            started,
        });
        if !shared.is_backup() || shared.serves == MAIL_SERVER {
            tasks.spawn(keep(Arc::clone(&shared), shutdown.clone()));
        }
        for _ in 0..shared.settings.connections {
            let task = Connection { shared: Arc::clone(&shared), open: None };
            tasks.spawn(task.run(shutdown.clone()));
        }
    };
    for (name, settings) in servers {
        if let Some((backup, limits)) = backup.as_ref().zip(limits_of_backup.as_ref()) {
            let server = backup.server.clone();
            let of_backup = Settings { server, connections: 1, ..settings.clone() };
            spawn(&BACKUP_SERVER.into(), &name, of_backup, Arc::clone(limits));
        }
        let limits = limits_of(settings.per_minute);
        spawn(&name, &name, settings, limits);
    }
    Ok(())
}

/// The names of all servers in the store.
fn names_of(settings: Option<&Settings>) -> Vec<&str> {
    let Some(settings) = settings else { return Vec::new() };
    let backup = settings.backup.as_ref().map(|_| BACKUP_SERVER);
    let hosts = settings.hosts.keys().map(SmolStr::as_str);
    std::iter::once(MAIL_SERVER).chain(hosts).chain(backup).collect()
}

/// What all tasks of a server use.
pub(super) struct Shared {
    /// The server's name in the store.
    pub(super) name: SmolStr,
    /// Whose mails it sends: its own name, or of a backup, that of the server whose urgent mails these are.
    pub(super) serves: SmolStr,
    pub(super) settings: Settings,
    pub(super) store: Store,
    relay: MessageRelay,
    pub(super) waker: OutboxWaker,
    pub(super) limits: Arc<Limits>,
    pub(super) stats: Arc<Stats>,
    pub(super) templates: Templates,
    started: Instant,
}

impl Shared {
    /// Whether it sends what another server cannot.
    fn is_backup(&self) -> bool {
        self.name != self.serves
    }

    /// The time since the start, for the limits.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where a mail goes, and over which gateway of faxes.
    pub(super) fn recipient(
        &self,
        delivery: &ClaimedDelivery,
    ) -> Result<(MailAddress, Option<&FaxGateway>), String> {
        if delivery.channel != EndpointKind::Fax {
            let to =
                delivery.address.parse().map_err(|_| format!("{} is no mail address", delivery.address))?;
            return Ok((to, None));
        }
        let gateway = delivery.profile.as_ref().and_then(|name| self.settings.fax.get(name));
        let gateway = gateway.ok_or("the configuration has no such gateway of faxes")?;
        let number = Number::read(&delivery.address, &self.settings.letter.plan);
        let number = number.ok_or_else(|| format!("{} is no number", delivery.address))?;
        let to = gateway.address(&number.display()).map_err(|error| error.to_string())?;
        Ok((to, Some(gateway)))
    }

    /// Applies an outcome, trying again while the store is away, as long as the claim may still hold.
    pub(super) async fn settle(&self, delivery: RecordId, claim: RecordId, input: DeliveryInput) {
        let deadline = Instant::now() + LEASE_TTL;
        let mut backoff = crate::backoff::Backoff::of_store();
        loop {
            let at = (Timestamp::now(), random());
            match self.store.settle_delivery(delivery, claim, input.clone(), at).await {
                Ok(Some(state)) => {
                    if !matches!(input, DeliveryInput::Postponed { .. }) {
                        self.stats.settled(state);
                    }
                    if matches!(state, DeliveryState::Sent | DeliveryState::Bounced | DeliveryState::Failed) {
                        self.relay.publish_soon();
                    }
                    return;
                }
                Ok(None) => {
                    self.stats.claims_lost.inc();
                    tracing::warn!(%delivery, "another daemon has taken over a delivery; its recipient may get the mail twice");
                    return;
                }
                Err(error) => {
                    log_store_error(&error);
                    if Instant::now() >= deadline || error.is_closed() {
                        return;
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// The envelope of a mail, over a gateway of faxes if there is one.
    fn envelope(&self, delivery: RecordId, to: MailAddress, gateway: Option<&FaxGateway>) -> Envelope {
        let path = self.settings.return_path.as_ref();
        Envelope {
            from: match (gateway, path) {
                // It knows its senders.
                (Some(gateway), _) => gateway.from.clone(),
                (None, Some(path)) => path.of(delivery.0),
                (None, None) => self.settings.letter.from.clone(),
            },
            id: path.is_some().then(|| delivery.0.simple().to_string()),
            to,
        }
    }

    /// Gives deliveries back that were not tried.
    async fn give_back(&self, claim: RecordId, deliveries: &[ClaimedDelivery], until: Timestamp) {
        self.limits.give_back(u32::try_from(deliveries.len()).unwrap_or(u32::MAX));
        for delivery in deliveries {
            self.settle(delivery.id, claim, DeliveryInput::Postponed { until, error: None }).await;
        }
    }
}

/// Whether the recipient's system refused the size of a mail.
fn is_too_large(sent: &Result<String, Failure>) -> bool {
    let Err(Failure::OfDelivery(DeliveryInput::Refused { error, status })) = sent else { return false };
    BounceClass::of(status.as_deref(), error) == BounceClass::Content
}

/// Enters a server in the store, and reads the metrics; that of the main server ends claims of daemons that are gone, and gives up late
/// deliveries.
async fn keep(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut last_kept: Option<Instant> = None;
    loop {
        if last_kept.is_none_or(|at| at.elapsed() >= KEEP_INTERVAL) {
            last_kept = Some(Instant::now());
            if let Err(error) = keep_store(&shared).await {
                log_store_error(&error);
            }
        }
        let swept = if shared.name == MAIL_SERVER {
            shared.store.sweep_deliveries(Timestamp::now()).await
        } else {
            Ok((0, 0))
        };
        match swept {
            Ok((0, 0)) => {}
            Ok((expired, given_up)) => {
                tracing::warn!(
                    expired,
                    given_up,
                    "deliveries of a daemon that ended are due again; late ones are given up"
                );
                (0..given_up).for_each(|_| shared.stats.settled(DeliveryState::Failed));
                shared.relay.publish_soon();
                shared.waker.wake();
            }
            Err(error) => log_store_error(&error),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

async fn keep_store(shared: &Shared) -> Result<(), StoreError> {
    shared.store.set_mail_server(&shared.name, true).await?;
    let load = shared.store.outbox_load(&shared.name).await?;
    let pause = shared.store.mail_server_pause(&shared.name).await?;
    shared.stats.loaded(&shared.name, &load, Timestamp::now(), pause.is_some());
    Ok(())
}

/// One connection and the task that sends over it.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    open: Option<SmtpConnection>,
}

impl Connection {
    async fn run(mut self, shutdown: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        let mut idle_since = Instant::now();
        loop {
            // Created before the store is read, so that a delivery made during the read still wakes the task.
            let woken = shared.waker.woken();
            let wait = match self.round(&shutdown).await {
                Ok(None) => {
                    idle_since = Instant::now();
                    Duration::ZERO
                }
                Ok(Some(wait)) => wait,
                Err(error) => {
                    log_store_error(&error);
                    POLL_INTERVAL
                }
            };
            if idle_since.elapsed() >= IDLE_TIMEOUT
                && let Some(connection) = self.open.take()
            {
                connection.close().await;
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = woken, if !wait.is_zero() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        if let Some(connection) = self.open.take() {
            connection.close().await;
        }
    }

    /// Sends what is due. `None`: there may be more; else how long to wait.
    async fn round(&mut self, shutdown: &CancellationToken) -> Result<Option<Duration>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let now = Timestamp::now();
        if shared.is_backup() && shared.store.mail_server_pause(&shared.serves).await?.is_none() {
            return Ok(Some(POLL_INTERVAL));
        }
        let pause = shared.store.mail_server_pause(&shared.name).await?;
        let size = match &pause {
            Some(pause) if pause.holds(now) => return Ok(Some(POLL_INTERVAL.min(until(pause, now)))),
            Some(_) => 1,
            None => CLAIM_SIZE,
        };
        let size = match shared.limits.take(size, shared.elapsed()) {
            Ok(size) => size,
            Err(wait) => return Ok(Some(wait)),
        };
        let claim = RecordId(Uuid::now_v7());
        let lease = now.checked_add(LEASE_TTL).unwrap_or(now);
        let claimed = if shared.is_backup() {
            shared.store.claim_urgent_deliveries(&shared.serves, claim, (now, lease), size).await
        } else {
            shared.store.claim_message_deliveries(&shared.serves, claim, (now, lease), size).await
        };
        let taken = claimed.as_ref().map_or(0, |claimed| u32::try_from(claimed.len()).unwrap_or(size));
        shared.limits.give_back(size - taken);
        let claimed = claimed?;
        if claimed.is_empty() {
            let is_sent = self.send_service_mail(pause.as_ref(), shutdown).await?;
            return Ok((!is_sent).then_some(POLL_INTERVAL));
        }
        if pause.is_some() && !shared.store.take_mail_probe(&shared.name, now, lease).await? {
            shared.give_back(claim, &claimed, now).await;
            return Ok(Some(POLL_INTERVAL));
        }
        let claimed = render(&shared, claim, claimed).await?;
        self.send_all(claim, claimed, pause, shutdown).await;
        Ok(None)
    }

    /// Sends claimed deliveries one after another.
    async fn send_all(
        &mut self,
        claim: RecordId,
        mut claimed: Vec<ClaimedDelivery>,
        pause: Option<ServerPause>,
        shutdown: &CancellationToken,
    ) {
        let shared = Arc::clone(&self.shared);
        while !claimed.is_empty() {
            let delivery = claimed.remove(0);
            if shutdown.is_cancelled() {
                claimed.insert(0, delivery);
                return shared.give_back(claim, &claimed, Timestamp::now()).await;
            }
            let (to, gateway) = match shared.recipient(&delivery) {
                Ok(found) => found,
                Err(error) => {
                    shared.settle(delivery.id, claim, DeliveryInput::Refused { error, status: None }).await;
                    continue;
                }
            };
            if let Some(why) = &delivery.suspended {
                let error = format!("{SUSPENDED_PREFIX}{why}");
                shared.settle(delivery.id, claim, DeliveryInput::Refused { error, status: None }).await;
                continue;
            }
            if let Err(wait) = shared.limits.take_of_domain(to.domain(), shared.elapsed()) {
                let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
                shared.give_back(claim, &[delivery], until).await;
                continue;
            }
            let mut bytes = delivery.rendered.clone().unwrap_or_default();
            let envelope = shared.envelope(delivery.id, to, gateway);
            let mut sent = self.send_one(claim, &envelope, &bytes, &mut claimed, shutdown).await;
            if gateway.is_none()
                && is_too_large(&sent)
                && let Some(smaller) = shared.without_files(claim, &delivery, &envelope.to).await
            {
                bytes = smaller;
                sent = self.send_one(claim, &envelope, &bytes, &mut claimed, shutdown).await;
            }
            let to = envelope.to;
            match sent {
                Ok(reply) => {
                    tracing::debug!(delivery = %delivery.id, to = %to.masked(), reply, "the mail server took a message");
                    shared.settle(delivery.id, claim, DeliveryInput::Accepted).await;
                }
                Err(Failure::OfDelivery(input)) => {
                    // The server's words name the recipient; they are in the store.
                    let (delivery, to) = (delivery.id, to.masked());
                    tracing::warn!(%delivery, to, status = input.status(), "the mail server did not take a message");
                    shared.settle(delivery, claim, input).await;
                }
                Err(Failure::OfServer(refusal)) => {
                    claimed.insert(0, delivery);
                    return self.pause(claim, &claimed, pause.as_ref(), refusal).await;
                }
                // The lease says that it may have been sent.
                Err(Failure::Stopped) => {
                    return shared.give_back(claim, &claimed, Timestamp::now()).await;
                }
            }
            if pause.is_some() {
                if let Err(error) = shared.store.pause_mail_server(&shared.name, None).await {
                    log_store_error(&error);
                }
                tracing::info!("the mail server takes mails again");
                shared.waker.wake();
            }
        }
    }

    /// Sends one mail, over a new connection if there is none. Renews the claim meanwhile; after [`SLOW_MAIL_DELAY`] gives
    /// `waiting` back.
    pub(super) async fn send_one(
        &mut self,
        claim: RecordId,
        envelope: &Envelope,
        bytes: &[u8],
        waiting: &mut Vec<ClaimedDelivery>,
        shutdown: &CancellationToken,
    ) -> Result<String, Failure> {
        let shared = Arc::clone(&self.shared);
        let sending = self.attempt(envelope, bytes);
        tokio::pin!(sending);
        let (mut slow, mut renewed) = (Some(Instant::now() + SLOW_MAIL_DELAY), Instant::now());
        let stopped = async {
            shutdown.cancelled().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        tokio::pin!(stopped);
        loop {
            let next = slow.unwrap_or(renewed + RENEW_INTERVAL);
            tokio::select! {
                sent = &mut sending => return sent,
                () = &mut stopped => return Err(Failure::Stopped),
                () = tokio::time::sleep_until(next) => {}
            }
            if slow.take().is_some() {
                shared.give_back(claim, waiting, Timestamp::now()).await;
                waiting.clear();
                shared.waker.wake();
                continue;
            }
            renewed = Instant::now();
            let now = Timestamp::now();
            let until = now.checked_add(LEASE_TTL).unwrap_or(now);
            let renewed = shared.store.renew_delivery_claim(claim, until).await;
            if let Err(error) = renewed.and(shared.store.renew_service_mail_claim(claim, until).await) {
                log_store_error(&error);
            }
        }
    }

    async fn attempt(&mut self, envelope: &Envelope, bytes: &[u8]) -> Result<String, Failure> {
        let settings = &self.shared.settings;
        // A connection that the server closed meanwhile is replaced once.
        loop {
            let mut connection = match self.open.take() {
                Some(connection) if connection.is_usable() && connection.used < MAILS_PER_CONNECTION_MAX => {
                    connection
                }
                old => {
                    if let Some(old) = old {
                        old.close().await;
                    }
                    let opened = SmtpConnection::open(&settings.server, PhaseTimeouts::default()).await;
                    opened.map_err(Failure::OfServer)?
                }
            };
            match connection.send(envelope, bytes).await {
                Ok(reply) => {
                    self.open = Some(connection);
                    return Ok(reply);
                }
                Err(SendFailure::Stale) => {}
                Err(SendFailure::OfServer(refusal)) => return Err(Failure::OfServer(refusal)),
                Err(SendFailure::OfDelivery(input)) => {
                    if matches!(input, DeliveryInput::Refused { .. } | DeliveryInput::Deferred { .. }) {
                        self.open = Some(connection);
                    }
                    return Err(Failure::OfDelivery(input));
                }
            }
        }
    }

    /// Pauses the server and gives the deliveries back. No attempt is counted.
    pub(super) async fn pause(
        &self,
        claim: RecordId,
        claimed: &[ClaimedDelivery],
        before: Option<&ServerPause>,
        refusal: ServerRefusal,
    ) {
        let shared = &self.shared;
        let now = Timestamp::now();
        let pause = ServerPause::after(before, now, refusal.to_string());
        let host = &shared.settings.server.host;
        tracing::error!(%host, error = %refusal, until = %pause.until, "the mail server refuses all mails; they wait");
        if let Err(error) = shared.store.pause_mail_server(&shared.name, Some(&pause)).await {
            log_store_error(&error);
        }
        shared.stats.refused.inc();
        shared.limits.give_back(u32::try_from(claimed.len()).unwrap_or(u32::MAX));
        for delivery in claimed {
            let error = Some(refusal.to_string());
            shared.settle(delivery.id, claim, DeliveryInput::Postponed { until: now, error }).await;
        }
        if before.is_none() && !shared.is_backup() {
            // The backup looks now.
            shared.waker.wake();
        }
    }
}

/// Why a mail was not taken.
pub(super) enum Failure {
    OfDelivery(DeliveryInput),
    OfServer(ServerRefusal),
    /// The daemon ends.
    Stopped,
}

fn until(pause: &ServerPause, now: Timestamp) -> Duration {
    Duration::try_from(pause.until.duration_since(now))
        .unwrap_or(POLL_INTERVAL)
        .max(Duration::from_millis(50))
}

/// A random number, for the variation of a delay.
pub(super) fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

pub(super) fn log_store_error(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the outbox cannot use the store; trying again");
}
