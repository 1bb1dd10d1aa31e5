//! The audit trail: who did what to whom. The daemon writes it; administrators read all of it, supervisors what
//! concerns their own teams.
//!
//! Invariant: entries are only added; triggers refuse to change or delete one. They are never purged, so no entry names a
//! caller or a customer other than by the id of the record.
//!
//! Read next: `limit.rs` (a flood of entries), `sql.rs` beside this file.

pub mod limit;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::contract::audit::AuditEntry;
use crate::contract::supervision::SupervisionId;
use crate::ids::{CallId, Extension, RecordId};

/// Most entries read at once.
pub const AUDIT_PAGE_MAX: u32 = 500;

/// A person, by each value with which an entry may name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPerson {
    /// The record of the person who did it.
    pub id: Option<RecordId>,
    /// The extension it was done to.
    pub extension: Option<Extension>,
    /// The name of the person who did it; their record may be deleted.
    pub name: Option<String>,
}

/// The entries that a reader with restricted visibility may read: the reader's own actions, and those of supervision, help
/// or states on these people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVisibilityFilter {
    /// The reader.
    pub reader: RecordId,
    /// The people that the reader may see.
    pub people: Vec<RecordId>,
    /// These people's own extensions: entries of versions that did not keep the person name the extension alone.
    pub extensions: Vec<Extension>,
}

/// Which entries; an absent condition lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The beginning of the action's name.
    pub action: String,
    /// By or about this person.
    pub person: Option<AuditPerson>,
    /// About this record: its id, or how the entries name it (of an account its code).
    pub about: Option<String>,
    /// Of this call.
    pub call: Option<CallId>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// That this reader may see; absent for a reader who may see all.
    pub visibility: Option<AuditVisibilityFilter>,
}

/// Some entries, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditPage {
    /// The entries.
    pub items: Vec<AuditEntry>,
    /// Pass it as `cursor` for older entries; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

impl Store {
    /// Adds an entry.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        each!(self, db => db.record_audit(entry).await)
    }

    /// Entries, newest first; at most [`AUDIT_PAGE_MAX`], and older than `before` where that is given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<AuditPage, StoreError> {
        let limit = limit.clamp(1, AUDIT_PAGE_MAX);
        each!(self, db => db.audit(filter, before, limit).await)
    }

    /// The first two entries (request and start) and the newest one about this session, which was created at `since`;
    /// oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn audit_of_supervision(
        &self,
        id: SupervisionId,
        since: Timestamp,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        each!(self, db => db.audit_of_supervision(id, since).await)
    }
}
