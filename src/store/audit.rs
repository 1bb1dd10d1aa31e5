//! The audit trail: who did what to whom. Written by the daemon, read by administrators and, of what concerns their
//! own teams, by supervisors.
//!
//! Invariant: entries are only ever added; the table itself refuses to change or remove one.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::{CallId, Extension, RecordId};
use crate::supervision::SupervisionId;

/// Most entries read at once.
pub const AUDIT_PAGE_MAX: u32 = 500;

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub at: Timestamp,
    /// Who; nobody where the daemon or a phone's key did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub actor: Option<RecordId>,
    /// Who, by name, as it was then.
    pub actor_name: String,
    /// What, for instance `supervision.started`.
    pub action: String,
    /// To whom: an extension.
    pub subject: String,
    /// In which call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// The rest: a JSON object.
    pub details: Value,
}

/// Somebody, by whatever an entry may name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPerson {
    /// By record: who did it.
    pub id: Option<RecordId>,
    /// By extension: to whom it was done.
    pub extension: Option<Extension>,
    /// By name: who did it, whose record may be gone.
    pub name: Option<String>,
}

/// What a reader may see who may not see everything: what she did, and what concerns supervision or help of these
/// operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSight {
    /// The reader.
    pub reader: RecordId,
    /// Her operators.
    pub operators: Vec<Extension>,
}

/// Which entries; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Whose action begins so.
    pub action: String,
    /// That concern this person.
    pub person: Option<AuditPerson>,
    /// Of this call.
    pub call: Option<CallId>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// That this reader may see; everybody's where absent.
    pub sight: Option<AuditSight>,
}

/// Some entries, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditPage {
    /// The entries.
    pub items: Vec<AuditEntry>,
    /// Pass it as `cursor` for older ones; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

impl Store {
    /// Adds an entry.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        each!(self, db => db.record_audit(entry, false).await)
    }

    /// Adds an entry unless it is there: after a try of which nobody knows what became of it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn record_audit_again(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        each!(self, db => db.record_audit(entry, true).await)
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

    /// The first two entries about this session, which was made at `since` (how it was asked for, how it began), and the
    /// newest; oldest first.
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
