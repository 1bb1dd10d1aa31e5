//! The reader's side of the stream.
//!
//! | state | [`Subscription::next`] | next state |
//! |---|---|---|
//! | replaying | returns kept events, loaded from the log in bounded steps | live, after the last kept event; ended, when the log evicted events that the reader still needed |
//! | live | waits for the subscriber's queue | ended, when the queue was full once, or the bus is closed |
//! | ended | returns the reason | |
//!
//! Invariant: dropping a subscription frees its slot (`subscribers_max`). A reader that stops reading costs one queue
//! and nothing else.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::event_log::EventLog;
use super::state::Snapshot;
use crate::contract::event::Event;
use crate::contract::event_id::EventId;
use crate::people::viewer::Viewer;

/// The first message of a stream, before any event.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamStart {
    /// The stream resumes after this event; the missed events follow.
    Resumed(EventId),
    /// The complete present state; it replaces everything the client had.
    Snapshot(Snapshot),
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionEnded {
    /// The reader was too slow: its queue was full, or events that it still needed were evicted.
    #[error(
        "this reader is too slow and its queue is full; reconnect and resume after the last event received"
    )]
    TooSlow,
    /// The daemon is shutting down.
    #[error("the event stream is closed: the daemon is shutting down")]
    Closed,
}

/// The log's answer to a replaying reader.
pub(super) enum Replay {
    /// Some events, and the position after which the next step begins.
    More { events: VecDeque<Arc<Event>>, position: u64 },
    /// The last events; later ones arrive in the queue.
    Live { events: VecDeque<Arc<Event>>, live: mpsc::Receiver<Arc<Event>>, key: u64 },
    /// The last events of a closed stream.
    Last { events: VecDeque<Arc<Event>> },
    /// The next events are no longer kept.
    Ended(SubscriptionEnded),
}

#[derive(Debug)]
enum Progress {
    Replaying { position: u64 },
    Live { queue: mpsc::Receiver<Arc<Event>>, key: u64 },
    Ended(SubscriptionEnded),
}

/// One reader of the stream.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<EventLog>,
    viewer: Viewer,
    start: Option<StreamStart>,
    /// Replayed events that were not returned yet.
    ready: VecDeque<Arc<Event>>,
    progress: Progress,
    /// Set when the replay begins before the reader's last event: this event and the earlier ones of its stream are
    /// skipped.
    last_received: Option<EventId>,
    cut_off: CancellationToken,
}

impl Subscription {
    pub(super) fn new(
        log: Arc<EventLog>,
        viewer: Viewer,
        start: StreamStart,
        position: u64,
        last_received: Option<EventId>,
    ) -> Self {
        let mut subscription = Self {
            log,
            viewer,
            start: Some(start),
            ready: VecDeque::new(),
            progress: Progress::Replaying { position },
            last_received,
            cut_off: CancellationToken::new(),
        };
        // Live at once if nothing was missed: the queue fills from now on, not from the first read.
        subscription.replay(position);
        subscription
    }

    /// The first message, until it is taken.
    #[must_use]
    pub fn start(&self) -> Option<&StreamStart> {
        self.start.as_ref()
    }

    /// Takes the first message; `None` after the first call.
    pub fn take_start(&mut self) -> Option<StreamStart> {
        self.start.take()
    }

    /// The viewer whose visibility rules apply.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// A token that is cancelled when this reader is cut off, even while it is not reading.
    #[must_use]
    pub fn cut_off(&self) -> CancellationToken {
        self.cut_off.clone()
    }

    /// The next event the viewer may see. Cancel-safe.
    pub async fn next(&mut self) -> Result<Arc<Event>, SubscriptionEnded> {
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
                    None => self.progress = Progress::Ended(self.log.end_reason(&self.cut_off)),
                },
                Progress::Ended(why) => return Err(*why),
            }
        }
    }

    /// Removes events that the reader already received.
    fn skip_received(&mut self) {
        if let Some(last) = &self.last_received {
            self.ready.retain(|event| event.id() != last && !last.is_after(event.id()));
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
                Progress::Ended(SubscriptionEnded::Closed)
            }
            Replay::Ended(why) => {
                self.cut_off.cancel();
                Progress::Ended(why)
            }
        };
        self.skip_received();
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
