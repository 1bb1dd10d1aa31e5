//! Requests to the daemon that leads for a PBX, and its answers.
//!
//! | what happens | what the one who asked hears |
//! |---|---|
//! | the leader claims the request, does it, answers | the answer |
//! | nobody claimed it before the deadline, and the one who asked takes it back | [`AskError::NotDelivered`]: nothing was done |
//! | it was claimed, and no answer came before the deadline | [`AskError::FateUnknown`]: it may have been done |
//! | Redis is away, before or after | as far as it can be told; else [`AskError::FateUnknown`] |
//!
//! Claiming and taking back are the same step in Redis, which only the first to come can take, so no clock of any
//! machine decides whether a request that nobody waits for any more is still carried out.
//!
//! Invariant: a request is carried out at most once, whoever leads in the end. What it may do is decided by the
//! daemon that carries it out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::streams::{StreamId, StreamReadReply};
use redis::{RedisError, from_redis_value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::BLOCK_MAX;
use super::client::{Connection, RedisAddress, in_time, in_time_of};
use super::hub::Hub;
use super::scripts::Keys;
use crate::ids::PbxId;

/// How long the one who asks waits for an answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(8);
/// How long a claim is remembered; much longer than anybody waits.
const CLAIM_SECONDS: u64 = 60;
/// Requests from so long before a daemon began to lead are still carried out, if nobody has taken them back.
const LOOK_BACK_MS: u64 = 10_000;
/// Requests or answers kept in a stream, about.
const STREAM_ENTRIES_MAX: usize = 4096;
/// Requests that wait for the gateway.
const REQUESTS_QUEUED_MAX: usize = 256;
/// Pause between two attempts to reach Redis.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nothing was done.
    #[error("the daemon of that PBX cannot be reached; nothing was done")]
    NotDelivered,
    /// It may have been done.
    #[error("the daemon of that PBX has not answered in time; it may have been done")]
    FateUnknown,
}

/// A request of another daemon.
#[derive(Debug)]
pub struct Incoming {
    /// What is asked.
    pub body: String,
    /// Where the answer goes.
    pub reply: oneshot::Sender<String>,
}

/// Asks other daemons; clones ask for the same daemon.
#[derive(Debug, Clone)]
pub struct Requests(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: RedisAddress,
    keys: Keys,
    daemon: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<String>>>,
    connection: tokio::sync::Mutex<Option<Shared>>,
    incoming: Mutex<Option<mpsc::Receiver<Incoming>>>,
}

/// A connection that several requests use at once.
struct Shared(Connection);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Requests {
    pub(super) fn new(address: RedisAddress, keys: Keys, daemon: String) -> (Self, mpsc::Sender<Incoming>) {
        let (sender, incoming) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let inner = Inner {
            address,
            keys,
            daemon,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            connection: tokio::sync::Mutex::new(None),
            incoming: Mutex::new(Some(incoming)),
        };
        (Self(Arc::new(inner)), sender)
    }

    /// The requests of other daemons. Given once.
    pub fn take_incoming(&self) -> Option<mpsc::Receiver<Incoming>> {
        self.0.incoming.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks whoever leads for `pbx`.
    ///
    /// # Errors
    /// [`AskError`] says whether it may have been done.
    pub async fn ask(&self, pbx: &PbxId, body: &str) -> Result<String, AskError> {
        let inner = &self.0;
        let id = format!("{}-{}", inner.daemon, inner.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
        let outcome = self.ask_as(&id, pbx, body, answer).await;
        inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        outcome
    }

    async fn ask_as(
        &self,
        id: &str,
        pbx: &PbxId,
        body: &str,
        answer: oneshot::Receiver<String>,
    ) -> Result<String, AskError> {
        let inner = &self.0;
        let mut redis = inner.connected().await.map_err(|_| AskError::NotDelivered)?;
        let mut send = redis::cmd("XADD");
        send.arg(inner.keys.requests(pbx)).arg("MAXLEN").arg("~").arg(STREAM_ENTRIES_MAX).arg("*");
        send.arg("i").arg(id).arg("f").arg(&inner.daemon).arg("b").arg(body);
        let sent = in_time(send.query_async::<String>(&mut redis)).await;
        if sent.is_err() {
            inner.disconnected().await;
            return Err(self.take_back(id).await);
        }
        match timeout(ANSWER_MAX, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(self.take_back(id).await),
        }
    }

    /// Whether the request can still be kept from being carried out.
    async fn take_back(&self, id: &str) -> AskError {
        let Ok(mut redis) = self.0.connected().await else { return AskError::FateUnknown };
        match claim(&mut redis, &self.0.keys, id, "taken back").await {
            Ok(true) => AskError::NotDelivered,
            Ok(false) => AskError::FateUnknown,
            Err(_) => {
                self.0.disconnected().await;
                AskError::FateUnknown
            }
        }
    }
}

impl Inner {
    async fn connected(&self) -> Result<Connection, RedisError> {
        let mut place = self.connection.lock().await;
        if let Some(Shared(connection)) = &*place {
            return Ok(connection.clone());
        }
        let connection = self.address.connect(false).await?;
        *place = Some(Shared(connection.clone()));
        Ok(connection)
    }

    async fn disconnected(&self) {
        *self.connection.lock().await = None;
    }
}

/// Takes the request for `whom`; false when somebody was first.
async fn claim(redis: &mut Connection, keys: &Keys, id: &str, whom: &str) -> Result<bool, RedisError> {
    let mut claim = redis::cmd("SET");
    claim.arg(keys.claim(id)).arg(whom).arg("NX").arg("EX").arg(CLAIM_SECONDS);
    Ok(in_time(claim.query_async::<Option<String>>(redis)).await?.is_some())
}

/// Reads requests to the PBX that this daemon leads for, and answers to its own.
pub(super) struct Clerk {
    pub(super) hub: Arc<Hub>,
    pub(super) requests: Requests,
    pub(super) incoming: mpsc::Sender<Incoming>,
}

impl Clerk {
    /// Works until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let work = async {
            loop {
                if let Err(error) = self.session().await {
                    tracing::debug!(%error, "requests of other daemons cannot be read");
                }
                sleep(RECONNECT_PAUSE).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn session(&self) -> Result<(), RedisError> {
        let inner = &self.requests.0;
        let mut redis = inner.address.connect(true).await?;
        let (requests, inbox) = (inner.keys.requests(&self.hub.pbx), inner.keys.inbox(&inner.daemon));
        let (mut asked, mut answered) = (String::new(), "0-0".to_owned());
        let mut led = false;
        loop {
            let leads = self.hub.figures().leads;
            if leads && !led {
                let (seconds, _): (u64, u64) = in_time(redis::cmd("TIME").query_async(&mut redis)).await?;
                asked = format!("{}-0", (seconds * 1000).saturating_sub(LOOK_BACK_MS));
            }
            led = leads;
            let mut read = redis::cmd("XREAD");
            read.arg("BLOCK").arg(u64::try_from(BLOCK_MAX.as_millis() / 4).unwrap_or(250)).arg("STREAMS");
            if leads {
                read.arg(&requests).arg(&inbox).arg(&asked).arg(&answered);
            } else {
                read.arg(&inbox).arg(&answered);
            }
            let wait = BLOCK_MAX * 2;
            let reply: Option<StreamReadReply> = in_time_of(wait, read.query_async(&mut redis)).await?;
            for stream in reply.into_iter().flat_map(|reply| reply.keys) {
                for entry in stream.ids {
                    if stream.key == inbox {
                        answered.clone_from(&entry.id);
                        self.answered(&entry);
                    } else {
                        asked.clone_from(&entry.id);
                        self.asked(&entry).await?;
                    }
                }
            }
        }
    }

    fn answered(&self, entry: &StreamId) {
        let (Some(id), Some(body)) = (field(entry, "i"), field(entry, "b")) else { return };
        let waiting = self.requests.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(waiting) = waiting {
            // Whoever asked may have given up.
            let _ = waiting.send(body);
        }
    }

    /// Carries a request out beside the loop, if it is still wanted.
    async fn asked(&self, entry: &StreamId) -> Result<(), RedisError> {
        let (Some(id), Some(from), Some(body)) = (field(entry, "i"), field(entry, "f"), field(entry, "b"))
        else {
            return Ok(());
        };
        // No place: it is left for its deadline, and nothing was done.
        let Ok(place) = self.incoming.clone().try_reserve_owned() else { return Ok(()) };
        let inner = Arc::clone(&self.requests.0);
        let mut redis = inner.connected().await?;
        match claim(&mut redis, &inner.keys, &id, &inner.daemon).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                inner.disconnected().await;
                return Err(error);
            }
        }
        let (reply, answer) = oneshot::channel();
        place.send(Incoming { body, reply });
        tokio::spawn(async move {
            let Ok(answer) = answer.await else { return };
            let inbox = inner.keys.inbox(&from);
            let mut send = redis::cmd("XADD");
            send.arg(&inbox).arg("MAXLEN").arg("~").arg(STREAM_ENTRIES_MAX).arg("*");
            send.arg("i").arg(id).arg("b").arg(answer);
            let sent = async {
                in_time(send.query_async::<String>(&mut redis)).await?;
                let mut keep = redis::cmd("EXPIRE");
                keep.arg(&inbox).arg(CLAIM_SECONDS * 60);
                in_time(keep.query_async::<()>(&mut redis)).await
            };
            if sent.await.is_err() {
                tracing::warn!(
                    "an answer did not reach the daemon that asked; it will say that it does not know"
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
