//! Customers in the store: each belongs to one account, and a number finds customers of that account alone.

use jiff::Timestamp;

use super::page::{Page, clamp_limit};
use super::{Store, StoreError};
use crate::contract::records::{CheckedCustomer, Customer};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;

/// Longest text searched for, in characters.
pub const SEARCH_CHARS_MAX: usize = 120;

/// Which customers; an absent condition lets all through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CustomerFilter {
    /// Of this account.
    pub account: Option<RecordId>,
    /// With this number, as a key.
    pub number_key: Option<String>,
    /// With this text in name, reading, company, department or code, or with this part of a number, however it is written
    /// ([`crate::contract::records::search`]).
    pub text: Option<String>,
}

/// The part of a text that a search counts.
pub(super) fn searched(text: &str) -> String {
    text.chars().take(SEARCH_CHARS_MAX).collect()
}

impl Store {
    /// Folds up to `limit` customers whose search text is missing: an older version, or an import without all columns, wrote
    /// them. Returns how many were read; 0 when there are none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn fold_customers(&self, plan: &NumberPlan, limit: u32) -> Result<u64, StoreError> {
        each!(self, db => db.fold_customers(plan, i64::from(limit)).await)
    }

    /// The customers after `after` that the filter lets through, in the order of their creation.
    ///
    /// # Errors
    /// The store failed.
    pub async fn customers(
        &self,
        filter: &CustomerFilter,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Page<Customer>, StoreError> {
        let limit = clamp_limit(limit);
        let customers = each!(self, db => db.customers(filter, after, i64::from(limit) + 1).await?);
        Ok(Page::of(customers, limit, |customer| customer.id))
    }

    /// One customer.
    ///
    /// # Errors
    /// The store failed.
    pub async fn customer(&self, id: RecordId) -> Result<Option<Customer>, StoreError> {
        each!(self, db => db.customer(id).await)
    }

    /// Adds a customer.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the account has a customer of that code, [`StoreError::Missing`] when the account
    /// does not exist; or the store failed.
    pub async fn create_customer(
        &self,
        customer: &CheckedCustomer,
        at: Timestamp,
    ) -> Result<Customer, StoreError> {
        each!(self, db => db.create_customer(customer, at).await)
    }

    /// Replaces a customer's fields.
    ///
    /// With `seen`, only if the record has not been changed since that time.
    ///
    /// # Errors
    /// [`StoreError::Changed`]; As for [`Self::create_customer`]; [`StoreError::Missing`] also when the customer does not exist.
    pub async fn update_customer(
        &self,
        id: RecordId,
        customer: &CheckedCustomer,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Customer, StoreError> {
        each!(self, db => db.update_customer(id, customer, at, seen).await)
    }

    /// Deletes a customer; their finished calls and messages stay. See also [`Self::forget_customer`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_customer(&self, id: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.delete_customer(id).await)
    }
}
