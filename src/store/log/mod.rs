//! The event log in the store: the recent events of a PBX, the checkpoints of its unfinished calls, and the journal
//! entries that are committed with the events.
//!
//! A batch is one transaction: its events and the journal entries ([`JournalEntry`]) that belong to them are stored
//! together or not at all. Each topic writes its own kind of entry; `sql.rs` has the list of kinds (`write_entry`).
//!
//! Invariant: only the daemon that claimed a PBX's log last ([`Store::claim_log`]) writes it; any other gets
//! [`StoreError::Displaced`] and nothing is written. Therefore a call is always in one of two places: it has a
//! checkpoint, in the state after its last logged event, or it is a finished call; never both and never neither.
//!
//! Read next: [`crate::journal::queue`] (the queue in front of it, and why), `sql.rs` beside this file.

use crate::journal::entry::{CallCheckpoint, JournalEntry};
use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::event::LoggedEvent;
use crate::contract::event_id::StreamToken;
use crate::ids::PbxId;
use crate::journal::queue::Batch;

/// How much of the log is read at the start.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Most events.
    pub events_max: usize,
    /// Most bytes of their JSON.
    pub bytes_max: usize,
    /// No event older than this.
    pub since: Timestamp,
}

/// The log as it was read.
#[derive(Debug, Default)]
pub struct StoredLog {
    /// The position of the last event; 0 if there is none.
    pub head: u64,
    /// A fingerprint of the visibility rules under which events were published, and the position after which they
    /// applied.
    pub visibility: Option<(String, u64)>,
    /// The recent events, oldest first, without a missing position.
    pub events: Vec<LoggedEvent>,
    /// The checkpoints of the calls that had not ended.
    pub checkpoints: Vec<CallCheckpoint>,
}

impl Store {
    /// Makes the daemon with this stream token the only writer of the log of `pbx`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn claim_log(&self, pbx: &PbxId, stream: &StreamToken) -> Result<(), StoreError> {
        each!(self, db => db.claim_log(pbx, stream).await)
    }

    /// Stores a fingerprint of the visibility rules that apply to the events after `position`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn save_visibility(
        &self,
        pbx: &PbxId,
        fingerprint: &str,
        position: u64,
    ) -> Result<(), StoreError> {
        each!(self, db => db.save_visibility(pbx, fingerprint, position).await)
    }

    /// Reads the log of `pbx`. An event that cannot be read (a newer version wrote it) is left out together with every
    /// event before it; such a checkpoint is left out alone, with a warning.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read_log(&self, pbx: &PbxId, limits: LogLimits) -> Result<StoredLog, StoreError> {
        each!(self, db => db.read_log(pbx, limits).await)
    }

    /// Writes a batch, all or nothing.
    ///
    /// # Errors
    /// The store cannot be written, or another daemon has claimed the log ([`StoreError::Displaced`]).
    pub async fn write_log(
        &self,
        pbx: &PbxId,
        stream: &StreamToken,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        each!(self, db => db.write_log(pbx, stream, batch).await)
    }

    /// Writes one entry in a transaction of its own, without an event and without a look at who has claimed the log. It
    /// may be written again.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn write_entry(&self, pbx: &PbxId, entry: &JournalEntry) -> Result<(), StoreError> {
        each!(self, db => db.write_entry(pbx, entry).await)
    }
}
