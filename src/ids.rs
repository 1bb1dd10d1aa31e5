//! Identifiers as types: no code inside the daemon passes a raw string where one of these is meant.
//!
//! Invariant: only the constructors make values of the text types, so each value is short and free of control characters,
//! whatever its source. Asterisk's own ids and names stay opaque: `systemname` and a queue's name may hold spaces, Japanese
//! or any other bytes, and [`text_of_bytes`] and [`push_bytes_of`] bring them through the daemon unchanged. [`CallId`] is the daemon's own id. It is *derived*
//! (UUID version 5 of the PBX and the first channel's unique id), so that two daemons on one PBX, or one daemon before
//! and after a restart, give a call the same id.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

/// Longest identifier taken from a PBX or a user, in bytes. Asterisk's own limit for a unique id is 150 bytes; a byte that
/// is not UTF-8 takes three here.
pub const ID_BYTES_MAX: usize = 480;
/// Longest extension, in characters.
pub const EXTENSION_CHARS_MAX: usize = 20;

/// Namespace of the derived call ids (a random constant; changing it renames every call).
const CALL_NAMESPACE: Uuid = Uuid::from_u128(0x8d0f_5a3e_6c1b_4b7e_9d55_2f0a_71c4_e3b9);

/// Why a text is not a valid id of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {max} characters of {allowed}")]
pub struct IdError {
    what: &'static str,
    max: usize,
    allowed: &'static str,
}

/// The first of the 128 private characters that stand for the bytes 0x80 to 0xFF where they are not UTF-8. Neither
/// Unicode nor the Japanese code pages use them.
const RAW_BYTE_FIRST: u32 = 0xEF80;

/// Bytes as text, without a loss: a byte that is not UTF-8 becomes a private character, from which [`push_bytes_of`]
/// makes the byte again.
#[must_use]
pub fn text_of_bytes(bytes: &[u8]) -> Cow<'_, str> {
    let mut chunks = bytes.utf8_chunks().peekable();
    match chunks.peek() {
        None => return Cow::Borrowed(""),
        Some(first) if first.valid().len() == bytes.len() => return Cow::Borrowed(first.valid()),
        Some(_) => {}
    }
    let mut text = String::with_capacity(bytes.len() * 3);
    for chunk in chunks {
        text.push_str(chunk.valid());
        let raw = chunk.invalid().iter().map(|byte| RAW_BYTE_FIRST + u32::from(*byte) - 0x80);
        text.extend(raw.filter_map(char::from_u32));
    }
    Cow::Owned(text)
}

/// Appends the bytes that [`text_of_bytes`] read as `text`.
pub fn push_bytes_of(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    let raw = |c: char| u32::from(c).checked_sub(RAW_BYTE_FIRST).filter(|offset| *offset < 0x80);
    while let Some(at) = rest.find(|c| raw(c).is_some()) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut chars = rest[at..].chars();
        if let Some(offset) = chars.next().and_then(raw) {
            out.extend(u8::try_from(offset + 0x80));
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Printable ASCII without spaces, quotes or backslashes.
fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\'))
}

/// Whatever stands on one line.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $fits:ident, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            #[doc = concat!("Takes ", $allowed, ", at most [`ID_BYTES_MAX`] bytes.")]
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if !text.is_empty() && text.len() <= ID_BYTES_MAX && $fits(text) {
                    Ok(Self(SmolStr::new(text)))
                } else {
                    Err(IdError { what: $what, max: ID_BYTES_MAX, allowed: $allowed })
                }
            }

            /// The text, unchanged.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = SmolStr::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

opaque_id!(
    /// A channel's unique id: constant for the channel's life and never reused by that PBX.
    ChannelId, "a channel id", is_one_line, "text without control characters"
);
opaque_id!(
    /// A bridge's unique id.
    BridgeId, "a bridge id", is_one_line, "text without control characters"
);
opaque_id!(
    /// The configured name of a PBX, for instance `osaka-1`.
    PbxId, "a PBX name", is_word, "printable ASCII without spaces, quotes or backslashes"
);
opaque_id!(
    /// The name of a queue.
    QueueName, "a queue name", is_one_line, "text without control characters"
);

/// An internal extension: the digits that reach a phone of this PBX.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Extension(SmolStr);

impl Extension {
    /// Takes 1 to [`EXTENSION_CHARS_MAX`] digits.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let fits = !text.is_empty() && text.len() <= EXTENSION_CHARS_MAX;
        if fits && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(SmolStr::new(text)))
        } else {
            Err(IdError { what: "an extension", max: EXTENSION_CHARS_MAX, allowed: "digits" })
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Extension {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = SmolStr::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A call as operators see it: from the first ring to the last hang-up, across transfers and channel changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl CallId {
    /// The id of the call that began with channel `first` on `pbx`.
    #[must_use]
    pub fn derive(pbx: &PbxId, first: &ChannelId) -> Self {
        let mut name = Vec::with_capacity(pbx.as_str().len() + 1 + first.as_str().len());
        name.extend_from_slice(pbx.as_str().as_bytes());
        name.push(b'\n');
        name.extend_from_slice(first.as_str().as_bytes());
        Self(Uuid::new_v5(&CALL_NAMESPACE, &name))
    }

    /// Reads the canonical hyphenated form.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| IdError {
            what: "a call id",
            max: 36,
            allowed: "a UUID's hexadecimal digits",
        })
    }

    /// The id as a UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for CallId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record of the installation (account, customer, contact, user, message): a UUID, version 7 when made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub Uuid);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_derived_from_the_pbx_and_the_first_channel() {
        let pbx = PbxId::parse("osaka-1").unwrap();
        let first = ChannelId::parse("1700000000.12").unwrap();
        assert_eq!(CallId::derive(&pbx, &first), CallId::derive(&pbx, &first));
        let other = PbxId::parse("osaka-2").unwrap();
        assert_ne!(CallId::derive(&pbx, &first), CallId::derive(&other, &first));
    }

    /// `systemname` stands in front of every unique id of a PBX.
    #[test]
    fn ids_of_the_pbx_are_opaque_bytes() {
        for bytes in [
            &b"1700000000.12"[..],
            b"Honsha PBX-1700000000.12",
            "本社-1700000000.12".as_bytes(),
            b"\x96\x7b\x8e\xd0-1700000000.12",
            b"\x96-\xef\xbe\x80\xff \"quoted\"",
            b"",
        ] {
            let text = text_of_bytes(bytes);
            assert_eq!(ChannelId::parse(&text).is_ok(), !bytes.is_empty(), "{text:?}");
            let mut back = Vec::new();
            push_bytes_of(&text, &mut back);
            assert_eq!(back, bytes);
        }
        assert!(QueueName::parse("受付 1").is_ok());
    }

    #[test]
    fn hostile_text_is_no_id() {
        for text in ["", "a\r\nb", "a\0", "a\u{85}b", &"9".repeat(ID_BYTES_MAX + 1)] {
            assert!(ChannelId::parse(text).is_err(), "{text:?}");
            assert!(QueueName::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "a b", "a\r\nb", "x\"", "é", &"9".repeat(ID_BYTES_MAX + 1)] {
            assert!(PbxId::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "10a", "＋81", "10 01", &"1".repeat(EXTENSION_CHARS_MAX + 1)] {
            assert!(Extension::parse(text).is_err(), "{text:?}");
        }
    }
}
