//! What this daemon has to tell and Redis has not taken yet; and whether it may tell at all.
//!
//! | role | an event of our PBX | goes to |
//! |---|---|---|
//! | standby | is noted in the shadow; while Redis is away, is shown here as well (`own_sight.rs`) | leading, when the lease is ours |
//! | leading, Redis answers | waits until it was read back in the common order, then is delivered | alone, standby |
//! | leading, alone (Redis is away) | is delivered at once and spooled | leading, when the spool was taken; standby, when another leads |
//!
//! Invariant: ids are given in order and without a gap within a generation; an event leaves only when it was read
//! back, and Redis takes each position once. The spool has limits: beyond them the oldest go, and everybody begins anew.
//!
//! # The instant in which Redis dies
//! What was sent and not read back may stand in the common order, behind events of other PBXes that nobody here has
//! seen. Delivered under its id it would be a place to go on from at another gateway, and those events would be missing.
//! So all that waits gets ids of a new generation first ([`Outbox::put_in_doubt`]), which no other gateway knows. When
//! Redis is back, the place of its last event of ours decides:
//!
//! | Redis has of our events | then |
//! |---|---|
//! | all before the doubt, and none of it | the new generation continues the old one, nobody notices |
//! | some of what was in doubt | others were told it under another id: everybody begins anew, with a snapshot |
//! | less than was read back (a crash that lost its last second) | the order of what was told may change: everybody begins anew |
//!
//! Everybody begins anew: the stream gets an entry behind which nobody goes on from before (`wire::Entry::is_break`).

use std::collections::VecDeque;
use std::sync::Arc;

use super::lives::Lives;
use super::own_sight::OwnSight;
use super::shadow::{Inherited, Shadow};
use super::wire;
use crate::bus::event::{Audience, Body, Change, Draft};
use crate::bus::id::EventId;
use crate::bus::memory::Arrival;
use crate::ids::PbxId;
use crate::store::log::ToldMessage;

/// Most events that wait for Redis.
pub const SPOOL_EVENTS_MAX: usize = 200_000;
/// Most bytes of events that wait for Redis.
pub const SPOOL_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most events of one step.
pub(super) const BATCH_EVENTS_MAX: usize = 256;

/// Place of the last event in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    pub(super) generation: u64,
    pub(super) position: u64,
}

impl Head {
    /// Reads `generation-position`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (generation, position) = text.split_once('-')?;
        Some(Self { generation: generation.parse().ok()?, position: position.parse().ok()? })
    }
}

/// Whether this daemon tells of its PBX.
#[derive(Debug)]
pub(super) enum Role {
    /// Another daemon does, or it is not decided.
    Standby(Shadow),
    /// This one does, with the fencing token of its lease (0: without one, since Redis was never there).
    Leader { fence: u64, inherited: Inherited },
}

/// An event on its way.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: EventId,
    pub(super) audience: Audience,
    pub(super) change: Change,
    pub(super) body: Arc<Body>,
    pub(super) after: Option<EventId>,
    /// Desktops have it.
    pub(super) delivered: bool,
    /// Redis has taken it.
    pub(super) taken: bool,
    /// It was on its way to Redis, which may have it.
    sent: bool,
    /// Messages that this event, or one before it, tells of: noted once it stands in the common order.
    pub(super) told: Vec<ToldMessage>,
    bytes: usize,
}

impl Pending {
    pub(super) fn arrival(&self, pbx: &PbxId) -> Arrival {
        Arrival {
            id: self.id.clone(),
            pbx: pbx.clone(),
            audience: self.audience.clone(),
            change: self.change.clone(),
            body: Arc::clone(&self.body),
            after: self.after.clone(),
        }
    }
}

/// The sending side. One lock guards it; nothing in it waits.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) role: Role,
    pub(super) generation: u64,
    next: u64,
    pub(super) pending: VecDeque<Pending>,
    /// Position of the last event that was read back, in this generation.
    read_back: u64,
    /// The generation before, and the position of its first event that Redis may have or not.
    doubt: Option<Head>,
    pub(super) bytes: usize,
    /// Whether events are delivered without waiting for Redis.
    pub(super) alone: bool,
    /// Events that the spool could not hold since the generation began.
    pub(super) lost: bool,
    pub(super) lost_total: u64,
    /// How calls stand, for whoever leads next.
    pub(super) lives: Lives,
    /// What a standby shows by itself.
    pub(super) own_sight: Option<OwnSight>,
    /// How often it has begun to.
    pub(super) own_sights: u64,
}

impl Outbox {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            role: Role::Standby(Shadow::default()),
            generation,
            next: 1,
            pending: VecDeque::new(),
            read_back: 0,
            doubt: None,
            bytes: 0,
            alone: false,
            lost: false,
            lost_total: 0,
            lives: Lives::default(),
            own_sight: None,
            own_sights: 0,
        }
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    pub(super) fn head(&self) -> Head {
        Head { generation: self.generation, position: self.next - 1 }
    }

    /// Goes on after `head`.
    pub(super) fn continue_after(&mut self, head: Head) {
        self.generation = head.generation;
        self.next = head.position + 1;
        (self.read_back, self.doubt) = (0, None);
    }

    /// Gives the event its id and puts it into the line.
    pub(super) fn push(&mut self, draft: Draft, body: Arc<Body>, pbx: &PbxId) -> &mut Pending {
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
            taken: false,
            sent: false,
            told: Vec::new(),
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

    /// Positions and events that Redis has not taken, oldest first.
    pub(super) fn batch(&mut self) -> Vec<Pending> {
        let waiting = self.pending.iter_mut().filter(|p| !p.taken).take(BATCH_EVENTS_MAX);
        let send = |pending: &mut Pending| {
            pending.sent = true;
            pending.clone()
        };
        waiting.map(send).collect()
    }

    /// Nobody here was shown what waits, and Redis may have some of it: it gets ids that are known here alone.
    pub(super) fn put_in_doubt(&mut self, pbx: &PbxId) {
        let Some(first) = self.pending.front().filter(|p| p.sent && !p.delivered) else { return };
        self.doubt = Some(Head { generation: self.generation, position: first.id.position });
        (self.generation, self.next, self.read_back) = (self.generation + 1, 1, 0);
        for pending in &mut self.pending {
            pending.id = EventId { stream: wire::stream_of(pbx, self.generation), position: self.next };
            (pending.taken, pending.sent) = (false, false);
            self.next += 1;
        }
    }

    /// Whether this generation goes on right behind `head`, where the doubt began.
    pub(super) fn continues(&self, head: Head) -> bool {
        let behind = Head { position: head.position + 1, ..head };
        self.doubt == Some(behind)
    }

    /// Whether Redis has, or has lost, events whose ids would be told twice or not at all.
    pub(super) fn is_at_odds(&self, head: Head) -> bool {
        self.doubt.is_some_and(|doubt| doubt.generation == head.generation) && !self.continues(head)
    }

    pub(super) fn untaken(&self) -> usize {
        // Those that were taken stand in front.
        self.pending.len() - self.pending.partition_point(|p| p.taken)
    }

    /// Redis has everything up to this position.
    pub(super) fn taken_up_to(&mut self, position: u64) {
        for pending in self.pending.iter_mut().take_while(|p| p.id.position <= position) {
            pending.taken = true;
        }
    }

    /// What Redis has of this generation; false when that and what waits are not the whole.
    pub(super) fn redis_has(&mut self, position: u64) -> bool {
        self.doubt = None;
        if position < self.read_back {
            return false;
        }
        for pending in &mut self.pending {
            pending.taken = pending.id.position <= position;
        }
        let first_needed = position + 1;
        self.pending.iter().find(|p| !p.taken).is_none_or(|p| p.id.position == first_needed)
            && (first_needed == self.next || self.pending.iter().any(|p| p.id.position == first_needed))
    }

    /// An event of ours was read back in the common order.
    pub(super) fn read_back(&mut self, id: &EventId) -> Option<Pending> {
        if self.pending.front().is_none_or(|front| front.id != *id) {
            return None;
        }
        let found = self.pending.pop_front()?;
        self.bytes -= found.bytes;
        self.read_back = id.position;
        Some(found)
    }

    /// Begins a new generation. What waits was delivered here; the others will read the state it led to.
    pub(super) fn begin_generation(&mut self, generation: u64) -> Vec<ToldMessage> {
        let told = self.pending.iter_mut().flat_map(|pending| std::mem::take(&mut pending.told)).collect();
        self.generation = generation.max(self.generation + 1);
        (self.next, self.read_back, self.doubt) = (1, 0, None);
        self.pending.clear();
        self.bytes = 0;
        self.lost = false;
        told
    }

    /// Redis has nothing of the line: all of it is to be sent. Gives the place before its first event.
    pub(super) fn put_all_in_line(&mut self) -> Head {
        for pending in &mut self.pending {
            pending.taken = false;
        }
        match self.pending.front() {
            Some(first) => Head { generation: self.generation, position: first.id.position - 1 },
            None => self.head(),
        }
    }

    /// Another leads: what was not told is told by the other.
    pub(super) fn step_down(&mut self) -> usize {
        let left = self.pending.len();
        self.pending.clear();
        (self.read_back, self.doubt) = (0, None);
        self.bytes = 0;
        self.alone = false;
        self.lost = false;
        let mut shadow = Shadow::default();
        shadow.knows(std::mem::take(&mut self.lives).calls());
        self.role = Role::Standby(shadow);
        left
    }
}
