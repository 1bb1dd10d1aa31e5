//! Passwords, stored as Argon2id hashes, never as text.
//!
//! Invariant: a check takes the same work whether the person exists or not ([`PasswordHash::verify_nobody`]), so that the
//! response time reveals nothing. Hashing is expensive by design (19 MiB, about 20 ms): call it from a blocking task, and
//! only a few at a time.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};

/// Shortest accepted password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Longest accepted password, in characters.
pub const PASSWORD_CHARS_MAX: usize = 256;

/// Why a password cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")]
    Length,
    /// The stored text is not an Argon2 hash.
    #[error("the stored password hash cannot be read; set a new password")]
    Stored,
    /// The hash could not be computed.
    #[error("the password could not be hashed: out of memory or randomness")]
    Hash,
}

/// An Argon2id hash with its salt and parameters (PHC text form).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a new password with a random salt.
    pub fn of(password: &str) -> Result<Self, PasswordError> {
        let chars = password.chars().count();
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
            return Err(PasswordError::Length);
        }
        let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| PasswordError::Hash)?;
        Ok(Self(hash.to_string()))
    }

    /// Reads a hash from the store.
    pub fn from_stored(text: &str) -> Result<Self, PasswordError> {
        phc::PasswordHash::new(text).map_err(|_| PasswordError::Stored)?;
        Ok(Self(text.to_owned()))
    }

    /// The text to store.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// Whether this is the password.
    #[must_use]
    pub fn verify(&self, password: &str) -> bool {
        if password.chars().count() > PASSWORD_CHARS_MAX {
            return false;
        }
        let Ok(hash) = phc::PasswordHash::new(&self.0) else { return false };
        Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    }

    /// Does the work of [`Self::verify`] for a person who does not exist or has no password. Always false.
    #[must_use]
    pub fn verify_nobody(password: &str) -> bool {
        let mut out = [0; 32];
        let password: String = password.chars().take(PASSWORD_CHARS_MAX).collect();
        // Only the work counts; the result is discarded.
        let _ = Argon2::default().hash_password_into(password.as_bytes(), b"nobody's own salt", &mut out);
        false
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_fits() {
        let hash = PasswordHash::of("お客様の声を聞く電話").unwrap();
        assert!(hash.as_stored().starts_with("$argon2id$"));
        let hash = PasswordHash::from_stored(hash.as_stored()).unwrap();
        assert!(hash.verify("お客様の声を聞く電話"));
        assert!(!hash.verify("お客様の声を聞く電話 "));
        assert!(!hash.verify(""));
        assert!(!PasswordHash::verify_nobody("お客様の声を聞く電話"));
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }

    #[test]
    fn passwords_have_limits() {
        assert_eq!(PasswordHash::of("short"), Err(PasswordError::Length));
        assert_eq!(PasswordHash::of(&"x".repeat(PASSWORD_CHARS_MAX + 1)), Err(PasswordError::Length));
        assert_eq!(PasswordHash::from_stored("plain"), Err(PasswordError::Stored));
    }
}
