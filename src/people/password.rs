//! Passwords, stored as Argon2id hashes, never as text.
//!
//! Invariants: a check takes the same work whether the person exists or not ([`PasswordHash::verify_nobody`]), so that the
//! response time reveals nothing; a text that cannot be a password ([`is_possible`]) is refused before anybody looks the
//! person up. Hashing is expensive by design (19 MiB, about 20 ms): call it from a blocking task.
//!
//! The memory of a hash is one of [`HASHES_AT_ONCE_MAX`] buffers that are allocated once and kept. A further hash waits for
//! a buffer. Buffers that are allocated for each hash would stay with the allocator, one for each thread that ever hashed.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::{Mutex, MutexGuard};

use crate::contract::guidance_pin::GuidancePin;

/// Shortest accepted password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Longest accepted password, in characters.
pub const PASSWORD_CHARS_MAX: usize = 256;
/// Fewest different characters in a password.
pub const PASSWORD_DISTINCT_CHARS_MIN: usize = 4;
/// Passwords that are hashed at the same time, each in a buffer of its own.
pub const HASHES_AT_ONCE_MAX: usize = 2;

/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// The kept memory of hashes.
static MEMORY: [Mutex<Vec<Block>>; HASHES_AT_ONCE_MAX] =
    [const { Mutex::new(Vec::new()) }; HASHES_AT_ONCE_MAX];

/// Why a password cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")]
    Length,
    /// The same few characters again and again.
    #[error("a password has at least {PASSWORD_DISTINCT_CHARS_MIN} different characters")]
    Monotonous,
    /// The stored text is not an Argon2 hash.
    #[error("the stored password hash cannot be read; set a new password")]
    Stored,
    /// The hash could not be computed.
    #[error("the password could not be hashed: out of memory or randomness")]
    Hash,
}

/// Whether a text of this length can be anybody's password.
#[must_use]
pub fn is_possible(password: &str) -> bool {
    password.chars().nth(PASSWORD_CHARS_MAX).is_none()
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
        let mut distinct: Vec<char> = password.chars().collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < PASSWORD_DISTINCT_CHARS_MIN {
            return Err(PasswordError::Monotonous);
        }
        Self::hashed(password)
    }

    /// Hashes a new PIN with a random salt. Whoever checks PINs permits few tries: six digits would be guessed.
    pub fn of_pin(pin: &GuidancePin) -> Result<Self, PasswordError> {
        Self::hashed(pin.expose())
    }

    fn hashed(password: &str) -> Result<Self, PasswordError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| PasswordError::Hash)?;
        let (argon2, mut out) = (Argon2::default(), [0; HASH_BYTES]);
        hash_into(&argon2, password, &salt, &mut out).map_err(|_| PasswordError::Hash)?;
        let hash = phc::PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(Version::default().into()),
            params: argon2.params().try_into().map_err(|_| PasswordError::Hash)?,
            salt: Some(phc::Salt::new(&salt).map_err(|_| PasswordError::Hash)?),
            hash: Some(phc::Output::new(&out).map_err(|_| PasswordError::Hash)?),
        };
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
        self.matches(password).unwrap_or(false)
    }

    /// `None` when the stored text is not a hash that this version can compute.
    fn matches(&self, password: &str) -> Option<bool> {
        let stored = phc::PasswordHash::new(&self.0).ok()?;
        let (salt, expected) = (stored.salt?, stored.hash?);
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
        let version = stored.version.map_or(Some(Version::default()), |v| Version::try_from(v).ok())?;
        let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored).ok()?);
        let mut out = vec![0; expected.len()];
        hash_into(&argon2, password, &salt, &mut out).ok()?;
        // Compares in constant time.
        Some(phc::Output::new(&out).ok()? == expected)
    }

    /// Does the work of [`Self::verify`] for a person who does not exist or has no password. Always false.
    #[must_use]
    pub fn verify_nobody(password: &str) -> bool {
        let mut out = [0; HASH_BYTES];
        // Only the work counts; the result is discarded.
        let _ = hash_into(&Argon2::default(), password, b"nobody's own salt", &mut out);
        false
    }
}

/// Hashes in a kept buffer; waits while all of them are in use.
fn hash_into(argon2: &Argon2<'_>, password: &str, salt: &[u8], out: &mut [u8]) -> argon2::Result<()> {
    let blocks = argon2.params().block_count();
    let usual = Params::default().block_count();
    if blocks > usual {
        // A hash that was made elsewhere with more memory; its buffer is not kept.
        return argon2.hash_password_into(password.as_bytes(), salt, out);
    }
    let mut memory = free_memory();
    if memory.is_empty() {
        memory.resize(usual, Block::default());
    }
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, memory.as_mut_slice())
}

/// A buffer that is not in use, or else the first one as soon as it is free. Each hash overwrites it.
fn free_memory() -> MutexGuard<'static, Vec<Block>> {
    MEMORY.iter().find_map(Mutex::try_lock).unwrap_or_else(|| MEMORY[0].lock())
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
        assert_eq!(PasswordHash::of("aaaaaaaaaa"), Err(PasswordError::Monotonous));
        assert_eq!(PasswordHash::of("abcabcabcabc"), Err(PasswordError::Monotonous));
        assert!(is_possible(&"あ".repeat(PASSWORD_CHARS_MAX)));
        assert!(!is_possible(&"あ".repeat(PASSWORD_CHARS_MAX + 1)));
    }

    /// A hash of version 0.1.0 of this program, and one of another program with other parameters.
    #[test]
    fn hashes_that_were_made_before_still_fit() {
        let argon2 = Argon2::default();
        use argon2::password_hash::{CustomizedPasswordHasher, PasswordHasher};
        let usual = argon2.hash_password(b"correct horse").unwrap();
        let parameters = Params::new(24 * 1024, 3, 2, Some(24)).unwrap();
        let more = argon2
            .hash_password_customized(b"correct horse", b"another salt", Some("argon2i"), None, parameters)
            .unwrap();
        for hash in [usual, more] {
            let hash = PasswordHash::from_stored(&hash.to_string()).unwrap();
            assert!(hash.verify("correct horse"), "{}", hash.as_stored());
            assert!(!hash.verify("correct hors"));
        }
    }

    /// More threads than buffers, each of which hashed in memory of its own before.
    #[test]
    fn many_passwords_are_checked_in_the_same_memory() {
        let hash = PasswordHash::of("correct horse").unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let hash = &hash;
                scope.spawn(move || {
                    assert!(hash.verify("correct horse"));
                    assert!(!hash.verify(&format!("wrong {n}")));
                });
            }
        });
        let blocks = MEMORY.iter().map(|memory| memory.lock().len()).sum::<usize>();
        assert!(blocks <= HASHES_AT_ONCE_MAX * Params::default().block_count(), "{blocks} KiB");
    }
}
