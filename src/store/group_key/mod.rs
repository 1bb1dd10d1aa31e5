//! The key of a group of daemons: with it they sign the requests that they send each other.
//!
//! Invariant: there is one key, and it never changes. Daemons that share the people and tokens share the key.

use super::{Store, StoreError};

/// Bytes of the key.
pub const GROUP_KEY_BYTES: usize = 32;

impl Store {
    /// The key of the group: `candidate`, 32 random bytes, if no daemon has stored one before.
    ///
    /// # Errors
    /// The store failed.
    pub async fn group_key(
        &self,
        candidate: [u8; GROUP_KEY_BYTES],
    ) -> Result<[u8; GROUP_KEY_BYTES], StoreError> {
        each!(self, db => db.group_key(candidate).await)
    }
}
