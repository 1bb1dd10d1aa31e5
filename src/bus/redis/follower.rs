//! The task that reads the shared stream: the events of every daemon, our own included.
//!
//! | the follower finds | it |
//! |---|---|
//! | the entry behind its cursor | hands it to the hub |
//! | its cursor outside the stream (the stream was trimmed, emptied, or lost its end) | loads the whole state again |
//! | a missing position, a stream reset, or a restarted generation (`hub/receive.rs`) | loads the whole state again |
//! | no answer in time | reconnects after [`RECONNECT_DELAY`] and continues behind its cursor |
//!
//! Invariant: nothing behind a gap or a reset is delivered before the state was loaded. Loading cuts off every local
//! subscriber; each resumes, or gets a snapshot (`hub/load.rs`).

use std::sync::Arc;

use redis::{RedisError, Value};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::{Connection, RedisAddress, with_timeout, with_timeout_of};
use super::hub::{ClusterState, Hub};
use super::position::{Cursor, Head};
use super::scripts::{Keys, LOAD};
use super::timing::{LOAD_TIMEOUT, READ_BLOCK_TIMEOUT, RECONNECT_DELAY, millis};
use super::wire::{self, Entry};
use crate::bus::event_log::RemoteEvent;
use crate::contract::call::CallView;
use crate::contract::event::PbxStatus;
use crate::ids::PbxId;

/// Most entries of one read.
const READ_ENTRIES_MAX: usize = 512;

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
                    tracing::debug!(%error, "reading the shared stream failed; reconnecting");
                }
                sleep(RECONNECT_DELAY).await;
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
            && !self.can_continue(&mut redis, read).await?
        {
            *cursor = None;
        }
        loop {
            self.hub.catch_up();
            let read = match *cursor {
                Some(read) if !self.hub.needs_resync() => read,
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

    /// Whether the stream still has every entry after `read`.
    async fn can_continue(&self, redis: &mut Connection, read: Cursor) -> Result<bool, RedisError> {
        let edge = |from: &'static str, to: &'static str, name: &'static str| {
            let mut command = redis::cmd(name);
            command.arg(self.keys.events()).arg(from).arg(to).arg("COUNT").arg(1);
            command
        };
        let first: Value = with_timeout(edge("-", "+", "XRANGE").query_async(redis)).await?;
        let last: Value = with_timeout(edge("+", "-", "XREVRANGE").query_async(redis)).await?;
        let cursor = |answer| wire::entries(answer).next().map(|entry| entry.cursor);
        Ok(match (cursor(first), cursor(last)) {
            (Some(first), Some(last)) => (first <= read || read == Cursor::default()) && read <= last,
            _ => read == Cursor::default(),
        })
    }

    async fn read(&self, redis: &mut Connection, after: Cursor) -> Result<Cursor, RedisError> {
        let mut command = redis::cmd("XREAD");
        command.arg("BLOCK").arg(millis(READ_BLOCK_TIMEOUT)).arg("COUNT").arg(READ_ENTRIES_MAX);
        command.arg("STREAMS").arg(self.keys.events()).arg(after.to_string());
        // A dead server may not close the connection.
        let answer: Value = with_timeout_of(READ_BLOCK_TIMEOUT * 2, command.query_async(redis)).await?;
        let mut cursor = after;
        for entry in wire::entries_read(answer) {
            cursor = entry.cursor;
            self.hub.on_entry(entry);
            if self.hub.needs_resync() {
                // A client that got a later entry could resume from it, and would miss the events before.
                return Ok(cursor);
            }
        }
        if cursor != after {
            self.hub.set_cursor(cursor);
        }
        Ok(cursor)
    }

    async fn load(&self, redis: &mut Connection) -> Result<ClusterState, RedisError> {
        let mut load = LOAD.prepare_invoke();
        load.key(self.keys.heads()).key(self.keys.links()).key(self.keys.events()).key(self.keys.operators());
        load.arg(self.hub.log().settings().replay_events_max).arg(self.keys.calls_prefix());
        let answer =
            load.invoke_async::<(String, Vec<String>, Vec<String>, Vec<String>, Vec<String>, Value)>(redis);
        let (last, heads, links, calls, operators, recent) = with_timeout_of(LOAD_TIMEOUT, answer).await?;
        let heads = heads
            .chunks_exact(2)
            .filter_map(|pair| Some((PbxId::parse(&pair[0]).ok()?, Head::parse(&pair[1])?)))
            .collect();
        // Newest first; nothing before a reset can be resumed from.
        let mut recent: Vec<RemoteEvent> =
            wire::entries(recent).take_while(|entry| !entry.is_reset()).filter_map(Entry::decode).collect();
        recent.reverse();
        Ok(ClusterState {
            cursor: Cursor::parse(&last).unwrap_or_default(),
            heads,
            links: links.iter().filter_map(|json| serde_json::from_str::<PbxStatus>(json).ok()).collect(),
            calls: calls.iter().filter_map(|json| serde_json::from_str::<CallView>(json).ok()).collect(),
            operators: operators.iter().filter_map(|json| serde_json::from_str(json).ok()).collect(),
            recent,
        })
    }
}
