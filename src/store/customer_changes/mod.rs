//! What people changed of customers, before and after; and two customers who become one.
//!
//! Invariants: a change goes with its customer, so a deleted customer leaves none; at most [`CHANGES_PER_CUSTOMER_MAX`] are
//! kept of each. A merge moves the calls and messages of the customer who goes in steps of [`MOVE_ROWS_MAX`], each a short
//! transaction; a merge that is cut off can be asked for again.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::deletions::DeletedBy;
use super::{Store, StoreError};
use crate::contract::records::{CheckedCustomer, Customer};
use crate::ids::RecordId;

/// Most changes that are kept of a customer; the oldest go.
pub const CHANGES_PER_CUSTOMER_MAX: u32 = 100;
/// Most calls or messages that one step of a merge moves.
pub const MOVE_ROWS_MAX: u32 = 500;

/// How a customer was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CustomerAction {
    /// It was created.
    Created,
    /// Fields were set.
    Changed,
    /// Another customer became part of it.
    Merged,
}

impl CustomerAction {
    const ALL: &[Self] = &[Self::Created, Self::Changed, Self::Merged];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Merged => "merged",
        }
    }

    /// The action with this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }
}

/// A change of a customer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CustomerChange {
    /// How it was changed.
    pub action: CustomerAction,
    /// The name of the person.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// The fields that differ, each with `before` and `after`.
    pub fields: Value,
}

impl Store {
    /// Writes down a change of a customer. A customer who was deleted meanwhile keeps none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn add_customer_change(
        &self,
        customer: RecordId,
        change: &CustomerChange,
    ) -> Result<(), StoreError> {
        each!(self, db => db.add_customer_change(customer, change).await)
    }

    /// The changes of a customer, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn customer_changes(&self, customer: RecordId) -> Result<Vec<CustomerChange>, StoreError> {
        each!(self, db => db.customer_changes(customer).await)
    }

    /// Replaces the fields of `kept.0`, of the version of `kept.1`, by `merged`, moves what `gone` has to it, and deletes
    /// `gone`. For ten minutes that can be undone ([`super::deletions`]).
    ///
    /// # Errors
    /// [`StoreError::Changed`]: one of them was changed since; [`StoreError::Missing`]; or the store failed.
    pub async fn merge_customers(
        &self,
        kept: (RecordId, Timestamp),
        gone: (RecordId, Timestamp),
        merged: &CheckedCustomer,
        by: DeletedBy<'_>,
    ) -> Result<Customer, StoreError> {
        let customer = each!(self, db => db.merge_customers(kept, gone, merged, by).await?);
        while each!(self, db => db.move_of_customer(gone.0, kept.0, i64::from(MOVE_ROWS_MAX)).await?) > 0 {}
        Ok(customer)
    }
}
