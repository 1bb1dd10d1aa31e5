//! Guidance that was recorded by telephone and that callers do not hear yet ([`crate::contract::guidance_draft`]).
//!
//! Invariants: an account has at most one; it goes with its sound. What is used is named by the callflow before it stops waiting,
//! so that a crash loses no recording.

use jiff::Timestamp;
use serde_json::Value;

use super::callflows::StoredCallflow;
use super::{Store, StoreError};
use crate::contract::guidance_draft::{GuidanceDraft, RecordedGuidance};
use crate::ids::RecordId;

/// How often the callflow is read again, when somebody else changed it meanwhile.
const WRITES_MAX: usize = 3;

/// The result of naming a sound in a callflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedOutcome {
    /// It is named; the sound that was named before.
    Named(Option<String>),
    /// The account has no callflow, or somebody else writes it again and again.
    NoCallflow,
}

impl Store {
    /// Every recording that waits, the earliest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guidance_drafts(&self) -> Result<Vec<GuidanceDraft>, StoreError> {
        each!(self, db => db.guidance_drafts().await)
    }

    /// The recording of an account that waits.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guidance_draft(&self, account: RecordId) -> Result<Option<GuidanceDraft>, StoreError> {
        each!(self, db => db.guidance_draft(account).await)
    }

    /// Lets a recording of an account wait, in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account or sound; or the store failed.
    pub async fn set_guidance_draft(
        &self,
        (account, sound): (RecordId, RecordId),
        used_from: RecordedGuidance,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        each!(self, db => db.set_guidance_draft((account, sound), used_from, at).await)
    }

    /// The recording no longer waits; true if it did.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_guidance_draft(&self, account: RecordId, sound: RecordId) -> Result<bool, StoreError> {
        each!(self, db => db.end_guidance_draft(account, sound).await)
    }

    /// Names a sound as an account's guidance out of hours, beside what somebody else changes in the callflow meanwhile.
    ///
    /// # Errors
    /// The store failed.
    pub async fn name_closed_guidance(
        &self,
        (account, sound): (RecordId, &str),
        by_name: &str,
        at: Timestamp,
    ) -> Result<NamedOutcome, StoreError> {
        for _ in 0..WRITES_MAX {
            let Some(found) = self.callflow(account).await? else { return Ok(NamedOutcome::NoCallflow) };
            let version = found.version();
            let mut written = StoredCallflow { by_name: by_name.to_owned(), changed_at: at, ..found };
            written.own.insert("closed_guidance".to_owned(), Value::from(sound));
            let before = written.fields.closed_guidance.replace(sound.to_owned());
            if self.set_callflow(&written, Some(version)).await? {
                return Ok(NamedOutcome::Named(before));
            }
        }
        Ok(NamedOutcome::NoCallflow)
    }
}
