//! The log in the store: the recent events, the calls as they left them, and the records of those that ended.
//!
//! Invariant: [`Store::write_log`] is one transaction, and only the latest daemon on a database writes it: one
//! that was displaced ([`Store::claim_log`]) is told so and writes nothing more. Therefore the three always
//! agree: a call is either live and as the last logged event left it, or finished and recorded, never both and
//! never neither.
//!
//! Read next: [`crate::bus::log`] (why it is so), `sqlite/log.rs` for the SQL.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hearings;
use super::{FinishedCall, Gap, LinkMemory, Segment, Store, StoreError};
use crate::bus::StreamToken;
use crate::bus::log::{Batch, LoggedEvent};
use crate::call::memory::CallMemory;
use crate::ids::{PbxId, RecordId};

/// A call that has not ended, as it was told last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveCall {
    /// What the model knows.
    pub memory: CallMemory,
    /// What happened inside it so far.
    pub story: Vec<Segment>,
}

/// What is kept with the events that tell of it.
#[derive(Debug, Clone)]
pub enum Keep {
    /// The call goes on.
    Live(Box<LiveCall>),
    /// The call is over.
    Finished(Box<FinishedCall>),
    /// A message was told.
    Told(ToldMessage),
    /// Nobody followed the PBX for a time.
    Gap(Box<Gap>),
    /// How the link to the PBX is now.
    Link(Box<LinkMemory>),
    /// A supervisor hears somebody else, or otherwise.
    Hearing(hearings::Step),
}

/// Up to which version a message was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldMessage {
    /// The message.
    pub id: RecordId,
    /// The version.
    pub version: u64,
}

/// How much of the log is read at the start.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// At most so many events.
    pub events_max: usize,
    /// At most so many bytes of them.
    pub bytes_max: usize,
    /// None from before.
    pub since: Timestamp,
}

/// The log as it was found.
#[derive(Debug, Default)]
pub struct FoundLog {
    /// The last position that was given out.
    pub head: u64,
    /// Who might see what when the events were told (a fingerprint), and after which position that is true.
    pub sight: Option<(String, u64)>,
    /// The recent events, oldest first, without a hole.
    pub events: Vec<LoggedEvent>,
    /// The calls that had not ended.
    pub live: Vec<LiveCall>,
}

impl Store {
    /// From now on only who writes as `stream` writes the log of `pbx`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn claim_log(&self, pbx: &PbxId, stream: &StreamToken) -> Result<(), StoreError> {
        each!(self, db => db.claim_log(pbx, stream).await)
    }

    /// Notes who may see what (a fingerprint) from after `position` on.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn keep_sight(&self, pbx: &PbxId, sight: &str, position: u64) -> Result<(), StoreError> {
        each!(self, db => db.keep_sight(pbx, sight, position).await)
    }

    /// Reads the log of `pbx`. What cannot be read back (a newer version wrote it) is left out, and every event
    /// before it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read_log(&self, pbx: &PbxId, limits: LogLimits) -> Result<FoundLog, StoreError> {
        each!(self, db => db.read_log(pbx, limits).await)
    }

    /// Writes what has gathered, all or nothing.
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
}
