//! The tasks that post: one for each service, and one that keeps the outbox in order.
//!
//! A task claims due deliveries of its service, writes the bodies of those that were never tried, posts them at the same time, and
//! settles each. An address gets one at a time, and the next one [`ADDRESS_INTERVAL`] later.
//!
//! Invariant: a claimed delivery is settled, given back or left to its lease: never forgotten. A slow service delays no other one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Settings;
use super::body::{Note, body, media_type};
use super::line_works_bot::Tokens;
use super::sms::Sms;
use super::verdict::{Answer, Verdict, described, verdict};
use crate::contract::delivery::DeliveryState;
use crate::contract::records::EndpointKind;
use crate::delivery::{DeliveryInput, LEASE_TTL, RateLimit};
use crate::gateway::Metrics;
use crate::ids::RecordId;
use crate::messages::letter::{ShortLetter, TemplateName};
use crate::messages::{MessageRelay, OutboxWaker};
use crate::secret::Secret;
use crate::store::deliveries::{ClaimedDelivery, DeliveryTarget, SUSPENDED_PREFIX};
use crate::store::{Store, StoreError};
use crate::webhook::{PostError, WebhookClient};

/// How often the outbox is read when nobody wakes the tasks.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Deliveries that a task claims at once.
const CLAIM_SIZE: u32 = 8;
/// The time between two messages to an address: each service takes one a second.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Addresses that a task remembers.
const ADDRESSES_MAX: usize = 10_000;
/// How long a service waits that does not take the token of the configuration.
const BAD_TOKEN_DELAY: Duration = Duration::from_secs(60);
/// Messages a minute with the token of Chatwork: it takes 300 in five minutes.
const CHATWORK_PER_MINUTE: u32 = 60;
/// How long what is being posted may take after the daemon was stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// Why the tasks cannot start.
#[derive(Debug, thiserror::Error)]
#[error("nothing can be posted to chats")]
pub struct ChatError(#[from] PostError);

/// Starts the tasks.
///
/// # Errors
/// TLS cannot be set up.
pub fn start(
    settings: Settings,
    store: &Store,
    relay: &MessageRelay,
    metrics: &Metrics,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(), ChatError> {
    let client = WebhookClient::new(settings.allow_private, &settings.authorities)?;
    let shared = Arc::new(Shared {
        tokens: Tokens::of(settings.line_works_bots.keys()),
        settings,
        client,
        store: store.clone(),
        relay: relay.clone(),
        waker: relay.outbox(),
        stats: Stats::registered(metrics),
        started: Instant::now(),
    });
    tasks.spawn(keep(Arc::clone(&shared), shutdown.clone()));
    for kind in EndpointKind::ALL.into_iter().filter(|kind| !kind.needs_mail_server()) {
        tasks.spawn(Lane::new(kind, Arc::clone(&shared)).run(shutdown.clone()));
    }
    Ok(())
}

/// What the tasks count.
#[derive(Debug, Clone, Default)]
struct Stats(Family<[(&'static str, &'static str); 2], Counter>);

impl Stats {
    fn registered(metrics: &Metrics) -> Self {
        let stats = Self::default();
        metrics.register(|registry| {
            let help = "Messages to chats and by SMS, by service and what became of an attempt";
            registry.register("chat_attempts", help, stats.0.clone());
        });
        stats
    }

    fn count(&self, kind: EndpointKind, result: &'static str) {
        self.0.get_or_create(&[("service", kind.as_str()), ("result", result)]).inc();
    }
}

/// What all tasks use.
struct Shared {
    settings: Settings,
    tokens: Tokens,
    client: WebhookClient,
    store: Store,
    relay: MessageRelay,
    waker: OutboxWaker,
    stats: Stats,
    started: Instant,
}

/// Ends claims of daemons that are gone, and gives up late deliveries: also where no mail server is configured.
async fn keep(shared: Arc<Shared>, shutdown: CancellationToken) {
    loop {
        match shared.store.sweep_deliveries(Timestamp::now()).await {
            Ok((0, 0)) => {}
            Ok(_) => {
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

/// The task of one service.
struct Lane {
    kind: EndpointKind,
    shared: Arc<Shared>,
    /// Until when nothing is sent with a token of the service, by the name of the gateway or bot.
    blocked: HashMap<String, Instant>,
    /// When each address takes the next one.
    free_at: HashMap<String, Instant>,
    /// What a token of the service allows, by the name of the gateway or bot.
    limits: HashMap<String, RateLimit>,
}

/// What became of an attempt.
struct Attempt {
    delivery: ClaimedDelivery,
    /// The gateway or bot.
    profile: Option<String>,
    input: DeliveryInput,
    /// How long the address takes nothing; of LINE WORKS, which counts all messages of a bot: how long the bot sends nothing.
    limited: Option<Duration>,
    /// The service does not take the token.
    is_blocked: bool,
    result: &'static str,
}

impl Lane {
    fn new(kind: EndpointKind, shared: Arc<Shared>) -> Self {
        Self { kind, shared, blocked: HashMap::new(), free_at: HashMap::new(), limits: HashMap::new() }
    }

    async fn run(mut self, shutdown: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        loop {
            // Created before the store is read, so that a delivery made during the read still wakes the task.
            let woken = shared.waker.woken();
            let wait = match self.round(&shutdown).await {
                Ok(wait) => wait,
                Err(error) => {
                    log_store_error(&error);
                    POLL_INTERVAL
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = woken, if !wait.is_zero() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Posts what is due; returns how long to wait.
    async fn round(&mut self, shutdown: &CancellationToken) -> Result<Duration, StoreError> {
        let now = Instant::now();
        self.blocked.retain(|_, until| *until > now);
        self.free_at.retain(|_, at| *at > now);
        let shared = Arc::clone(&self.shared);
        let (claim, at) = (RecordId(Uuid::now_v7()), Timestamp::now());
        let lease = at.checked_add(LEASE_TTL).unwrap_or(at);
        let claimed =
            shared.store.claim_message_deliveries(self.kind.as_str(), claim, (at, lease), CLAIM_SIZE).await?;
        if claimed.is_empty() {
            return Ok(POLL_INTERVAL);
        }
        let is_full = claimed.len() == CLAIM_SIZE as usize;
        let mut attempts = JoinSet::new();
        for delivery in claimed {
            let target = match shared.store.delivery_target(delivery.id).await {
                Ok(Some(target)) => target,
                // Deleted meanwhile, with its message.
                Ok(None) => continue,
                Err(error) => {
                    // Its lease ends.
                    log_store_error(&error);
                    continue;
                }
            };
            if let Some(wait) = self.wait_for(&delivery.address, target.profile.as_deref()) {
                let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
                shared.settle(delivery.id, claim, DeliveryInput::Postponed { until, error: None }).await;
                continue;
            }
            attempts.spawn(attempt(Arc::clone(&shared), self.kind, claim, delivery, target));
        }
        let stopped = async {
            shutdown.cancelled().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        tokio::pin!(stopped);
        loop {
            let ended = tokio::select! {
                ended = attempts.join_next() => ended,
                // The leases say that they may have been sent.
                () = &mut stopped => return Ok(Duration::ZERO),
            };
            match ended {
                Some(Ok(attempt)) => self.settle(claim, attempt).await,
                Some(Err(error)) => {
                    tracing::error!(%error, "an attempt ended before its time; its lease will")
                }
                None => break,
            }
        }
        Ok(if is_full { Duration::ZERO } else { ADDRESS_INTERVAL })
    }

    /// How long an address or a token of the service must wait; if not at all, the message counts.
    fn wait_for(&mut self, address: &str, profile: Option<&str>) -> Option<Duration> {
        let now = Instant::now();
        let name = profile.unwrap_or_default();
        let until = [self.free_at.get(address), self.blocked.get(name)].into_iter().flatten().max();
        if let Some(wait) = until.and_then(|at| at.checked_duration_since(now)) {
            return Some(wait);
        }
        let per_minute = match (self.kind, profile) {
            (EndpointKind::Chatwork, _) => Some(CHATWORK_PER_MINUTE),
            (EndpointKind::Sms, Some(name)) => {
                self.shared.settings.sms.get(name).map(|gateway| gateway.per_minute)
            }
            (EndpointKind::LineWorksBot, Some(name)) => {
                self.shared.settings.line_works_bots.get(name).map(|bot| bot.per_minute)
            }
            _ => None,
        };
        if let Some(per_minute) = per_minute {
            let elapsed = self.shared.started.elapsed();
            let limit =
                self.limits.entry(name.to_owned()).or_insert_with(|| RateLimit::new(per_minute, elapsed));
            if let Err(wait) = limit.take(elapsed) {
                return Some(wait);
            }
        }
        if self.free_at.len() < ADDRESSES_MAX {
            self.free_at.insert(address.to_owned(), now + ADDRESS_INTERVAL);
        }
        None
    }

    async fn settle(&mut self, claim: RecordId, attempt: Attempt) {
        let Attempt { delivery, profile, input, limited, is_blocked, result } = attempt;
        let now = Instant::now();
        let name = profile.unwrap_or_default();
        if is_blocked {
            let service = self.kind.label();
            tracing::error!(
                service,
                profile = name,
                "the service does not take the token of the configuration; its messages wait"
            );
            self.blocked.insert(name, now + BAD_TOKEN_DELAY);
        } else if let Some(wait) = limited {
            if self.kind == EndpointKind::LineWorksBot {
                self.blocked.insert(name, now + wait);
            } else {
                self.free_at.insert(delivery.address.clone(), now + wait);
            }
        }
        self.shared.stats.count(self.kind, result);
        let (id, address, status) = (delivery.id, &delivery.address, input.status());
        match result {
            "sent" => tracing::debug!(delivery = %id, address, "a service took a message"),
            _ => tracing::warn!(delivery = %id, address, status, result, "a service did not take a message"),
        }
        self.shared.settle(id, claim, input).await;
    }
}

/// Posts one delivery.
async fn attempt(
    shared: Arc<Shared>,
    kind: EndpointKind,
    claim: RecordId,
    delivery: ClaimedDelivery,
    target: DeliveryTarget,
) -> Attempt {
    let ended = |delivery, input, result| {
        let profile = target.profile.clone();
        Attempt { delivery, profile, input, limited: None, is_blocked: false, result }
    };
    if let Some(why) = &delivery.suspended {
        let error = format!("{SUSPENDED_PREFIX}{why}");
        return ended(delivery, DeliveryInput::Refused { error, status: None }, "refused");
    }
    let bytes = match written(&shared, kind, claim, &delivery, &target).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return ended(delivery, DeliveryInput::Refused { error, status: None }, "refused"),
        Err(error) => {
            log_store_error(&error);
            let until = Timestamp::now().checked_add(POLL_INTERVAL).unwrap_or(Timestamp::MAX);
            return ended(delivery, DeliveryInput::Postponed { until, error: None }, "postponed");
        }
    };
    let request = match request(&shared.settings, kind, &delivery, &target) {
        Ok(request) => request,
        Err(error) => return ended(delivery, DeliveryInput::Refused { error, status: None }, "refused"),
    };
    let (found, status) = post(&shared, kind, &target, &request, bytes.into()).await;
    let later = |wait: Duration| Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
    match found {
        Verdict::Accepted => ended(delivery, DeliveryInput::Accepted, "sent"),
        Verdict::Unknown { error } => ended(delivery, DeliveryInput::Unknown { error }, "unknown"),
        Verdict::Deferred { error } => ended(delivery, DeliveryInput::Deferred { error, status }, "deferred"),
        Verdict::Refused { error, status } => {
            ended(delivery, DeliveryInput::Refused { error, status: Some(status) }, "refused")
        }
        Verdict::Limited { wait, error } => {
            let input = DeliveryInput::Postponed { until: later(wait), error: Some(error) };
            Attempt { limited: Some(wait), ..ended(delivery, input, "limited") }
        }
        Verdict::BadToken { error } => {
            let input = DeliveryInput::Postponed { until: later(BAD_TOKEN_DELAY), error: Some(error) };
            Attempt { is_blocked: true, ..ended(delivery, input, "bad_token") }
        }
    }
}

/// Posts a request; what became of it, and the status of the answer. A token of a bot that is refused is replaced once.
async fn post(
    shared: &Shared,
    kind: EndpointKind,
    target: &DeliveryTarget,
    request: &Request,
    bytes: Bytes,
) -> (Verdict, Option<String>) {
    let name = target.profile.as_deref().filter(|_| kind == EndpointKind::LineWorksBot);
    let Some((name, bot)) = name.and_then(|name| Some((name, shared.settings.line_works_bots.get(name)?)))
    else {
        return post_once(shared, kind, request, (None, target.secret.as_ref()), bytes).await;
    };
    let mut refused = None;
    loop {
        let ask = bot.ask(&shared.client, shared.settings.rules.line_works_token_url());
        let token = match shared.tokens.get(name, refused.as_ref(), ask).await {
            Ok(token) => token,
            Err(verdict) => return (verdict, None),
        };
        let posted = post_once(shared, kind, request, (Some(&token), Some(&token)), bytes.clone()).await;
        if refused.is_some() || !matches!(posted.0, Verdict::BadToken { .. }) {
            return posted;
        }
        refused = Some(token);
    }
}

/// Posts a request once, with a token if there is one. The other secret is in no words of the answer that are kept.
async fn post_once(
    shared: &Shared,
    kind: EndpointKind,
    request: &Request,
    (token, secret): (Option<&Secret>, Option<&Secret>),
    bytes: Bytes,
) -> (Verdict, Option<String>) {
    let mut headers: Vec<(&str, String)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    headers.extend(token.map(|token| ("authorization", format!("Bearer {}", token.expose()))));
    match shared.client.request(&request.url, &headers, request.media_type, bytes).await {
        Ok(reply) => {
            let (status, retry_after) = (reply.status, reply.retry_after.as_deref());
            let answer = Answer { status, retry_after, body: &reply.body };
            let found = verdict(kind, answer, request.ok_contains.as_deref(), secret.map(Secret::expose));
            (found, Some(status.to_string()))
        }
        Err(error) => {
            let text = described(&error);
            match error {
                PostError::Exchange(_) | PostError::Timeout => (Verdict::Unknown { error: text }, None),
                _ => (Verdict::Deferred { error: text }, None),
            }
        }
    }
}

/// The bytes of a delivery: those of its first attempt, or new ones, which are kept. The inner error is for good.
async fn written(
    shared: &Shared,
    kind: EndpointKind,
    claim: RecordId,
    delivery: &ClaimedDelivery,
    target: &DeliveryTarget,
) -> Result<Result<Vec<u8>, String>, StoreError> {
    // Nothing in such a chat knows a repeated message again: it says itself that it may be one.
    let may_repeat = delivery.maybe_sent && kind.shows_repeats();
    if let Some(bytes) = delivery.rendered.as_ref().filter(|_| !may_repeat) {
        return Ok(Ok(bytes.clone()));
    }
    let Some(facts) = shared.store.letter_facts(delivery.id).await? else {
        return Ok(Err("its message was deleted".into()));
    };
    if facts.message.fields.text.is_empty() {
        return Ok(Err("its text was removed with the customer's record".into()));
    }
    let settings = &shared.settings;
    // A digest is not confirmed: its messages are.
    let links = settings.links.as_ref().filter(|_| facts.ack_link && facts.digest.is_none());
    let link = links.and_then(|links| links.make(delivery.id));
    let address = link.as_ref().map(|(address, _)| address.as_str());
    let bytes = if kind == EndpointKind::Sms {
        let gateway = target.profile.as_ref().and_then(|name| settings.sms.get(name));
        let Some(gateway) = gateway else {
            return Ok(Err("the configuration has no such gateway of SMS".into()));
        };
        let (text, failed) = ShortLetter::sms(&settings.letter, &facts, address);
        failed.iter().for_each(|(name, error)| error.log(delivery.account, *name));
        let id = delivery.id.to_string();
        gateway.body(Sms { number: &delivery.address, text: &text, delivery: &id }, &settings.rules.plan)
    } else {
        let letter = ShortLetter::write(&settings.letter, &facts, TemplateName::ChatText);
        letter.failed.iter().for_each(|(name, error)| error.log(delivery.account, *name));
        let note = Note { letter: &letter, link: address, mention: target.mention.as_deref(), may_repeat };
        match body(kind, note) {
            Some(bytes) => bytes,
            None => return Ok(Err(format!("{} is no chat", kind.label()))),
        }
    };
    if let Some((_, kept)) = &link {
        // Before the bytes: a message never has a link that the store does not know.
        shared.store.keep_links(std::slice::from_ref(kept)).await?;
    }
    shared.store.keep_rendered(claim, &[(delivery.id, bytes.clone())]).await?;
    Ok(Ok(bytes))
}

/// A request without its body.
struct Request {
    url: url::Url,
    headers: Vec<(String, String)>,
    media_type: &'static str,
    ok_contains: Option<String>,
}

/// Where a delivery is posted. The address is checked again: the configuration may have changed.
fn request(
    settings: &Settings,
    kind: EndpointKind,
    delivery: &ClaimedDelivery,
    target: &DeliveryTarget,
) -> Result<Request, String> {
    let mut request = Request {
        url: match kind {
            EndpointKind::Chatwork => settings.rules.chatwork_url(&delivery.address)?,
            EndpointKind::Sms => {
                let gateway = target.profile.as_ref().and_then(|name| settings.sms.get(name));
                let gateway = gateway.ok_or("the configuration has no such gateway of SMS")?;
                gateway.url.clone()
            }
            EndpointKind::LineWorksBot => {
                let bot = target.profile.as_ref().and_then(|name| settings.line_works_bots.get(name));
                let bot = bot.ok_or("the configuration has no such bot of LINE WORKS")?;
                settings.rules.line_works_url(bot.id, &delivery.address)?
            }
            _ => {
                let secret = target.secret.as_ref().ok_or("its endpoint was deleted")?;
                settings.rules.url(kind, secret.expose())?
            }
        },
        headers: Vec::new(),
        media_type: media_type(kind),
        ok_contains: None,
    };
    match kind {
        EndpointKind::Chatwork => {
            let token = settings.chatwork.as_ref().ok_or("the configuration has no token of Chatwork")?;
            request.headers.push(("x-chatworktoken".into(), token.expose().to_owned()));
        }
        EndpointKind::GoogleChat => {
            // A message that is posted again is the same one.
            request.url.query_pairs_mut().append_pair("requestId", &format!("d-{}", delivery.id));
        }
        EndpointKind::Sms => {
            if let Some(gateway) = target.profile.as_ref().and_then(|name| settings.sms.get(name)) {
                request.headers.extend(gateway.headers().map(|(name, value)| (name.to_owned(), value)));
                request.ok_contains.clone_from(&gateway.ok_contains);
                request.media_type = gateway.media_type();
            }
        }
        _ => {}
    }
    Ok(request)
}

impl Shared {
    /// Applies an outcome, trying again while the store is away, as long as the claim may still hold.
    async fn settle(&self, delivery: RecordId, claim: RecordId, input: DeliveryInput) {
        let deadline = Instant::now() + LEASE_TTL;
        let mut backoff = crate::backoff::Backoff::of_store();
        loop {
            let at = (Timestamp::now(), getrandom::u64().unwrap_or_default());
            match self.store.settle_delivery(delivery, claim, input.clone(), at).await {
                Ok(Some(DeliveryState::Sent | DeliveryState::Bounced | DeliveryState::Failed)) => {
                    self.relay.publish_soon();
                    // The message may go to its next endpoint.
                    self.waker.wake();
                    return;
                }
                Ok(Some(_)) => return,
                Ok(None) => {
                    tracing::warn!(%delivery, "another daemon has taken over a delivery; its recipient may get the message twice");
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
}

fn log_store_error(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the outbox of chats cannot use the store; trying again");
}
