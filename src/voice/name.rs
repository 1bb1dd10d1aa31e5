//! The names of recordings' files, which the dialplan makes: `CHANNEL_ACCOUNT.wav` of a voice message, and
//! `CHANNEL_ACCOUNT_guidance.wav` of guidance that somebody of the account records. Neither is the other.
//!
//! Invariant: a name has no path and no hidden file in it, whatever the PBX reports.

use std::fmt;

use smol_str::SmolStr;
use uuid::Uuid;

use crate::ids::{ChannelId, RecordId};
use crate::spool::{SpoolName, channel_part, is_channel_part};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// How a name ends.
const ENDING: &str = ".wav";
/// How the name of recorded guidance ends.
const GUIDANCE_ENDING: &str = "_guidance.wav";
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
        let account = account_of(text, ENDING).ok_or(VoiceFileNameError)?;
        Ok(Self { text: text.into(), account })
    }

    /// The account for which it was left.
    #[must_use]
    pub fn account(&self) -> RecordId {
        self.account
    }

    /// The channel, as [`channel_part`] writes it.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.text.rsplit_once('_').map_or("", |(channel, _)| channel)
    }
}

/// The account in the name of a file with this ending.
fn account_of(text: &str, ending: &str) -> Option<RecordId> {
    let stem = text.strip_suffix(ending).filter(|_| text.len() <= NAME_BYTES_MAX)?;
    let (channel, account) = stem.rsplit_once('_')?;
    let is_id = account.len() == ACCOUNT_CHARS
        && account.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let id = Uuid::try_parse(account).ok().filter(|_| is_id && is_channel_part(channel));
    id.map(RecordId)
}

/// The name of a file of recorded guidance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GuidanceFileName(SmolStr);

impl GuidanceFileName {
    /// The name that the dialplan gives to what is recorded for this account on this channel.
    #[must_use]
    pub fn of(channel: &ChannelId, account: RecordId) -> Self {
        let channel = channel_part(channel.as_str());
        Self(format!("{channel}_{}{GUIDANCE_ENDING}", account.0.simple()).into())
    }
}

impl SpoolName for GuidanceFileName {
    fn read(text: &str) -> Option<Self> {
        account_of(text, GUIDANCE_ENDING).map(|_| Self(text.into()))
    }

    fn text(&self) -> &str {
        &self.0
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
    fn guidance_is_no_voice_message_and_the_other_way_round() {
        let voice = format!("PBX-1795970044.0_{ACCOUNT}.wav");
        let account = VoiceFileName::parse(&voice).unwrap().account();
        let guidance = GuidanceFileName::of(&ChannelId::parse("本社 PBX-1795970044.0").unwrap(), account);
        assert_eq!(guidance.text(), format!("PBX-1795970044.0_{ACCOUNT}_guidance.wav"));
        assert_eq!(GuidanceFileName::read(guidance.text()), Some(guidance.clone()));
        assert!(VoiceFileName::parse(guidance.text()).is_err());
        assert_eq!(GuidanceFileName::read(&voice), None);
        assert_eq!(GuidanceFileName::read(&format!("../1.2_{ACCOUNT}_guidance.wav")), None);
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
