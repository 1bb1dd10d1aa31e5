//! What an installation, and of some of it each account, decides about supervision.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an operator learns that somebody hears her.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SupervisionNotify)]
pub enum Notify {
    /// A tone, when it begins, that the caller does not hear.
    Tone,
    /// A notice on her desktop.
    Desktop,
    /// Not at all.
    Silent,
}

impl Notify {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tone, Self::Desktop, Self::Silent];

    /// The word for it in records and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tone => "tone",
            Self::Desktop => "desktop",
            Self::Silent => "silent",
        }
    }

    /// The policy of that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notify| notify.as_str() == word)
    }
}

/// Whom a supervisor hears after the operator she hears has passed the caller on. Who follows an operator stays
/// with the operator, and who hears a call stays with the call, whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterTransfer {
    /// The operator, when the caller comes back to her; otherwise it is over.
    Operator,
    /// The caller, with whoever has her now. With somebody outside she can be listened to and no more: a whisper
    /// or barge would reach strangers.
    Caller,
    /// Nobody: it is over with the transfer.
    End,
}

/// What the machine is built with.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a supervisor's phone rings.
    pub ring: std::time::Duration,
    /// Whether that phone is asked to answer by itself.
    pub auto_answer: bool,
    /// How operators learn of it where no account says otherwise.
    pub notify: Notify,
    /// Whom a supervisor hears after a transfer.
    pub after_transfer: AfterTransfer,
}
