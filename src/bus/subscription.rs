//! The reader's side of the stream.
//!
//! | state | [`Subscription::next`] | goes to |
//! |---|---|---|
//! | replaying | hands out what the log still keeps, a bounded step at a time | live, once nothing is left; ended, when the log has moved on faster |
//! | live | waits for the queue | ended, when it was full once, or the bus closed |
//! | ended | says why | |
//!
//! Invariant: dropping a subscription frees its place; a reader that stops reading costs its queue and no more.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::event::Event;
use super::id::EventId;
use super::memory::Log;
use super::state::Snapshot;
use crate::operator::Viewer;

/// What a subscriber is told before any event.
#[derive(Debug, Clone, PartialEq)]
pub enum First {
    /// The stream goes on after this event; what was missed follows.
    Resumed(EventId),
    /// The complete present state; what the subscriber knew before is void.
    Snapshot(Snapshot),
}

/// Why a subscription is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It read too slowly, and too many events waited for it.
    #[error("too many events waited for this reader; resume after the last one received")]
    TooSlow,
    /// The daemon is going down.
    #[error("the stream of events is closed")]
    Closed,
}

/// What the log answers to a reader that has not had everything yet.
pub(super) enum Replay {
    /// Some events, and the position to go on from.
    More { events: VecDeque<Arc<Event>>, position: u64 },
    /// The last ones; from here on the queue has them.
    Live { events: VecDeque<Arc<Event>>, live: mpsc::Receiver<Arc<Event>>, key: u64 },
    /// The last ones of a stream that is closed.
    Last { events: VecDeque<Arc<Event>> },
    /// Some of what it should have had next is no longer kept.
    Ended(Ended),
}

#[derive(Debug)]
enum Progress {
    Replaying { position: u64 },
    Live { queue: mpsc::Receiver<Arc<Event>>, key: u64 },
    Ended(Ended),
}

/// One reader of the stream.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<Log>,
    viewer: Viewer,
    first: Option<First>,
    /// Events of the replay that were not handed out yet.
    ready: VecDeque<Arc<Event>>,
    progress: Progress,
    /// The reader's last event, where what follows it begins before it: of its stream, that and earlier ones were had.
    had: Option<EventId>,
    cut_off: CancellationToken,
}

impl Subscription {
    pub(super) fn new(
        log: Arc<Log>,
        viewer: Viewer,
        first: First,
        position: u64,
        had: Option<EventId>,
    ) -> Self {
        let mut subscription = Self {
            log,
            viewer,
            first: Some(first),
            ready: VecDeque::new(),
            progress: Progress::Replaying { position },
            had,
            cut_off: CancellationToken::new(),
        };
        // Live at once where nothing was missed: the queue counts from now on, not from the first read.
        subscription.replay(position);
        subscription
    }

    /// What will be told first, until it was taken.
    #[must_use]
    pub fn first(&self) -> Option<&First> {
        self.first.as_ref()
    }

    /// What to tell first. Given once.
    pub fn take_first(&mut self) -> Option<First> {
        self.first.take()
    }

    /// Whose eyes it has.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// Is cancelled in the instant this reader is cut off, even while it is not reading.
    #[must_use]
    pub fn cut_off(&self) -> CancellationToken {
        self.cut_off.clone()
    }

    /// The next event the viewer may see. Cancel-safe.
    pub async fn next(&mut self) -> Result<Arc<Event>, Ended> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            match &mut self.progress {
                Progress::Replaying { position } => {
                    let position = *position;
                    self.replay(position);
                }
                Progress::Live { queue, .. } => match queue.recv().await {
                    Some(event) => return Ok(event),
                    None => self.progress = Progress::Ended(self.log.why_ended(&self.cut_off)),
                },
                Progress::Ended(why) => return Err(*why),
            }
        }
    }

    /// What the reader has had already is not told again.
    fn leave_out_had(&mut self) {
        if let Some(had) = &self.had {
            self.ready.retain(|event| event.id() != had && !had.is_after(event.id()));
        }
    }

    fn replay(&mut self, position: u64) {
        self.progress = match self.log.replay(&self.viewer, position, &self.cut_off) {
            Replay::More { events, position } => {
                self.ready = events;
                Progress::Replaying { position }
            }
            Replay::Live { events, live, key } => {
                self.ready = events;
                Progress::Live { queue: live, key }
            }
            Replay::Last { events } => {
                self.ready = events;
                Progress::Ended(Ended::Closed)
            }
            Replay::Ended(why) => {
                self.cut_off.cancel();
                Progress::Ended(why)
            }
        };
        self.leave_out_had();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let key = match &self.progress {
            Progress::Live { key, .. } => Some(*key),
            Progress::Replaying { .. } | Progress::Ended(_) => None,
        };
        self.log.unsubscribe(key);
    }
}
