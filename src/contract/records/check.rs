//! Checks that all records share: text and telephone numbers.

use super::RecordError;
use crate::identity::{printable, printable_lines};
use crate::numbers::{Number, NumberKind, NumberPlan};

/// Longest name, reading, code, department or role, in characters.
pub const NAME_CHARS_MAX: usize = 120;
/// Longest notes and answer phrases, in characters.
pub const NOTES_CHARS_MAX: usize = 10_000;

/// Most digits of a telephone number with its country code (E.164).
pub const NUMBER_DIGITS_MAX: usize = 15;

/// Which numbers a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberUse {
    /// A number that somebody can be reached at or calls from.
    Subscriber,
    /// What a trunk delivers as the dialled or forwarding number: also a part of a number.
    Routed,
}

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
    let cleaned = printable_lines(text);
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
    (of, plan): (NumberUse, &NumberPlan),
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
        if let Some(problem) = number_problem(&number, of) {
            return Err(invalid(field, format!("{original:?} is not a telephone number: {problem}")));
        }
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

/// Why no call ever has this number: it has too many digits, for instance because it is two numbers, or too few.
#[must_use]
pub(crate) fn number_problem(number: &Number, of: NumberUse) -> Option<String> {
    /// Digits of a Japanese number without its zero: a fixed line; a mobile, IP or 0800 number; the longest M2M number.
    const FIXED: usize = 9;
    const MOBILE: usize = 10;
    const M2M: usize = 13;
    const SEVERAL: &str = "several numbers are separate, in a file with ; between them";
    let key = number.key();
    let digits = key.trim_start_matches('+').len();
    if digits > NUMBER_DIGITS_MAX {
        return Some(format!("it has more than {NUMBER_DIGITS_MAX} digits; {SEVERAL}"));
    }
    if let Some(national) = key.strip_prefix("+81") {
        let max = match national.as_bytes() {
            [b'2', b'0', ..] => M2M,
            [b'5'..=b'9', b'0', ..] => MOBILE,
            _ => FIXED,
        };
        if national.len() > max {
            let (has, most) = (national.len() + 1, max + 1);
            return Some(format!("it has {has} digits, and one that begins so has {most}; {SEVERAL}"));
        }
        if national.len() < FIXED && of == NumberUse::Subscriber {
            return Some("digits are missing; write it with its area code".to_owned());
        }
    }
    let is_nothing = number.kind() == NumberKind::Other && of == NumberUse::Subscriber;
    (is_nothing || key.bytes().all(|b| b == b'0')).then(|| "no line has this number".to_owned())
}
