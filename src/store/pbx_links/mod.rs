//! The state of the link to each PBX for the next start, and the gaps: times in which no daemon was connected to a PBX.
//! Statistics must not count calls over a gap.
//!
//! Invariant: a gap is stored once, however often it is written, with its latest end; it has both ends and a cause.

use crate::contract::pbx::{Gap, PbxLinkState};
use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::PbxId;

/// Most gaps read at once.
pub const GAPS_PAGE_MAX: u32 = 500;

impl Store {
    /// The stored state of the link to `pbx`; `None` if it was never written.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn pbx_link(&self, pbx: &PbxId) -> Result<Option<PbxLinkState>, StoreError> {
        each!(self, db => db.pbx_link(pbx).await)
    }

    /// Sets [`PbxLinkState::alive`] of a link that is up. No effect on one that is down.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn mark_alive(&self, pbx: &PbxId, at: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.mark_alive(pbx, at).await)
    }

    /// The gaps that overlap the time from `from` to `to`, newest first; at most [`GAPS_PAGE_MAX`].
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
