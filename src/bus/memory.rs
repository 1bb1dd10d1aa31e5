//! The order inside one process: a counter, the recent past, the state and the subscribers, under one lock.
//!
//! Positions go on over runs of the daemon, ids do not: each run has its own stream token and counts from 1. An
//! id is turned into a position once, when somebody subscribes ([`Log::position`]); everything else counts in
//! positions.
//!
//! Invariant: the lock is held only for a few map operations and channel sends that cannot block, never over
//! an await and never while an event is serialised. `publish` looks at the subscribers that an index names for
//! the event's audience, not at all of them, and asks [`Event::is_for`] about each: the index only has to be
//! generous, the one rule decides, for live events and for the replay alike.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::event::{Audience, Body, Change, Draft, Event};
use super::id::{EventId, StreamToken};
use super::log::{LogFigures, Logbook, Past};
use super::state::{PbxStatus, Snapshot, State};
use super::subscription::{Ended, First, Replay, Subscription};
use super::{BusFigures, BusSettings, REPLAY_BYTES_MAX, SubscribeError};
use crate::call::view::CallView;
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::operator::{StateView, Viewer};
use crate::store::log::Keep;

/// How many past events one step of a replay looks at, so that a long replay never holds the lock for long.
const REPLAY_STEP_EVENTS: usize = 256;

#[derive(Debug)]
pub(super) struct Log {
    settings: BusSettings,
    /// Earlier runs of which events are kept, oldest first.
    earlier: Vec<Run>,
    /// The last position of the runs before this one.
    base: u64,
    logbook: Option<Arc<Logbook>>,
    inner: Mutex<Inner>,
}

/// An earlier run of the daemon.
#[derive(Debug)]
struct Run {
    stream: StreamToken,
    /// What to add to the number in an id to get its position.
    offset: u64,
    /// The number of its last event that was logged.
    last: u64,
}

/// An event that has its id already.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) id: EventId,
    pub(super) pbx: PbxId,
    pub(super) audience: Audience,
    pub(super) change: Change,
    pub(super) body: Arc<Body>,
    /// See [`Event::after`].
    pub(super) after: Option<EventId>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The latest position given out, over all runs.
    head: u64,
    /// The recent past; positions are consecutive and the last one is `head`. A place is empty when its event found
    /// another one later ([`Log::settle`]).
    kept: VecDeque<Option<Arc<Event>>>,
    kept_bytes: usize,
    /// The last event and where each kept one is; only where positions in ids are not those of this log.
    foreign: Option<Foreign>,
    state: State,
    subscribers: Subscribers,
    /// Subscriptions given out, those that still replay included.
    admitted: usize,
    cut_off_total: u64,
    closed: bool,
}

/// Places of events whose ids other daemons count.
#[derive(Debug)]
struct Foreign {
    last: EventId,
    /// The last one that stands in the common order of all daemons.
    last_common: EventId,
    places: HashMap<EventId, u64>,
}

/// What a log that follows others begins with.
#[derive(Debug)]
pub(super) struct Start {
    /// Before the first of `recent`.
    pub(super) beginning: EventId,
    pub(super) calls: Vec<Arc<CallView>>,
    pub(super) links: Vec<PbxStatus>,
    pub(super) operators: Vec<Arc<StateView>>,
    /// The past that led to this state, oldest first.
    pub(super) recent: Vec<Arrival>,
}

/// What is shown of one PBX.
#[derive(Debug)]
pub(super) struct OfPbx {
    pub(super) calls: Vec<Arc<CallView>>,
    pub(super) link: Option<PbxStatus>,
    /// Those whose states its daemon keeps.
    pub(super) operators: Vec<Arc<StateView>>,
}

/// Who is live, and where to look for those whom an audience concerns.
#[derive(Debug, Default)]
struct Subscribers {
    live: HashMap<u64, Live>,
    next_key: u64,
    all_seeing: Vec<u64>,
    supervisors: Vec<u64>,
    /// By extension: its operator, and the supervisors who have that operator in their team.
    by_extension: HashMap<Extension, Vec<u64>>,
}

#[derive(Debug)]
struct Live {
    viewer: Viewer,
    queue: mpsc::Sender<Arc<Event>>,
    cut_off: CancellationToken,
    /// The latest position offered to it, so that an event which concerns it twice comes once.
    offered: u64,
}

impl Log {
    pub(super) fn new(settings: BusSettings, past: Past, logbook: Option<Arc<Logbook>>) -> Self {
        let mut inner = Inner { head: past.head, ..Inner::default() };
        let mut earlier: Vec<Run> = Vec::new();
        let operators = past.operators();
        for logged in past.events {
            let (stream, number) = (&logged.id.stream, logged.id.position);
            match earlier.last_mut().filter(|run| &run.stream == stream) {
                Some(run) => run.last = number,
                None => {
                    let offset = logged.position.saturating_sub(number);
                    earlier.push(Run { stream: stream.clone(), offset, last: number });
                }
            }
            inner.keep(Arc::new(Event::logged(logged)), settings.replay_events_max);
        }
        inner.state = State::of(past.calls.into_iter().map(Arc::new).collect(), past.pbx, operators);
        Self { settings, earlier, base: inner.head, logbook, inner: Mutex::new(inner) }
    }

    /// A panic inside the lock cannot leave half an event: go on with what is there.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, position: u64) -> EventId {
        EventId { stream: self.settings.stream.clone(), position: position - self.base }
    }

    /// Where in the order an id is, if it is of this run or of one that is logged.
    fn position(&self, id: &EventId) -> Option<u64> {
        if id.stream == self.settings.stream {
            return self.base.checked_add(id.position);
        }
        // Beyond the last one logged lies what the crash took with it.
        let run = self.earlier.iter().find(|run| run.stream == id.stream && id.position <= run.last)?;
        run.offset.checked_add(id.position)
    }

    pub(super) fn publish(&self, drafts: Vec<Draft>, keeps: Vec<Keep>) -> Vec<EventId> {
        let bodies: Vec<Body> = drafts.iter().map(|draft| Body::of(draft, &self.settings.pbx)).collect();
        let mut events = Vec::with_capacity(drafts.len());
        let mut inner = self.lock();
        let first = inner.head + 1;
        for (draft, body) in drafts.into_iter().zip(&bodies) {
            inner.head += 1;
            let id = self.id(inner.head);
            let departure = inner.state.apply(&self.settings.pbx, draft.change);
            let event = Arc::new(Event::new(id, draft.audience, departure, body));
            inner.keep(Arc::clone(&event), self.settings.replay_events_max);
            inner.hand_out(&event);
            events.push(event);
        }
        if let Some(last) = events.last() {
            inner.forget(last.at(), self.settings.replay_age_max);
        }
        if let Some(logbook) = &self.logbook {
            // Under the lock, so that the log has the order.
            let oldest = inner.head + 1 - inner.kept.len() as u64;
            logbook.add(first, &events, oldest, keeps);
        }
        events.iter().map(|event| event.id().clone()).collect()
    }

    pub(super) fn written(&self) -> Option<LogFigures> {
        self.logbook.as_ref().map(|logbook| logbook.figures())
    }

    pub(super) fn forget(&self, now: Timestamp) {
        self.lock().forget(now, self.settings.replay_age_max);
    }

    pub(super) fn head_position(&self) -> u64 {
        self.lock().head
    }

    /// Begins anew with this state. Whoever is live is cut off and comes back, to go on or to a snapshot.
    pub(super) fn load(&self, start: Start) {
        let mut inner = self.lock();
        let (admitted, cut_off_total, closed) = (inner.admitted, inner.cut_off_total, inner.closed);
        for live in inner.subscribers.live.values() {
            live.cut_off.cancel();
        }
        // Places go on: a subscription that is replaying must not take new ones for those it had.
        let head = inner.head + 1;
        let foreign = Foreign {
            last: start.beginning.clone(),
            last_common: start.beginning.clone(),
            places: [(start.beginning, head)].into(),
        };
        *inner = Inner {
            head,
            state: State::of(start.calls, start.links, start.operators),
            foreign: Some(foreign),
            admitted,
            cut_off_total,
            closed,
            ..Inner::default()
        };
        // Who lost sight of a call by an event of the past is seen by what that past tells of it.
        let mut past = State::default();
        for arrival in start.recent {
            let departure = past.apply(&arrival.pbx, arrival.change);
            let event = Event::new(arrival.id, arrival.audience, departure, &arrival.body);
            let event = Arc::new(event.ahead_of_order(arrival.after));
            inner.place(event, self.settings.replay_events_max, true);
        }
    }

    /// Gives an event of another daemon's or of our own count its place, and hands it to those it concerns.
    pub(super) fn append(&self, arrival: Arrival, common: bool) {
        let Arrival { id, pbx, audience, change, body, after } = arrival;
        let mut inner = self.lock();
        let departure = inner.state.apply(&pbx, change);
        let event = Arc::new(Event::new(id, audience, departure, &body).ahead_of_order(after));
        inner.place(Arc::clone(&event), self.settings.replay_events_max, common);
        inner.hand_out(&event);
    }

    /// The place in the common order of an event that was delivered ahead of it: nobody hears of it again.
    pub(super) fn settle(&self, id: &EventId) {
        let mut inner = self.lock();
        let Some(event) = inner.take_place(id) else { return };
        inner.place(event, self.settings.replay_events_max, true);
    }

    /// Whether it is among the kept events.
    pub(super) fn has(&self, id: &EventId) -> bool {
        self.lock().foreign.as_ref().is_some_and(|foreign| foreign.places.contains_key(id))
    }

    /// The last event of the common order that was delivered here.
    pub(super) fn last_common(&self) -> Option<EventId> {
        self.lock().foreign.as_ref().map(|foreign| foreign.last_common.clone())
    }

    /// What is shown of one PBX now.
    pub(super) fn of_pbx(&self, pbx: &PbxId) -> OfPbx {
        let state = &self.lock().state;
        let (calls, operators) = (state.calls_of(pbx), state.operators_of(pbx));
        OfPbx { calls, link: state.pbx(pbx).cloned(), operators }
    }

    /// How an operator was told of last.
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
        let (first, position, had) = match after.and_then(|id| log.place_to_resume(&inner, id)) {
            Some((id, position, had)) => (First::Resumed(id), position, had),
            None => (First::Snapshot(inner.state.seen_by(&viewer, log.last(&inner))), inner.head, None),
        };
        drop(inner);
        Ok(Subscription::new(Arc::clone(log), viewer, first, position, had))
    }

    /// Where to go on after `id`, and what of it is not to be told again.
    fn place_to_resume(&self, inner: &Inner, id: &EventId) -> Option<(EventId, u64, Option<EventId>)> {
        let Some(foreign) = &inner.foreign else {
            let position = self.position(id).filter(|position| inner.can_resume(*position))?;
            return Some((id.clone(), position, None));
        };
        let place = *foreign.places.get(id)?;
        let after = inner.at(place).and_then(|event| event.after().cloned());
        let (place, had) = match after {
            Some(after) => (*foreign.places.get(&after)?, Some(id.clone())),
            None => (place, None),
        };
        inner.can_resume(place).then(|| (id.clone(), place, had))
    }

    fn last(&self, inner: &Inner) -> EventId {
        inner.foreign.as_ref().map_or_else(|| self.id(inner.head), |foreign| foreign.last.clone())
    }

    /// The next part of what a subscriber has not had, from after `position`. When that is all there is, the
    /// subscriber becomes live in the same instant, so nothing falls between.
    pub(super) fn replay(&self, viewer: &Viewer, position: u64, cut_off: &CancellationToken) -> Replay {
        let mut inner = self.lock();
        if !inner.can_resume(position) {
            inner.cut_off_total += 1;
            return Replay::Ended(Ended::TooSlow);
        }
        let missed = usize::try_from(inner.head - position).unwrap_or(usize::MAX);
        let start = inner.kept.len() - missed.min(inner.kept.len());
        let step = inner.kept.range(start..).take(REPLAY_STEP_EVENTS).flatten();
        let events = step.filter(|event| event.is_for(viewer)).cloned().collect();
        if missed > REPLAY_STEP_EVENTS {
            return Replay::More { events, position: position + REPLAY_STEP_EVENTS as u64 };
        }
        if inner.closed {
            return Replay::Last { events };
        }
        let (queue, live) = mpsc::channel(self.settings.subscriber_events_max.max(1));
        let head = inner.head;
        let key = inner.subscribers.add(Live {
            viewer: viewer.clone(),
            queue,
            cut_off: cut_off.clone(),
            offered: head,
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
        let place = match &inner.foreign {
            Some(foreign) => *foreign.places.get(id)?,
            None => self.position(id)?,
        };
        let event = inner.at(place).filter(|event| event.id() == id)?;
        event.is_for(viewer).then(|| Arc::clone(event))
    }

    pub(super) fn head(&self) -> EventId {
        self.last(&self.lock())
    }

    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.subscribers = Subscribers::default();
    }

    /// Why a live queue has come to its end.
    pub(super) fn why_ended(&self, cut_off: &CancellationToken) -> Ended {
        if cut_off.is_cancelled() { Ended::TooSlow } else { Ended::Closed }
    }

    pub(super) fn figures(&self) -> BusFigures {
        let inner = self.lock();
        BusFigures {
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
    /// Whether every event after `position` is still here.
    fn can_resume(&self, position: u64) -> bool {
        position <= self.head && self.head - position <= self.kept.len() as u64
    }

    fn at(&self, place: u64) -> Option<&Arc<Event>> {
        let back = usize::try_from(self.head.checked_sub(place)?).ok()?;
        self.kept.get(self.kept.len().checked_sub(back + 1)?)?.as_ref()
    }

    fn keep(&mut self, event: Arc<Event>, events_max: usize) {
        self.kept_bytes += event.bytes();
        self.kept.push_back(Some(event));
        while self.kept.len() > events_max || self.kept_bytes > REPLAY_BYTES_MAX {
            self.let_oldest_go();
        }
    }

    fn let_oldest_go(&mut self) {
        let Some(Some(oldest)) = self.kept.pop_front() else { return };
        self.kept_bytes -= oldest.bytes();
        if let Some(foreign) = &mut self.foreign {
            foreign.places.remove(oldest.id());
        }
    }

    fn forget(&mut self, now: Timestamp, age_max: Duration) {
        let Ok(since) = now.checked_sub(age_max) else { return };
        while self.kept.front().is_some_and(|place| place.as_ref().is_none_or(|event| event.at() < since)) {
            self.let_oldest_go();
        }
    }

    /// The next place for an event with an id of another count.
    fn place(&mut self, event: Arc<Event>, events_max: usize, common: bool) {
        self.head += 1;
        let head = self.head;
        if let Some(foreign) = &mut self.foreign {
            foreign.places.insert(event.id().clone(), head);
            foreign.last = event.id().clone();
            if common {
                foreign.last_common = event.id().clone();
            }
        }
        self.keep(event, events_max);
    }

    /// Takes an event from where it stands and leaves the place empty.
    fn take_place(&mut self, id: &EventId) -> Option<Arc<Event>> {
        let place = self.foreign.as_mut()?.places.remove(id)?;
        let back = usize::try_from(self.head.checked_sub(place)?).ok()?;
        let index = self.kept.len().checked_sub(back + 1)?;
        let event = self.kept.get_mut(index)?.take()?;
        self.kept_bytes -= event.bytes();
        Some(event)
    }

    fn hand_out(&mut self, event: &Arc<Event>) {
        let mut slow = Vec::new();
        let mut candidates = Vec::new();
        self.subscribers.candidates(event, &mut candidates);
        for key in candidates {
            let Some(live) = self.subscribers.live.get_mut(&key) else { continue };
            if live.offered >= self.head || !event.is_for(&live.viewer) {
                continue;
            }
            live.offered = self.head;
            match live.queue.try_send(Arc::clone(event)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    live.cut_off.cancel();
                    self.cut_off_total += 1;
                    slow.push(key);
                }
                // Its reader is gone and about to say so.
                Err(TrySendError::Closed(_)) => slow.push(key),
            }
        }
        for key in slow {
            self.subscribers.remove(key);
        }
    }
}

impl Subscribers {
    fn add(&mut self, live: Live) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        for list in self.lists(&live.viewer) {
            list.push(key);
        }
        for extension in live.viewer.watched() {
            self.by_extension.entry(extension.clone()).or_default().push(key);
        }
        self.live.insert(key, live);
        key
    }

    fn remove(&mut self, key: u64) {
        let Some(live) = self.live.remove(&key) else { return };
        for list in self.lists(&live.viewer) {
            list.retain(|k| *k != key);
        }
        for extension in live.viewer.watched() {
            if let Some(list) = self.by_extension.get_mut(extension) {
                list.retain(|k| *k != key);
                if list.is_empty() {
                    self.by_extension.remove(extension);
                }
            }
        }
    }

    fn lists(&mut self, viewer: &Viewer) -> impl Iterator<Item = &mut Vec<u64>> {
        let all_seeing = viewer.sees_everything().then_some(&mut self.all_seeing);
        let supervisors = viewer.is_supervisor().then_some(&mut self.supervisors);
        all_seeing.into_iter().chain(supervisors)
    }

    /// Everybody whom `event` may concern, some of them perhaps twice.
    fn candidates(&self, event: &Event, found: &mut Vec<u64>) {
        if *event.audience() == Audience::All {
            found.extend(self.live.keys());
            return;
        }
        found.extend(&self.all_seeing);
        let mut unowned = *event.audience() == Audience::Supervisors;
        match event.audience() {
            Audience::Operators(operators) | Audience::SupervisorsOf(operators) => {
                operators.iter().for_each(|operator| self.watchers(operator, found));
            }
            Audience::Desktop(operator) => self.watchers(operator, found),
            Audience::All | Audience::Supervisors => {}
        }
        if let Some(departure) = event.departure() {
            unowned |= departure.before().is_empty();
            departure.before().iter().for_each(|operator| self.watchers(operator, found));
        }
        if unowned {
            found.extend(&self.supervisors);
        }
    }

    fn watchers(&self, operator: &Extension, found: &mut Vec<u64>) {
        found.extend(self.by_extension.get(operator).into_iter().flatten());
    }
}
