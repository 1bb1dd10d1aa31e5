//! The supervision log: which supervisor monitored, whispered into, joined or took over which call, from when to when.
//!
//! A row is a segment: the time in which one supervision session monitors one operator's part of one call in one mode.
//! A mode change, a switch to another call and a pause end the segment and, where the session goes on, start the next.
//! The audit trail records what was requested and refused; this log records what was heard, as part of the call's
//! history.
//!
//! | change | effect |
//! |---|---|
//! | [`SegmentChange::Started`](crate::journal::entry::SegmentChange::Started) | closes the session's open segment and opens this one; no effect if it is open already |
//! | [`SegmentChange::Stopped`](crate::journal::entry::SegmentChange::Stopped) | closes the session's open segment |
//! | [`SegmentChange::Reconcile`](crate::journal::entry::SegmentChange::Reconcile) | closes the open segments of all other sessions of that PBX as lost: nobody saw their end |
//!
//! Invariant: a session has at most one open segment. A change that was applied before, or that is older than the
//! session's latest segment, has no effect. So a change may be written again after a lost answer, and a new leader may
//! write the current state as if it were new.
//!
//! Read next: `sql.rs` beside this file, `daemon/supervision_segments.rs` for when changes are made.

use crate::contract::supervision::SupervisionSegment;

use super::{Store, StoreError};
use crate::ids::CallId;

impl Store {
    /// The segments of a call, in order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn supervision_segments(&self, call: CallId) -> Result<Vec<SupervisionSegment>, StoreError> {
        each!(self, db => db.supervision_segments(call).await)
    }
}
