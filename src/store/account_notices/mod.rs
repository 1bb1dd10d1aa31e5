//! Account notices (本日の連絡事項) in the store: what holds for an account until a given time.
//!
//! Invariants: an account has at most [`crate::contract::notice::NOTICES_PER_ACCOUNT_MAX`] notices that are not over. Each change is written with a
//! row of `record_changes`, from which the relay publishes it (`messages/relay.rs`). A notice that is over is deleted after
//! [`super::retention::NOTICE_TTL`]; the audit trail says who wrote it.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::event::EventKind;
use crate::contract::notice::{AccountNotice, CheckedNotice};
use crate::ids::{PbxId, RecordId};

/// Most notices in one answer.
pub const NOTICES_SHOWN_MAX: u32 = 500;
/// Most notices in memory: those that end first.
pub const NOTICES_IN_MEMORY_MAX: u32 = 20_000;
/// Most changes that one round of the relay publishes.
pub const RECORD_CHANGES_MAX: u32 = 100;

/// Who changes a record, and through the gateway of which PBX.
#[derive(Debug, Clone, Copy)]
pub struct ChangedBy<'a> {
    /// The person's name.
    pub name: &'a str,
    /// The PBX whose leader publishes the change.
    pub pbx: &'a PbxId,
    /// When.
    pub at: Timestamp,
}

/// A change of a record that was not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// Its place in the order of changes.
    pub position: i64,
    /// The event that says so.
    pub kind: EventKind,
    /// The account that it is about.
    pub account: Option<RecordId>,
    /// The record, or the call, that changed.
    pub subject: RecordId,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Notices (of one account) that are not over, those that begin first before the others; at most [`NOTICES_SHOWN_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_notices(
        &self,
        account: Option<RecordId>,
        now: Timestamp,
    ) -> Result<Vec<AccountNotice>, StoreError> {
        each!(self, db => db.account_notices(account, now).await)
    }

    /// One notice.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_notice(&self, id: RecordId) -> Result<Option<AccountNotice>, StoreError> {
        each!(self, db => db.account_notice(id).await)
    }

    /// Every notice, with the version that belongs to what was read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all_account_notices(&self) -> Result<(Vec<AccountNotice>, i64), StoreError> {
        each!(self, db => db.all_account_notices().await)
    }

    /// A number that grows with every change of any notice.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_notices_version(&self) -> Result<i64, StoreError> {
        each!(self, db => db.account_notices_version().await)
    }

    /// Adds a notice; `None`: the account has [`crate::contract::notice::NOTICES_PER_ACCOUNT_MAX`] already.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the account does not exist; or the store failed.
    pub async fn create_account_notice(
        &self,
        notice: &CheckedNotice,
        by: ChangedBy<'_>,
    ) -> Result<Option<AccountNotice>, StoreError> {
        each!(self, db => db.create_account_notice(notice, by).await)
    }

    /// Replaces the text and the times of a notice. Its account stays.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such notice; or the store failed.
    pub async fn update_account_notice(
        &self,
        id: RecordId,
        notice: &CheckedNotice,
        by: ChangedBy<'_>,
    ) -> Result<AccountNotice, StoreError> {
        each!(self, db => db.update_account_notice(id, notice, by).await)
    }

    /// Deletes a notice; returns it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_account_notice(
        &self,
        id: RecordId,
        by: ChangedBy<'_>,
    ) -> Result<AccountNotice, StoreError> {
        each!(self, db => db.delete_account_notice(id, by).await)
    }

    /// Changes of records that were made through gateways of `pbx` and not published, in their order; at most
    /// [`RECORD_CHANGES_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn record_changes(&self, pbx: &PbxId) -> Result<Vec<RecordChange>, StoreError> {
        each!(self, db => db.record_changes(pbx).await)
    }

    /// Forgets changes of `pbx` up to this one, which were published.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_record_changes(&self, pbx: &PbxId, up_to: i64) -> Result<(), StoreError> {
        each!(self, db => db.delete_record_changes(pbx, up_to).await)
    }
}
