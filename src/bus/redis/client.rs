//! Connecting to Redis: one server, the master that Sentinels name, or a cluster; plain or over TLS.
//!
//! Invariants: the password is in no URL, message or `Debug`. [`RedisAddress::connect`] opens a new connection each time
//! and asks the Sentinels again, so that a reconnect follows a failover.
//!
//! | addresses | settings | connects to |
//! |---|---|---|
//! | `redis://host:port/db`, `rediss://…` (one) | | that server |
//! | `redis://host:26379` (several) | `redis_sentinel_service` | the master of that service |
//! | `redis://host:port` (some nodes) | `redis_cluster` | the cluster; all keys are in one slot |

use std::fmt;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, TlsMode, Value,
};
use tokio::time::timeout;

use super::timing::{CONNECT_TIMEOUT, READ_BLOCK_TIMEOUT, REDIS_TIMEOUT};
use crate::secret::Secret;

/// Why a configuration names no Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisAddressError {
    /// The text is no URL, or one with another scheme.
    #[error("\"{0}\" must be redis://host:port or, with TLS, rediss://host:port")]
    NoUrl(String),
    /// The URL contains a password, which logs and messages would show.
    #[error(
        "the URL must not contain the password: write it to a file and name that file in bus.redis_password_file"
    )]
    Password,
    /// Both a cluster and Sentinels are configured.
    #[error("redis_cluster and redis_sentinel_service exclude each other: set one of them")]
    Both,
    /// One server has several addresses.
    #[error("one server has one address: set redis_sentinel_service or redis_cluster to use several")]
    Several,
}

/// Address of the Redis that the daemons share.
#[derive(Clone)]
pub struct RedisAddress {
    nodes: Vec<ConnectionInfo>,
    shown: String,
    kind: Kind,
    password: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Server,
    Sentinels(String),
    Cluster,
}

impl RedisAddress {
    /// Parses the addresses; `None` when there are none, and the event stream stays in this process.
    ///
    /// # Errors
    /// An address is invalid or contains a password, or the settings exclude each other.
    pub fn parse(
        urls: &[impl AsRef<str>],
        sentinel_service: Option<&str>,
        cluster: bool,
    ) -> Result<Option<Self>, RedisAddressError> {
        let kind = match (sentinel_service, cluster) {
            (Some(_), true) => return Err(RedisAddressError::Both),
            (Some(service), false) => Kind::Sentinels(service.to_owned()),
            (None, true) => Kind::Cluster,
            (None, false) => Kind::Server,
        };
        if urls.len() > 1 && kind == Kind::Server {
            return Err(RedisAddressError::Several);
        }
        let nodes: Vec<_> = urls.iter().map(|url| node(url.as_ref())).collect::<Result<_, _>>()?;
        let shown = urls.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
        Ok((!nodes.is_empty()).then_some(Self { nodes, shown, kind, password: None }))
    }

    /// The same address, with the password.
    #[must_use]
    pub fn with_password(self, password: Option<Secret>) -> Self {
        Self { password, ..self }
    }

    /// Opens a connection. `blocking`: commands have no time-out of their own, except in a cluster.
    ///
    /// # Errors
    /// Redis does not answer within [`CONNECT_TIMEOUT`], or refuses the login.
    pub(super) async fn connect(&self, blocking: bool) -> Result<Connection, RedisError> {
        with_timeout_of(CONNECT_TIMEOUT, self.try_connect(blocking)).await
    }

    /// Reads version and persistence, for `toritsugi check`.
    ///
    /// # Errors
    /// Redis cannot be reached, or refuses the login.
    pub async fn inspect(&self) -> Result<RedisInfo, RedisError> {
        let mut connection = self.connect(false).await?;
        // A script, because a cluster answers INFO once for each node.
        let info: String = redis::Script::new("redis.call('GET', KEYS[1]) return redis.call('INFO')")
            .key("{toritsugi}:check")
            .invoke_async(&mut connection)
            .await?;
        let value = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        Ok(RedisInfo {
            version: value("redis_version").unwrap_or("of an unknown version").to_owned(),
            persistent: value("aof_enabled") == Some("1"),
        })
    }

    async fn try_connect(&self, blocking: bool) -> Result<Connection, RedisError> {
        let client = match &self.kind {
            Kind::Cluster => return self.connect_cluster(blocking).await,
            Kind::Server => redis::Client::open(self.with_secret(&self.nodes[0]))?,
            Kind::Sentinels(service) => {
                let first = &self.nodes[0];
                let settings = self.with_secret(first).redis_settings().clone();
                let mut node = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
                if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
                    node = node.set_tls_mode(TlsMode::Secure);
                }
                let mut sentinels = Sentinel::build(self.nodes.clone())?;
                sentinels.async_master_for(service, Some(&node)).await?
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(if blocking { None } else { Some(REDIS_TIMEOUT) });
        Ok(Connection::Server(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    async fn connect_cluster(&self, blocking: bool) -> Result<Connection, RedisError> {
        let answer_timeout = if blocking { READ_BLOCK_TIMEOUT * 2 } else { REDIS_TIMEOUT };
        let mut builder = ClusterClientBuilder::new(self.nodes.clone())
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(answer_timeout)
            .retries(1);
        if let Some(password) = &self.password {
            builder = builder.password(password.expose());
        }
        Ok(Connection::Cluster(builder.build()?.get_async_connection().await?))
    }

    fn with_secret(&self, node: &ConnectionInfo) -> ConnectionInfo {
        match &self.password {
            Some(password) => {
                let settings = node.redis_settings().clone().set_password(password.expose());
                node.clone().set_redis_settings(settings)
            }
            None => node.clone(),
        }
    }
}

fn node(url: &str) -> Result<ConnectionInfo, RedisAddressError> {
    let no_url = || RedisAddressError::NoUrl(url.split('@').next_back().unwrap_or_default().to_owned());
    if !url.starts_with("redis://") && !url.starts_with("rediss://") {
        return Err(no_url());
    }
    let info = url.into_connection_info().map_err(|_| no_url())?;
    if info.redis_settings().password().is_some() {
        return Err(RedisAddressError::Password);
    }
    Ok(info)
}

impl PartialEq for RedisAddress {
    fn eq(&self, other: &Self) -> bool {
        (&self.shown, &self.kind, &self.password) == (&other.shown, &other.kind, &other.password)
    }
}

/// Answer of [`RedisAddress::inspect`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisInfo {
    /// Version of the server.
    pub version: String,
    /// Whether the server persists every write (`appendonly yes`).
    pub persistent: bool,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Server => write!(f, "{}", self.shown),
            Kind::Sentinels(service) => write!(f, "{service} by the Sentinels {}", self.shown),
            Kind::Cluster => write!(f, "the cluster of {}", self.shown),
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

/// Awaits an answer for [`REDIS_TIMEOUT`]: a Redis that hangs counts as unreachable.
pub(super) async fn with_timeout<T>(
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    with_timeout_of(REDIS_TIMEOUT, answer).await
}

/// Awaits an answer for `wait`.
pub(super) async fn with_timeout_of<T>(
    wait: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    match timeout(wait, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
    }
}

/// A connection to a server or to a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_show_no_password() {
        let one = |url: &str| RedisAddress::parse(&[url], None, false);
        assert_eq!(RedisAddress::parse(&[] as &[&str], None, false), Ok(None));
        let address = one("rediss://cti@redis.example.jp:6380/2").unwrap().unwrap();
        let address = address.with_password(Some(Secret::new("hunter2")));
        assert!(!format!("{address} {address:?}").contains("hunter2"));
        assert_eq!(one("redis://:x@h/"), Err(RedisAddressError::Password));
        for url in ["", "http://h", "redis+unix:///x"] {
            assert!(matches!(one(url), Err(RedisAddressError::NoUrl(_))), "{url}");
        }
        let two = ["redis://a:26379", "redis://b:26379"];
        assert_eq!(RedisAddress::parse(&two, None, false), Err(RedisAddressError::Several));
        assert_eq!(RedisAddress::parse(&two, Some("cti"), true), Err(RedisAddressError::Both));
        let sentinels = RedisAddress::parse(&two, Some("cti"), false).unwrap().unwrap();
        assert_eq!(sentinels.to_string(), "cti by the Sentinels redis://a:26379, redis://b:26379");
        assert!(RedisAddress::parse(&two, None, true).unwrap().is_some());
    }
}
