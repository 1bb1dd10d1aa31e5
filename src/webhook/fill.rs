//! Bus → outbox: every event that a receiver wants, with the place in the stream up to which that was done.
//!
//! Invariant: the events and the place are written in one transaction, so a daemon that is started again goes on
//! after the last event that is in the outbox, as far as the stream can be resumed; where it cannot, that is said.
//! A store that is away makes this wait, not the bus: it is cut off like any slow reader, and resumes.
//!
//! Each PBX's events are put there by the daemon that leads for it, wherever a receiver is configured: so two daemons
//! of one PBX put an event there once, and a standby that takes over goes on at the place that the other one left.

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
use crate::store::webhooks::{Filled, Outgoing};

/// Most events in one transaction.
pub const FILL_EVENTS_MAX: usize = 256;
/// Pause before a store that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How often a daemon that stands by looks whether it leads.
const LEAD_PAUSE: Duration = Duration::from_millis(200);

/// Where the filling goes on.
#[derive(Debug)]
struct Place {
    /// After this event, of whichever PBX.
    after: Option<EventId>,
    /// The last event of our PBX, as the store has it.
    kept: Option<String>,
}

/// What became of a batch.
enum Wrote {
    /// It is in the outbox; the place is now this, if it moved.
    All(Option<String>),
    /// Another daemon fills the outbox.
    Nothing,
}

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

    /// Follows until cut off, or until another daemon leads (false), or until the bus is closed (true).
    async fn follow(&self, place: &mut Option<Place>) -> bool {
        if !self.bus.leads() {
            *place = None;
            tokio::time::sleep(LEAD_PAUSE).await;
            return false;
        }
        let known = match place.take() {
            Some(known) => known,
            None => match self.store.webhook_place(self.bus.own_pbx()).await {
                Ok(kept) => Place { after: kept.as_ref().and_then(|text| EventId::parse(text).ok()), kept },
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the webhooks' outbox cannot be read"
                    );
                    tokio::time::sleep(RETRY_PAUSE).await;
                    return false;
                }
            },
        };
        let mut events = match self.subscribe(known.after.as_ref()) {
            Ok(events) => events,
            Err(SubscribeError::Closed) => return true,
            Err(error) => {
                tracing::warn!(%error, "webhooks cannot follow the events; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
                return false;
            }
        };
        let mut known = match events.take_first() {
            Some(First::Snapshot(snapshot)) => {
                if let Some(place) = &known.after {
                    tracing::warn!(%place, "the events since then cannot be had any more: webhooks go on from now");
                }
                Place { after: Some(snapshot.id), ..known }
            }
            _ => known,
        };
        while let Some(batch) = next_batch(&mut events).await {
            match self.write(&batch, known.kept.as_deref()).await {
                Wrote::All(kept) => {
                    known.kept = kept.or(known.kept);
                    known.after = batch.last().map(|event| event.id().clone());
                }
                // Where the other one is, the store knows.
                Wrote::Nothing => return false,
            }
        }
        *place = Some(known);
        false
    }

    /// From after `after`; where that cannot be, from the beginning of this run, if anything is there.
    fn subscribe(&self, after: Option<&EventId>) -> Result<Subscription, SubscribeError> {
        let viewer = || Viewer::all_seeing(Role::System);
        let mut events = self.bus.subscribe(viewer(), after)?;
        if after.is_none() || !matches!(events.first(), Some(First::Snapshot(_))) {
            return Ok(events);
        }
        // The place may lie behind the log's end: a crash took the last events, and not what the outbox has of
        // them. All of the log is in the outbox then, and nothing of this run.
        let from_beginning = self.bus.subscribe(viewer(), Some(&self.beginning))?;
        if matches!(from_beginning.first(), Some(First::Resumed(_))) {
            tracing::warn!(
                "the last event that was put into the outbox is not in the log: webhooks go on after it"
            );
            events = from_beginning;
        }
        Ok(events)
    }

    /// Writes what is of our PBX until it is written; with the place that is kept then.
    async fn write(&self, batch: &[Arc<Event>], before: Option<&str>) -> Wrote {
        let own: Vec<_> = batch.iter().filter(|event| self.bus.is_own(event)).collect();
        let Some(last) = own.last().map(|event| event.id().to_string()) else { return Wrote::All(None) };
        let outgoing: Vec<Outgoing> = own.iter().flat_map(|event| self.outgoing(event)).collect();
        let pbx = self.bus.own_pbx();
        loop {
            if !self.bus.leads() {
                return Wrote::Nothing;
            }
            let now = Timestamp::now();
            match self.store.fill_outbox(pbx, &outgoing, (before, &last), now, WAITING_MAX).await {
                Ok(Filled::Done { dropped }) => {
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
                    return Wrote::All(Some(last));
                }
                Ok(Filled::Elsewhere) => return Wrote::Nothing,
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
