//! Words that administrators decide.
//!
//! Invariant: a list is replaced as a whole, and only by somebody who has seen its version.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::words::{Word, WordKind, WordList};

impl Store {
    /// The lists that somebody wrote, or that came from a configuration.
    ///
    /// # Errors
    /// The store failed.
    pub async fn word_lists(&self) -> Result<Vec<WordList>, StoreError> {
        each!(self, db => db.word_lists().await)
    }

    /// Replaces a list of this version; 0: only where there is none. Returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Changed`]: it has another version; or the store failed.
    pub async fn write_words(
        &self,
        kind: WordKind,
        words: &[Word],
        version: u64,
        at: Timestamp,
    ) -> Result<WordList, StoreError> {
        each!(self, db => db.write_words(kind, words, version, at).await)
    }
}
