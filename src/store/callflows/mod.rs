//! Callflows of accounts, and overrides ([`crate::contract::callflow`]).
//!
//! Invariants: an account has at most one callflow; it goes with its account, as its overrides do. An override that is over is
//! removed when the next one is set: the audit trail has who set it and when. Each change counts as one of the directory, so
//! that the daemon that writes plans sees it.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Store, StoreError};
use crate::contract::callflow::{CallflowFields, CallflowTemplate, Override};
use crate::ids::RecordId;

/// Most overrides at a time.
pub const OVERRIDES_MAX: u32 = 2_000;

/// A callflow with who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCallflow {
    /// The account.
    pub account: RecordId,
    /// What holds: the template's settings with the account's own over them.
    pub fields: CallflowFields,
    /// The template that it follows.
    pub template: Option<RecordId>,
    /// The account's own settings; all of them where it follows no template.
    pub own: Map<String, Value>,
    /// Who.
    pub by_name: String,
    /// When.
    pub changed_at: Timestamp,
}

impl StoredCallflow {
    /// Its version: when it was written, in milliseconds since 1970.
    #[must_use]
    pub fn version(&self) -> i64 {
        super::to_ms(self.changed_at)
    }
}

/// The result of deleting a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateOutcome {
    /// It is deleted.
    Deleted,
    /// There is none.
    Missing,
    /// Refused: so many callflows follow it.
    InUse(u64),
}

/// The result of setting an override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideOutcome {
    /// It is set.
    Set,
    /// Refused: there are [`OVERRIDES_MAX`] already.
    TooMany,
}

impl Store {
    /// The callflow of an account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow(&self, account: RecordId) -> Result<Option<StoredCallflow>, StoreError> {
        each!(self, db => db.callflow(account).await)
    }

    /// Every callflow, by the account's id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflows(&self) -> Result<Vec<StoredCallflow>, StoreError> {
        each!(self, db => db.callflows().await)
    }

    /// Writes the callflow of an account. With `version`, only in place of the one with that version
    /// ([`StoredCallflow::version`]); 0: only if there is none. Returns whether it was written.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn set_callflow(
        &self,
        callflow: &StoredCallflow,
        version: Option<i64>,
    ) -> Result<bool, StoreError> {
        each!(self, db => db.set_callflow(callflow, version).await)
    }

    /// Removes the callflow of an account; true if it had one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_callflow(&self, account: RecordId) -> Result<bool, StoreError> {
        each!(self, db => db.remove_callflow(account).await)
    }

    /// Every template, by code.
    ///
    /// # Errors
    /// The store failed.
    pub async fn callflow_templates(&self) -> Result<Vec<CallflowTemplate>, StoreError> {
        each!(self, db => db.callflow_templates().await)
    }

    /// Writes a template in place of the one with its code, which keeps its id; returns it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_callflow_template(
        &self,
        template: &CallflowTemplate,
    ) -> Result<CallflowTemplate, StoreError> {
        each!(self, db => db.set_callflow_template(template).await)
    }

    /// Deletes the template with this code, unless a callflow follows it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_callflow_template(&self, code: &str) -> Result<TemplateOutcome, StoreError> {
        each!(self, db => db.delete_callflow_template(code).await)
    }

    /// The overrides that have not ended at `at`, the earliest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn overrides(&self, at: Timestamp) -> Result<Vec<Override>, StoreError> {
        each!(self, db => db.overrides(at).await)
    }

    /// Sets an override; those that are over at `now` are removed.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn set_override(&self, one: &Override, now: Timestamp) -> Result<OverrideOutcome, StoreError> {
        each!(self, db => db.set_override(one, now).await)
    }

    /// Ends an override and returns it; `None` if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_override(&self, id: RecordId) -> Result<Option<Override>, StoreError> {
        each!(self, db => db.end_override(id).await)
    }
}
