//! Events of our PBX that Redis has not confirmed, and this daemon's role in its group.
//!
//! | role | a new event of our PBX is | next role |
//! |---|---|---|
//! | standby | recorded in [`StandbyTracker`]; while Redis is unreachable also published locally (`fallback.rs`) | leader, when it acquires the lease |
//! | leader, connected | queued, and delivered to local subscribers once it was read back from the shared stream | detached; standby |
//! | leader, detached (Redis unreachable, or an event not read back) | delivered to local subscribers at once, and spooled | leader, when the spool was read back; standby, when another daemon holds the lease |
//!
//! Invariants: ids increase without gaps within a generation. An event leaves the queue only after it was read back;
//! Redis accepts each position once. The spool is bounded ([`SPOOL_EVENTS_MAX`], [`SPOOL_BYTES_MAX`]): on overflow the
//! oldest events are dropped, and after the reconnect every subscriber restarts from a snapshot.
//!
//! # When Redis fails during a send
//! Events that were sent but not read back are *in doubt*: they may already be in the shared stream, behind events of
//! other PBXes that this daemon has not read. If they were delivered under their ids, a client could resume from such an
//! id at another gateway and miss the events in between. The outbox therefore moves all queued events to a new
//! generation, whose ids no other gateway knows, before it delivers them ([`Outbox::put_in_doubt`]). After the reconnect,
//! Redis' head of our PBX decides:
//!
//! | Redis has | the leader |
//! |---|---|
//! | all events before the doubtful ones, and none of those | appends the new generation behind the old one; clients notice nothing |
//! | some of the doubtful events | appends a stream reset; every client restarts from a snapshot |
//! | fewer events than were read back (Redis lost its last second) | appends a stream reset |
//! | no event of this PBX (an empty database) | uploads its state, and sends the queue in the same generation |
//!
//! A *stream reset* is an entry that no client can resume across (`wire::Entry::is_reset`).

use std::collections::VecDeque;
use std::sync::Arc;

use super::checkpoints::CallCheckpoints;
use super::fallback::LocalFallback;
use super::position::Head;
use super::standby::{PriorCalls, StandbyTracker};
use super::wire;
use crate::bus::event_log::RemoteEvent;
use crate::contract::event::{Audience, Body, NewEvent, StateDelta};
use crate::contract::event_id::EventId;
use crate::ids::PbxId;
use crate::journal::entry::JournalEntry;

/// Most events in the queue.
pub const SPOOL_EVENTS_MAX: usize = 200_000;
/// Most bytes of events in the queue.
pub const SPOOL_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most events of one append.
pub(super) const BATCH_EVENTS_MAX: usize = 256;

/// Whether this daemon publishes the events of its PBX.
#[derive(Debug)]
pub(super) enum Leadership {
    /// Another daemon does, or the leader is not known yet.
    Standby(StandbyTracker),
    /// This daemon does, with the fencing token of its lease (0: without a lease, because Redis was never reached).
    Leader { fence: u64, prior: PriorCalls },
}

/// A queued event.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: EventId,
    pub(super) audience: Audience,
    pub(super) change: StateDelta,
    pub(super) body: Arc<Body>,
    pub(super) after: Option<EventId>,
    /// Local subscribers have it.
    pub(super) delivered: bool,
    /// Redis has accepted it.
    pub(super) accepted: bool,
    /// It was sent at least once; Redis may have it.
    sent: bool,
    /// Publications of messages and faxes that this event, or one before it, completes: recorded once it was read back.
    pub(super) publications: Vec<JournalEntry>,
    bytes: usize,
}

impl Pending {
    pub(super) fn arrival(&self, pbx: &PbxId) -> RemoteEvent {
        RemoteEvent {
            id: self.id.clone(),
            pbx: pbx.clone(),
            audience: self.audience.clone(),
            change: self.change.clone(),
            body: Arc::clone(&self.body),
            after: self.after.clone(),
        }
    }
}

/// The sending side. One lock guards it; none of its methods waits.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) leadership: Leadership,
    pub(super) generation: u64,
    next: u64,
    pub(super) pending: VecDeque<Pending>,
    /// Position of the last event that was read back, in this generation.
    read_back: u64,
    /// The previous generation, and the position of its first event in doubt.
    doubt: Option<Head>,
    pub(super) bytes: usize,
    /// Whether events are delivered without waiting for Redis.
    pub(super) detached: bool,
    /// Whether the spool overflowed since the generation began.
    pub(super) lost: bool,
    pub(super) lost_total: u64,
    /// Checkpoints for the next leader.
    pub(super) checkpoints: CallCheckpoints,
    /// What a standby publishes locally while Redis is unreachable.
    pub(super) fallback: Option<LocalFallback>,
    /// How often a fallback has begun; numbers the streams of the fallbacks.
    pub(super) fallbacks: u64,
}

impl Outbox {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            leadership: Leadership::Standby(StandbyTracker::default()),
            generation,
            next: 1,
            pending: VecDeque::new(),
            read_back: 0,
            doubt: None,
            bytes: 0,
            detached: false,
            lost: false,
            lost_total: 0,
            checkpoints: CallCheckpoints::default(),
            fallback: None,
            fallbacks: 0,
        }
    }

    pub(super) fn is_leader(&self) -> bool {
        matches!(self.leadership, Leadership::Leader { .. })
    }

    pub(super) fn head(&self) -> Head {
        Head { generation: self.generation, position: self.next - 1 }
    }

    /// The next event follows `head`.
    pub(super) fn continue_after(&mut self, head: Head) {
        self.generation = head.generation;
        self.next = head.position + 1;
        (self.read_back, self.doubt) = (0, None);
    }

    /// Assigns the event its id and appends it to the queue.
    pub(super) fn push(&mut self, draft: NewEvent, body: Arc<Body>, pbx: &PbxId) -> &mut Pending {
        let id = EventId { stream: wire::stream_of(pbx, self.generation), position: self.next };
        self.next += 1;
        let bytes = body.json.len();
        self.bytes += bytes;
        self.pending.push_back(Pending {
            id,
            audience: draft.audience,
            change: draft.change,
            body,
            after: None,
            delivered: false,
            accepted: false,
            sent: false,
            publications: Vec::new(),
            bytes,
        });
        while self.pending.len() > 1
            && (self.pending.len() > SPOOL_EVENTS_MAX || self.bytes > SPOOL_BYTES_MAX)
        {
            let Some(oldest) = self.pending.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.lost = true;
            self.lost_total += 1;
        }
        let last = self.pending.len() - 1;
        &mut self.pending[last]
    }

    /// The next events that Redis has not accepted, oldest first; they count as sent from now on.
    pub(super) fn start_batch(&mut self) -> Vec<Pending> {
        let waiting = self.pending.iter_mut().filter(|p| !p.accepted).take(BATCH_EVENTS_MAX);
        let send = |pending: &mut Pending| {
            pending.sent = true;
            pending.clone()
        };
        waiting.map(send).collect()
    }

    /// Redis stopped answering. If the oldest event was sent and not delivered, all queued events move to a new
    /// generation, whose ids only this gateway knows.
    pub(super) fn put_in_doubt(&mut self, pbx: &PbxId) {
        let Some(first) = self.pending.front().filter(|p| p.sent && !p.delivered) else { return };
        self.doubt = Some(Head { generation: self.generation, position: first.id.position });
        (self.generation, self.next, self.read_back) = (self.generation + 1, 1, 0);
        for pending in &mut self.pending {
            pending.id = EventId { stream: wire::stream_of(pbx, self.generation), position: self.next };
            (pending.accepted, pending.sent) = (false, false);
            self.next += 1;
        }
    }

    /// Whether Redis' `head` is the last event before the doubtful ones, so that this generation follows it directly.
    pub(super) fn continues(&self, head: Head) -> bool {
        let behind = Head { position: head.position + 1, ..head };
        self.doubt == Some(behind)
    }

    /// Whether Redis has some of the doubtful events, or has lost events before them.
    pub(super) fn conflicts_with(&self, head: Head) -> bool {
        self.doubt.is_some_and(|doubt| doubt.generation == head.generation) && !self.continues(head)
    }

    /// Number of events that Redis has not accepted.
    pub(super) fn unaccepted(&self) -> usize {
        // Accepted events are in front.
        self.pending.len() - self.pending.partition_point(|p| p.accepted)
    }

    /// Redis has everything up to this position.
    pub(super) fn mark_accepted(&mut self, position: u64) {
        for pending in self.pending.iter_mut().take_while(|p| p.id.position <= position) {
            pending.accepted = true;
        }
    }

    /// Takes over Redis' head of this generation; false when Redis' events and the queue have a gap between them.
    pub(super) fn sync_with(&mut self, position: u64) -> bool {
        self.doubt = None;
        if position < self.read_back {
            return false;
        }
        for pending in &mut self.pending {
            pending.accepted = pending.id.position <= position;
        }
        let first_needed = position + 1;
        self.pending.iter().find(|p| !p.accepted).is_none_or(|p| p.id.position == first_needed)
            && (first_needed == self.next || self.pending.iter().any(|p| p.id.position == first_needed))
    }

    /// Removes the oldest event, if it is the one that was read back.
    pub(super) fn take_read_back(&mut self, id: &EventId) -> Option<Pending> {
        if self.pending.front().is_none_or(|front| front.id != *id) {
            return None;
        }
        let found = self.pending.pop_front()?;
        self.bytes -= found.bytes;
        self.read_back = id.position;
        Some(found)
    }

    /// Begins a new generation with an empty queue: local subscribers have its events, and the other daemons will read
    /// the resulting state. Returns the publications to record.
    pub(super) fn begin_generation(&mut self, generation: u64) -> Vec<JournalEntry> {
        let publications =
            self.pending.iter_mut().flat_map(|pending| std::mem::take(&mut pending.publications)).collect();
        self.generation = generation.max(self.generation + 1);
        (self.next, self.read_back, self.doubt) = (1, 0, None);
        self.pending.clear();
        self.bytes = 0;
        self.lost = false;
        publications
    }

    /// Queues every event for sending, because Redis has none of them. Returns the head before the first of them.
    pub(super) fn resend_all(&mut self) -> Head {
        for pending in &mut self.pending {
            pending.accepted = false;
        }
        match self.pending.front() {
            Some(first) => Head { generation: self.generation, position: first.id.position - 1 },
            None => self.head(),
        }
    }

    /// Becomes a standby. Drops the queue, because the other leader publishes these events itself; returns its length.
    pub(super) fn step_down(&mut self) -> usize {
        let dropped = self.pending.len();
        self.pending.clear();
        (self.read_back, self.doubt) = (0, None);
        self.bytes = 0;
        self.detached = false;
        self.lost = false;
        let mut tracker = StandbyTracker::default();
        tracker.mark_known(std::mem::take(&mut self.checkpoints).into_call_ids());
        self.leadership = Leadership::Standby(tracker);
        dropped
    }
}
