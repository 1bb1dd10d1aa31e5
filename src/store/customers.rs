//! Customers, as they are kept: each belongs to one account, and is found by number inside it alone.

use jiff::Timestamp;

use super::page::{Page, bounded};
use super::{Store, StoreError};
use crate::directory::record::{CheckedCustomer, Customer};
use crate::ids::RecordId;

/// Longest text searched for, in characters.
pub const SEARCH_CHARS_MAX: usize = 120;

/// Which customers are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CustomerFilter {
    /// Of this account.
    pub account: Option<RecordId>,
    /// With this number, as a key.
    pub number_key: Option<String>,
    /// With this text in name, reading or company.
    pub text: Option<String>,
}

/// The customers of a store.
#[derive(Debug, Clone, Copy)]
pub struct Customers<'a>(pub(super) &'a Store);

impl Customers<'_> {
    /// The customers after `after` that the filter lets through, in the order they were made.
    ///
    /// # Errors
    /// The store failed.
    pub async fn page(
        &self,
        filter: &CustomerFilter,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Page<Customer>, StoreError> {
        let limit = bounded(limit);
        let customers = each!(self.0, db => db.customers_after(filter, after, i64::from(limit) + 1).await?);
        Ok(Page::of(customers, limit, |customer| customer.id))
    }

    /// One customer.
    ///
    /// # Errors
    /// The store failed.
    pub async fn find(&self, id: RecordId) -> Result<Option<Customer>, StoreError> {
        each!(self.0, db => db.customer(id).await)
    }

    /// Keeps a new customer.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the account has a customer of that code, [`StoreError::Missing`] when there is
    /// no such account; or the store failed.
    pub async fn create(&self, customer: &CheckedCustomer, at: Timestamp) -> Result<Customer, StoreError> {
        each!(self.0, db => db.create_customer(customer, at).await)
    }

    /// Replaces a customer's fields.
    ///
    /// # Errors
    /// As for [`Self::create`].
    pub async fn update(
        &self,
        id: RecordId,
        customer: &CheckedCustomer,
        at: Timestamp,
    ) -> Result<Customer, StoreError> {
        each!(self.0, db => db.update_customer(id, customer, at).await)
    }

    /// Deletes a customer.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self.0, db => db.delete_customer(id).await)
    }
}
