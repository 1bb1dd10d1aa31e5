//! Links by which a person sets a password, once: an administrator makes one and hands it over.
//!
//! Invariants: a user has one link at a time, the newest. Of a link only its hash is stored. A link that sets a password is
//! gone in the same transaction, with every session of the user.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::RecordId;
use crate::people::password::PasswordHash;
use crate::people::token::TokenHash;

impl Store {
    /// Makes a link of a user; an earlier one no longer works.
    ///
    /// # Errors
    /// [`StoreError::Missing`]: there is no such user, or the user was revoked; or the store failed.
    pub async fn add_password_link(
        &self,
        user: RecordId,
        link: &TokenHash,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        each!(self, db => db.add_password_link(user, link, expires).await)
    }

    /// Whose link this is; `None` if it was used, replaced, or has expired.
    ///
    /// # Errors
    /// The store failed.
    pub async fn password_link(
        &self,
        link: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<RecordId>, StoreError> {
        each!(self, db => db.password_link(link, now).await)
    }

    /// Sets the password of the link's user, and ends the user's sessions. `None` as for [`Self::password_link`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn use_password_link(
        &self,
        link: &TokenHash,
        password: &PasswordHash,
        now: Timestamp,
    ) -> Result<Option<RecordId>, StoreError> {
        each!(self, db => db.use_password_link(link, password, now).await)
    }
}
