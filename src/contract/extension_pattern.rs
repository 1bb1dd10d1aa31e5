//! Patterns of extensions, in the notation of the dialplan. The configuration uses them for the phones of operators and
//! supervisors.
//!
//! Invariant: a pattern matches whole extensions only, so `1XXX` does not match 10010.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::ids::EXTENSION_CHARS_MAX;

/// Matches extensions of one length: `X` is 0 to 9, `Z` 1 to 9, `N` 2 to 9; a digit matches itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ExtensionPattern(Box<[u8]>);

/// The text is not an extension pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not an extension pattern: use 1 to {EXTENSION_CHARS_MAX} of the digits 0 to 9 and X, Z, N"
)]
pub struct ExtensionPatternError(String);

impl ExtensionPattern {
    /// Whether the pattern matches the whole `extension`.
    #[must_use]
    pub fn matches(&self, extension: &str) -> bool {
        extension.len() == self.0.len()
            && self.0.iter().zip(extension.bytes()).all(|(symbol, digit)| match symbol {
                b'X' => digit.is_ascii_digit(),
                b'Z' => matches!(digit, b'1'..=b'9'),
                b'N' => matches!(digit, b'2'..=b'9'),
                literal => *literal == digit,
            })
    }
}

impl FromStr for ExtensionPattern {
    type Err = ExtensionPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The dialplan writes patterns with a leading underscore. A copied pattern is accepted with it.
        let symbols = text.strip_prefix('_').unwrap_or(text).to_ascii_uppercase().into_bytes();
        let is_valid_length = !symbols.is_empty() && symbols.len() <= EXTENSION_CHARS_MAX;
        if is_valid_length && symbols.iter().all(|s| matches!(s, b'0'..=b'9' | b'X' | b'Z' | b'N')) {
            Ok(Self(symbols.into_boxed_slice()))
        } else {
            Err(ExtensionPatternError(text.chars().take(40).filter(|c| !c.is_control()).collect()))
        }
    }
}

impl TryFrom<String> for ExtensionPattern {
    type Error = ExtensionPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ExtensionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for ExtensionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_extensions_match() {
        let table = [
            ("1XXX", "1001", true),
            ("_1xxx", "1999", true),
            ("1XXX", "10010", false),
            ("1XXX", "100", false),
            ("1XXX", "2001", false),
            ("1XXX", "1a01", false),
            ("N1Z", "219", true),
            ("N1Z", "119", false),
            ("N1Z", "210", false),
            ("1001", "1001", true),
        ];
        for (pattern, extension, expected) in table {
            let pattern: ExtensionPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(extension), expected, "{pattern} {extension}");
        }
    }

    #[test]
    fn other_symbols_are_rejected() {
        for text in ["", "_", "1.", "1-XX", "[1-3]XX", "1ＸＸ", &"1".repeat(21)] {
            assert!(text.parse::<ExtensionPattern>().is_err(), "{text:?}");
        }
    }
}
