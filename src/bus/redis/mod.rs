//! The event stream of several daemons: one global order, kept in Redis.
//!
//! Each daemon serves one PBX. The daemon that *leads* for a PBX appends the PBX's events to one shared stream; every
//! daemon reads that stream, its own events included. So every gateway shows every PBX, in the same order and under the
//! same ids, and a client may resume at any gateway. An event's id is derived from the PBX, a *generation* and a position,
//! not from a counter of a process: a restarted daemon or a standby that takes over continues where the last leader
//! stopped.
//!
//! # Roles of a daemon
//! | role | publishes events of its PBX | sends actions to the PBX | what its gateway's clients get |
//! |---|---|---|---|
//! | leader | yes: an event is delivered once it was read back from the stream | yes | the stream |
//! | leader, *detached*: Redis is unreachable, or an event was not read back for 2 s | yes: delivered locally at once, and spooled | yes | events of its own PBX; those of the other PBXes stop |
//! | standby: another daemon leads for the same PBX | no: it records what the leader should publish (`standby.rs`) | no; requests go to the leader (`rpc.rs`) | the stream |
//! | standby in *fallback*: Redis is unreachable | locally, under ids of its own (`fallback.rs`) | no; requests get 503 | its own view of its PBX; everything else stops |
//!
//! A *client* below is a desktop or another subscriber of the event stream of a gateway. Clients know an event by its id;
//! one that reconnects with an id that the gateway has resumes, and gets a snapshot otherwise.
//!
//! # Keys
//! `P` is the configured prefix. The names, fields and values must not change: a group is upgraded one daemon at a time.
//!
//! | key | type | content | TTL |
//! |---|---|---|---|
//! | `{P}:events` | stream | every PBX's events in their global order, and stream resets (`wire.rs`) | none; trimmed to about 50,000 entries and to the replay age |
//! | `{P}:heads` | hash by PBX | generation and position of the PBX's last event | none |
//! | `{P}:links` | hash by PBX | state of the link to the PBX | none |
//! | `{P}:operators` | hash by operator | the operator's state | none |
//! | `{P}:calls:PBX` | hash by call | the call's view after the PBX's last event | none |
//! | `{P}:lives:PBX` | hash by call | the call's checkpoint, for the next leader (`checkpoints.rs`) | none; deleted once the call is in the store |
//! | `{P}:lease:PBX` | string | fencing token and daemon of the leader | [`LEASE_TTL`] |
//! | `{P}:fence:PBX` | string | the last fencing token | none |
//! | `{P}:teams` | hash by team | PBX that owns the team's operators, and expiry (`team_ownership.rs`) | the claim expires after [`CLAIM_TTL`], the field stays |
//! | `{P}:desktops` | hash by daemon | desktops of each operator at its gateway, and expiry (`presence.rs`) | [`PRESENCE_TTL`] |
//! | `{P}:requests:PBX` | stream | requests to the PBX's leader (`rpc.rs`) | none; trimmed to about 4,096 entries |
//! | `{P}:inbox:DAEMON` | stream | answers to a daemon's requests | 1 h after the last answer |
//! | `{P}:claim:REQUEST` | string | the daemon that carries the request out, or `taken back` | 60 s |
//!
//! `toritsugi check` reads `{toritsugi}:check`, which does not exist, to test scripts.
//!
//! # Failures
//! A daemon notices within about 1 s that Redis is unreachable (a lease tick and [`REDIS_TIMEOUT`]), and retries every
//! 200 ms.
//!
//! | failure | leader of the PBX | standby of the PBX | a client notices |
//! |---|---|---|---|
//! | Redis dies while it is idle | detaches | enters fallback | events of the gateway's own PBX go on, those of other PBXes stop; requests about them: 503 `pbx-unreachable`, or 504 `pbx-no-answer` for those under way |
//! | Redis dies in the middle of a send | detaches; moves the unconfirmed events to a new generation before delivering them (`outbox.rs`) | enters fallback | as above; the events in doubt arrive once, under ids that only this gateway knows |
//! | Redis answers again | acquires the lease, sends the spool, attaches | waits for the leader's events for at most 2 s, loads the state, stands by | at the leader's gateway: the events of the other PBXes, nothing twice; at the standby's: a cut and a snapshot |
//! | the same, but Redis has some of the events in doubt, or has lost events | begins a new generation, uploads its state, appends a *stream reset* | loads the state | at every gateway: a cut and a snapshot |
//! | the same, but Redis is empty | uploads the state of its PBX, sends the spool | loads the state | a cut and a snapshot, which shows each PBX once its leader has uploaded it. A leader whose follower loads the empty state before the upload has lost its own calls; each comes back with its next event |
//! | the spool overflows during an outage | drops the oldest events; later as for lost events | - | nothing during the outage; later a cut and a snapshot |
//! | Redis answers, but an event is not read back for 2 s | detaches; resets the stream if Redis has the event | follows the stream | as when Redis dies, then a cut and a snapshot |
//! | the leader dies | - | acquires the lease within about 2 s, publishes the missing events, lists the channels, publishes what changed unobserved | at other gateways: a pause; at the dead gateway: a lost connection, then a resume elsewhere |
//! | the leader dies during a transfer | - | as above; the transfer goes on in the PBX, and the new leader finds it in the channel list (`transfer/recover.rs`) | the transfer's later events, marked `inferred`; a request that the dead leader had claimed: 504 `pbx-no-answer` after 8 s |
//! | the leader dies, and there is no standby | - | - | the PBX's calls and operators stay as last published; requests: 503 `pbx-unreachable` after 8 s. A leader that starts later publishes the difference |
//! | the leader shuts down | sends the queue, releases the lease | leads at the next tick (0.4 s) | as when the leader dies, without the pause |
//! | leader and Redis die together | - | fallback; does not lead while Redis is unreachable. After that it loads Redis' older state (2 s), acquires the lease (2.4 s after reconnecting) and publishes the missing events | at the standby's gateway: local events go on, requests get 503. Then a cut, a snapshot whose state is *older* than the client's, and the missing events |
//! | only the leader loses Redis | detaches; still sends actions of its own gateway's clients. When it reaches Redis again it steps down and drops its spool | acquires the lease and leads | two gateways show the PBX independently; later, at the old leader's: a cut and a snapshot |
//! | the leader is suspended beyond its lease | steps down when it wakes; fencing keeps its events out of the stream | acquires the lease and leads | as when the leader dies |
//! | a daemon starts while Redis is unreachable or loading | leads without a lease after 8 failed attempts, detached, in a new generation | the same: two such daemons both lead until Redis answers | a snapshot of its own PBX, then events; a cut and a snapshot when Redis answers |
//! | the leader loses its link to the PBX | keeps the lease, publishes `pbx.down` | stands by, even with a link | `pbx.down` |
//! | a reader falls behind the trimmed stream, or misses a position | loads the state | loads the state | a cut; a resume if the id is still known, else a snapshot |
//! | a claim on a team expires because its PBX has no leader | - | - | nothing until another PBX that requests the team takes it; then `operator.state` of the new owner (`team_ownership.rs`) |
//! | a request's claim expires (60 s) | - | - | nothing: its caller gave up after 8 s |
//!
//! # Ordering rules
//! 1. A daemon claims its teams before it leads, so it publishes no operator whom another PBX owns (`leader.rs`); a
//!    daemon that never reached Redis leads without claims.
//! 2. A standby leads only after it has read the stream to its end, and not while its clients have events of a fallback
//!    (`leader.rs`, `hub/leadership.rs`).
//! 3. A new leader publishes the missing events first, in the order in which the calls began, then the link if it differs.
//!    Only then does the core list the channels and reconcile (`hub/leadership.rs`).
//! 4. After a channel list, `call.rescinded` of silent operators comes before `call.ended` of calls that have gone
//!    (`hub/publish.rs`).
//! 5. The predecessor's checkpoints are read before leading; none is overwritten before the core has taken them
//!    (`checkpoints.rs`).
//! 6. A checkpoint is written with the last queued event or after it, never before it (`leader.rs`).
//! 7. A call's checkpoint is deleted only after its record is in the store (`checkpoints.rs`).
//! 8. An event is delivered after it was read back. If it is delivered earlier, it first gets an id that is not in doubt,
//!    and names the last global event before it (`hub/publish.rs`, `outbox.rs`).
//! 9. A message counts as published only after the last event published before that was read back (`hub/publish.rs`).
//! 10. After a reconnect the leader uploads its state, if Redis has another one, before it sends the spool. A stream reset
//!     is appended in the same script call as the state (`leader.rs`, `scripts.rs`).
//! 11. Nothing behind a gap or a stream reset is delivered before the state was loaded (`follower.rs`).
//! 12. Loading appends the spooled events of this gateway behind Redis' state (`hub/load.rs`).
//! 13. A request is claimed before it is carried out, and after a place in the gateway's queue was reserved (`rpc.rs`).
//! 14. On shutdown the leader sends its queue before it releases the lease (`leader.rs`).
//!
//! # Invariants
//! As in [`super`]; besides: only the holder of the lease writes a PBX's events, each position is written once, and
//! without Redis every daemon goes on serving its own PBX to its own clients.
//!
//! # Read next
//! | file | holds |
//! |---|---|
//! | `outbox.rs` | events that Redis has not confirmed; the role of this daemon |
//! | `leader.rs` | the task that holds the lease, fences and sends |
//! | `follower.rs` | the task that reads the stream |
//! | `hub/` | what joins publishing, receiving and local subscribers |
//! | `standby.rs` | which events a new leader has to publish |
//! | `fallback.rs` | what a standby publishes while Redis is unreachable |
//! | `checkpoints.rs` | call checkpoints for the next leader |
//! | `team_ownership.rs` | which PBX owns an operator |
//! | `rpc.rs`, `signature.rs` | requests to the leader of another PBX, and their signatures |
//! | `presence.rs` | desktops at all gateways |
//! | `clock.rs` | the time by which hosts compare |
//! | `wire.rs`, `scripts.rs`, `client.rs` | an event as a stream entry; keys and Lua scripts; connecting |
//! | `position.rs`, `timing.rs` | positions in the stream; all time-outs and intervals |

mod checkpoints;
mod client;
mod clock;
mod fallback;
mod follower;
mod hub;
mod leader;
mod outbox;
mod position;
mod presence;
mod rpc;
mod scripts;
mod signature;
mod standby;
mod team_ownership;
mod timing;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use checkpoints::{CHECKPOINTS_MAX, load_all_checkpoints, load_checkpoints};
pub use client::{RedisAddress, RedisAddressError, RedisInfo};
pub use hub::ClusterStats;
pub use outbox::{SPOOL_BYTES_MAX, SPOOL_EVENTS_MAX};
pub use rpc::{ClusterRpc, RpcError, RpcRequest};
pub use signature::SigningKey;
pub use team_ownership::{ForeignTeams, read_foreign_teams};
pub use timing::{
    CLAIM_TTL, LEASE_INTERVAL, LEASE_TTL, PRESENCE_INTERVAL, PRESENCE_TTL, REDIS_TIMEOUT, RPC_TIMEOUT,
};

use self::follower::Follower;
pub(super) use self::hub::Hub;
use self::leader::LeaderTask;
use self::presence::PresencePublisher;
use self::rpc::{RequestHandler, SignaturePolicy};
use self::scripts::Keys;
pub(super) use self::wire::is_event_of;
use super::event_log::EventLog;
use crate::ids::{CallId, PbxId};
use crate::journal::queue::JournalQueue;
use crate::people::presence::Presence;

/// How a daemon shares its events.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Address of Redis.
    pub address: RedisAddress,
    /// Prefix of every key; daemons with the same prefix form a group.
    pub prefix: String,
    /// Number of this process, unique in the group.
    pub daemon: u64,
    /// When this process started.
    pub started_at: Timestamp,
    /// Calls that this daemon restored from checkpoints ([`load_checkpoints`]).
    pub known_calls: Vec<CallId>,
    /// Teams whose operators this PBX is to own; none: all teams.
    pub teams: Vec<SmolStr>,
    /// The key with which the group signs its requests and answers.
    pub signing_key: SigningKey,
    /// Whether requests and answers without a signature count: daemons of a version that does not sign are in the group.
    pub accept_unsigned: bool,
    /// Desktops at this gateway; the tasks add those at the other gateways.
    pub presence: Presence,
}

/// Starts the tasks that connect `log` with the other daemons.
pub(super) fn start(
    settings: RedisSettings,
    pbx: PbxId,
    log: Arc<EventLog>,
    journal: Option<Arc<JournalQueue>>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> (Arc<Hub>, ClusterRpc) {
    let generation = u64::try_from(settings.started_at.as_millisecond()).unwrap_or(0);
    let hub = Arc::new(Hub::new(pbx, log, journal, generation, settings.daemon));
    hub.mark_known(settings.known_calls);
    let keys = Keys::new(&settings.prefix);
    let follower = Follower { hub: Arc::clone(&hub), address: settings.address.clone(), keys: keys.clone() };
    let daemon = format!("{:016x}", settings.daemon);
    let policy = SignaturePolicy { key: settings.signing_key, accept_unsigned: settings.accept_unsigned };
    let (rpc, incoming) =
        ClusterRpc::new(Arc::clone(&hub), settings.address.clone(), keys.clone(), daemon.clone(), policy);
    let handler = RequestHandler { hub: Arc::clone(&hub), rpc: rpc.clone(), incoming };
    let presence = PresencePublisher {
        presence: settings.presence,
        address: settings.address.clone(),
        keys: keys.clone(),
        daemon: daemon.clone(),
    };
    let teams = settings.teams;
    let leader = LeaderTask { hub: Arc::clone(&hub), address: settings.address, keys, daemon, teams };
    tasks.spawn(follower.run(shutdown.clone()));
    tasks.spawn(leader.run(shutdown.clone()));
    tasks.spawn(presence.run(shutdown.clone()));
    tasks.spawn(handler.run(shutdown.clone()));
    (hub, rpc)
}
