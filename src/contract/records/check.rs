//! Checks that all records share: text and telephone numbers.

use super::RecordError;
use crate::identity::printable;
use crate::numbers::{Number, NumberPlan};

/// Longest name, reading, code, department or role, in characters.
pub const NAME_CHARS_MAX: usize = 120;
/// Longest notes and answer phrases, in characters.
pub const NOTES_CHARS_MAX: usize = 10_000;

/// A number in the store: the key by which it is found, and the text that a person entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNumber {
    pub(crate) key: String,
    pub(crate) original: String,
}

/// The error of an invalid field.
pub(super) fn invalid(field: &'static str, problem: String) -> RecordError {
    RecordError { field, problem }
}

/// Cleans text of one line.
pub(super) fn single_line(field: &'static str, text: &str) -> Result<String, RecordError> {
    let text = printable(text, usize::MAX).unwrap_or_default();
    if text.chars().count() > NAME_CHARS_MAX {
        return Err(invalid(field, format!("longer than {NAME_CHARS_MAX} characters")));
    }
    Ok(text.into())
}

/// As [`single_line`]; the text must not be empty.
pub(super) fn required(field: &'static str, text: &str) -> Result<String, RecordError> {
    let text = single_line(field, text)?;
    if text.is_empty() { Err(invalid(field, "must not be empty".to_owned())) } else { Ok(text) }
}

/// As [`single_line`]; an empty text becomes `None`.
pub(super) fn optional(field: &'static str, text: Option<String>) -> Result<Option<String>, RecordError> {
    Ok(text.map(|text| single_line(field, &text)).transpose()?.filter(|text| !text.is_empty()))
}

/// Cleans notes and answer phrases.
pub(super) fn multi_line(field: &'static str, text: &str) -> Result<String, RecordError> {
    paragraphs(field, text, NOTES_CHARS_MAX)
}

/// Cleans text of several lines.
///
/// # Errors
/// The text is longer than `chars_max` characters.
pub(crate) fn paragraphs(field: &'static str, text: &str, chars_max: usize) -> Result<String, RecordError> {
    let cleaned: Vec<_> = text.lines().map(|line| printable(line, usize::MAX).unwrap_or_default()).collect();
    let cleaned = cleaned.join("\n").trim().to_owned();
    if cleaned.chars().count() > chars_max {
        return Err(invalid(field, format!("longer than {chars_max} characters")));
    }
    Ok(cleaned)
}

/// Parses the numbers in `texts`, and replaces `texts` by those that are stored: each number once, without empty texts.
pub(super) fn numbers(
    field: &'static str,
    texts: &mut Vec<String>,
    max: usize,
    plan: &NumberPlan,
) -> Result<Vec<StoredNumber>, RecordError> {
    let mut stored: Vec<StoredNumber> = Vec::with_capacity(texts.len());
    for text in texts.iter() {
        let original = single_line(field, text)?;
        if original.is_empty() {
            continue;
        }
        let Some(number) = Number::read(&original, plan) else {
            return Err(invalid(field, format!("{original:?} is not a telephone number")));
        };
        if !stored.iter().any(|known| known.key == number.key()) {
            stored.push(StoredNumber { key: number.key().to_owned(), original });
        }
    }
    if stored.len() > max {
        return Err(invalid(field, format!("at most {max} numbers")));
    }
    *texts = stored.iter().map(|number| number.original.clone()).collect();
    Ok(stored)
}
