//! Scripts in the store: every saved text is a version of a script of an account.
//!
//! | state | next state | by |
//! |---|---|---|
//! | - | `draft`, or `live` | saving, or publishing with it; restoring an older version saves a copy |
//! | `draft` | `live` | publishing; only the newest version |
//! | `live` | `retired` | a newer version that is valid on all days; retiring the script |
//!
//! Invariants: the text of a version never changes, so that a message names what the operator read. A version is saved only
//! by somebody who has seen the one before it. Everything but [`crate::directory::Directory`] reads only: it keeps the live
//! versions in memory and finds the changes of other processes by [`Store::scripts_version`].

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::script::{NewScript, OfferCount, ScriptRecord};
use crate::ids::RecordId;

/// Most scripts of an account.
pub const SCRIPTS_PER_ACCOUNT_MAX: u32 = 20;
/// Most versions of a script.
pub const SCRIPT_VERSIONS_MAX: u32 = 5_000;
/// Most versions that are listed, the newest first.
pub const SCRIPT_VERSIONS_LISTED_MAX: u32 = 200;
/// Most rows of counted offers.
pub const OFFER_COUNTS_MAX: u32 = 10_000;

/// The result of saving or publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptOutcome {
    /// The version after it.
    Written(ScriptRecord),
    /// Refused: the newest version is another one; `None`: there is none.
    Changed(Option<ScriptRecord>),
    /// Refused: the account has [`SCRIPTS_PER_ACCOUNT_MAX`] scripts, or the script [`SCRIPT_VERSIONS_MAX`] versions.
    TooMany,
}

impl Store {
    /// Of each script of an account the newest version and the live ones, newest first; without the text.
    ///
    /// # Errors
    /// The store failed.
    pub async fn scripts(&self, account: RecordId) -> Result<Vec<ScriptRecord>, StoreError> {
        each!(self, db => db.scripts(account).await)
    }

    /// The versions of a script, newest first; without the text.
    ///
    /// # Errors
    /// The store failed.
    pub async fn script_versions(
        &self,
        account: RecordId,
        script: &str,
    ) -> Result<Vec<ScriptRecord>, StoreError> {
        each!(self, db => db.script_versions(account, script).await)
    }

    /// One version of a script with its text; the newest if `version` is absent.
    ///
    /// # Errors
    /// The store failed.
    pub async fn script(
        &self,
        account: RecordId,
        script: &str,
        version: Option<u32>,
    ) -> Result<Option<ScriptRecord>, StoreError> {
        each!(self, db => db.script(account, script, version).await)
    }

    /// Every live version of every account, with the number that belongs to what was read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn live_scripts(&self) -> Result<(Vec<ScriptRecord>, i64), StoreError> {
        each!(self, db => db.live_scripts().await)
    }

    /// A number that grows with every change of any version.
    ///
    /// # Errors
    /// The store failed.
    pub async fn scripts_version(&self) -> Result<i64, StoreError> {
        each!(self, db => db.scripts_version().await)
    }

    /// Saves a version.
    ///
    /// # Errors
    /// [`StoreError::Missing`]: there is no such account; or the store failed.
    pub async fn write_script(&self, script: &NewScript, at: Timestamp) -> Result<ScriptOutcome, StoreError> {
        each!(self, db => db.write_script(script, at).await)
    }

    /// Publishes a draft, which must be the newest version.
    ///
    /// # Errors
    /// The store failed.
    pub async fn publish_script(
        &self,
        (account, script, version): (RecordId, &str, u32),
        retires_older: bool,
        at: Timestamp,
    ) -> Result<ScriptOutcome, StoreError> {
        each!(self, db => db.publish_script((account, script, version), retires_older, at).await)
    }

    /// Retires every version of a script; returns whether one was live or a draft.
    ///
    /// # Errors
    /// The store failed.
    pub async fn retire_script(&self, account: RecordId, script: &str) -> Result<bool, StoreError> {
        each!(self, db => db.retire_script(account, script).await)
    }

    /// What came of the offers in messages that were taken in this time and not withdrawn.
    ///
    /// # Errors
    /// The store failed.
    pub async fn offer_counts(
        &self,
        account: Option<RecordId>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<OfferCount>, StoreError> {
        each!(self, db => db.offer_counts(account, (from, to)).await)
    }
}
