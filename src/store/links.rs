//! The links to the PBXes, and when nobody followed one: gaps, which statistics must not count over.
//!
//! Invariant: a gap is stored once, however often it is written, and as long as it turned out to be; it bears both ends
//! and a cause.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::PbxId;

/// Most gaps read at once.
pub const GAPS_PAGE_MAX: u32 = 500;

/// A time in which nobody followed a PBX.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Gap {
    /// Which PBX.
    #[schema(value_type = String)]
    pub pbx: PbxId,
    /// The last instant at which its events were followed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub from: Timestamp,
    /// When the link was there again.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub to: Timestamp,
    /// Why.
    pub cause: String,
    /// The PBX itself was restarted meanwhile: every call it had is over.
    pub restarted: bool,
}

/// What the daemon before knew of the link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkMemory {
    /// Whether it was up.
    pub up: bool,
    /// Since when it was so.
    pub since: Timestamp,
    /// The last instant at which somebody followed it.
    pub alive: Timestamp,
    /// Why it was down.
    pub cause: Option<String>,
    /// When the PBX started, in its own words.
    pub started: Option<String>,
}

impl Store {
    /// What was known of the link to `pbx`, if it was ever up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn link(&self, pbx: &PbxId) -> Result<Option<LinkMemory>, StoreError> {
        each!(self, db => db.link(pbx).await)
    }

    /// Keeps what is known of the link to `pbx`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn keep_link(&self, pbx: &PbxId, link: &LinkMemory) -> Result<(), StoreError> {
        each!(self, db => db.keep_link(pbx, link).await)
    }

    /// Somebody follows the link to `pbx` at this instant.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn mark_alive(&self, pbx: &PbxId, at: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.mark_alive(pbx, at).await)
    }

    /// Keeps a gap; the same one again changes nothing but its end, if that is later.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn record_gap(&self, gap: &Gap) -> Result<(), StoreError> {
        each!(self, db => db.record_gap(gap).await)
    }

    /// The gaps that touch the time from `from` to `to`, newest first; at most [`GAPS_PAGE_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn gaps(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<Gap>, StoreError> {
        each!(self, db => db.gaps(from, to, limit.min(GAPS_PAGE_MAX)).await)
    }
}
