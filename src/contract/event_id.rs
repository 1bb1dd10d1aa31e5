//! Event ids: a stream and a position in it. Clients treat an id as opaque.
//!
//! Text form `<stream>-<position>`, for instance `k3v9q0-1742`.
//! Invariant: within a stream, a later event has a greater position. `parse` and `Display` are each other's inverse, so
//! an id survives a header or a URL.

use std::fmt;

use serde::{Serialize, Serializer};
use smol_str::SmolStr;

/// Longest stream token, in characters.
pub(crate) const STREAM_CHARS_MAX: usize = 32;

/// The stream an id belongs to. A daemon that numbers its events from 1 again uses a new token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamToken(SmolStr);

/// The text is not an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event id: send back the id of an event exactly as it was received")]
pub struct EventIdError;

impl StreamToken {
    /// Takes 1 to [`STREAM_CHARS_MAX`] lower-case letters and digits.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        let fits = !text.is_empty() && text.len() <= STREAM_CHARS_MAX;
        if fits && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            Ok(Self(SmolStr::new(text)))
        } else {
            Err(EventIdError)
        }
    }

    /// The token for a number, for instance 64 random bits or the start time.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(SmolStr::new(format!("{number:x}")))
    }

    /// The token made of a prefix (lower-case letters and digits) and a number.
    pub(crate) fn from_prefix(prefix: &str, number: u64) -> Self {
        Self(SmolStr::new(format!("{prefix}{number:x}")))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventId {
    pub(crate) stream: StreamToken,
    pub(crate) position: u64,
}

impl EventId {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        let (stream, position) = text.split_once('-').ok_or(EventIdError)?;
        let canonical = position == "0" || !position.starts_with('0');
        if !canonical || !position.bytes().all(|b| b.is_ascii_digit()) {
            return Err(EventIdError);
        }
        let position = position.parse().map_err(|_| EventIdError)?;
        Ok(Self { stream: StreamToken::parse(stream)?, position })
    }

    /// The id of event `number` of `stream`.
    #[must_use]
    pub(crate) fn new(stream: StreamToken, number: u64) -> Self {
        Self { stream, position: number }
    }

    /// The stream, and the position in it.
    #[must_use]
    pub(crate) fn parts(&self) -> (&StreamToken, u64) {
        (&self.stream, self.position)
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamToken {
        &self.stream
    }

    /// The position in the stream.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether this is a later event of the same stream.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        self.stream == other.stream && self.position > other.position
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream.0, self.position)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        for text in ["a-0", "k3v9q0-1742", "0-18446744073709551615"] {
            assert_eq!(EventId::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_text_is_no_id() {
        let long = format!("{}-1", "a".repeat(STREAM_CHARS_MAX + 1));
        for text in
            ["", "-", "a-", "-1", "a-01", "a-+1", "a--1", "A-1", "a-1 ", "a-18446744073709551616", &long]
        {
            assert!(EventId::parse(text).is_err(), "{text:?}");
        }
    }
}
