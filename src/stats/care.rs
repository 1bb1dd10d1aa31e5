//! What became of what a caller left without an operator.
//!
//! | message | is done |
//! |---|---|
//! | a request to be called back | when the caller was reached: a person says so of the task, or of the message |
//! | a recording | when the account has it: the next system took it, for instance the mail server, or a person says so |
//!
//! Invariant: pure. What was done and is taken back (the mail was returned, a correction opens the message again) is not done.

use std::time::Duration;

use crate::contract::message::{MessageKind, MessageState};

/// How long after the end of the call it is in time.
pub const CARE_WITHIN: Duration = Duration::from_secs(3_600);
const CARE_WITHIN_MS: i64 = 3_600_000;

/// What became of what a caller left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Care {
    /// It was done within [`CARE_WITHIN`].
    pub is_in_time: bool,
    /// The caller asked to be called back, and was reached.
    pub is_reached: bool,
}

/// A message that a call left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftMessage {
    /// A recording, or a request to be called back.
    pub kind: MessageKind,
    /// Its state.
    pub state: MessageState,
    /// When the next system first took it, in milliseconds since 1970.
    pub sent_ms: Option<i64>,
    /// When a person said that it is done.
    pub acknowledged_ms: Option<i64>,
}

impl Care {
    /// Adds what became of one message of a call that ended at `ended_ms`.
    pub fn add(&mut self, message: &LeftMessage, ended_ms: i64) {
        let done_ms = match (message.kind, message.state) {
            (MessageKind::Callback, MessageState::Acknowledged) => message.acknowledged_ms,
            (MessageKind::Voice, MessageState::Sent) => message.sent_ms,
            (MessageKind::Voice, MessageState::Acknowledged) => {
                message.sent_ms.into_iter().chain(message.acknowledged_ms).min()
            }
            _ => None,
        };
        let Some(done_ms) = done_ms else { return };
        self.is_in_time |= done_ms <= ended_ms.saturating_add(CARE_WITHIN_MS);
        self.is_reached |= message.kind == MessageKind::Callback;
    }
}
