//! The teller: turns what changed in the store's messages into events.
//!
//! | a message's change is | what happens |
//! |---|---|
//! | in the store | told at once, by the daemon that leads for the PBX whose gateway took it |
//! | told | noted with the event itself, in the log's next transaction |
//! | told, and the daemon killed before that | told again by the next one, under another event id: `data.id` and `data.version` are the same |
//! | in the store by a daemon that stands by | told by the one that leads, within [`LOOK_EVERY`] |
//!
//! Why not by the handler that stores it: between the two it may be killed, and whoever follows events (a webhook's
//! receiver above all) must not miss a message.
//!
//! Invariant: what is told is in the store already; of one version one event is told in a run, and never an older one
//! after a newer one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::record::{Message, MessageState};
use crate::announce;
use crate::bus::{Bus, Draft, EventKind};
use crate::ids::RecordId;
use crate::operator::People;
use crate::store::log::{Keep, ToldMessage};
use crate::store::{Store, StoreError};

/// How often the store is looked at without a word from this daemon's own gateway.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Most messages told in one go.
pub const UNTOLD_AT_ONCE: u32 = 200;

/// Says that a message has changed; clones wake the same teller.
#[derive(Debug, Clone, Default)]
pub struct Teller(Arc<Notify>);

impl Teller {
    /// A message has changed.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Tells until `shutdown`.
    pub async fn run(self, bus: Bus, store: Store, people: People, shutdown: CancellationToken) {
        // What was told in this run and is not noted yet.
        let mut told = HashMap::new();
        loop {
            let more = match round(&bus, &store, &people, &mut told).await {
                Ok(more) => more,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "which messages are to be told cannot be read; trying again");
                    false
                }
            };
            let pause = if more { Duration::ZERO } else { LOOK_EVERY };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.0.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Tells what is to be told; whether there may be more at once.
async fn round(
    bus: &Bus,
    store: &Store,
    people: &People,
    told: &mut HashMap<RecordId, u64>,
) -> Result<bool, StoreError> {
    if !bus.leads() {
        // Whoever leads tells what this daemon did not come to.
        told.clear();
        return Ok(false);
    }
    let untold = store.messages().untold(bus.own_pbx(), UNTOLD_AT_ONCE).await?;
    told.retain(|id, _| untold.iter().any(|(message, _)| message.id == *id));
    let mut new = 0;
    for (message, noted) in &untold {
        let before = told.get(&message.id).copied().unwrap_or(0).max(*noted);
        if message.version > before {
            let version = message.version;
            bus.publish_all(
                drafts(message, before, people),
                vec![Keep::Told(ToldMessage { id: message.id, version })],
            );
            told.insert(message.id, version);
            new += 1;
        }
    }
    Ok(new > 0 && untold.len() == UNTOLD_AT_ONCE as usize)
}

/// The events of a message of which everything up to version `told` was told.
fn drafts(message: &Message, told: u64, people: &People) -> Vec<Draft> {
    let taker = message.taken_by.and_then(|id| people.current().person(id)?.extension.clone());
    let acknowledged = message.state == MessageState::Acknowledged;
    let mut drafts = Vec::with_capacity(2);
    if acknowledged && told == 0 {
        // Nobody has heard of it yet.
        let state = MessageState::Open;
        let saved = Message {
            state,
            acknowledged_at: None,
            acknowledged_by: None,
            changed_at: message.created_at,
            version: 1,
            ..message.clone()
        };
        drafts.push(announce::message(EventKind::MessageSaved, &saved, taker.as_ref()));
    }
    let kind = if acknowledged { EventKind::MessageAcknowledged } else { EventKind::MessageSaved };
    drafts.push(announce::message(kind, message, taker.as_ref()));
    drafts
}
