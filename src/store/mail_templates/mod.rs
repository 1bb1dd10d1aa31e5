//! The templates of mails that accounts wrote instead of the built-in ones.
//!
//! Invariant: a template in the store was tried before ([`crate::messages::letter::check_template`]); it goes with its account.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::RecordId;

/// A template that an account wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnTemplate {
    /// Its name: `subject`, `text`, `html`, `digest_subject` or `digest_text`.
    pub name: String,
    /// Its text.
    pub body: String,
    /// Who wrote it.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

impl Store {
    /// The templates that an account wrote.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_templates(&self, account: RecordId) -> Result<Vec<OwnTemplate>, StoreError> {
        each!(self, db => db.own_templates(account).await)
    }

    /// Writes a template of an account.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn set_own_template(
        &self,
        account: RecordId,
        template: &OwnTemplate,
    ) -> Result<(), StoreError> {
        each!(self, db => db.set_own_template(account, template).await)
    }

    /// Lets an account use the built-in template again.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when it did; or the store failed.
    pub async fn reset_template(&self, account: RecordId, name: &str) -> Result<(), StoreError> {
        each!(self, db => db.reset_template(account, name).await)
    }
}
