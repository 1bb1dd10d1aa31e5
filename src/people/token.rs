//! Bearer tokens: 256 random bits, shown once, stored only as their SHA-256.
//!
//! Invariant: the text of a token appears in no log, `Debug` output or URL; hashes are compared in constant time. A plain
//! hash is enough for 256 random bits, which cannot be guessed; passwords need more (`password.rs`).

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// The prefix of every token, by which people and secret scanners recognise it.
const TOKEN_PREFIX: &str = "toritsugi_";

/// A token as its bearer presents it.
#[derive(Clone)]
pub struct Token([u8; TOKEN_BYTES]);

/// The text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token: a token begins with {TOKEN_PREFIX} and is followed by 64 hexadecimal digits")]
pub struct TokenError;

impl Token {
    /// The token of these bytes, which must come from the system's random source and be used once.
    #[must_use]
    pub fn from_random(bytes: [u8; TOKEN_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads the text that a client sent.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let digits = text.strip_prefix(TOKEN_PREFIX).ok_or(TokenError)?.as_bytes();
        if digits.len() != TOKEN_BYTES * 2 {
            return Err(TokenError);
        }
        let mut bytes = [0; TOKEN_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }

    /// The text, for the one response that gives it to its bearer.
    #[must_use]
    pub fn expose(&self) -> String {
        let digits = self.0.iter().flat_map(|b| [b >> 4, b & 15]);
        let digits = digits.filter_map(|d| char::from_digit(u32::from(d), 16));
        TOKEN_PREFIX.chars().chain(digits).collect()
    }

    /// The hash to store or look up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

fn nibble(digit: u8) -> Result<u8, TokenError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(TokenError),
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash as read from the store.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store or look up.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_shows_itself_nowhere_else() {
        let bytes = std::array::from_fn(|i| u8::try_from(i * 7 % 256).unwrap());
        let token = Token::from_random(bytes);
        let text = token.expose();
        assert_eq!(text.len(), TOKEN_PREFIX.len() + 64);
        let read = Token::parse(&text).unwrap();
        assert_eq!(read.hash(), token.hash());
        assert_ne!(read.hash(), Token::from_random([0; 32]).hash());
        assert_eq!(format!("{token:?} {:?}", token.hash()), "Token(..) TokenHash(..)");
    }

    #[test]
    fn other_text_is_no_token() {
        let token = Token::from_random([0xab; 32]).expose();
        for text in [
            "",
            "toritsugi_",
            &token[1..],
            &token[..token.len() - 1],
            &token.to_uppercase(),
            &format!("{token} "),
        ] {
            assert!(Token::parse(text).is_err(), "{text:?}");
        }
    }
}
