//! The outbox of webhooks: events that wait for a receiver, and those that it never took.
//!
//! Invariant: an event is there at most once for each receiver, however often it is written; the place in the
//! stream of events moves in the same transaction as the events up to it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::RecordId;

/// Most deliveries read at once.
pub const DELIVERIES_MAX: u32 = 500;

/// An event for a receiver.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The receiver's name.
    pub receiver: String,
    /// The event's id.
    pub event: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its JSON.
    pub body: String,
}

/// An event that is due.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The delivery.
    pub id: RecordId,
    /// The event's id.
    pub event: String,
    /// Its JSON.
    pub body: String,
    /// How often it was posted.
    pub attempts: u32,
}

/// Whether a delivery goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It will be posted (again).
    Waiting,
    /// It was posted as often as it may be; an administrator can send it again.
    Failed,
}

impl DeliveryState {
    /// The word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// A delivery that a receiver has not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct Delivery {
    /// The delivery.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The receiver, as the configuration calls it.
    pub receiver: String,
    /// The event's id, which is the `webhook-id` of every attempt.
    pub event: String,
    /// The event's kind.
    pub kind: String,
    /// Whether it goes on.
    pub state: DeliveryState,
    /// How often it was posted.
    pub attempts: u32,
    /// Why it was not taken the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it came into the outbox.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub created_at: Timestamp,
    /// When it is posted next.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::wire::as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

impl Store {
    /// The last event up to which the outbox was filled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn webhook_place(&self) -> Result<Option<String>, StoreError> {
        each!(self, db => db.webhook_place().await)
    }

    /// Puts events into the outbox, and notes the place in the stream; gives back how many did not fit, because
    /// `waiting_max` wait for their receiver already.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was.
    pub async fn fill_outbox(
        &self,
        events: &[Outgoing],
        place: &str,
        at: Timestamp,
        waiting_max: u32,
    ) -> Result<u64, StoreError> {
        each!(self, db => db.fill_outbox(events, place, at, waiting_max).await)
    }

    /// What is due for a receiver, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn due_webhooks(
        &self,
        receiver: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Waiting>, StoreError> {
        each!(self, db => db.due_webhooks(receiver, now, limit).await)
    }

    /// The receiver has taken it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn webhook_delivered(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.webhook_delivered(id).await)
    }

    /// The receiver has not taken it; it is posted again at `next`, or has failed. Of one receiver's failures the
    /// oldest beyond `failed_max` give way.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn webhook_failed(
        &self,
        id: RecordId,
        error: &str,
        next: Option<Timestamp>,
        failed_max: u32,
    ) -> Result<(), StoreError> {
        each!(self, db => db.webhook_failed(id, error, next, failed_max).await)
    }

    /// Nothing of this receiver is due before `until`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn postpone_webhooks(&self, receiver: &str, until: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.postpone_webhooks(receiver, until).await)
    }

    /// What receivers have not taken, oldest first; at most [`DELIVERIES_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn deliveries(&self, state: Option<DeliveryState>) -> Result<Vec<Delivery>, StoreError> {
        each!(self, db => db.deliveries(state).await)
    }

    /// Posts it again from now on, with all its attempts.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store cannot be written.
    pub async fn send_again(&self, id: RecordId, now: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.send_again(id, now).await)
    }
}
