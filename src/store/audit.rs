//! The audit trail: who did what to whom. Written by the daemon, read by administrators.
//!
//! Invariant: entries are only ever added; the table itself refuses to change or remove one.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Store, StoreError};
use crate::ids::{CallId, RecordId};

/// Most entries read at once.
pub const AUDIT_PAGE_MAX: u32 = 500;

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who; nobody where the daemon or a phone's key did it.
    pub actor: Option<RecordId>,
    /// Who, by name, as it was then.
    pub actor_name: String,
    /// What, for instance `supervision.started`.
    pub action: String,
    /// To whom: an extension.
    pub subject: String,
    /// In which call.
    pub call: Option<CallId>,
    /// The rest: a JSON object.
    pub details: Value,
}

impl Store {
    /// Adds an entry.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        each!(self, db => db.record_audit(entry).await)
    }

    /// The newest entries whose action begins with `action`, newest first; at most [`AUDIT_PAGE_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn audit(&self, action: &str, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        each!(self, db => db.audit(action, limit.min(AUDIT_PAGE_MAX)).await)
    }
}
