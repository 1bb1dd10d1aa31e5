//! Scripts as they are stored and served: a code within the account, and versions. What is in the text is the business of
//! [`crate::script`].

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::ids::RecordId;

/// Longest code of a script, in characters.
pub const SCRIPT_CODE_CHARS_MAX: usize = 40;

/// What a version is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScriptState {
    /// Nothing yet.
    Draft,
    /// Calls, on the days for which it is valid, unless a newer one is.
    Live,
    /// Nothing any more.
    Retired,
}

impl ScriptState {
    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Live => "live",
            Self::Retired => "retired",
        }
    }

    /// The state with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Draft, Self::Live, Self::Retired].into_iter().find(|state| state.as_str() == value)
    }
}

/// A version of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScriptRecord {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The code of the script within the account.
    pub script: String,
    /// The version, from 1.
    pub version: u32,
    /// What it is used for.
    pub state: ScriptState,
    /// What the text names itself.
    pub name: String,
    /// The TOML; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The person who saved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub by: Option<RecordId>,
    /// The name of that person.
    pub by_name: String,
    /// The older version of which it is a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<u32>,
    /// When it was saved.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// When it was published.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub published_at: Option<Timestamp>,
}

/// A version to save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewScript {
    /// The account.
    pub account: RecordId,
    /// The code of the script within the account.
    pub script: String,
    /// The newest version that the author has seen; 0: there is none yet.
    pub version: u32,
    /// What the text names itself.
    pub name: String,
    /// The TOML.
    pub body: String,
    /// Whether it is live at once.
    pub publishes: bool,
    /// Whether it takes the place of every live version before it: it is valid on all days.
    pub retires_older: bool,
    /// The older version of which it is a copy.
    pub restored: Option<u32>,
    /// Who saves it.
    pub by: RecordId,
    /// The name of that person.
    pub by_name: String,
}

/// How often an offer was made, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfferCount {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The code of the script within the account.
    pub script: String,
    /// The offer.
    pub offer: String,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub by: Option<RecordId>,
    /// How often the caller said yes.
    pub accepted: u64,
    /// How often the caller said no.
    pub declined: u64,
    /// How often the caller said perhaps later.
    pub later: u64,
}

/// Whether `text` can be the code of a script.
#[must_use]
pub fn is_script_code(text: &str) -> bool {
    let is_code = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    !text.is_empty() && text.len() <= SCRIPT_CODE_CHARS_MAX && text.bytes().all(is_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_states_are_words() {
        for state in [ScriptState::Draft, ScriptState::Live, ScriptState::Retired] {
            assert_eq!(ScriptState::parse(state.as_str()), Some(state));
        }
        assert!(is_script_code("usual") && is_script_code("e-mail_2"));
        for bad in ["", "Usual", "a b", "a/b", "..", "日", &"a".repeat(41)] {
            assert!(!is_script_code(bad), "{bad}");
        }
    }
}
