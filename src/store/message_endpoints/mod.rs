//! Endpoints of messages in the store, and the addresses to which nothing is sent.
//!
//! Invariant: an endpoint goes with its contact and its account. A suspension belongs to an address, not to an endpoint: what
//! is gone is gone for every account.

use jiff::Timestamp;

use super::page::{Page, clamp_limit};
use super::{Store, StoreError};
use crate::contract::records::{CheckedMessageEndpoint, MessageEndpoint};
use crate::ids::RecordId;

impl Store {
    /// The endpoints (of one account) after `after`, in the order of their creation.
    ///
    /// # Errors
    /// The store failed.
    pub async fn message_endpoints(
        &self,
        account: Option<RecordId>,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Page<MessageEndpoint>, StoreError> {
        let limit = clamp_limit(limit);
        let found = each!(self, db => db.message_endpoints(account, after, i64::from(limit) + 1).await?);
        Ok(Page::of(found, limit, |endpoint| endpoint.id))
    }

    /// One endpoint.
    ///
    /// # Errors
    /// The store failed.
    pub async fn message_endpoint(&self, id: RecordId) -> Result<Option<MessageEndpoint>, StoreError> {
        each!(self, db => db.message_endpoint(id).await)
    }

    /// Adds an endpoint.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the account has an endpoint of that code, [`StoreError::Missing`] when the account has no
    /// such contact, does not exist, or has [`crate::contract::records::ENDPOINTS_PER_ACCOUNT_MAX`] endpoints; or the store
    /// failed.
    pub async fn create_message_endpoint(
        &self,
        endpoint: &CheckedMessageEndpoint,
        at: Timestamp,
    ) -> Result<MessageEndpoint, StoreError> {
        each!(self, db => db.create_message_endpoint(endpoint, at).await)
    }

    /// Replaces an endpoint's fields.
    ///
    /// # Errors
    /// As for [`Self::create_message_endpoint`]; [`StoreError::Missing`] also when the endpoint does not exist.
    pub async fn update_message_endpoint(
        &self,
        id: RecordId,
        endpoint: &CheckedMessageEndpoint,
        at: Timestamp,
    ) -> Result<MessageEndpoint, StoreError> {
        each!(self, db => db.update_message_endpoint(id, endpoint, at).await)
    }

    /// Deletes an endpoint.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_message_endpoint(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.delete_message_endpoint(id).await)
    }
}
