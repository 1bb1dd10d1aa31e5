//! The outbox of webhooks: events that wait for a receiver, and those that it never took.
//!
//! Invariant: an event is there at most once for each receiver, however often it is written; the place in a PBX's
//! events moves in the same transaction as the events up to it, and only for whoever knows where it was: of two
//! daemons of one PBX one fills the outbox. An event that is due is posted by whoever has claimed it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::{PbxId, RecordId};

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

/// What became of filling the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It was done; so many events did not fit.
    Done {
        /// How many.
        dropped: u64,
    },
    /// The place is not the one that was expected: another daemon fills the outbox. Nothing was done.
    Elsewhere,
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
    /// The last event of a PBX up to which the outbox was filled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn webhook_place(&self, pbx: &PbxId) -> Result<Option<String>, StoreError> {
        each!(self, db => db.webhook_place(pbx).await)
    }

    /// Puts events of a PBX into the outbox and moves its place from `before` to `place`; what is more than
    /// `waiting_max` for a receiver does not fit.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was.
    pub async fn fill_outbox(
        &self,
        pbx: &PbxId,
        events: &[Outgoing],
        (before, place): (Option<&str>, &str),
        at: Timestamp,
        waiting_max: u32,
    ) -> Result<Filled, StoreError> {
        each!(self, db => db.fill_outbox(pbx, events, (before, place), at, waiting_max).await)
    }

    /// Takes a due event, so that nobody else posts it before `until`; false when somebody else has.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn claim_webhook(
        &self,
        id: RecordId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, db => db.claim_webhook(id, now, until).await)
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
