//! What a refusal or a bounce means for the address.
//!
//! | class | status | for the address | for the message |
//! |---|---|---|---|
//! | `gone` | 5.1.x, 5.2.1, of a chat 404 and 410, or words such as "user unknown" | suspended at once | the next endpoint |
//! | `full` | 5.2.2, or words about a full mailbox | suspended after [`FULL_BOUNCES_MAX`] in [`FULL_BOUNCES_PERIOD`] | the next endpoint |
//! | `policy` | 5.7.x, or words about spam | stays: it is the sender's reputation | the next endpoint; an administrator must look |
//! | `content` | 5.3.4, 5.2.3, 552, too large | stays | the next endpoint |
//! | `other` | another 5.x, or none | stays | the next endpoint |
//! | `transient` | 4.x | stays | goes on |
//!
//! Invariant: a status decides before the words do, except where mail systems use 5.1.x, 5.2.x or 5.0.0 for what their words
//! say better.

use std::time::Duration;

/// How long after a busy line a fax is sent again.
pub const BUSY_AGAIN_DELAY: Duration = Duration::from_secs(600);
/// How often that is done.
pub const BUSY_AGAIN_MAX: u32 = 3;
/// Bounces of a full mailbox in [`FULL_BOUNCES_PERIOD`] that suspend its address.
pub const FULL_BOUNCES_MAX: u32 = 3;
/// The time in which they count.
pub const FULL_BOUNCES_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a refusal or a bounce means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BounceClass {
    /// The address is none any more.
    Gone,
    /// The mailbox is full.
    Full,
    /// The recipient's system does not want mails of this sender.
    Policy,
    /// It does not want this mail.
    Content,
    /// Any other reason, for good.
    Other,
    /// Not now.
    Transient,
}

const GONE: [&str; 12] = [
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "recipient unknown",
    "does not exist",
    "doesn't exist",
    "mailbox not found",
    "mailbox unavailable",
    "invalid recipient",
    "address rejected",
    "宛先不明",
];
const FULL: [&str; 5] =
    ["mailbox full", "mailbox is full", "over quota", "quota exceeded", "insufficient system storage"];
const POLICY: [&str; 7] = ["spam", "policy", "blocked", "blacklist", "reputation", "dmarc", "unsolicited"];
const CONTENT: [&str; 3] = ["too large", "size limit", "message size"];

impl BounceClass {
    /// All classes.
    pub const ALL: [Self; 6] =
        [Self::Gone, Self::Full, Self::Policy, Self::Content, Self::Other, Self::Transient];

    /// The class of what a system said, with the status in it.
    #[must_use]
    pub fn of(status: Option<&str>, text: &str) -> Self {
        let lower = text.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let status = status.unwrap_or_default();
        let of_status = match status.split('.').collect::<Vec<_>>()[..] {
            ["4", ..] => return Self::Transient,
            ["5", "7", _] => return Self::Policy,
            ["5", "2", "2"] => return Self::Full,
            ["5", "3", "4"] | ["5", "2", "3"] => return Self::Content,
            ["5", "1", _] | ["5", "2", "1"] => Some(Self::Gone),
            // Of a chat: there is no such webhook or room, or no more.
            ["404"] | ["410"] => Some(Self::Gone),
            _ => None,
        };
        if says(&POLICY) {
            Self::Policy
        } else if let Some(class) = of_status {
            class
        } else if says(&FULL) {
            Self::Full
        } else if says(&CONTENT) || lower.starts_with("552") {
            Self::Content
        } else if says(&GONE) {
            Self::Gone
        } else {
            Self::Other
        }
    }

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Full => "full",
            Self::Policy => "policy",
            Self::Content => "content",
            Self::Other => "other",
            Self::Transient => "transient",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_class() {
        for (status, text, class) in [
            (Some("5.1.1"), "550 5.1.1 <a@example.jp>: Recipient address rejected", BounceClass::Gone),
            (Some("5.1.10"), "550 5.1.10 RESOLVER.ADR.RecipientNotFound", BounceClass::Gone),
            (Some("5.2.1"), "550 5.2.1 The account is disabled", BounceClass::Gone),
            (None, "550 Unknown user sasaki", BounceClass::Gone),
            (Some("5.0.0"), "550 no such user here", BounceClass::Gone),
            (Some("5.2.2"), "552 5.2.2 mailbox full", BounceClass::Full),
            (Some("5.0.0"), "mailbox is full", BounceClass::Full),
            (Some("5.7.1"), "554 5.7.1 rejected", BounceClass::Policy),
            (Some("5.1.0"), "550 blocked as spam", BounceClass::Policy),
            (Some("5.3.4"), "552 5.3.4 too big", BounceClass::Content),
            (None, "552 message size exceeds the limit", BounceClass::Content),
            (Some("5.6.0"), "554 5.6.0 not like this", BounceClass::Other),
            (None, "550 no", BounceClass::Other),
            (Some("4.2.2"), "452 4.2.2 over quota", BounceClass::Transient),
        ] {
            assert_eq!(BounceClass::of(status, text), class, "{text}");
        }
    }
}
