//! The templates of mails that accounts wrote instead of the built-in ones, and what they were before: each that is written, and each
//! return to the built-in one, is a version.
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
    /// Its name: `subject`, `text`, `html`, `digest_subject`, `digest_text`, `chat_text`, `sms_text` or `fax_text`.
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

/// Most versions of a template that are kept.
pub const TEMPLATE_VERSIONS_MAX: i64 = 100;

/// What a template of an account was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MailTemplateVersion)]
pub struct TemplateVersion {
    /// Its number, from 1.
    pub version: u64,
    /// Its text; absent: the account used the built-in one again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Who wrote it.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
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
    pub async fn reset_template(
        &self,
        account: RecordId,
        name: &str,
        by: (&str, Timestamp),
    ) -> Result<(), StoreError> {
        each!(self, db => db.reset_template(account, name, by).await)
    }

    /// What a template of an account was, the newest first; at most [`TEMPLATE_VERSIONS_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn template_versions(
        &self,
        account: RecordId,
        name: &str,
    ) -> Result<Vec<TemplateVersion>, StoreError> {
        each!(self, db => db.template_versions(account, name).await)
    }
}
