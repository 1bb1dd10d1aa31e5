//! The PIN with which somebody of an account records its guidance by telephone.
//!
//! Invariant: a PIN is six digits, in no log and no `Debug`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::RecordId;
use crate::secret::Secret;

/// Digits of a PIN.
pub const PIN_DIGITS: usize = 6;
/// Fewest different digits of a PIN.
pub const PIN_DISTINCT_DIGITS_MIN: usize = 3;
/// Most digits of the number that is entered for an account.
pub const ENTRY_DIGITS_MAX: usize = 10;

/// A PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuidancePin(Secret);

/// Why a PIN, or the number that is entered for the account, is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuidancePinError {
    /// The PIN has another form.
    #[error("pin: {PIN_DIGITS} digits")]
    Digits,
    /// It is one of the first that somebody tries.
    #[error(
        "pin: at least {PIN_DISTINCT_DIGITS_MIN} different digits, which do not follow each other as 123456 do"
    )]
    Guessable,
    /// The number has another form, or the account's code has no digits.
    #[error("entry: 1 to {ENTRY_DIGITS_MAX} digits; if absent, those of the account's code")]
    Entry,
}

impl GuidancePin {
    /// Reads a PIN that somebody sets.
    ///
    /// # Errors
    /// It has another form, or is easily guessed.
    pub fn new(text: &str) -> Result<Self, GuidancePinError> {
        let pin = Self::entered(text).ok_or(GuidancePinError::Digits)?;
        let digits = text.as_bytes();
        let mut distinct = digits.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let follows = |step: i16| digits.windows(2).all(|two| i16::from(two[1]) - i16::from(two[0]) == step);
        if distinct.len() < PIN_DISTINCT_DIGITS_MIN || follows(1) || follows(-1) {
            return Err(GuidancePinError::Guessable);
        }
        Ok(pin)
    }

    /// Reads what a caller entered; `None` if it can be nobody's PIN.
    #[must_use]
    pub fn entered(text: &str) -> Option<Self> {
        let is_pin = text.len() == PIN_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        is_pin.then(|| Self(Secret::new(text)))
    }

    /// The digits, for the hash.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A PIN to set.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGuidancePin {
    /// Six digits.
    #[schema(min_length = 6, max_length = 6)]
    pub pin: String,
    /// What a caller enters for the account, 1 to 10 digits; absent: the digits of the account's code.
    #[serde(default)]
    #[schema(max_length = 10)]
    pub entry: Option<String>,
}

impl NewGuidancePin {
    /// The PIN, and what is entered for the account with this code.
    ///
    /// # Errors
    /// Names the field and what it permits.
    pub fn checked(&self, code: &str) -> Result<(GuidancePin, String), GuidancePinError> {
        let pin = GuidancePin::new(&self.pin)?;
        let of_code = || code.chars().filter(char::is_ascii_digit).collect();
        let entry: String = self.entry.clone().unwrap_or_else(of_code);
        let fits =
            (1..=ENTRY_DIGITS_MAX).contains(&entry.len()) && entry.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok((pin, entry)) } else { Err(GuidancePinError::Entry) }
    }
}

/// That an account has a PIN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = GuidancePin)]
pub struct GuidancePinView {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// What a caller enters for the account.
    pub entry: String,
    /// Who set the PIN.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_six_digits_that_nobody_tries_first() {
        for (text, fits) in [
            ("481516", true),
            ("112233", true),
            ("", false),
            ("48151", false),
            ("4815162", false),
            ("48151a", false),
            ("４８１５１６", false),
            ("111111", false),
            ("121212", false),
            ("123456", false),
            ("987654", false),
        ] {
            assert_eq!(GuidancePin::new(text).is_ok(), fits, "{text}");
        }
        assert!(GuidancePin::entered("111111").is_some(), "what is entered is compared");
        assert!(!format!("{:?}", GuidancePin::new("481516")).contains("481516"));
    }

    #[test]
    fn the_account_is_entered_by_the_digits_of_its_code_or_by_a_number_of_its_own() {
        let new = |entry: Option<&str>| NewGuidancePin { pin: "481516".into(), entry: entry.map(Into::into) };
        for (code, entry, expected) in [
            ("A001", None, Some("001")),
            ("S-1", None, Some("1")),
            ("さくら", None, None),
            ("さくら", Some("7"), Some("7")),
            ("A001", Some(""), None),
            ("A001", Some("12345678901"), None),
            ("A001", Some("1a"), None),
        ] {
            let found = new(entry).checked(code).ok().map(|(_, entry)| entry);
            assert_eq!(found.as_deref(), expected, "{code} {entry:?}");
        }
    }
}
