//! The name of a recording's file, which the dialplan makes: `CHANNEL_ACCOUNT.wav`.
//!
//! Invariant: a name has no path and no hidden file in it, whatever the PBX reports.

use std::fmt;

use smol_str::SmolStr;
use uuid::Uuid;

use crate::ids::RecordId;
use crate::spool::{SpoolName, is_channel_part};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// How a name ends.
const ENDING: &str = ".wav";
/// Hexadecimal digits of an account's id.
const ACCOUNT_CHARS: usize = 32;

/// The name of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoiceFileName {
    text: SmolStr,
    account: RecordId,
}

/// The text is no name of a recording's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a recording is CHANNEL_ACCOUNT.wav, as the step voice of the dialplan makes it")]
pub struct VoiceFileNameError;

impl VoiceFileName {
    /// Reads a name.
    ///
    /// # Errors
    /// It is no name that the dialplan makes.
    pub fn parse(text: &str) -> Result<Self, VoiceFileNameError> {
        let stem = text.strip_suffix(ENDING).filter(|_| text.len() <= NAME_BYTES_MAX);
        let (channel, account) = stem.and_then(|stem| stem.rsplit_once('_')).ok_or(VoiceFileNameError)?;
        let is_id = account.len() == ACCOUNT_CHARS
            && account.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let id = Uuid::try_parse(account).ok().filter(|_| is_id && is_channel_part(channel));
        let account = RecordId(id.ok_or(VoiceFileNameError)?);
        Ok(Self { text: text.into(), account })
    }

    /// The account for which it was left.
    #[must_use]
    pub fn account(&self) -> RecordId {
        self.account
    }

    /// The channel, as [`channel_part`](crate::spool::channel_part) writes it.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.text.rsplit_once('_').map_or("", |(channel, _)| channel)
    }
}

impl SpoolName for VoiceFileName {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for VoiceFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "0198c1f2aaaa7bbb8ccc0123456789ab";

    #[test]
    fn a_name_says_channel_and_account() {
        let name = VoiceFileName::parse(&format!("PBX-1795970044.0_{ACCOUNT}.wav")).unwrap();
        assert_eq!(
            (name.channel(), name.account().0.simple().to_string().as_str()),
            ("PBX-1795970044.0", ACCOUNT)
        );
    }

    #[test]
    fn a_path_is_no_name() {
        for text in [
            String::new(),
            format!("_{ACCOUNT}.wav"),
            format!("../1.2_{ACCOUNT}.wav"),
            format!("/etc/1.2_{ACCOUNT}.wav"),
            format!("a/1.2_{ACCOUNT}.wav"),
            format!(".1.2_{ACCOUNT}.wav"),
            format!("-rf_{ACCOUNT}.wav"),
            format!("1.2_{ACCOUNT}.wav\0"),
            format!("1.2_{ACCOUNT}.wav/.."),
            format!("1.2_{ACCOUNT}.tif"),
            format!("1.2_{}.wav", ACCOUNT.to_uppercase()),
            format!("1.2_{}.wav", &ACCOUNT[1..]),
            "1.2_{0198c1f2aaaa7bbb8ccc0123456789a}.wav".to_owned(),
            format!("{}_{ACCOUNT}.wav", "1".repeat(NAME_BYTES_MAX)),
        ] {
            assert!(VoiceFileName::parse(&text).is_err(), "{text:?}");
        }
    }
}
