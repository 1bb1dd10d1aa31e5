//! The webhook outbox: events that wait for delivery to a receiver, and deliveries that failed for good.
//!
//! Each PBX has a cursor: the last event that was written to the outbox. The cursor is updated in the same transaction
//! as the inserted events, by compare-and-swap, so only one of two daemons of a PBX writes the outbox. A daemon claims
//! a due delivery before it posts it ([`Store::claim_delivery`]): until the claim expires, no other daemon posts it.
//!
//! Invariant: the outbox has an event at most once per receiver while it is not delivered, however often it is written.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::{PbxId, RecordId};

/// Most deliveries read at once.
pub const DELIVERIES_MAX: u32 = 500;

/// An event to be delivered to a receiver.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The receiver's name.
    pub receiver: String,
    /// The event's id.
    pub event: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its JSON.
    pub body: String,
}

/// The result of a write to the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxWrite {
    /// The events were written.
    Written {
        /// The number of events that were left out because the receiver's outbox is full.
        dropped: u64,
    },
    /// Nothing was written: the cursor is not the expected one, because another daemon has moved it.
    CursorMoved,
}

/// A delivery that is due.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    /// The delivery's id.
    pub id: RecordId,
    /// The event's id.
    pub event: String,
    /// Its JSON.
    pub body: String,
    /// The number of failed attempts.
    pub attempts: u32,
}

/// Whether a delivery is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It will be posted, for the first time or again.
    Waiting,
    /// All attempts failed; an administrator can start it again.
    Failed,
}

impl DeliveryState {
    /// Its name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// A delivery that its receiver has not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct Delivery {
    /// The delivery's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// The event's id, which is the `webhook-id` of every attempt.
    pub event: String,
    /// The event's kind.
    pub kind: String,
    /// Whether it is tried again.
    pub state: DeliveryState,
    /// The number of failed attempts.
    pub attempts: u32,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was written to the outbox.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When it is posted next.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

impl Store {
    /// The webhook cursor of a PBX: the last event that was written to the outbox.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn webhook_cursor(&self, pbx: &PbxId) -> Result<Option<String>, StoreError> {
        each!(self, db => db.webhook_cursor(pbx).await)
    }

    /// Writes events of a PBX to the outbox and moves its cursor from `before` to `after`. Events beyond `waiting_max` of
    /// a receiver are left out.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was.
    pub async fn write_outbox(
        &self,
        pbx: &PbxId,
        events: &[NewDelivery],
        (before, after): (Option<&str>, &str),
        at: Timestamp,
        waiting_max: u32,
    ) -> Result<OutboxWrite, StoreError> {
        each!(self, db => db.write_outbox(pbx, events, (before, after), at, waiting_max).await)
    }

    /// Adds an event for one receiver, whatever the cursors are: a test.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn add_delivery(&self, delivery: &NewDelivery, at: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.add_delivery(delivery, at).await)
    }

    /// Claims a due delivery until `until`; false when another daemon has claimed it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn claim_delivery(
        &self,
        id: RecordId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, db => db.claim_delivery(id, now, until).await)
    }

    /// The due deliveries of a receiver, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn due_deliveries(
        &self,
        receiver: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        each!(self, db => db.due_deliveries(receiver, now, limit).await)
    }

    /// Removes a delivery that the receiver has accepted.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn complete_delivery(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.complete_delivery(id).await)
    }

    /// Counts a failed attempt. The delivery is due again at `next`; without `next` it has failed for good, and of the
    /// receiver's failed deliveries the oldest beyond `failed_max` are deleted.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn fail_delivery(
        &self,
        id: RecordId,
        error: &str,
        next: Option<Timestamp>,
        failed_max: u32,
    ) -> Result<(), StoreError> {
        each!(self, db => db.fail_delivery(id, error, next, failed_max).await)
    }

    /// Postpones all waiting deliveries of a receiver to `until` at the earliest.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn postpone_deliveries(&self, receiver: &str, until: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.postpone_deliveries(receiver, until).await)
    }

    /// The deliveries in the outbox, oldest first; at most [`DELIVERIES_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn deliveries(&self, state: Option<DeliveryState>) -> Result<Vec<Delivery>, StoreError> {
        each!(self, db => db.deliveries(state).await)
    }

    /// Makes a delivery due now, with all its attempts before it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store cannot be written.
    pub async fn retry_delivery(&self, id: RecordId, now: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.retry_delivery(id, now).await)
    }
}
