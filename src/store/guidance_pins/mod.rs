//! The PINs with which people of accounts record guidance by telephone ([`crate::contract::guidance_pin`]).
//!
//! Invariant: an account has at most one, stored as a hash; what is entered for it is entered for no other account.

use super::{Store, StoreError};
use crate::contract::guidance_pin::GuidancePinView;
use crate::ids::RecordId;
use crate::people::password::PasswordHash;

/// A PIN with who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGuidancePin {
    /// What is shown of it.
    pub view: GuidancePinView,
    /// The PIN itself.
    pub hash: PasswordHash,
}

impl Store {
    /// The PIN of an account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guidance_pin(&self, account: RecordId) -> Result<Option<StoredGuidancePin>, StoreError> {
        each!(self, db => db.guidance_pin(account).await)
    }

    /// The PIN of the account for which this is entered.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guidance_pin_entered(&self, entry: &str) -> Result<Option<StoredGuidancePin>, StoreError> {
        each!(self, db => db.guidance_pin_entered(entry).await)
    }

    /// Sets the PIN of an account, in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account, [`StoreError::Taken`] when the same is entered for another one; or
    /// the store failed.
    pub async fn set_guidance_pin(&self, pin: &StoredGuidancePin) -> Result<(), StoreError> {
        each!(self, db => db.set_guidance_pin(pin).await)
    }

    /// Removes the PIN of an account; true if it had one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_guidance_pin(&self, account: RecordId) -> Result<bool, StoreError> {
        each!(self, db => db.remove_guidance_pin(account).await)
    }
}
