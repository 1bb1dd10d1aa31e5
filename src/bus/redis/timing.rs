//! Every time-out, interval and TTL of the room, and the counts that are measured in lease ticks.
//!
//! A *lease tick* is one [`LEASE_INTERVAL`] of a session with Redis; counting starts when the session starts.

use std::time::Duration;

/// A Redis that takes longer than this to answer a command counts as unreachable.
pub const REDIS_TIMEOUT: Duration = Duration::from_millis(500);
/// Time-out for opening a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Delay between two attempts to reach Redis.
pub(super) const RECONNECT_DELAY: Duration = Duration::from_millis(200);
/// How long a read of a stream blocks when there is nothing new.
pub(super) const READ_BLOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Time-out for reading the whole state.
pub(super) const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// TTL of a lease that is not renewed.
pub const LEASE_TTL: Duration = Duration::from_millis(1_500);
/// How often the leader renews the lease and a standby tries to acquire it.
pub const LEASE_INTERVAL: Duration = Duration::from_millis(400);
/// For this long after a reconnect a standby leaves the lease to the previous leader.
pub(super) const RECONNECT_GRACE_TICKS: u32 = 6;
/// For this long after a connect a daemon without a link to its PBX leaves the lease to one that has a link.
pub(super) const LINK_DOWN_GRACE_TICKS: u32 = 8;
/// Sessions with Redis that may fail before a daemon that never loaded the state leads without a lease.
pub(super) const START_ATTEMPTS_MAX: u32 = 8;
/// For this long the oldest queued event may stay unconfirmed before the leader detaches.
pub(super) const READ_BACK_TICKS: u32 = 5;
/// How often events that are too old are removed from the stream.
pub(super) const TRIM_TICKS: u32 = 150;

/// How long a standby in fallback waits, once Redis answers, for the leader to publish what this daemon published.
pub(super) const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// TTL of a claim on a team that is not renewed.
pub const CLAIM_TTL: Duration = Duration::from_secs(600);
/// How often the leader renews its claims.
pub(super) const CLAIM_RENEWAL_TICKS: u32 = 5;
/// A daemon takes an expired claim only in a session with Redis that is older than this: the previous owner, which may
/// have lost Redis at the same time, gets as long to renew it.
pub(super) const CLAIM_GRACE_TICKS: u32 = 150;
const _: () = assert!(
    LEASE_INTERVAL.as_millis() * CLAIM_GRACE_TICKS as u128 >= 60_000,
    "the previous owner needs time to reconnect"
);

/// How often each daemon publishes its presence counts and reads those of the others, at least.
pub const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);
/// TTL of a daemon's presence report.
pub const PRESENCE_TTL: Duration = Duration::from_secs(5);
/// Delay before a change is published: many desktops connect at the same time.
pub(super) const PRESENCE_DELAY: Duration = Duration::from_millis(100);

/// How long a caller waits for the answer of another daemon.
pub const RPC_TIMEOUT: Duration = Duration::from_secs(8);
/// TTL of the claim on a request; much longer than any caller waits.
pub(super) const REQUEST_CLAIM_TTL: Duration = Duration::from_secs(60);
/// A new leader still carries out unclaimed requests that are this old.
pub(super) const REQUEST_LOOKBACK: Duration = Duration::from_secs(10);
/// TTL of a daemon's inbox after the last answer.
pub(super) const INBOX_TTL: Duration = Duration::from_secs(3600);

/// A duration as Redis takes it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
