//! Voice messages: takes the recordings that callers left (the step `voice` of a callflow) out of the PBX's directory, and
//! makes each a message to its account, which the outbox mails with the recording. Guidance that an account records by
//! telephone comes the same way, and becomes a sound.
//!
//! | file | holds |
//! |---|---|
//! | `name.rs` | the name of a file: the channel and the account |
//! | `guidance.rs`, `tries.rs` | guidance that somebody of an account records by telephone, with a PIN |
//! | `receiver.rs` | the task that brings the parts together |
//!
//! A file of the PBX's directory goes through these states:
//!
//! | | report of the PBX | all channels listed without its own | the store fails | there is no such account |
//! |---|---|---|---|---|
//! | **growing**: the call lasts, or nobody knows | reported | left behind, if it is a minute old | | |
//! | **reported** | - | - | reported: again after [`RETRY_INTERVAL`](receiver::RETRY_INTERVAL) | the file is deleted |
//! | **left behind**: its report was lost | reported | - | as above | as above |
//! | **recorded** | the file is deleted | the file is deleted | the file is deleted | |
//!
//! A recording that is shorter than [`SPEECH_MIN`](crate::callflow::wav::SPEECH_MIN), or in which nothing is louder than
//! [`SILENCE_DBFS`](crate::callflow::wav::SILENCE_DBFS), becomes nothing: the caller hung up at the tone.
//!
//! Invariants: the file is deleted only after its message and the recording are committed together; a recording is found by the
//! file's name, so a file that is read again after a crash makes no second message. Only the leader of the PBX takes files.
//! The number of a caller who withholds it is nowhere: the name has none, and the message's is that of the call's card.
//!
//! Read next: [`crate::spool`], `asterisk-conf/toritsugi-dialplan.conf` (`toritsugi-voice`), `docs/callflow.md`.

pub mod guidance;
pub mod name;
pub mod receiver;
pub mod tries;

pub use self::guidance::{GuidanceCaller, GuidanceRecorder, KeepError};
pub use self::name::{GuidanceFileName, VoiceFileName};
pub use self::receiver::{
    VoiceCall, VoiceDoor, VoiceHouse, VoiceReceiver, VoiceReport, VoiceSettings, VoiceStats,
};
