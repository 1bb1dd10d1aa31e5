//! Events about the house that wait for the message relay: the mail server refuses everybody, a mail came back that nothing matches,
//! a document was saved. What happened writes its event in its own transaction; the relay of any leader publishes it.
//!
//! Invariant: an event that is here happened. After a crash it may be published twice.

use jiff::Timestamp;
use serde_json::Value;

use super::{Store, StoreError};

/// Most events that are read at once.
pub const HOUSE_NOTICES_MAX: u32 = 100;

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HouseNotice {
    /// Its place among those that wait.
    pub position: i64,
    /// Its kind, as [`crate::contract::event::EventKind::as_str`] writes it.
    pub kind: String,
    /// Its own fields.
    pub data: Value,
    /// When it happened.
    pub at: Timestamp,
}

impl Store {
    /// The events that wait, in the order in which they happened; at most [`HOUSE_NOTICES_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn house_notices(&self) -> Result<Vec<HouseNotice>, StoreError> {
        each!(self, db => db.house_notices().await)
    }

    /// These events were published.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn delete_house_notices(&self, up_to: i64) -> Result<(), StoreError> {
        each!(self, db => db.delete_house_notices(up_to).await)
    }
}
