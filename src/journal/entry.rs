//! A record that is committed in the transaction of the event about it.
//!
//! Invariant: an entry is complete in itself; the store writes each kind in one place (`store/log/sql.rs`, `write_entry`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::snapshot::CallSnapshot;
use crate::contract::audit::AuditEntry;
use crate::contract::history::{FinishedCall, Segment};
use crate::contract::operator::StateView;
use crate::contract::pbx::{Gap, PbxLinkState};
use crate::contract::supervision::{EndReason, SupervisionId, SupervisionSegment};
use crate::ids::{PbxId, RecordId};
use crate::operators::{CompletedWrapUp, OperatorSnapshot};

/// An unfinished call, in its last published state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallCheckpoint {
    /// The call model's state.
    #[serde(rename = "memory")]
    pub snapshot: CallSnapshot,
    /// The call's segments so far.
    #[serde(rename = "story")]
    pub segments: Vec<Segment>,
}

/// A record that is committed with the events about it.
#[derive(Debug, Clone)]
pub enum JournalEntry {
    /// The state of a call that goes on.
    Checkpoint(Box<CallCheckpoint>),
    /// The record of a call that ended; it replaces the call's checkpoint.
    Finished(Box<FinishedCall>),
    /// The events of a message were published.
    MessagePublished(MessagePublication),
    /// The event of a fax was published.
    FaxPublished(RecordId),
    /// The event of a voice message was published.
    VoicePublished(RecordId),
    /// A time without a connection to the PBX.
    Gap(Box<Gap>),
    /// The state of the link to the PBX.
    PbxLink(Box<PbxLinkState>),
    /// A change of the supervision log.
    SegmentChange(SegmentChange),
    /// An entry of the audit trail.
    Audit(Box<AuditEntry>),
    /// A change of an operator's state.
    OperatorState(Box<StateChange>),
    /// A completed wrap-up.
    WrapUp(Box<WrapUpRecord>),
}

impl JournalEntry {
    /// Its name for a log line, without what the call was about.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Checkpoint(call) => format!("call checkpoint {}", call.snapshot.id),
            Self::Finished(call) => format!("finished call {}", call.id),
            Self::PbxLink(link) => format!("{link:?}"),
            Self::Gap(gap) => format!("{gap:?}"),
            Self::SegmentChange(step) => format!("{step:?}"),
            Self::MessagePublished(publication) => format!("{publication:?}"),
            Self::FaxPublished(id) => format!("publication of fax {id}"),
            Self::VoicePublished(id) => format!("publication of voice message {id}"),
            Self::Audit(entry) => format!("audit entry {} of {}", entry.action, entry.at),
            Self::OperatorState(change) => {
                format!("state {} of {}", change.view.state.as_str(), change.view.id)
            }
            Self::WrapUp(record) => format!("wrap-up of call {}", record.finished.work.call),
        }
    }
}

/// A change of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum SegmentChange {
    /// The session monitors this from [`SupervisionSegment::from`] on.
    Started(Box<SupervisionSegment>),
    /// The session monitors nobody any more.
    Stopped {
        /// The session.
        supervision: SupervisionId,
        /// When it stopped.
        at: Timestamp,
        /// Why, if the session ended.
        ending: Option<EndReason>,
    },
    /// Of the sessions of this PBX only these monitor a call.
    Reconcile {
        /// The PBX.
        pbx: PbxId,
        /// The sessions.
        supervisions: Vec<SupervisionId>,
        /// The time of that state.
        at: Timestamp,
    },
}

/// A change of an operator's state.
#[derive(Debug, Clone)]
pub struct StateChange {
    /// When.
    pub at: Timestamp,
    /// The state after it, for the history.
    pub view: StateView,
    /// The state after it, for the next start; absent when the person is no longer an operator.
    pub saved: Option<OperatorSnapshot>,
}

/// CompletedWrapUp after-call work.
#[derive(Debug, Clone)]
pub struct WrapUpRecord {
    /// The operator.
    pub user: RecordId,
    /// The work.
    pub finished: CompletedWrapUp,
}

/// Up to which version the events of a message were published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessagePublication {
    /// The message.
    pub id: RecordId,
    /// The version.
    pub version: u64,
}
