//! Drafts: what a person is writing about a call, as the page left it.
//!
//! Invariant: a draft belongs to one person and one call, is never delivered and never published. A version is written only
//! over the one before it, so that two desktops of a person do not overwrite each other's text unseen. A draft that
//! nobody changes is deleted after [`super::retention::DRAFT_TTL`].

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::{CallId, RecordId};

/// Most drafts of a person.
pub const DRAFTS_PER_PERSON_MAX: u32 = 200;

/// A draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Draft {
    /// The call that it is about.
    #[schema(value_type = uuid::Uuid)]
    pub call: CallId,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// The customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub customer: Option<RecordId>,
    /// The fields of the form, as the page keeps them.
    #[schema(value_type = Object)]
    pub body: serde_json::Map<String, serde_json::Value>,
    /// Version; increases with every change.
    pub version: u64,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

/// A draft before it is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDraft {
    /// Who writes it.
    pub user: RecordId,
    /// The call that it is about.
    pub call: CallId,
    /// The account.
    pub account: Option<RecordId>,
    /// The customer.
    pub customer: Option<RecordId>,
    /// The fields of the form.
    pub body: serde_json::Map<String, serde_json::Value>,
    /// The version that it replaces; 0: there is none yet.
    pub version: u64,
}

/// The result of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftOutcome {
    /// The draft after it.
    Written(Draft),
    /// Refused: this is the present draft, of another version; `None`: there is none.
    Changed(Option<Draft>),
    /// Refused: the person has [`DRAFTS_PER_PERSON_MAX`] drafts.
    TooMany,
}

impl Store {
    /// The drafts of a person, the longest unchanged first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn drafts(&self, user: RecordId) -> Result<Vec<Draft>, StoreError> {
        each!(self, db => db.drafts(user).await)
    }

    /// The draft of a person about a call.
    ///
    /// # Errors
    /// The store failed.
    pub async fn draft(&self, user: RecordId, call: CallId) -> Result<Option<Draft>, StoreError> {
        each!(self, db => db.draft(user, call).await)
    }

    /// Writes a draft. The same body over the same or the next version is no change, so that a request may be repeated.
    ///
    /// # Errors
    /// The store failed; then nothing was written.
    pub async fn write_draft(&self, draft: &NewDraft, at: Timestamp) -> Result<DraftOutcome, StoreError> {
        each!(self, db => db.write_draft(draft, at).await)
    }

    /// Deletes a draft; returns whether there was one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_draft(&self, user: RecordId, call: CallId) -> Result<bool, StoreError> {
        each!(self, db => db.delete_draft(user, call).await)
    }
}
