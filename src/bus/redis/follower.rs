//! The task that reads the common order: every daemon's events, ours included.
//!
//! Invariant: it goes on after the entry it read last. Where that is no longer possible (the stream was cut shorter,
//! emptied, or begins anew for a PBX; a position is missing) the whole state is read again, and desktops come back to
//! that. Nothing behind such a place is told before.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, Value};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::{Connection, RedisAddress, in_time, in_time_of};
use super::hub::{Cursor, Found, Hub};
use super::outbox::Head;
use super::scripts::{Keys, LOAD};
use super::wire::Entry;
use super::{BLOCK_MAX, wire};
use crate::bus::memory::Arrival;
use crate::bus::state::PbxStatus;
use crate::call::view::CallView;
use crate::ids::PbxId;

/// Most entries read at once.
const READ_ENTRIES_MAX: usize = 512;
/// How long reading the whole state may take.
const LOAD_MAX: Duration = Duration::from_secs(10);
/// Pause between two attempts to reach Redis.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Follower {
    pub(super) hub: Arc<Hub>,
    pub(super) address: RedisAddress,
    pub(super) keys: Keys,
}

impl Follower {
    /// Reads until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut cursor = None;
        let follow = async {
            loop {
                if let Err(error) = self.session(&mut cursor).await {
                    tracing::debug!(%error, "the events of Redis cannot be read");
                }
                sleep(RECONNECT_PAUSE).await;
            }
        };
        tokio::select! {
            () = follow => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn session(&self, cursor: &mut Option<Cursor>) -> Result<(), RedisError> {
        let mut redis = self.address.connect(true).await?;
        if let Some(read) = *cursor
            && !self.goes_on(&mut redis, read).await?
        {
            *cursor = None;
        }
        loop {
            self.hub.catch_up();
            let read = match *cursor {
                Some(read) if !self.hub.wants_reload() => read,
                _ => {
                    let found = self.load(&mut redis).await?;
                    let read = found.cursor;
                    self.hub.load(found);
                    *cursor = Some(read);
                    read
                }
            };
            *cursor = Some(self.read(&mut redis, read).await?);
        }
    }

    /// Whether nothing after `read` was removed.
    async fn goes_on(&self, redis: &mut Connection, read: Cursor) -> Result<bool, RedisError> {
        let edge = |from: &'static str, to: &'static str, word: &'static str| {
            let mut ask = redis::cmd(word);
            ask.arg(self.keys.events()).arg(from).arg(to).arg("COUNT").arg(1);
            ask
        };
        let first: Value = in_time(edge("-", "+", "XRANGE").query_async(redis)).await?;
        let last: Value = in_time(edge("+", "-", "XREVRANGE").query_async(redis)).await?;
        let at = |answer| wire::entries(answer).next().map(|entry| entry.at);
        Ok(match (at(first), at(last)) {
            (Some(first), Some(last)) => (first <= read || read == Cursor::default()) && read <= last,
            _ => read == Cursor::default(),
        })
    }

    async fn read(&self, redis: &mut Connection, after: Cursor) -> Result<Cursor, RedisError> {
        let mut ask = redis::cmd("XREAD");
        ask.arg("BLOCK").arg(u64::try_from(BLOCK_MAX.as_millis()).unwrap_or(u64::MAX));
        ask.arg("COUNT").arg(READ_ENTRIES_MAX).arg("STREAMS").arg(self.keys.events()).arg(after.to_string());
        // A server that is gone without a word is noticed by its silence.
        let answer: Value = in_time_of(BLOCK_MAX * 2, ask.query_async(redis)).await?;
        let mut cursor = after;
        for entry in wire::entries_read(answer) {
            cursor = entry.at;
            self.hub.arrived(entry);
            if self.hub.wants_reload() {
                // Whoever was told what follows could go on behind it, and would miss what lies before.
                return Ok(cursor);
            }
        }
        if cursor != after {
            self.hub.note_read(cursor);
        }
        Ok(cursor)
    }

    async fn load(&self, redis: &mut Connection) -> Result<Found, RedisError> {
        let mut load = LOAD.prepare_invoke();
        load.key(self.keys.heads()).key(self.keys.links()).key(self.keys.events()).key(self.keys.operators());
        load.arg(self.hub.log().settings().replay_events_max).arg(self.keys.calls_prefix());
        let asked =
            load.invoke_async::<(String, Vec<String>, Vec<String>, Vec<String>, Vec<String>, Value)>(redis);
        let (last, heads, links, calls, operators, recent) = in_time_of(LOAD_MAX, asked).await?;
        let heads = heads
            .chunks_exact(2)
            .filter_map(|pair| Some((PbxId::parse(&pair[0]).ok()?, Head::parse(&pair[1])?)))
            .collect();
        // The newest come first.
        let mut recent: Vec<Arrival> =
            wire::entries(recent).take_while(|entry| !entry.is_break()).filter_map(Entry::read).collect();
        recent.reverse();
        Ok(Found {
            cursor: Cursor::parse(&last).unwrap_or_default(),
            heads,
            links: links.iter().filter_map(|json| serde_json::from_str::<PbxStatus>(json).ok()).collect(),
            calls: calls.iter().filter_map(|json| serde_json::from_str::<CallView>(json).ok()).collect(),
            operators: operators.iter().filter_map(|json| serde_json::from_str(json).ok()).collect(),
            recent,
        })
    }
}
