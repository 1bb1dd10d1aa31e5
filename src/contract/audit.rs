//! An entry of the audit trail: who did what to whom.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::ids::{CallId, RecordId};

/// One action.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// Who did it; absent when the daemon or a key on a phone did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub actor: Option<RecordId>,
    /// Their name at that time.
    pub actor_name: String,
    /// What they did, for instance `supervision.started`.
    pub action: String,
    /// The extension, name or code of whom or what it was done to; empty for a customer.
    pub subject: String,
    /// The record it was done to: for supervision, help and states the person who sat at the extension then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub subject_id: Option<RecordId>,
    /// The call it was done in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// Further details: a JSON object.
    pub details: Value,
}
