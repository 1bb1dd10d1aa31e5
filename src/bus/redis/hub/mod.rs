//! The hub: joins what this daemon publishes, what the shared stream brings, and the local event log with its
//! subscribers.
//!
//! | file | holds |
//! |---|---|
//! | `publish.rs` | new events of our PBX: queue, deliver, detach from Redis and attach again |
//! | `leadership.rs` | start leading, step down, upload the state, checkpoints of the predecessor |
//! | `receive.rs` | entries of the shared stream: deliver them, detect missing ones |
//! | `load.rs` | replace the local state with Redis' state |
//! | `ownership.rs` | which teams the daemons of other PBXes own |
//!
//! The fourth part of a standby's life, publishing locally while Redis is unreachable, is in `fallback.rs` beside this
//! folder.
//!
//! Invariants: publishing ([`Hub::publish_all`]) takes short locks and never waits. Subscribers get events in the global
//! order; the exception are events of our own PBX while Redis is unreachable, which name the last global event before
//! them ([`Event::after`]) and get their global place later. Locks are taken in this order: outbox, event log.
//!
//! [`Event::after`]: crate::contract::event::Event

mod leadership;
mod load;
mod ownership;
mod publish;
mod receive;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

pub(in crate::bus::redis) use self::load::ClusterState;
use super::clock::ClusterClock;
use super::outbox::Outbox;
use super::position::Cursor;
use super::team_ownership::ForeignTeams;
use super::wire;
use crate::bus::event_log::{EventLog, LoadedState};
use crate::contract::event::NewEvent;
use crate::contract::event_id::EventId;
use crate::ids::PbxId;
use crate::journal::queue::{JournalQueue, JournalStats};

#[derive(Debug)]
pub(in crate::bus) struct Hub {
    pub(super) pbx: PbxId,
    log: Arc<EventLog>,
    /// Takes records of finished calls to the store.
    journal: Option<Arc<JournalQueue>>,
    outbox: Mutex<Outbox>,
    /// The last event of each PBX that was read from the stream, to detect missing events.
    last_read: Mutex<HashMap<PbxId, EventId>>,
    /// Wakes the leader task: something is to be sent.
    pub(super) wake: Notify,
    leadership_acquired: Notify,
    foreign_teams: Mutex<ForeignTeams>,
    ownership_changed: Notify,
    /// Whether the follower has to load the state again.
    needs_resync: AtomicBool,
    /// Whether the state was loaded at least once.
    loaded: AtomicBool,
    /// How far the stream was read; `None` before the first load, and while the local state differs from the stream's.
    cursor: watch::Sender<Option<Cursor>>,
    /// Whether Redis answers.
    connected: AtomicBool,
    /// Whether our own link to the PBX is up.
    link_up: AtomicBool,
    /// The last event about our own link.
    last_link_event: Mutex<Option<NewEvent>>,
    /// Number of this process.
    pub(super) daemon: u64,
    /// Whether this standby publishes locally (`fallback.rs`).
    pub(super) in_fallback: AtomicBool,
    pub(in crate::bus) cluster_clock: ClusterClock,
}

/// State of the connection with the other daemons, for the metrics and `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterStats {
    /// Whether Redis answers.
    pub connected: bool,
    /// Whether this daemon leads for its PBX.
    pub leads: bool,
    /// Events that wait for Redis.
    pub spooled: usize,
    /// Events that the full spool dropped.
    pub lost_total: u64,
}

impl Hub {
    pub(super) fn new(
        pbx: PbxId,
        log: Arc<EventLog>,
        journal: Option<Arc<JournalQueue>>,
        generation: u64,
        daemon: u64,
    ) -> Self {
        let beginning = EventId { stream: wire::stream_of(&pbx, generation), position: 0 };
        log.load(LoadedState { beginning, calls: vec![], links: vec![], operators: vec![], recent: vec![] });
        Self {
            pbx,
            log,
            journal,
            outbox: Mutex::new(Outbox::new(generation)),
            last_read: Mutex::default(),
            wake: Notify::new(),
            leadership_acquired: Notify::new(),
            foreign_teams: Mutex::default(),
            ownership_changed: Notify::new(),
            needs_resync: AtomicBool::new(true),
            loaded: AtomicBool::new(false),
            cursor: watch::channel(None).0,
            connected: AtomicBool::new(false),
            link_up: AtomicBool::new(false),
            last_link_event: Mutex::default(),
            daemon,
            in_fallback: AtomicBool::new(false),
            cluster_clock: ClusterClock::default(),
        }
    }

    /// Locks the outbox. A panic under the lock cannot leave half an event, so a poisoned lock is used as it is.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    pub(super) fn log(&self) -> &Arc<EventLog> {
        &self.log
    }

    pub(in crate::bus) fn stats(&self) -> ClusterStats {
        let outbox = self.outbox();
        ClusterStats {
            connected: self.connected.load(Ordering::Relaxed),
            leads: outbox.is_leader(),
            spooled: if outbox.detached { outbox.unaccepted() } else { 0 },
            lost_total: outbox.lost_total,
        }
    }

    pub(in crate::bus) fn journal_stats(&self) -> Option<JournalStats> {
        self.journal.as_ref().map(|journal| journal.stats())
    }

    pub(super) fn is_link_up(&self) -> bool {
        self.link_up.load(Ordering::Relaxed)
    }

    pub(super) fn set_connected(&self, connected: bool) {
        if self.connected.swap(connected, Ordering::Relaxed) != connected {
            if connected {
                tracing::info!("Redis answers");
            } else {
                tracing::warn!("Redis does not answer");
            }
        }
    }

    /// Makes the follower load the state again.
    pub(super) fn request_resync(&self) {
        self.needs_resync.store(true, Ordering::Relaxed);
    }

    pub(super) fn needs_resync(&self) -> bool {
        self.needs_resync.load(Ordering::Relaxed)
    }

    /// Whether Redis delivered the state at least once.
    pub(super) fn has_loaded(&self) -> bool {
        self.loaded.load(Ordering::Relaxed)
    }

    /// How far the stream was read.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        *self.cursor.borrow()
    }

    /// The local state is the stream's state at `cursor`. Ignored in fallback, where it is not.
    pub(super) fn set_cursor(&self, cursor: Cursor) {
        if !self.in_fallback.load(Ordering::Relaxed) {
            self.cursor.send_replace(Some(cursor));
        }
    }

    /// The local state differs from the stream's.
    pub(super) fn clear_cursor(&self) {
        self.cursor.send_replace(None);
    }
}
