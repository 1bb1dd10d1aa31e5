//! ClusterRpc to the daemon that leads for another PBX, and their answers.
//!
//! | event | the caller gets |
//! |---|---|
//! | the leader claims the request, carries it out and answers | the answer |
//! | no daemon claims it within [`RPC_TIMEOUT`], and the caller withdraws it | [`RpcError::NotDelivered`]: nothing was done |
//! | a daemon claims it, and no answer comes within [`RPC_TIMEOUT`] (it died, for instance) | [`RpcError::OutcomeUnknown`]: it may have been done |
//! | the caller cannot connect to Redis | [`RpcError::NotDelivered`] |
//! | Redis fails while the request is sent, or before it is withdrawn | [`RpcError::NotDelivered`] if the request can still be withdrawn, else [`RpcError::OutcomeUnknown`] |
//! | the leader dies before it claims the request, and a standby leads within [`RPC_TIMEOUT`] | the answer of the new leader, which reads the last [`REQUEST_LOOKBACK`] of requests |
//!
//! Requests and answers are signed (`signature.rs`):
//!
//! | a request or answer | what happens |
//! |---|---|
//! | with a right signature, a request not older than [`REQUEST_AGE_MAX`] | it counts |
//! | with a wrong one, or too old, or carried out here before | it is logged and never carried out |
//! | without one | the same, unless daemons of a version that does not sign are in the group ([`SignaturePolicy`]) |
//!
//! Claiming and withdrawing are the same `SET NX`, which succeeds for one of them. So no clock decides whether a request
//! that no caller waits for is still carried out.
//!
//! Invariants: a request is carried out at most once, whichever daemon leads, and only if a daemon of the group has sent it.
//! The daemon that carries it out decides whether it is allowed. That daemon reserves a slot in its queue before it
//! claims, so a full queue never swallows a claimed request.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use redis::streams::{StreamId, StreamReadReply};
use redis::{RedisError, from_redis_value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Connection, RedisAddress, with_timeout, with_timeout_of};
use super::hub::Hub;
use super::scripts::Keys;
use super::signature::{Message, SigningKey};
use super::timing::{
    INBOX_TTL, READ_BLOCK_TIMEOUT, RECONNECT_DELAY, REQUEST_CLAIM_TTL, REQUEST_LOOKBACK, RPC_TIMEOUT, millis,
};
use crate::ids::PbxId;

/// Most requests or answers in a stream, approximately.
const STREAM_ENTRIES_MAX: usize = 4096;
/// Most requests of other daemons that wait for the gateway.
const REQUESTS_QUEUED_MAX: usize = 256;
/// Oldest request that is carried out. As long, the daemon that carries it out remembers it, whatever becomes of the claim.
const REQUEST_AGE_MAX: Duration = REQUEST_CLAIM_TTL;
/// Least time between two log lines about requests and answers that do not count.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);
/// Who has claimed a request that its caller withdrew; a wire value, which must not change.
const WITHDRAWN: &str = "taken back";

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No daemon carried out the request, and none will.
    #[error("the daemon of that PBX cannot be reached; nothing was done")]
    NotDelivered,
    /// A daemon may have carried out the request.
    #[error("the daemon of that PBX did not answer in time; it may have been done")]
    OutcomeUnknown,
}

/// A request of another daemon, to be carried out here.
#[derive(Debug)]
pub struct RpcRequest {
    /// The request.
    pub body: String,
    /// Where the answer goes.
    pub reply: oneshot::Sender<String>,
}

/// Which requests and answers count.
#[derive(Debug, Clone)]
pub(super) struct SignaturePolicy {
    /// The key of the group.
    pub(super) key: SigningKey,
    /// Whether those without a signature count.
    pub(super) accept_unsigned: bool,
}

impl SignaturePolicy {
    fn accepts(&self, message: &Message<'_>, signature: Option<&str>) -> bool {
        match signature {
            Some(signature) => self.key.is_signature_of(message, signature),
            None => self.accept_unsigned,
        }
    }
}

/// Sends requests to other daemons; clones share one inbox.
#[derive(Debug, Clone)]
pub struct ClusterRpc(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Arc<Hub>,
    policy: SignaturePolicy,
    address: RedisAddress,
    keys: Keys,
    daemon: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<String>>>,
    connection: tokio::sync::Mutex<Option<Shared>>,
    incoming: Mutex<Option<mpsc::Receiver<RpcRequest>>>,
    /// When the log last named a request or answer that does not count.
    complained_at: Mutex<Option<Instant>>,
    /// The requests carried out here within [`REQUEST_AGE_MAX`].
    carried_out: Mutex<HashMap<String, Instant>>,
}

/// A connection that concurrent requests share.
struct Shared(Connection);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl ClusterRpc {
    pub(super) fn new(
        hub: Arc<Hub>,
        address: RedisAddress,
        keys: Keys,
        daemon: String,
        policy: SignaturePolicy,
    ) -> (Self, mpsc::Sender<RpcRequest>) {
        let (sender, incoming) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let inner = Inner {
            hub,
            policy,
            address,
            keys,
            daemon,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            connection: tokio::sync::Mutex::new(None),
            incoming: Mutex::new(Some(incoming)),
            carried_out: Mutex::default(),
            complained_at: Mutex::default(),
        };
        (Self(Arc::new(inner)), sender)
    }

    /// The requests of other daemons; once.
    pub fn take_incoming(&self) -> Option<mpsc::Receiver<RpcRequest>> {
        self.0.incoming.lock().take()
    }

    /// Sends a request to the leader of `pbx`, and waits for the answer.
    ///
    /// # Errors
    /// [`RpcError`] says whether the request may have been carried out.
    pub async fn call(&self, pbx: &PbxId, body: &str) -> Result<String, RpcError> {
        let inner = &self.0;
        let id = format!("{}-{}", inner.daemon, inner.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        inner.waiting.lock().insert(id.clone(), sender);
        let outcome = self.send(&id, pbx, body, answer).await;
        inner.waiting.lock().remove(&id);
        outcome
    }

    async fn send(
        &self,
        id: &str,
        pbx: &PbxId,
        body: &str,
        answer: oneshot::Receiver<String>,
    ) -> Result<String, RpcError> {
        let inner = &self.0;
        let mut redis = inner.connected().await.map_err(|_| RpcError::NotDelivered)?;
        let mut send = redis::cmd("XADD");
        send.arg(inner.keys.requests(pbx)).arg("MAXLEN").arg("~").arg(STREAM_ENTRIES_MAX).arg("*");
        send.arg("i").arg(id).arg("f").arg(&inner.daemon).arg("b").arg(body);
        let at_ms = inner.now().as_millisecond().to_string();
        let message = Message::Request { pbx: pbx.as_str(), id, from: &inner.daemon, at_ms: &at_ms, body };
        send.arg("t").arg(&at_ms).arg("s").arg(inner.policy.key.sign(&message));
        let sent = with_timeout(send.query_async::<String>(&mut redis)).await;
        if sent.is_err() {
            inner.disconnected().await;
            return Err(self.withdraw(id).await);
        }
        match timeout(RPC_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(self.withdraw(id).await),
        }
    }

    /// Claims the request, so that no daemon carries it out.
    async fn withdraw(&self, id: &str) -> RpcError {
        let Ok(mut redis) = self.0.connected().await else { return RpcError::OutcomeUnknown };
        match claim(&mut redis, &self.0.keys, id, WITHDRAWN).await {
            Ok(true) => RpcError::NotDelivered,
            Ok(false) => RpcError::OutcomeUnknown,
            Err(_) => {
                self.0.disconnected().await;
                RpcError::OutcomeUnknown
            }
        }
    }
}

impl Inner {
    async fn connected(&self) -> Result<Connection, RedisError> {
        let mut shared = self.connection.lock().await;
        if let Some(Shared(connection)) = &*shared {
            return Ok(connection.clone());
        }
        let connection = self.address.connect(false).await?;
        *shared = Some(Shared(connection.clone()));
        Ok(connection)
    }

    async fn disconnected(&self) {
        *self.connection.lock().await = None;
    }

    /// The time by which daemons on hosts with different clocks compare.
    fn now(&self) -> Timestamp {
        self.hub.cluster_clock.now().unwrap_or_else(Timestamp::now)
    }

    /// Whether a daemon of the group has sent this request to our PBX, lately.
    fn is_genuine(&self, entry: &StreamId, id: &str, from: &str, body: &str) -> bool {
        let at_ms = field(entry, "t").unwrap_or_default();
        let pbx = self.hub.pbx.as_str();
        let message = Message::Request { pbx, id, from, at_ms: &at_ms, body };
        let signature = field(entry, "s");
        if !self.policy.accepts(&message, signature.as_deref()) {
            return false;
        }
        // One without a signature has no time either.
        let sent_at = at_ms.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let is_recent = |at: Timestamp| self.now().duration_since(at).unsigned_abs() <= REQUEST_AGE_MAX;
        signature.is_none() || sent_at.is_some_and(is_recent)
    }

    /// Logs that a request or answer does not count; once in [`COMPLAINT_INTERVAL`] at most.
    fn complain(&self, what: &'static str) {
        let mut last = self.complained_at.lock();
        if last.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL) {
            return;
        }
        *last = Some(Instant::now());
        tracing::error!(
            what,
            "ignoring what Redis holds without a right signature: a daemon of the group does not sign yet (see \
             bus.accept_unsigned_requests) or uses another store, or somebody else writes to Redis"
        );
    }

    /// Remembers a request; false if it was carried out here before.
    fn remember(&self, id: &str) -> bool {
        let mut carried_out = self.carried_out.lock();
        let now = Instant::now();
        // Twice the age, because the clocks of sender and receiver may differ by as much.
        carried_out.retain(|_, at| now.duration_since(*at) <= REQUEST_AGE_MAX * 2);
        carried_out.insert(id.to_owned(), now).is_none()
    }
}

/// Claims the request for `claimant`; false when it was claimed before.
async fn claim(redis: &mut Connection, keys: &Keys, id: &str, claimant: &str) -> Result<bool, RedisError> {
    let mut claim = redis::cmd("SET");
    claim.arg(keys.claim(id)).arg(claimant).arg("NX").arg("EX").arg(REQUEST_CLAIM_TTL.as_secs());
    Ok(with_timeout(claim.query_async::<Option<String>>(redis)).await?.is_some())
}

/// The task that reads requests to our PBX while this daemon leads, and answers to its own requests.
pub(super) struct RequestHandler {
    pub(super) hub: Arc<Hub>,
    pub(super) rpc: ClusterRpc,
    pub(super) incoming: mpsc::Sender<RpcRequest>,
}

impl RequestHandler {
    /// Works until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let work = async {
            loop {
                if let Err(error) = self.session().await {
                    tracing::debug!(%error, "reading requests of other daemons failed; reconnecting");
                }
                sleep(RECONNECT_DELAY).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn session(&self) -> Result<(), RedisError> {
        let inner = &self.rpc.0;
        let mut redis = inner.address.connect(true).await?;
        let (requests, inbox) = (inner.keys.requests(&self.hub.pbx), inner.keys.inbox(&inner.daemon));
        let (mut last_request, mut last_answer) = (String::new(), "0-0".to_owned());
        let mut was_leader = false;
        loop {
            let leads = self.hub.stats().leads;
            if leads && !was_leader {
                let (seconds, _): (u64, u64) =
                    with_timeout(redis::cmd("TIME").query_async(&mut redis)).await?;
                last_request = format!("{}-0", (seconds * 1000).saturating_sub(millis(REQUEST_LOOKBACK)));
            }
            was_leader = leads;
            let mut read = redis::cmd("XREAD");
            read.arg("BLOCK").arg(millis(READ_BLOCK_TIMEOUT / 4)).arg("STREAMS");
            if leads {
                read.arg(&requests).arg(&inbox).arg(&last_request).arg(&last_answer);
            } else {
                read.arg(&inbox).arg(&last_answer);
            }
            let wait = READ_BLOCK_TIMEOUT * 2;
            let reply: Option<StreamReadReply> = with_timeout_of(wait, read.query_async(&mut redis)).await?;
            for stream in reply.into_iter().flat_map(|reply| reply.keys) {
                for entry in stream.ids {
                    if stream.key == inbox {
                        last_answer.clone_from(&entry.id);
                        self.on_answer(&entry);
                    } else {
                        last_request.clone_from(&entry.id);
                        self.on_request(&entry).await?;
                    }
                }
            }
        }
    }

    fn on_answer(&self, entry: &StreamId) {
        let (Some(id), Some(body)) = (field(entry, "i"), field(entry, "b")) else { return };
        let inner = &self.rpc.0;
        let message = Message::Answer { id: &id, to: &inner.daemon, body: &body };
        if !inner.policy.accepts(&message, field(entry, "s").as_deref()) {
            inner.complain("an answer");
            return;
        }
        let waiting = self.rpc.0.waiting.lock().remove(&id);
        if let Some(waiting) = waiting {
            // The caller may have given up.
            let _ = waiting.send(body);
        }
    }

    /// Claims a request and hands it to the gateway; a spawned task sends the answer.
    async fn on_request(&self, entry: &StreamId) -> Result<(), RedisError> {
        let (Some(id), Some(from), Some(body)) = (field(entry, "i"), field(entry, "f"), field(entry, "b"))
        else {
            return Ok(());
        };
        if !self.rpc.0.is_genuine(entry, &id, &from, &body) {
            self.rpc.0.complain("a request");
            return Ok(());
        }
        // The queue is full: the request stays unclaimed, and its caller withdraws it.
        let Ok(slot) = self.incoming.clone().try_reserve_owned() else { return Ok(()) };
        let inner = Arc::clone(&self.rpc.0);
        let mut redis = inner.connected().await?;
        match claim(&mut redis, &inner.keys, &id, &inner.daemon).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                inner.disconnected().await;
                return Err(error);
            }
        }
        if !inner.remember(&id) {
            inner.complain("a request that was carried out before");
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        slot.send(RpcRequest { body, reply });
        tokio::spawn(async move {
            let Ok(answer) = answer.await else { return };
            let inbox = inner.keys.inbox(&from);
            let mut send = redis::cmd("XADD");
            send.arg(&inbox).arg("MAXLEN").arg("~").arg(STREAM_ENTRIES_MAX).arg("*");
            let message = Message::Answer { id: &id, to: &from, body: &answer };
            let signature = inner.policy.key.sign(&message);
            send.arg("i").arg(&id).arg("b").arg(&answer).arg("s").arg(signature);
            let sent = async {
                with_timeout(send.query_async::<String>(&mut redis)).await?;
                let mut expire = redis::cmd("EXPIRE");
                expire.arg(&inbox).arg(INBOX_TTL.as_secs());
                with_timeout(expire.query_async::<()>(&mut redis)).await
            };
            if sent.await.is_err() {
                tracing::warn!(
                    "an answer could not be sent to the daemon that asked; its client gets an unknown outcome"
                );
                inner.disconnected().await;
            }
        });
        Ok(())
    }
}

fn field(entry: &StreamId, name: &str) -> Option<String> {
    from_redis_value(entry.map.get(name)?.clone()).ok()
}
