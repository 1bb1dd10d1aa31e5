//! Bus → outbox: writes each event that a receiver wants, together with the cursor of the last event written.
//!
//! | situation | what happens |
//! |---|---|
//! | this daemon is the leader for its PBX | it writes the events of its own PBX |
//! | this daemon is a standby | it writes nothing and checks every [`LEADER_POLL_INTERVAL`] whether it leads |
//! | this daemon takes the lead | it continues after the stored cursor of the previous leader |
//! | the store fails | the batch is tried again; meanwhile the bus cuts this subscriber off like any slow reader, and it resumes later |
//! | the stored cursor moved meanwhile | another daemon writes: this one discards its batch and reads the cursor again |
//! | the stream cannot be resumed after the cursor | a warning is logged, and the writer continues from now |
//! | a crash lost the end of the log, but not the outbox | the writer continues after the end of the restored log |
//!
//! Invariant: events and cursor are written in one transaction, by compare-and-swap of the cursor. So two daemons of
//! one PBX write each event once, and a restarted daemon continues after the last event in the outbox.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{OUTBOX_EVENTS_MAX, Receiver, Stats};
use crate::backoff::Backoff;
use crate::bus::{Bus, StreamStart, SubscribeError, Subscription};
use crate::contract::event::Event;
use crate::contract::event_id::EventId;
use crate::people::role::Role;
use crate::people::viewer::Viewer;
use crate::store::Store;
use crate::store::webhooks::{NewDelivery, OutboxWrite};

/// Most events in one transaction.
pub const OUTBOX_BATCH_MAX: usize = 256;
/// How often a standby checks whether it leads.
const LEADER_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How far the stream has been written to the outbox.
#[derive(Debug)]
struct OutboxCursor {
    /// The event after which to resume the stream, of whichever PBX.
    after: Option<EventId>,
    /// The last event of our PBX, as the store has it.
    stored: Option<String>,
}

/// The result of writing a batch.
enum WriteOutcome {
    /// The batch is in the outbox. The stored cursor, if it moved.
    Written(Option<String>),
    /// Another daemon writes the outbox.
    NotLeader,
}

/// The task that writes the outbox.
pub(super) struct OutboxWriter {
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) receivers: Vec<Receiver>,
    /// The last event of the run before this one.
    pub(super) beginning: EventId,
    /// Wakes the delivery workers.
    pub(super) written: Arc<Notify>,
    pub(super) stats: Stats,
}

impl OutboxWriter {
    /// Runs until `shutdown`, or until the bus is closed and all its events are in the outbox.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let (mut cursor, mut backoff) = (None, Backoff::of_store());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                is_closed = self.follow(&mut cursor, &mut backoff) => if is_closed { return },
            }
        }
    }

    /// Follows the stream until it is cut off or another daemon leads (false), or until the bus is closed (true).
    async fn follow(&self, cursor: &mut Option<OutboxCursor>, backoff: &mut Backoff) -> bool {
        if !self.bus.is_leader() {
            *cursor = None;
            tokio::time::sleep(LEADER_POLL_INTERVAL).await;
            return false;
        }
        let current = match cursor.take() {
            Some(current) => current,
            None => match self.store.webhook_cursor(self.bus.own_pbx()).await {
                Ok(stored) => {
                    let after = stored.as_ref().and_then(|text| EventId::parse(text).ok());
                    OutboxCursor { after, stored }
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot read the webhook outbox's cursor; trying again"
                    );
                    tokio::time::sleep(backoff.next_delay()).await;
                    return false;
                }
            },
        };
        let mut events = match self.subscribe(current.after.as_ref()) {
            Ok(events) => events,
            Err(SubscribeError::Closed) => return true,
            Err(error) => {
                tracing::warn!(%error, "the webhook outbox writer cannot subscribe to events; trying again");
                tokio::time::sleep(backoff.next_delay()).await;
                return false;
            }
        };
        backoff.reset();
        let mut current = match events.take_start() {
            Some(StreamStart::Snapshot(snapshot)) => {
                if let Some(after) = &current.after {
                    tracing::warn!(
                        %after,
                        "webhooks skip events: the events after this one are no longer kept; continuing from now"
                    );
                }
                OutboxCursor { after: Some(snapshot.id), ..current }
            }
            _ => current,
        };
        while let Some(batch) = next_batch(&mut events).await {
            match self.write(&batch, current.stored.as_deref()).await {
                WriteOutcome::Written(stored) => {
                    current.stored = stored.or(current.stored);
                    current.after = batch.last().map(|event| event.id().clone());
                }
                // The store has the other daemon's cursor.
                WriteOutcome::NotLeader => return false,
            }
        }
        *cursor = Some(current);
        false
    }

    /// Subscribes after `after`; if that is not possible, after the beginning of this run, if the log has it.
    fn subscribe(&self, after: Option<&EventId>) -> Result<Subscription, SubscribeError> {
        let viewer = || Viewer::unrestricted(Role::System);
        let mut events = self.bus.subscribe(viewer(), after)?;
        if after.is_none() || !matches!(events.start(), Some(StreamStart::Snapshot(_))) {
            return Ok(events);
        }
        // The cursor may lie behind the log's end: a crash lost the last events of the log, but not the outbox's copies
        // of them. Then the outbox has all of the log and nothing of this run.
        let from_beginning = self.bus.subscribe(viewer(), Some(&self.beginning))?;
        if matches!(from_beginning.start(), Some(StreamStart::Resumed(_))) {
            tracing::warn!(
                "the last event in the webhook outbox is not in the event log; webhooks continue after the log's end"
            );
            events = from_beginning;
        }
        Ok(events)
    }

    /// Writes the events of our PBX, trying again until they are written. `before` is the stored cursor.
    async fn write(&self, batch: &[Arc<Event>], before: Option<&str>) -> WriteOutcome {
        let own: Vec<_> = batch.iter().filter(|event| self.bus.is_own(event)).collect();
        let Some(last) = own.last().map(|event| event.id().to_string()) else {
            return WriteOutcome::Written(None);
        };
        let deliveries: Vec<NewDelivery> = own.iter().flat_map(|event| self.deliveries(event)).collect();
        let (pbx, mut backoff) = (self.bus.own_pbx(), Backoff::of_store());
        loop {
            if !self.bus.is_leader() {
                return WriteOutcome::NotLeader;
            }
            let now = Timestamp::now();
            match self.store.write_outbox(pbx, &deliveries, (before, &last), now, OUTBOX_EVENTS_MAX).await {
                Ok(OutboxWrite::Written { dropped }) => {
                    if dropped > 0 {
                        self.stats.dropped.inc_by(dropped);
                        tracing::error!(
                            dropped,
                            "dropped webhook events: a receiver's outbox is full with {OUTBOX_EVENTS_MAX} events"
                        );
                    }
                    if !deliveries.is_empty() {
                        self.written.notify_waiters();
                    }
                    return WriteOutcome::Written(Some(last));
                }
                Ok(OutboxWrite::CursorMoved) => return WriteOutcome::NotLeader,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot write the webhook outbox; trying again"
                    );
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// One delivery for each receiver that wants the event.
    fn deliveries(&self, event: &Event) -> Vec<NewDelivery> {
        let body = event.json();
        let receivers = self.receivers.iter().filter(|receiver| receiver.wants(event.kind()));
        let deliveries = receivers.map(|receiver| NewDelivery {
            receiver: receiver.name.to_string(),
            event: event.id().to_string(),
            kind: event.kind().as_str(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        deliveries.collect()
    }
}

/// At least one event, and all others that have arrived; `None` when the subscription has ended.
async fn next_batch(events: &mut Subscription) -> Option<Vec<Arc<Event>>> {
    let mut batch = vec![events.next().await.ok()?];
    while batch.len() < OUTBOX_BATCH_MAX {
        match events.next().now_or_never() {
            Some(Ok(event)) => batch.push(event),
            Some(Err(_)) | None => break,
        }
    }
    Some(batch)
}
