//! An option that operators choose from: a code for records and statistics, and a label for people, in one language or two.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use crate::identity::printable;

/// Longest code, in characters.
const CODE_CHARS_MAX: usize = 40;
/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 60;

/// One option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Choice {
    /// Stored in records and sent in requests.
    #[schema(value_type = String)]
    pub code: SmolStr,
    /// Shown to people.
    #[schema(value_type = String)]
    pub label: SmolStr,
    /// Shown to people who read English; absent: `label` is for everybody.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_en: Option<SmolStr>,
}

/// The text is not a choice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a choice: write a code of a-z, 0-9 or '_', a colon, and the label that people read, as in \"break:休憩\"; \
     behind a bar, the label in English: \"break:休憩|Break\""
)]
pub struct ChoiceError(String);

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let error = || ChoiceError(text.to_owned());
        let (code, label) = text.split_once(':').ok_or_else(error)?;
        let is_code = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if code.is_empty() || code.len() > CODE_CHARS_MAX || !code.bytes().all(is_code) {
            return Err(error());
        }
        let (label, english) = label.split_once('|').map_or((label, None), |(label, en)| (label, Some(en)));
        let read = |text| printable(text, LABEL_CHARS_MAX).ok_or_else(error);
        Ok(Self { code: code.into(), label: read(label)?, label_en: english.map(read).transpose()? })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code, self.label)?;
        self.label_en.as_ref().map_or(Ok(()), |english| write!(f, "|{english}"))
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_code_and_a_label() {
        let choice: Choice = "break: 休憩".parse().unwrap();
        assert_eq!((choice.code.as_str(), choice.label.as_str()), ("break", "休憩"));
        assert_eq!((choice.to_string().as_str(), choice.label_en), ("break:休憩", None));
        let both: Choice = "break: 休憩 | Break ".parse().unwrap();
        assert_eq!((both.label.as_str(), both.label_en.as_deref()), ("休憩", Some("Break")));
        assert_eq!(both.to_string(), "break:休憩|Break");
        for text in ["", "休憩", "break:", "break:|Break", "break:休憩|", ":休憩", "Break:休憩", "a b:c"]
        {
            assert!(text.parse::<Choice>().unwrap_err().to_string().contains("is not a choice"), "{text}");
        }
    }
}
