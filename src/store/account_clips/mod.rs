//! Recorded pronunciations of accounts' names: one clip an account, a few seconds of sound.
//!
//! Invariant: a clip has a kind that browsers play ([`CLIP_KINDS`]) and at most [`CLIP_BYTES_MAX`] bytes. A change counts as one of
//! the notices' version, so that every daemon's pops name it ([`super::account_notices`]).

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::ids::RecordId;

/// Largest clip, in bytes: some seconds of speech in any format.
pub const CLIP_BYTES_MAX: usize = 256 * 1024;
/// The media types of clips, each with what its bytes begin with (and where).
pub const CLIP_KINDS: &[(&str, usize, &[u8])] = &[
    ("audio/mpeg", 0, b"ID3"),
    ("audio/mpeg", 0, b"\xff\xfb"),
    ("audio/mpeg", 0, b"\xff\xf3"),
    ("audio/ogg", 0, b"OggS"),
    ("audio/wav", 0, b"RIFF"),
    ("audio/webm", 0, b"\x1a\x45\xdf\xa3"),
    ("audio/mp4", 4, b"ftyp"),
];

/// The media type of these bytes, if they are sound that browsers play.
#[must_use]
pub fn clip_kind(bytes: &[u8]) -> Option<&'static str> {
    let is_it = |at: usize, begin: &[u8]| bytes.get(at..at + begin.len()) == Some(begin);
    CLIP_KINDS.iter().find(|(_, at, begin)| is_it(*at, begin)).map(|(kind, ..)| *kind)
}

impl Store {
    /// The clip of an account, with its media type.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_clip(&self, account: RecordId) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        each!(self, db => db.account_clip(account).await)
    }

    /// Which accounts have a clip, and when it was recorded, in milliseconds since 1970.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_clips(&self) -> Result<Vec<(RecordId, i64)>, StoreError> {
        each!(self, db => db.account_clips().await)
    }

    /// Replaces the clip of an account.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the account does not exist; or the store failed.
    pub async fn write_account_clip(
        &self,
        account: RecordId,
        kind: &str,
        bytes: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        each!(self, db => db.write_account_clip(account, kind, bytes, at).await)
    }

    /// Deletes the clip of an account.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn delete_account_clip(&self, account: RecordId) -> Result<(), StoreError> {
        each!(self, db => db.delete_account_clip(account).await)
    }
}
