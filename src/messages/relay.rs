//! The message relay: publishes the events of messages that changed in the store (an outbox relay).
//!
//! A message row holds its version and the version published last. The relay of the leader for the PBX whose gateway
//! took the message publishes every newer version.
//!
//! | a message changed | what happens |
//! |---|---|
//! | through the leader's own gateway | the handler wakes the relay, which publishes at once |
//! | through a standby's gateway | the leader publishes within [`POLL_INTERVAL`] |
//! | and was published | the published version is stored in the journal's next transaction, together with the event |
//! | and the daemon died before that transaction | the next leader publishes the change again, under another event id; `data.id` and `data.version` are the same |
//! | twice before the relay ran | one event with the newest version and its state; if the message is no longer open by then and its content was not published, `message.saved` or `message.corrected` before it |
//! | and was withdrawn | `message.withdrawn` alone |
//! | and its route went on, or a phone task of it changed | `message.escalated`, `message.unanswered`, `task.changed`, after the message's own events; after a crash perhaps once more |
//! | and it is a digest whose first recipient's system took it | `digest.sent` in the same way |
//! | a notice of an account, where a contact is, or who calls a caller back, changed | `notice.changed`, `contact.presence`, `callback.changed` with what holds when it is published; after a crash perhaps once more |
//! | but the store cannot be read | the relay logs a warning and tries again after [`POLL_INTERVAL`] |
//!
//! Why the handler does not publish: the daemon may be killed between the commit and the publication, and a subscriber
//! (a webhook receiver above all) must not miss a message.
//!
//! Invariant: a published message version is in the store. In one run, each version is published at most once, and
//! never an older version after a newer one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::MessageStats;
use crate::bus::Bus;
use crate::contract::event::{Audience, EventKind, NewEvent};
use crate::contract::message::{Message, MessageState};
use crate::ids::RecordId;
use crate::journal::entry::{JournalEntry, MessagePublication};
use crate::people::roster::People;
use crate::publish;
use crate::store::account_notices::RECORD_CHANGES_MAX;
use crate::store::dispatches::NOTICES_MAX;
use crate::store::{Store, StoreError};

/// How often the relay reads the store when no handler wakes it.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Most messages published in one round.
pub const BATCH_MAX: u32 = 200;

/// The relay and the handle that wakes it; clones wake the same relay.
#[derive(Debug, Clone, Default)]
pub struct MessageRelay {
    changed: Arc<Notify>,
    outbox: OutboxWaker,
    stats: MessageStats,
}

/// Wakes the outbox after a delivery was made; clones wake the same outbox.
#[derive(Debug, Clone, Default)]
pub struct OutboxWaker(Arc<Notify>);

impl OutboxWaker {
    /// There may be a delivery that is due.
    pub fn wake(&self) {
        self.0.notify_waiters();
    }

    /// Waits for the next call of [`Self::wake`] after this one.
    pub fn woken(&self) -> impl Future<Output = ()> {
        self.0.notified()
    }
}

impl MessageRelay {
    /// Wakes the relay, and the outbox, after a request changed a message.
    pub fn wake(&self) {
        self.publish_soon();
        self.outbox.wake();
    }

    /// Wakes the relay after the outbox changed a message.
    pub fn publish_soon(&self) {
        self.changed.notify_one();
    }

    /// What wakes the outbox.
    #[must_use]
    pub fn outbox(&self) -> OutboxWaker {
        self.outbox.clone()
    }

    /// The metrics of messages.
    #[must_use]
    pub fn stats(&self) -> &MessageStats {
        &self.stats
    }

    /// Publishes until `shutdown`.
    pub async fn run(self, bus: Bus, store: Store, people: People, shutdown: CancellationToken) {
        // Versions published in this run whose published version is not in the store yet.
        let mut published = HashMap::new();
        loop {
            let is_more_due = match publish_batch((&bus, &store, &people), &self.stats, &mut published).await
            {
                Ok(is_more_due) => is_more_due,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the message relay cannot read unpublished messages; trying again");
                    false
                }
            };
            let delay = if is_more_due { Duration::ZERO } else { POLL_INTERVAL };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
    }
}

/// Publishes the changed messages; returns whether there may be more to publish at once.
async fn publish_batch(
    (bus, store, people): (&Bus, &Store, &People),
    stats: &MessageStats,
    published: &mut HashMap<RecordId, u64>,
) -> Result<bool, StoreError> {
    if !bus.is_leader() {
        // The leader publishes what this daemon did not.
        published.clear();
        return Ok(false);
    }
    let unpublished = store.unpublished_messages(bus.own_pbx(), BATCH_MAX).await?;
    published.retain(|id, _| unpublished.iter().any(|(message, _)| message.id == *id));
    let mut new = 0;
    for (message, stored) in &unpublished {
        let before = published.get(&message.id).copied().unwrap_or(0).max(*stored);
        if message.version > before {
            let version = message.version;
            bus.publish_all(
                events(message, before, people),
                vec![JournalEntry::MessagePublished(MessagePublication { id: message.id, version })],
            );
            published.insert(message.id, version);
            stats.published(message);
            new += 1;
        }
    }
    let notices = publish_notices(bus, store, people).await? + publish_house(bus, store).await?;
    let changes = publish_record_changes(bus, store).await?;
    let is_full = notices >= NOTICES_MAX as usize || changes == RECORD_CHANGES_MAX as usize;
    Ok(new > 0 && unpublished.len() == BATCH_MAX as usize || is_full)
}

/// Publishes changed notices of accounts, and where contacts are; returns how many changes there were.
async fn publish_record_changes(bus: &Bus, store: &Store) -> Result<usize, StoreError> {
    let changes = store.record_changes(bus.own_pbx()).await?;
    let Some(last) = changes.last() else { return Ok(0) };
    let mut events = Vec::with_capacity(changes.len());
    for change in &changes {
        match (change.kind, change.account) {
            (EventKind::ContactPresence, _) => {
                let contact = store.contact(change.subject).await?;
                events.extend(contact.map(|contact| publish::contact_presence(&contact, change.at)));
            }
            (EventKind::CallbackChanged, _) => {
                let marks = store.callback_marks(&[change.subject.0.into()]).await?;
                events.extend(marks.iter().map(publish::callback));
            }
            (_, Some(account)) => {
                let notices = store.account_notices(Some(account), change.at).await?;
                events.push(publish::notices(account, &notices, change.at));
            }
            (_, None) => {}
        }
    }
    bus.publish_all(events, Vec::new());
    store.delete_record_changes(bus.own_pbx(), last.position).await?;
    Ok(changes.len())
}

/// Publishes what happened to routes and phone tasks, in the order in which it happened; returns how many events.
async fn publish_notices(bus: &Bus, store: &Store, people: &People) -> Result<usize, StoreError> {
    let notices = store.message_notices(bus.own_pbx()).await?;
    if notices.is_empty() {
        return Ok(0);
    }
    let positions: Vec<i64> = notices.iter().map(|notice| notice.position).collect();
    let events = notices
        .into_iter()
        .filter_map(|notice| {
            let kind = EventKind::parse(&notice.kind)?;
            // Any operator may take a phone task.
            let audience = match kind {
                EventKind::TaskChanged => Audience::All,
                _ => audience_of_taker(notice.taken_by, people),
            };
            Some(publish::of_message(kind, notice.data, notice.at, audience))
        })
        .collect();
    bus.publish_all(events, Vec::new());
    store.delete_message_notices(&positions).await?;
    Ok(positions.len())
}

/// Publishes what happened in the house; returns how many events.
async fn publish_house(bus: &Bus, store: &Store) -> Result<usize, StoreError> {
    let notices = store.house_notices().await?;
    let Some(last) = notices.last().map(|notice| notice.position) else { return Ok(0) };
    let count = notices.len();
    let events = notices.into_iter().filter_map(|notice| {
        Some(publish::of_house(EventKind::parse(&notice.kind)?, notice.data, notice.at))
    });
    bus.publish_all(events.collect(), Vec::new());
    store.delete_house_notices(last).await?;
    Ok(count)
}

/// The person who took a message, and their supervisors; without that person, all supervisors.
fn audience_of_taker(taken_by: Option<RecordId>, people: &People) -> Audience {
    let roster = people.current();
    let taker = taken_by.and_then(|id| roster.person(id));
    taker.map_or(Audience::Supervisors, |taker| {
        publish::audience_of_person(taker.id, taker.extension.as_ref())
    })
}

/// The events of a message whose versions up to `published` were published.
fn events(message: &Message, published: u64, people: &People) -> Vec<NewEvent> {
    let audience = audience_of_taker(message.taken_by, people);
    if message.withdrawn_at.is_some() {
        return vec![publish::message(EventKind::MessageWithdrawn, message, audience)];
    }
    let is_new_content = published < message.revision_version;
    let content = if message.revision > 1 && is_new_content {
        EventKind::MessageCorrected
    } else {
        EventKind::MessageSaved
    };
    let state = match message.state {
        MessageState::Open => return vec![publish::message(content, message, audience)],
        MessageState::Sent => EventKind::MessageSent,
        MessageState::Failed => EventKind::MessageFailed,
        MessageState::Acknowledged => EventKind::MessageAcknowledged,
    };
    let mut events = Vec::with_capacity(2);
    if is_new_content {
        // No event of this content was published yet.
        let is_first = message.revision == 1;
        let open = Message {
            state: MessageState::Open,
            acknowledged_at: None,
            acknowledged_by: None,
            changed_at: if is_first { message.created_at } else { message.changed_at },
            version: message.revision_version,
            ..message.clone()
        };
        events.push(publish::message(content, &open, audience.clone()));
    }
    events.push(publish::message(state, message, audience));
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::delivery::MessageDelivery;
    use crate::contract::message::{MessageFields, MessageKind};
    use crate::ids::RecordId;
    use crate::people::Roster;

    /// Ordering rule 21 of `publish.rs`.
    #[test]
    fn what_happened_to_a_message_is_published_in_order() {
        let people = People::new(Roster::new([], []));
        let at = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let message = Message {
            id: RecordId(uuid::Uuid::from_u128(1)),
            account: RecordId(uuid::Uuid::from_u128(2)),
            call: None,
            customer: None,
            number: None,
            kind: MessageKind::Message,
            revision: 1,
            fields: MessageFields { text: "折り返し".into(), ..MessageFields::default() },
            caller: None,
            state: MessageState::Acknowledged,
            taken_by: None,
            taken_by_name: None,
            created_at: at,
            changed_at: at,
            acknowledged_at: Some(at),
            acknowledged_by: None,
            withdrawn_at: None,
            version: 2,
            revision_version: 1,
            files: Vec::new(),
            delivery: MessageDelivery::default(),
        };
        let published = |message: &Message, version| -> Vec<_> {
            let version_of = |event: &NewEvent| event.data["version"].as_u64();
            events(message, version, &people).iter().map(|event| (event.kind, version_of(event))).collect()
        };
        let acknowledged = (EventKind::MessageAcknowledged, Some(2));
        assert_eq!(published(&message, 0), [(EventKind::MessageSaved, Some(1)), acknowledged]);
        assert_eq!(published(&message, 1), [acknowledged]);
        let corrected = Message {
            state: MessageState::Open,
            revision: 2,
            version: 3,
            revision_version: 3,
            ..message.clone()
        };
        assert_eq!(published(&corrected, 2), [(EventKind::MessageCorrected, Some(3))]);
        assert_eq!(
            published(&Message { version: 4, ..corrected.clone() }, 3),
            [(EventKind::MessageSaved, Some(4))]
        );
        let again = Message { state: MessageState::Acknowledged, version: 4, ..corrected };
        assert_eq!(
            published(&again, 2),
            [(EventKind::MessageCorrected, Some(3)), (EventKind::MessageAcknowledged, Some(4))]
        );
        let withdrawn = Message { state: MessageState::Open, withdrawn_at: Some(at), ..message.clone() };
        assert_eq!(published(&withdrawn, 0), [(EventKind::MessageWithdrawn, Some(2))]);
        for (state, kind) in
            [(MessageState::Sent, EventKind::MessageSent), (MessageState::Failed, EventKind::MessageFailed)]
        {
            let message = Message { state, acknowledged_at: None, ..message.clone() };
            assert_eq!(published(&message, 0), [(EventKind::MessageSaved, Some(1)), (kind, Some(2))]);
            assert_eq!(published(&message, 1), [(kind, Some(2))]);
        }
    }
}
