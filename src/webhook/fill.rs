//! Bus → outbox: every event that a receiver wants, with the place in the stream up to which that was done.
//!
//! Invariant: the events and the place are written in one transaction, so a daemon that is started again goes on
//! after the last event that is in the outbox, as far as the stream can be resumed; where it cannot, that is said.
//! A store that is away makes this wait, not the bus: it is cut off like any slow reader, and resumes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Figures, Receiver, WAITING_MAX};
use crate::bus::{Bus, Event, EventId, First, SubscribeError, Subscription};
use crate::operator::{Role, Viewer};
use crate::store::Store;
use crate::store::webhooks::Outgoing;

/// Most events in one transaction.
pub const FILL_EVENTS_MAX: usize = 256;
/// Pause before a store that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The task.
pub(super) struct Fill {
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) receivers: Vec<Receiver>,
    /// The last event of the run before this one.
    pub(super) beginning: EventId,
    pub(super) filled: Arc<Notify>,
    pub(super) figures: Figures,
}

impl Fill {
    /// Goes on until `shutdown`, or until the bus is closed and everything of it is in the outbox.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut place = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                over = self.follow(&mut place) => if over { return },
            }
        }
    }

    /// Follows until cut off (false) or until the bus is closed (true).
    async fn follow(&self, place: &mut Option<EventId>) -> bool {
        if place.is_none() {
            match self.store.webhook_place().await {
                Ok(kept) => *place = kept.and_then(|text| EventId::parse(&text).ok()),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the webhooks' outbox cannot be read"
                    );
                    tokio::time::sleep(RETRY_PAUSE).await;
                    return false;
                }
            }
        }
        let mut events = match self.bus.subscribe(all_seeing(), place.as_ref()) {
            Ok(events) => events,
            Err(SubscribeError::Closed) => return true,
            Err(error) => {
                tracing::warn!(%error, "webhooks cannot follow the events; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
                return false;
            }
        };
        let mut first = events.take_first();
        if place.is_some() && matches!(first, Some(First::Snapshot(_))) {
            // The place may lie behind the log's end: a crash took the last events, and not what the outbox has of
            // them. All of the log is in the outbox then, and nothing of this run.
            if let Ok(from_beginning) = self.bus.subscribe(all_seeing(), Some(&self.beginning)) {
                tracing::warn!(
                    "the last event that was put into the outbox is not in the log: webhooks go on after it"
                );
                events = from_beginning;
                first = events.take_first();
            }
        }
        if let Some(First::Snapshot(snapshot)) = first {
            if let Some(place) = place.as_ref() {
                tracing::warn!(%place, "the events since then cannot be had any more: webhooks go on from now");
            }
            *place = Some(snapshot.id);
        }
        while let Some(batch) = next_batch(&mut events).await {
            self.write(&batch).await;
            *place = batch.last().map(|event| event.id().clone());
        }
        false
    }

    /// Writes until it is written.
    async fn write(&self, batch: &[Arc<Event>]) {
        let Some(last) = batch.last().map(|event| event.id().to_string()) else { return };
        let outgoing: Vec<Outgoing> = batch.iter().flat_map(|event| self.outgoing(event)).collect();
        loop {
            match self.store.fill_outbox(&outgoing, &last, Timestamp::now(), WAITING_MAX).await {
                Ok(dropped) => {
                    if dropped > 0 {
                        self.figures.dropped.inc_by(dropped);
                        tracing::error!(
                            dropped,
                            "{WAITING_MAX} events wait for a receiver of webhooks; these do not fit"
                        );
                    }
                    if !outgoing.is_empty() {
                        self.filled.notify_waiters();
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the webhooks' outbox cannot be written"
                    );
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    fn outgoing(&self, event: &Event) -> Vec<Outgoing> {
        let body = event.json();
        let wanted = self.receivers.iter().filter(|receiver| receiver.wants(event.kind()));
        let outgoing = wanted.map(|receiver| Outgoing {
            receiver: receiver.name.to_string(),
            event: event.id().to_string(),
            kind: event.kind().as_str(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        outgoing.collect()
    }
}

fn all_seeing() -> Viewer {
    Viewer::all_seeing(Role::System)
}

/// What has come, at least one event; `None` when the subscription has ended.
async fn next_batch(events: &mut Subscription) -> Option<Vec<Arc<Event>>> {
    let mut batch = vec![events.next().await.ok()?];
    while batch.len() < FILL_EVENTS_MAX {
        match events.next().now_or_never() {
            Some(Ok(event)) => batch.push(event),
            Some(Err(_)) | None => break,
        }
    }
    Some(batch)
}
