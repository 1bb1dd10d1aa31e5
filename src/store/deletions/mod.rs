//! What people deleted a moment ago, and how it comes back.
//!
//! | kind | what the row has | what an undo brings back |
//! |---|---|---|
//! | account | its fields and numbers | the account with all that belongs to it: until the row goes, nothing of it is removed (`accounts/sql.rs`) and none of its mails is sent |
//! | contact | its fields, presence and endpoints | the same, under the same ids, so messages and routes name the contact again |
//! | customer | its fields and changes | the same, under the same id, so calls and messages are the customer's again |
//! | user | nothing: the user's row stays | the user, with the password; tokens and sessions stay revoked |
//! | merge | the fields of both customers, and in `merged_rows` which calls and messages were moved | both customers as they were, each with its calls and messages |
//!
//! Invariants: a row is written in the transaction that deletes the record (of a user: after it), and goes with its undo or after
//! [`UNDO_TTL`]. A customer whose deletion erases what is known of the customer has none. An undo is refused where the code,
//! the number, the name or the extension belongs to another record by now; that of a merge, where the customer who stayed was
//! changed since. Calls and messages of a merge move back in steps; where that is cut off, [`Store::expire_deletions`] goes on.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::customer_changes::MOVE_ROWS_MAX;
use super::{Store, StoreError};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;

/// How long a deletion can be undone.
pub const UNDO_TTL: SignedDuration = SignedDuration::from_mins(10);
/// Most deletions in one answer; the newest come first.
pub const DELETIONS_SHOWN_MAX: u32 = 1_000;

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeletedKind {
    /// An account.
    Account,
    /// A contact.
    Contact,
    /// A customer.
    Customer,
    /// A user.
    User,
    /// A customer who became part of another one; the record is the one who went.
    Merge,
}

impl DeletedKind {
    const ALL: &[Self] = &[Self::Account, Self::Contact, Self::Customer, Self::User, Self::Merge];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Contact => "contact",
            Self::Customer => "customer",
            Self::User => "user",
            Self::Merge => "merge",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// A deletion that can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deletion {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// What it is.
    pub kind: DeletedKind,
    /// Its name.
    pub name: String,
    /// Its code, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The name of the person who deleted it.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// Until when it can be undone.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub until: Timestamp,
}

/// Who deletes, and when.
#[derive(Debug, Clone, Copy)]
pub struct DeletedBy<'a> {
    /// The person's name.
    pub name: &'a str,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Deletes an account, a contact or a customer so that it can be brought back; of a user who was revoked just now, only notes
    /// that.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_undoably(
        &self,
        kind: DeletedKind,
        id: RecordId,
        by: DeletedBy<'_>,
    ) -> Result<(), StoreError> {
        each!(self, db => db.delete_undoably(kind, id, by).await)
    }

    /// What can be brought back, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn deletions(&self, now: Timestamp) -> Result<Vec<Deletion>, StoreError> {
        each!(self, db => db.deletions(now).await)
    }

    /// Brings a record back. Absent: it was not deleted in the last ten minutes, or it is back.
    ///
    /// # Errors
    /// [`StoreError::Taken`]: its code, number, name or extension is another record's; [`StoreError::Missing`]: its account, or
    /// the customer of whom it became part, was deleted; [`StoreError::Changed`]: that customer was changed since; or the store
    /// failed.
    pub async fn undo_deletion(
        &self,
        id: RecordId,
        plan: &NumberPlan,
        now: Timestamp,
    ) -> Result<Option<Deletion>, StoreError> {
        let undone = each!(self, db => db.undo_deletion(id, plan, now).await?);
        if undone.as_ref().is_some_and(|deletion| deletion.kind == DeletedKind::Merge) {
            self.move_back(id).await?;
        }
        Ok(undone)
    }

    /// Gives a customer who is back the calls and messages that a merge moved.
    async fn move_back(&self, customer: RecordId) -> Result<(), StoreError> {
        while each!(self, db => db.move_back(customer, i64::from(MOVE_ROWS_MAX)).await?) > 0 {}
        Ok(())
    }

    /// Forgets what can no longer be brought back, and goes on with undone merges that were cut off.
    ///
    /// # Errors
    /// The store failed.
    pub async fn expire_deletions(&self, now: Timestamp) -> Result<(), StoreError> {
        each!(self, db => db.expire_deletions(now).await?);
        while let Some((customer, is_back)) = each!(self, db => db.merge_over().await?) {
            if is_back {
                self.move_back(customer).await?;
            } else {
                while each!(self, db => db.forget_moved(customer, i64::from(MOVE_ROWS_MAX)).await?) > 0 {}
            }
        }
        Ok(())
    }
}
