//! The notices of every account in memory, which of them hold at the time of a call, and which accounts have a recorded
//! pronunciation.
//!
//! Invariant: a pop shows its account's notices while the store cannot be reached. A notice that is over is left out by its
//! own end, not by a reload.
//!
//! Read next: [`crate::store::account_notices`].

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::lookup::Directory;
use crate::contract::notice::AccountNotice;
use crate::ids::RecordId;
use crate::store::StoreError;

/// The notices of one version of the store.
#[derive(Debug, Default)]
pub(super) struct NoticeIndex {
    /// The store's number of these notices; 0 before the first load.
    version: i64,
    accounts: HashMap<RecordId, Vec<AccountNotice>>,
    /// When each account's clip was recorded, in milliseconds since 1970.
    clips: HashMap<RecordId, i64>,
}

impl Directory {
    /// Loads the notices if any process changed them since the last time.
    pub(super) async fn refresh_notices(&self) -> Result<(), StoreError> {
        if self.store().account_notices_version().await? == self.notices().version {
            return Ok(());
        }
        let (notices, version) = self.store().all_account_notices().await?;
        let mut accounts: HashMap<RecordId, Vec<AccountNotice>> = HashMap::new();
        for notice in notices {
            accounts.entry(notice.account).or_default().push(notice);
        }
        // Read after the version: a clip that is recorded meanwhile is read once more.
        let clips = self.store().account_clips().await?.into_iter().collect();
        self.replace_notices(Arc::new(NoticeIndex { version, accounts, clips }));
        Ok(())
    }

    /// What holds for the account at this time, the oldest first.
    pub(super) fn notices_at(&self, account: RecordId, at: Timestamp) -> Vec<AccountNotice> {
        let index = self.notices();
        let notices = index.accounts.get(&account).into_iter().flatten();
        notices.filter(|notice| notice.holds(at)).cloned().collect()
    }

    /// The path of the account's recorded pronunciation, another one after each recording; `None`: there is none.
    pub(super) fn pronunciation(&self, account: RecordId) -> Option<String> {
        let changed = *self.notices().clips.get(&account)?;
        Some(format!("/v1/accounts/{account}/pronunciation?v={changed}"))
    }
}
