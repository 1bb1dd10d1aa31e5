//! The stream of several daemons: one order for all of them, kept in Redis.
//!
//! Each daemon appends its own PBX's events to one stream and reads that stream, its own events included; so every
//! gateway shows every PBX, in the same order and under the same ids, and a desktop may go on at any of them.
//!
//! An event's id is derived, not counted by a process: its stream's name stands for the PBX and the generation, its
//! position continues the one that Redis holds. A daemon that was started anew, or a standby that took over, goes on
//! where the last one ended.
//!
//! | file | holds |
//! |---|---|
//! | `client.rs` | reaching Redis: a server, Sentinels, a cluster |
//! | `scripts.rs` | the keys, and what is done in one step |
//! | `wire.rs` | an event as an entry of the stream |
//! | `hub.rs` | what is told, what arrives, who listens |
//! | `outbox.rs` | events that Redis has not confirmed: the spool; who leads |
//! | `shadow.rs` | what a standby must tell when it takes over |
//! | `lives.rs` | how each living call stands, with its story, for whoever leads next |
//! | `common_time.rs` | the time that hosts with different clocks compare by |
//! | `own_sight.rs` | what a standby shows while Redis is away |
//! | `keeper.rs` | lease, fencing and sending |
//! | `follower.rs` | reading |
//! | `keepers.rs` | whose people each PBX's daemon keeps |
//! | `presence.rs` | whose desktops follow the events, at all gateways |
//! | `requests.rs` | asking the daemon that leads for another PBX |
//!
//! Invariants: as in [`super`]; besides, only the holder of the lease writes a PBX's events, each position is
//! written once, and without Redis a daemon serves its own PBX's desktops as if it were alone.

mod client;
mod common_time;
mod follower;
mod hub;
mod keeper;
mod keepers;
mod lives;
mod outbox;
mod own_sight;
mod presence;
mod requests;
mod scripts;
mod shadow;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use client::{Look, RedisAddress, RedisAddressError};
pub use hub::CommonFigures;
pub use keeper::{LEASE_MS, LEASE_TICK};
pub use keepers::{CLAIM_MS, Elsewhere, claimed_elsewhere};
pub use lives::{LIVES_MAX, calls_left};
pub use outbox::{SPOOL_BYTES_MAX, SPOOL_EVENTS_MAX};
pub use presence::{SAID_MS, SAY_EVERY};
pub use requests::{ANSWER_MAX, AskError, Incoming, Requests};

use self::follower::Follower;
pub(super) use self::hub::Hub;
use self::keeper::Keeper;
use self::presence::Herald;
use self::requests::Clerk;
use self::scripts::Keys;
pub(super) use self::wire::is_of;
use super::log::Logbook;
use super::memory::Log;
use crate::ids::{CallId, PbxId};
use crate::operator::Presence;

/// How long Redis may take to answer before it counts as away.
pub const REDIS_ANSWER_MAX: Duration = Duration::from_millis(500);
/// How long a read waits for news.
const BLOCK_MAX: Duration = Duration::from_secs(1);

/// How a daemon shares its events.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Where Redis is.
    pub address: RedisAddress,
    /// What every key begins with; daemons with the same prefix belong together.
    pub prefix: String,
    /// What this process is called: another one must have another number.
    pub daemon: u64,
    /// The time of the start.
    pub started_at: Timestamp,
    /// Calls that this daemon remembers from those before it ([`calls_left`]).
    pub known: Vec<CallId>,
    /// The teams whose people are to be kept here; none: everybody's.
    pub teams: Vec<SmolStr>,
    /// Whose desktops follow the events here; those at the other gateways are added.
    pub presence: Presence,
}

/// Starts the tasks that connect `log` with the other daemons.
pub(super) fn start(
    settings: RedisSettings,
    pbx: PbxId,
    log: Arc<Log>,
    logbook: Option<Arc<Logbook>>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> (Arc<Hub>, Requests) {
    let generation = u64::try_from(settings.started_at.as_millisecond()).unwrap_or(0);
    let hub = Arc::new(Hub::new(pbx, log, logbook, generation, settings.daemon));
    hub.knows(settings.known);
    let keys = Keys::new(&settings.prefix);
    let follower = Follower { hub: Arc::clone(&hub), address: settings.address.clone(), keys: keys.clone() };
    let daemon = format!("{:016x}", settings.daemon);
    let (requests, incoming) = Requests::new(settings.address.clone(), keys.clone(), daemon.clone());
    let clerk = Clerk { hub: Arc::clone(&hub), requests: requests.clone(), incoming };
    let herald = Herald {
        presence: settings.presence,
        address: settings.address.clone(),
        keys: keys.clone(),
        daemon: daemon.clone(),
    };
    let teams = settings.teams;
    let keeper = Keeper { hub: Arc::clone(&hub), address: settings.address, keys, daemon, teams };
    tasks.spawn(follower.run(shutdown.clone()));
    tasks.spawn(keeper.run(shutdown.clone()));
    tasks.spawn(herald.run(shutdown.clone()));
    tasks.spawn(clerk.run(shutdown.clone()));
    (hub, requests)
}
