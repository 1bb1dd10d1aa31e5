//! The order inside one process: a counter, the recent past, the state and the subscribers, under one lock.
//!
//! Invariant: the lock is held only for a few map operations and channel sends that cannot block, never over
//! an await and never while an event is serialised. `publish` looks at the subscribers that an index names for
//! the event's audience, not at all of them, and asks [`Event::is_for`] about each: the index only has to be
//! generous, the one rule decides, for live events and for the replay alike.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::event::{Audience, Body, Draft, Event};
use super::id::EventId;
use super::state::{Snapshot, State};
use super::subscription::{Ended, First, Replay, Subscription};
use super::{BusFigures, BusSettings, REPLAY_BYTES_MAX, SubscribeError};
use crate::call::view::CallView;
use crate::ids::{CallId, Extension};
use crate::operator::Viewer;

/// How many past events one step of a replay looks at, so that a long replay never holds the lock for long.
const REPLAY_STEP_EVENTS: usize = 256;

#[derive(Debug)]
pub(super) struct Log {
    settings: BusSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The latest position given out.
    head: u64,
    /// The recent past; positions are consecutive and the last one is `head`.
    kept: VecDeque<Arc<Event>>,
    kept_bytes: usize,
    state: State,
    subscribers: Subscribers,
    /// Subscriptions given out, those that still replay included.
    admitted: usize,
    cut_off_total: u64,
    closed: bool,
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
    pub(super) fn new(settings: BusSettings) -> Self {
        Self { settings, inner: Mutex::default() }
    }

    /// A panic inside the lock cannot leave half an event: go on with what is there.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, position: u64) -> EventId {
        EventId { stream: self.settings.stream.clone(), position }
    }

    pub(super) fn publish(&self, draft: Draft) -> EventId {
        let body = Body::of(&draft, &self.settings.pbx);
        let mut inner = self.lock();
        inner.head += 1;
        let id = self.id(inner.head);
        let departure = inner.state.apply(&self.settings.pbx, draft.change);
        let event = Arc::new(Event::new(id.clone(), draft.audience, departure, &body));
        inner.keep(Arc::clone(&event), self.settings.replay_events_max);
        inner.hand_out(&event);
        id
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
        let resumable = after.filter(|id| id.stream == log.settings.stream && inner.can_resume(id.position));
        let (first, position) = match resumable {
            Some(id) => (First::Resumed(id.clone()), id.position),
            None => (First::Snapshot(inner.state.seen_by(&viewer, log.id(inner.head))), inner.head),
        };
        drop(inner);
        Ok(Subscription::new(Arc::clone(log), viewer, first, position))
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
        let step = inner.kept.range(start..).take(REPLAY_STEP_EVENTS);
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
        inner.state.seen_by(viewer, self.id(inner.head))
    }

    pub(super) fn call(&self, viewer: &Viewer, call: CallId) -> Option<Arc<CallView>> {
        self.lock().state.call(call).filter(|view| viewer.sees_call(view)).cloned()
    }

    pub(super) fn event(&self, viewer: &Viewer, id: &EventId) -> Option<Arc<Event>> {
        let inner = self.lock();
        let back = usize::try_from(inner.head.checked_sub(id.position)?).ok()?;
        let index = inner.kept.len().checked_sub(back + 1)?;
        let event = inner.kept.get(index).filter(|event| event.id() == id)?;
        event.is_for(viewer).then(|| Arc::clone(event))
    }

    pub(super) fn head(&self) -> EventId {
        self.id(self.lock().head)
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
            published_total: inner.head,
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

    fn keep(&mut self, event: Arc<Event>, events_max: usize) {
        self.kept_bytes += event.bytes();
        self.kept.push_back(event);
        while self.kept.len() > events_max || self.kept_bytes > REPLAY_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_bytes -= oldest.bytes();
        }
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
        if let Audience::Operators(operators) | Audience::SupervisorsOf(operators) = event.audience() {
            operators.iter().for_each(|operator| self.watchers(operator, found));
        }
        if let Some(departure) = event.departure() {
            let mut operators = departure.before().operators().peekable();
            unowned |= operators.peek().is_none();
            operators.for_each(|operator| self.watchers(operator, found));
        }
        if unowned {
            found.extend(&self.supervisors);
        }
    }

    fn watchers(&self, operator: &Extension, found: &mut Vec<u64>) {
        found.extend(self.by_extension.get(operator).into_iter().flatten());
    }
}
