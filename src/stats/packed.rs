//! Counters as they are stored: `a12c3aa7`. Each counter that is not zero has the letters of its number (1 is `a`, 26 `z`, 27 `aa`)
//! and its value. A year has millions of such rows, and the names of counters would be four fifths of them.
//!
//! Invariant: what [`pack`] writes is what [`unpack`] reads. Rows of releases that stored JSON are read, too.

use super::Counters;

const LETTERS: u32 = 26;

/// A stored row that is not one of counters.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} are no counters; count the time again: toritsugi stats rebuild")]
pub(crate) struct UnpackError(String);

/// Writes the counters that are not zero.
pub(crate) fn pack(counters: &Counters) -> String {
    let mut text = String::new();
    for (number, value) in counters.numbered().filter(|(_, value)| *value > 0) {
        push_letters(&mut text, number);
        text.push_str(&value.to_string());
    }
    text
}

/// Reads what [`pack`] wrote.
///
/// # Errors
/// The text is something else.
pub(crate) fn unpack(text: &str) -> Result<Counters, UnpackError> {
    let error = || UnpackError(text.chars().take(40).collect());
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|_| error());
    }
    let mut counters = Counters::default();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| sign.is_ascii_digit()).ok_or_else(error)?;
        let (letters, after) = rest.split_at(digits);
        let end = after.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(after.len());
        let (value, after) = after.split_at(end);
        let counter = number_of(letters).and_then(|number| counters.by_number(number)).ok_or_else(error)?;
        *counter = value.parse().map_err(|_| error())?;
        rest = after;
    }
    Ok(counters)
}

fn push_letters(text: &mut String, number: u32) {
    if number > LETTERS {
        push_letters(text, (number - 1) / LETTERS);
    }
    text.extend(char::from_u32(u32::from(b'a') + (number - 1) % LETTERS));
}

fn number_of(letters: &str) -> Option<u32> {
    let is_known =
        (1..=2).contains(&letters.len()) && letters.bytes().all(|letter| letter.is_ascii_lowercase());
    let digit = |letter: u8| u32::from(letter - b'a') + 1;
    is_known.then(|| letters.bytes().fold(0, |number, letter| number * LETTERS + digit(letter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::COUNTERS;

    #[test]
    fn what_is_packed_is_read_again() {
        assert_eq!(pack(&Counters::default()), "");
        assert_eq!(unpack("").unwrap(), Counters::default());
        let mut all = Counters::default();
        for number in 1..=u32::try_from(COUNTERS.len()).unwrap() {
            *all.by_number(number).expect("numbers have no gaps") = u64::from(number) * 1_000_003;
        }
        assert_eq!(unpack(&pack(&all)).unwrap(), all);
        let most = Counters { talk_ms: u64::MAX, ..Counters::default() };
        assert_eq!(unpack(&pack(&most)).unwrap(), most);
    }

    #[test]
    fn what_is_stored_stays_readable() {
        // Numbers must not change: these rows are in the databases of users.
        let counters = Counters {
            offered: 12,
            elsewhere: 3,
            answered_le_15: 7,
            not_ready_ms: 900,
            ..Counters::default()
        };
        assert_eq!(pack(&counters), "a12c3z7bc900");
        assert_eq!(
            unpack(r#"{"offered":12,"elsewhere":3,"answered_le_15":7,"not_ready_ms":900}"#).unwrap(),
            counters
        );
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for text in ["a", "1", "a1b", "A1", "zz1", "aaa1", "a-1", "a99999999999999999999", "{", "あ1"] {
            assert!(unpack(text).is_err(), "{text}");
        }
    }
}
