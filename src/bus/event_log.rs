//! The event log inside one process: the position counter, the recent events, the state and the subscribers, under one
//! lock.
//!
//! Positions continue over runs of the daemon, ids do not: each run has its own stream token and numbers its events
//! from one. A subscribe call turns the client's id into a position once ([`EventLog::position`]); everything else works with
//! positions. With several daemons, ids come from Redis and a [`PositionIndex`] maps them to positions.
//!
//! Invariant: the lock is held only for a few map operations and channel sends that cannot block, never over an await
//! and never while an event is serialised. `publish` looks at the subscribers that an index names for the event's
//! audience, not at all of them, and asks [`Viewer::may_receive`] about each. The index may name too many subscribers,
//! never too few; the same rule decides for live events and for the replay.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::state::{Snapshot, State};
use super::subscription::{Replay, StreamStart, Subscription, SubscriptionEnded};
use super::{BusSettings, BusStats, REPLAY_BYTES_MAX, SubscribeError};
use crate::contract::call::CallView;
use crate::contract::event::{Audience, Body, Event, NewEvent, PbxStatus, StateDelta};
use crate::contract::event_id::{EventId, StreamToken};
use crate::contract::operator::StateView;
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::journal::entry::JournalEntry;
use crate::journal::queue::{JournalQueue, JournalStats, RestoredLog};
use crate::people::viewer::Viewer;

/// Events that one step of a replay looks at, so that a long replay does not hold the lock for long.
const REPLAY_STEP_EVENTS: usize = 256;

#[derive(Debug)]
pub(super) struct EventLog {
    settings: BusSettings,
    /// Earlier runs that still have events in the log, oldest first.
    prior_streams: Vec<PriorStream>,
    /// The last position of the runs before this one.
    base: u64,
    journal: Option<Arc<JournalQueue>>,
    inner: Mutex<Inner>,
}

/// The stream of an earlier run of the daemon.
#[derive(Debug)]
struct PriorStream {
    stream: StreamToken,
    /// Added to the number in an id, it gives the event's position.
    offset: u64,
    /// The number of its last logged event.
    last: u64,
}

/// An event whose id was not assigned by this log: an event of another daemon, or one of our own PBX when several
/// daemons share the stream.
#[derive(Debug)]
pub(super) struct RemoteEvent {
    pub(super) id: EventId,
    pub(super) pbx: PbxId,
    pub(super) audience: Audience,
    pub(super) change: StateDelta,
    pub(super) body: Arc<Body>,
    /// See [`Event::after`].
    pub(super) after: Option<EventId>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The latest assigned position, over all runs.
    head: u64,
    /// The recent events; their positions are consecutive and the last one is `head`. A slot is empty when its event
    /// was moved to a later position ([`EventLog::reposition`]).
    kept: VecDeque<Option<Arc<Event>>>,
    kept_bytes: usize,
    /// Positions by id; only where this log does not assign the ids.
    index: Option<PositionIndex>,
    state: State,
    subscribers: Subscribers,
    /// Open subscriptions, those that still replay included.
    admitted: usize,
    cut_off_total: u64,
    closed: bool,
}

/// The positions of events whose ids were assigned outside this log.
#[derive(Debug)]
struct PositionIndex {
    last: EventId,
    /// The last event with a position in the shared stream of all daemons.
    last_ordered: EventId,
    positions: HashMap<EventId, u64>,
}

/// The state from which a log continues that follows a shared stream.
#[derive(Debug)]
pub(super) struct LoadedState {
    /// The id before the first of `recent`.
    pub(super) beginning: EventId,
    pub(super) calls: Vec<Arc<CallView>>,
    pub(super) links: Vec<PbxStatus>,
    pub(super) operators: Vec<Arc<StateView>>,
    /// The recent events that led to this state, oldest first.
    pub(super) recent: Vec<RemoteEvent>,
}

/// The published state of one PBX.
#[derive(Debug)]
pub(super) struct PbxState {
    pub(super) calls: Vec<Arc<CallView>>,
    pub(super) link: Option<PbxStatus>,
    /// Operators whose state the PBX's daemon owns.
    pub(super) operators: Vec<Arc<StateView>>,
}

/// The live subscribers, and an index from an event's audience to them.
#[derive(Debug, Default)]
struct Subscribers {
    live: HashMap<u64, LiveSubscriber>,
    next_key: u64,
    unrestricted: Vec<u64>,
    supervisors: Vec<u64>,
    /// By extension: its operator, and the supervisors with that operator in their team.
    by_extension: HashMap<Extension, Vec<u64>>,
    /// By person: the person, and the supervisors with that person in their team.
    by_person: HashMap<RecordId, Vec<u64>>,
}

#[derive(Debug)]
struct LiveSubscriber {
    viewer: Viewer,
    queue: mpsc::Sender<Arc<Event>>,
    cut_off: CancellationToken,
    /// The latest position that was checked for it: an event that the index names twice is delivered once.
    offered_position: u64,
}

impl EventLog {
    pub(super) fn new(
        settings: BusSettings,
        restored: RestoredLog,
        journal: Option<Arc<JournalQueue>>,
    ) -> Self {
        let mut inner = Inner { head: restored.head, ..Inner::default() };
        let mut prior_streams: Vec<PriorStream> = Vec::new();
        let operators = restored.operators();
        for logged in restored.events {
            let (stream, number) = (&logged.id.stream, logged.id.position);
            match prior_streams.last_mut().filter(|prior| &prior.stream == stream) {
                Some(prior) => prior.last = number,
                None => {
                    let offset = logged.position.saturating_sub(number);
                    prior_streams.push(PriorStream { stream: stream.clone(), offset, last: number });
                }
            }
            inner.keep(Arc::new(Event::from_log(logged)), settings.replay_events_max);
        }
        inner.state = State::of(restored.calls.into_iter().map(Arc::new).collect(), restored.pbx, operators);
        Self { settings, prior_streams, base: inner.head, journal, inner: Mutex::new(inner) }
    }

    /// A panic inside the lock cannot leave half an event, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn id(&self, position: u64) -> EventId {
        EventId { stream: self.settings.stream.clone(), position: position - self.base }
    }

    /// The position of an id of this run, or of a logged event of an earlier run.
    fn position(&self, id: &EventId) -> Option<u64> {
        if id.stream == self.settings.stream {
            return self.base.checked_add(id.position);
        }
        // Numbers after the last logged one were lost in a crash.
        let prior =
            self.prior_streams.iter().find(|prior| prior.stream == id.stream && id.position <= prior.last)?;
        prior.offset.checked_add(id.position)
    }

    pub(super) fn publish(&self, new_events: Vec<NewEvent>, entries: Vec<JournalEntry>) -> Vec<EventId> {
        let bodies: Vec<Body> = new_events.iter().map(|new| Body::of(new, &self.settings.pbx)).collect();
        let mut events = Vec::with_capacity(new_events.len());
        let mut inner = self.lock();
        let first = inner.head + 1;
        for (new, body) in new_events.into_iter().zip(&bodies) {
            inner.head += 1;
            let id = self.id(inner.head);
            let visibility_loss = inner.state.apply(&self.settings.pbx, new.change);
            let event = Arc::new(Event::new(id, new.audience, visibility_loss, body));
            inner.keep(Arc::clone(&event), self.settings.replay_events_max);
            inner.deliver(&event);
            events.push(event);
        }
        if let Some(last) = events.last() {
            inner.evict_expired(last.at(), self.settings.replay_age_max);
        }
        if let Some(journal) = &self.journal {
            // Under the lock, so that the journal has the events in order.
            let oldest = inner.head + 1 - inner.kept.len() as u64;
            journal.add(first, &events, oldest, entries);
        }
        events.iter().map(|event| event.id().clone()).collect()
    }

    pub(super) fn journal_stats(&self) -> Option<JournalStats> {
        self.journal.as_ref().map(|journal| journal.stats())
    }

    pub(super) fn evict_expired(&self, now: Timestamp) {
        self.lock().evict_expired(now, self.settings.replay_age_max);
    }

    pub(super) fn head_position(&self) -> u64 {
        self.lock().head
    }

    /// Replaces state and events by those of the shared stream. Every live subscriber is cut off and subscribes again:
    /// it resumes, or gets a snapshot.
    pub(super) fn load(&self, loaded: LoadedState) {
        let mut inner = self.lock();
        let (admitted, cut_off_total, closed) = (inner.admitted, inner.cut_off_total, inner.closed);
        for live in inner.subscribers.live.values() {
            live.cut_off.cancel();
        }
        // Positions continue, so that a replay in progress does not take new events for old ones.
        let head = inner.head + 1;
        let index = PositionIndex {
            last: loaded.beginning.clone(),
            last_ordered: loaded.beginning.clone(),
            positions: [(loaded.beginning, head)].into(),
        };
        *inner = Inner {
            head,
            state: State::of(loaded.calls, loaded.links, loaded.operators),
            index: Some(index),
            admitted,
            cut_off_total,
            closed,
            ..Inner::default()
        };
        // The visibility losses of the recent events follow from the recent events alone.
        let mut replayed = State::default();
        for remote in loaded.recent {
            let visibility_loss = replayed.apply(&remote.pbx, remote.change);
            let event = Event::new(remote.id, remote.audience, visibility_loss, &remote.body);
            let event = Arc::new(event.with_resume_after(remote.after));
            inner.push(event, self.settings.replay_events_max, true);
        }
    }

    /// Appends an event that has its id, and delivers it. `ordered`: it has a position in the shared stream.
    pub(super) fn append(&self, remote: RemoteEvent, ordered: bool) {
        let RemoteEvent { id, pbx, audience, change, body, after } = remote;
        let mut inner = self.lock();
        let visibility_loss = inner.state.apply(&pbx, change);
        let event = Arc::new(Event::new(id, audience, visibility_loss, &body).with_resume_after(after));
        inner.push(Arc::clone(&event), self.settings.replay_events_max, ordered);
        inner.deliver(&event);
    }

    /// Moves an event, which was delivered before its position in the shared stream was known, to that position. It is
    /// not delivered again.
    pub(super) fn reposition(&self, id: &EventId) {
        let mut inner = self.lock();
        let Some(event) = inner.vacate(id) else { return };
        inner.push(event, self.settings.replay_events_max, true);
    }

    /// Whether the event is among the recent events.
    pub(super) fn contains(&self, id: &EventId) -> bool {
        self.lock().index.as_ref().is_some_and(|index| index.positions.contains_key(id))
    }

    /// The last event of the shared stream that was delivered here.
    pub(super) fn last_ordered(&self) -> Option<EventId> {
        self.lock().index.as_ref().map(|index| index.last_ordered.clone())
    }

    /// The published state of one PBX.
    pub(super) fn pbx_state(&self, pbx: &PbxId) -> PbxState {
        let state = &self.lock().state;
        let (calls, operators) = (state.calls_of(pbx), state.operators_of(pbx));
        PbxState { calls, link: state.pbx(pbx).cloned(), operators }
    }

    /// The published state of an operator.
    pub(super) fn operator(&self, user: RecordId) -> Option<Arc<StateView>> {
        self.lock().state.operator(user).cloned()
    }

    pub(super) fn settings(&self) -> &BusSettings {
        &self.settings
    }

    pub(super) fn subscribe(
        log: &Arc<Self>,
        viewer: Viewer,
        after: Option<&EventId>,
    ) -> Result<Subscription, SubscribeError> {
        let mut inner = log.lock();
        if inner.closed {
            return Err(SubscribeError::Closed);
        }
        if inner.admitted >= log.settings.subscribers_max {
            return Err(SubscribeError::Full(inner.admitted));
        }
        inner.admitted += 1;
        let (start, position, last_received) = match after.and_then(|id| log.resume_point(&inner, id)) {
            Some((id, position, last_received)) => (StreamStart::Resumed(id), position, last_received),
            None => {
                let snapshot = inner.state.seen_by(&viewer, log.last(&inner));
                (StreamStart::Snapshot(snapshot), inner.head, None)
            }
        };
        drop(inner);
        Ok(Subscription::new(Arc::clone(log), viewer, start, position, last_received))
    }

    /// For a client that resumes after `id`: the position after which to replay, and, where the replay begins before
    /// `id`, the event up to which the client already has its stream.
    fn resume_point(&self, inner: &Inner, id: &EventId) -> Option<(EventId, u64, Option<EventId>)> {
        let Some(index) = &inner.index else {
            let position = self.position(id).filter(|position| inner.can_resume_after(*position))?;
            return Some((id.clone(), position, None));
        };
        let position = *index.positions.get(id)?;
        let after = inner.at(position).and_then(|event| event.after().cloned());
        let (position, last_received) = match after {
            Some(after) => (*index.positions.get(&after)?, Some(id.clone())),
            None => (position, None),
        };
        inner.can_resume_after(position).then(|| (id.clone(), position, last_received))
    }

    fn last(&self, inner: &Inner) -> EventId {
        inner.index.as_ref().map_or_else(|| self.id(inner.head), |index| index.last.clone())
    }

    /// The next events after `position` for a replaying subscriber. If they are the last ones, the subscriber becomes
    /// live under the same lock, so no event falls between replay and live delivery.
    pub(super) fn replay(&self, viewer: &Viewer, position: u64, cut_off: &CancellationToken) -> Replay {
        let mut inner = self.lock();
        if !inner.can_resume_after(position) {
            inner.cut_off_total += 1;
            return Replay::Ended(SubscriptionEnded::TooSlow);
        }
        let missed = usize::try_from(inner.head - position).unwrap_or(usize::MAX);
        let start = inner.kept.len() - missed.min(inner.kept.len());
        let step = inner.kept.range(start..).take(REPLAY_STEP_EVENTS).flatten();
        let events = step.filter(|event| viewer.may_receive(event)).cloned().collect();
        if missed > REPLAY_STEP_EVENTS {
            return Replay::More { events, position: position + REPLAY_STEP_EVENTS as u64 };
        }
        if inner.closed {
            return Replay::Last { events };
        }
        let (queue, live) = mpsc::channel(self.settings.subscriber_events_max.max(1));
        let head = inner.head;
        let key = inner.subscribers.add(LiveSubscriber {
            viewer: viewer.clone(),
            queue,
            cut_off: cut_off.clone(),
            offered_position: head,
        });
        Replay::Live { events, live, key }
    }

    pub(super) fn unsubscribe(&self, key: Option<u64>) {
        let mut inner = self.lock();
        inner.admitted = inner.admitted.saturating_sub(1);
        if let Some(key) = key {
            inner.subscribers.remove(key);
        }
    }

    pub(super) fn snapshot(&self, viewer: &Viewer) -> Snapshot {
        let inner = self.lock();
        inner.state.seen_by(viewer, self.last(&inner))
    }

    pub(super) fn call(&self, viewer: &Viewer, call: CallId) -> Option<Arc<CallView>> {
        self.lock().state.call(call).filter(|view| viewer.sees_call(view)).cloned()
    }

    pub(super) fn event(&self, viewer: &Viewer, id: &EventId) -> Option<Arc<Event>> {
        let inner = self.lock();
        let position = match &inner.index {
            Some(index) => *index.positions.get(id)?,
            None => self.position(id)?,
        };
        let event = inner.at(position).filter(|event| event.id() == id)?;
        viewer.may_receive(event).then(|| Arc::clone(event))
    }

    pub(super) fn head(&self) -> EventId {
        self.last(&self.lock())
    }

    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.subscribers = Subscribers::default();
    }

    /// Why a live subscriber's queue ended.
    pub(super) fn end_reason(&self, cut_off: &CancellationToken) -> SubscriptionEnded {
        if cut_off.is_cancelled() { SubscriptionEnded::TooSlow } else { SubscriptionEnded::Closed }
    }

    pub(super) fn stats(&self) -> BusStats {
        let inner = self.lock();
        BusStats {
            published_total: inner.head - self.base,
            cut_off_total: inner.cut_off_total,
            subscribers: inner.admitted,
            kept_events: inner.kept.len(),
            kept_bytes: inner.kept_bytes,
            calls: inner.state.calls(),
        }
    }
}

impl Inner {
    /// Whether every event after `position` is still kept.
    fn can_resume_after(&self, position: u64) -> bool {
        position <= self.head && self.head - position <= self.kept.len() as u64
    }

    fn at(&self, position: u64) -> Option<&Arc<Event>> {
        let back = usize::try_from(self.head.checked_sub(position)?).ok()?;
        self.kept.get(self.kept.len().checked_sub(back + 1)?)?.as_ref()
    }

    fn keep(&mut self, event: Arc<Event>, events_max: usize) {
        self.kept_bytes += event.bytes();
        self.kept.push_back(Some(event));
        while self.kept.len() > events_max || self.kept_bytes > REPLAY_BYTES_MAX {
            self.evict_oldest();
        }
    }

    fn evict_oldest(&mut self) {
        let Some(Some(oldest)) = self.kept.pop_front() else { return };
        self.kept_bytes -= oldest.bytes();
        if let Some(index) = &mut self.index {
            index.positions.remove(oldest.id());
        }
    }

    fn evict_expired(&mut self, now: Timestamp, age_max: Duration) {
        let Ok(since) = now.checked_sub(age_max) else { return };
        while self.kept.front().is_some_and(|slot| slot.as_ref().is_none_or(|event| event.at() < since)) {
            self.evict_oldest();
        }
    }

    /// Appends an event with its own id. `ordered`: it has a position in the shared stream.
    fn push(&mut self, event: Arc<Event>, events_max: usize, ordered: bool) {
        self.head += 1;
        let head = self.head;
        if let Some(index) = &mut self.index {
            index.positions.insert(event.id().clone(), head);
            index.last = event.id().clone();
            if ordered {
                index.last_ordered = event.id().clone();
            }
        }
        self.keep(event, events_max);
    }

    /// Takes an event out of its slot and leaves the slot empty.
    fn vacate(&mut self, id: &EventId) -> Option<Arc<Event>> {
        let position = self.index.as_mut()?.positions.remove(id)?;
        let back = usize::try_from(self.head.checked_sub(position)?).ok()?;
        let index = self.kept.len().checked_sub(back + 1)?;
        let event = self.kept.get_mut(index)?.take()?;
        self.kept_bytes -= event.bytes();
        Some(event)
    }

    fn deliver(&mut self, event: &Arc<Event>) {
        let mut gone = Vec::new();
        let mut candidates = Vec::new();
        self.subscribers.candidates(event, &mut candidates);
        for key in candidates {
            let Some(live) = self.subscribers.live.get_mut(&key) else { continue };
            if live.offered_position >= self.head || !live.viewer.may_receive(event) {
                continue;
            }
            live.offered_position = self.head;
            match live.queue.try_send(Arc::clone(event)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    live.cut_off.cancel();
                    self.cut_off_total += 1;
                    gone.push(key);
                }
                // Its reader was dropped and is about to unsubscribe.
                Err(TrySendError::Closed(_)) => gone.push(key),
            }
        }
        for key in gone {
            self.subscribers.remove(key);
        }
    }
}

impl Subscribers {
    fn add(&mut self, live: LiveSubscriber) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        for list in self.lists(&live.viewer) {
            list.push(key);
        }
        for extension in live.viewer.visible_extensions() {
            self.by_extension.entry(extension.clone()).or_default().push(key);
        }
        for person in live.viewer.visible_people() {
            self.by_person.entry(person).or_default().push(key);
        }
        self.live.insert(key, live);
        key
    }

    fn remove(&mut self, key: u64) {
        let Some(live) = self.live.remove(&key) else { return };
        for list in self.lists(&live.viewer) {
            list.retain(|k| *k != key);
        }
        for extension in live.viewer.visible_extensions() {
            if let Some(list) = self.by_extension.get_mut(extension) {
                list.retain(|k| *k != key);
                if list.is_empty() {
                    self.by_extension.remove(extension);
                }
            }
        }
        for person in live.viewer.visible_people() {
            if let Some(list) = self.by_person.get_mut(&person) {
                list.retain(|k| *k != key);
                if list.is_empty() {
                    self.by_person.remove(&person);
                }
            }
        }
    }

    fn lists(&mut self, viewer: &Viewer) -> impl Iterator<Item = &mut Vec<u64>> {
        let unrestricted = viewer.is_unrestricted().then_some(&mut self.unrestricted);
        let supervisors = viewer.is_supervisor().then_some(&mut self.supervisors);
        unrestricted.into_iter().chain(supervisors)
    }

    /// The subscribers that may see `event`, some of them perhaps twice.
    fn candidates(&self, event: &Event, found: &mut Vec<u64>) {
        if *event.audience() == Audience::All {
            found.extend(self.live.keys());
            return;
        }
        found.extend(&self.unrestricted);
        let mut unowned = *event.audience() == Audience::Supervisors;
        match event.audience() {
            Audience::Operators(operators) | Audience::SupervisorsOf(operators) => {
                operators.iter().for_each(|operator| self.watchers(operator, found));
            }
            Audience::Desktop(operator) => self.watchers(operator, found),
            Audience::Person(person) => self.watchers_of_person(*person, found),
            Audience::SupervisorsOfPeople(people) => {
                people.iter().for_each(|person| self.watchers_of_person(*person, found));
            }
            Audience::All | Audience::Supervisors => {}
        }
        if let Some(visibility_loss) = event.visibility_loss() {
            let left = visibility_loss.left_before();
            unowned |= visibility_loss.before().is_empty() && left.is_empty();
            left.iter().for_each(|person| self.watchers_of_person(*person, found));
            visibility_loss.before().iter().for_each(|operator| self.watchers(operator, found));
        }
        if unowned {
            found.extend(&self.supervisors);
        }
    }

    fn watchers_of_person(&self, person: RecordId, found: &mut Vec<u64>) {
        found.extend(self.by_person.get(&person).into_iter().flatten());
    }

    fn watchers(&self, operator: &Extension, found: &mut Vec<u64>) {
        found.extend(self.by_extension.get(operator).into_iter().flatten());
    }
}
