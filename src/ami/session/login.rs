//! The login: AMI version, authentication, refusals.

use md5::{Digest, Md5};

use crate::ami::frame::Frame;
use crate::secret::Secret;

/// How the daemon proves to the PBX that it knows the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// By a digest of a challenge and the secret: the secret is not sent.
    #[default]
    Md5,
    /// By sending the secret; for TLS, or for a PBX behind a proxy that does not support the challenge.
    Plain,
}

/// The AMI version in the greeting, which identifies the Asterisk release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AmiVersion {
    /// For instance 11 of 11.0.0.
    pub major: u16,
    /// For instance 0.
    pub minor: u16,
    /// For instance 0.
    pub patch: u16,
}

impl AmiVersion {
    /// Reads `11.0.0`; a part that is not a number counts as 0.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut numbers = text
            .split(|b| *b == b'.')
            .map(|part| std::str::from_utf8(part).ok().and_then(|part| part.parse().ok()));
        let mut next = || numbers.next().flatten().unwrap_or(0);
        Self { major: next(), minor: next(), patch: next() }
    }

    /// The Asterisk release with this version: 5 is 16, 7 is 18, 9 is 20, 11 is 22, 12 is 23. `None` before 16.
    #[must_use]
    pub fn asterisk_major(self) -> Option<u16> {
        (self.major >= 5).then_some(self.major + 11)
    }
}

impl std::fmt::Display for AmiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why the PBX refused a login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefusal {
    /// Unknown user, wrong secret or denied address: Asterisk answers all three alike on purpose.
    #[error("unknown user, wrong secret, or an address that manager.conf denies")]
    BadCredentials,
    /// The user may not log in.
    #[error("manager.conf does not permit this user to log in")]
    NotPermitted,
    /// `allowmultiplelogin` is off and another session has this user.
    #[error("this user is logged in elsewhere and manager.conf has allowmultiplelogin = no")]
    InUse,
    /// Any other reason: the message of the PBX, or a user name or secret that cannot be sent.
    #[error("the login failed: {0}")]
    Other(String),
}

impl LoginRefusal {
    /// Reads the refusal from a response (main/manager.c, `action_login` and `process_message`).
    pub(super) fn from_response(frame: &Frame) -> Self {
        match frame.get("Message") {
            Some(b"Authentication failed") => Self::BadCredentials,
            Some(b"Permission denied") => Self::NotPermitted,
            Some(b"Login Already In Use") => Self::InUse,
            Some(other) => {
                Self::Other(String::from_utf8_lossy(other).chars().filter(|c| !c.is_control()).collect())
            }
            None => Self::Other("no message".to_owned()),
        }
    }
}

/// The key of an MD5 login: the digest of challenge and secret in lower-case hexadecimal digits.
pub(super) fn md5_key(challenge: &str, secret: &Secret) -> String {
    let mut md5 = Md5::new();
    md5.update(challenge);
    md5.update(secret.expose());
    md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_name_their_asterisk() {
        for (greeting, asterisk) in
            [("5.0.5", Some(16)), ("7.0.3", Some(18)), ("11.0.0", Some(22)), ("2.8.0", None)]
        {
            let version = AmiVersion::parse(greeting.as_bytes());
            assert_eq!(version.asterisk_major(), asterisk);
            assert_eq!(version.to_string(), greeting);
        }
        assert_eq!(AmiVersion::parse(b"\xff.x"), AmiVersion::default());
    }

    #[test]
    fn the_key_is_md5_of_challenge_and_secret() {
        // `printf 840415273secret | md5sum`
        assert_eq!(md5_key("840415273", &Secret::new("secret")), "81c3ab5534a432bec402f6d988ee45b4");
    }
}
