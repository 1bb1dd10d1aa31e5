//! Sounds that people uploaded or recorded by telephone, and their files.
//!
//! Invariant: a name is that of its content, and is there once. Each change counts as one of the directory, so that each daemon
//! brings the files to its PBX.

use super::{Store, StoreError};
use crate::contract::sound::Sound;
use crate::ids::RecordId;

/// Most sounds.
pub const SOUNDS_MAX: u32 = 5_000;

/// The result of keeping a sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoundOutcome {
    /// It is kept.
    Kept,
    /// Refused: this one sounds the same.
    There(Sound),
    /// Refused: there are [`SOUNDS_MAX`] already.
    TooMany,
}

impl Store {
    /// Every sound, the newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sounds(&self) -> Result<Vec<Sound>, StoreError> {
        each!(self, db => db.sounds().await)
    }

    /// A sound with its file (µ-law).
    ///
    /// # Errors
    /// The store failed.
    pub async fn sound(&self, id: RecordId) -> Result<Option<(Sound, Vec<u8>)>, StoreError> {
        each!(self, db => db.sound(id).await)
    }

    /// Keeps a sound with its file.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account; or the store failed.
    pub async fn create_sound(&self, sound: &Sound, file: &[u8]) -> Result<SoundOutcome, StoreError> {
        each!(self, db => db.create_sound(sound, file).await)
    }

    /// Deletes a sound and returns it; `None` if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_sound(&self, id: RecordId) -> Result<Option<Sound>, StoreError> {
        each!(self, db => db.delete_sound(id).await)
    }
}
