//! Dispatches: the running routes of messages, and the events about them that wait for the message relay.
//!
//! A dispatch starts in the transaction that writes its message's content, and each input is applied in the transaction that causes
//! it: what a delivery came to, an answer, a correction, a withdrawal, the result of a phone task. Its outputs (deliveries, tasks,
//! events) are written in the same transaction, so no crash separates them.
//!
//! | what the daemon was doing when it died | what happens |
//! |---|---|
//! | waiting for a timer | the due time is in the store; the next daemon applies the tick |
//! | applying a tick | nothing was committed: the next daemon applies it |
//!
//! Why no lease: an input is one short transaction that holds the message's row, with nothing outside the store in it. Any daemon of
//! the store applies a due tick; a second one that comes to the row finds it no longer due.
//!
//! Invariants: a message has at most one dispatch that is not cancelled, of its present revision. A timer fires once.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::{PbxId, RecordId};

/// Most dispatches that are read at once.
pub const DUE_MAX: u32 = 100;
/// Most notices that are read at once.
pub const NOTICES_MAX: u32 = 200;

/// An event about a message that is to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageNotice {
    /// Its place in the order.
    pub position: i64,
    /// The kind of the event.
    pub kind: String,
    /// The person who took the message.
    pub taken_by: Option<RecordId>,
    /// What the event says.
    pub data: serde_json::Value,
    /// When it happened.
    pub at: Timestamp,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DueDispatches {
    /// The messages whose dispatches are due, the longest due first; at most [`DUE_MAX`].
    pub messages: Vec<RecordId>,
    /// When the next one is due.
    pub next_at: Option<Timestamp>,
}

impl Store {
    /// The dispatches that are due at `now`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn due_dispatches(&self, now: Timestamp) -> Result<DueDispatches, StoreError> {
        each!(self, db => db.due_dispatches(now).await)
    }

    /// Applies the timers of a message's dispatch that are due at `now`. Returns whether one was: another daemon may have been first.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn tick_dispatch(&self, message: RecordId, now: Timestamp) -> Result<bool, StoreError> {
        each!(self, db => db.tick_dispatch(message, now).await)
    }

    /// The oldest events about messages of this PBX's gateways that were not published; at most [`NOTICES_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn message_notices(&self, pbx: &PbxId) -> Result<Vec<MessageNotice>, StoreError> {
        each!(self, db => db.message_notices(pbx).await)
    }

    /// Deletes events that were published.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn delete_message_notices(&self, positions: &[i64]) -> Result<(), StoreError> {
        each!(self, db => db.delete_message_notices(positions).await)
    }
}
