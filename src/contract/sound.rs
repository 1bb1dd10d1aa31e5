//! Sounds that people upload, or record by telephone: guidance for callers, and announcements for operators.
//!
//! Invariant: a sound's name is made of its content, so a plan that names one never plays another one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::message::words;
use crate::identity::printable;
use crate::ids::RecordId;

/// The folder of these sounds in the PBX's directory of sounds.
pub const SOUND_FOLDER: &str = "toritsugi-own";
/// Longest title, in characters.
pub const SOUND_TITLE_CHARS_MAX: usize = 60;
/// Longest text of what is spoken, in characters.
pub const SOUND_WORDS_CHARS_MAX: usize = 1_000;

words! {
    /// What a sound is for.
    #[derive(Default)]
    SoundKind {
        /// Callers hear it: at most 60 seconds.
        #[default]
        Guidance = "guidance",
        /// An operator hears it before the caller is connected: at most 2 seconds.
        Announcement = "announcement",
    }
}

words! {
    /// Where a sound comes from.
    #[derive(Default)]
    SoundOrigin {
        /// Somebody uploaded it.
        #[default]
        Upload = "upload",
        /// Somebody of the account recorded it by telephone.
        Phone = "phone",
    }
}

/// A sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sound {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The account that it is for; absent: all.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<RecordId>,
    /// What it is for.
    pub kind: SoundKind,
    /// Where it comes from.
    pub origin: SoundOrigin,
    /// How people call it.
    pub title: String,
    /// What is spoken.
    pub words: String,
    /// What callflows name: `toritsugi-own/9f2c11ab03de4455`.
    pub name: String,
    /// How long it is, in milliseconds.
    pub ms: u64,
    /// Who uploaded it; the account, for one that was recorded by telephone.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
}

/// A text of a sound is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SoundError {
    field: &'static str,
    problem: String,
}

/// Title and words, cleaned.
///
/// # Errors
/// Names the field and what it permits.
pub fn checked_texts(title: &str, words: &str) -> Result<(String, String), SoundError> {
    let title: String = printable(title, usize::MAX).unwrap_or_default().into();
    if title.is_empty() || title.chars().count() > SOUND_TITLE_CHARS_MAX {
        let problem = format!("1 to {SOUND_TITLE_CHARS_MAX} characters");
        return Err(SoundError { field: "title", problem });
    }
    let words: String = printable(words, usize::MAX).unwrap_or_default().into();
    if words.chars().count() > SOUND_WORDS_CHARS_MAX {
        let problem = format!("at most {SOUND_WORDS_CHARS_MAX} characters");
        return Err(SoundError { field: "words", problem });
    }
    Ok((title, words))
}
