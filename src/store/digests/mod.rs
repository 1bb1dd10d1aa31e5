//! Digests (まとめ報告): the times at which accounts get them, and their runs.
//!
//! A run is a message of kind `digest`, with deliveries as any message has; what it reports are its items. The times of an account's
//! digests follow from its document ([`crate::route::Digest`]), and are written with it.
//!
//! | what happens | the run |
//! |---|---|
//! | the time comes; several daemons look | one transaction makes the message, its items and its deliveries, and moves the time on; the others find the time no longer due |
//! | the daemon dies in it | nothing was committed: the next daemon makes the run |
//! | the time was missed by more than [`LATE_MAX`](crate::route::LATE_MAX) | is left out, and the next one reports its messages and says so |
//! | there are more messages than [`ITEMS_MAX`] | is followed by another one at once |
//! | it was sent, or refused everywhere | the messages that waited for it are sent, or failed, in the same transaction |
//! | a customer is deleted | the message in it has no text any more; what was rendered before is dropped |
//!
//! Invariant: a revision of a message is in at most one run of a name, however often a run is begun.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::contract::message::{Message, MessageState};
use crate::ids::{PbxId, RecordId};

/// Most messages in a run.
pub const ITEMS_MAX: u32 = 50;
/// Most runs in an answer.
pub const RUNS_MAX: u32 = 100;
/// Most results of after-call work that a run counts.
pub const DISPOSITIONS_MAX: u32 = 20;
/// Most gaps that a run names.
pub const GAPS_MAX: u32 = 20;
/// Most digests that are read at once.
pub const DUE_MAX: u32 = 100;

/// When a digest of an account is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestTimer {
    /// The account.
    pub account: RecordId,
    /// The name of the digest.
    pub name: String,
    /// The next time.
    pub next_at: Timestamp,
    /// The messages from this time on were not reported yet.
    pub since: Timestamp,
    /// A time that was missed.
    pub missed_at: Option<Timestamp>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DueDigests {
    /// The digests that are due, the longest due first; at most [`DUE_MAX`].
    pub due: Vec<DigestTimer>,
    /// When the next one is due.
    pub next_at: Option<Timestamp>,
}

/// What a run says besides its messages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DigestReport {
    /// The calls of the time, if the digest counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallCounts>,
    /// Of those, how many ended with which result of the after-call work (営業 and so on), the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dispositions: Vec<DispositionCount>,
    /// Times at which no daemon followed a PBX: its calls are not counted. In milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<(i64, i64)>,
    /// An earlier run was left out at this time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_ms: Option<i64>,
    /// Another run follows with the rest.
    #[serde(default)]
    pub has_more: bool,
    /// Whether the messages are attached as a table.
    #[serde(default)]
    pub csv: bool,
}

/// The calls of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallCounts {
    /// All that came.
    pub offered: u64,
    /// Those that an operator took.
    pub answered: u64,
    /// Those whose caller hung up before.
    pub abandoned: u64,
}

/// How many calls of an account ended with a result of the after-call work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispositionCount {
    /// The code of the result.
    pub code: String,
    /// Its calls.
    pub calls: u64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestRun {
    /// Its message.
    pub message: RecordId,
    /// The account.
    pub account: RecordId,
    /// The name of the digest.
    pub name: String,
    /// It reports what came from this time on.
    pub from: Timestamp,
    /// Until this time.
    pub to: Timestamp,
    /// When it was made.
    pub at: Timestamp,
    /// How many messages it reports.
    pub items: u32,
    /// The state of its message.
    pub state: MessageState,
    /// What it says besides.
    pub report: DigestReport,
}

/// What the mail of a run says.
#[derive(Debug, Clone)]
pub struct DigestFacts {
    /// The run.
    pub run: DigestRun,
    /// Its messages, in the order in which they were taken.
    pub items: Vec<DigestItem>,
}

/// A message in a run.
#[derive(Debug, Clone)]
pub struct DigestItem {
    /// The message. Without a text: its customer was deleted.
    pub message: Message,
    /// The name of the contact whom it names.
    pub contact_name: Option<String>,
}

/// When a run is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunWhen {
    /// If its time has come.
    Due,
    /// At once: a person asked for it. The next time stays.
    Now,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// This message was made.
    Made(RecordId),
    /// There is nothing to report, and the digest says nothing then.
    Empty,
    /// Its time was missed by too much; the next run reports its messages.
    Missed,
    /// It is not due, or another daemon made it.
    NotDue,
    /// The account has no such digest.
    Unknown,
}

impl Store {
    /// The digests that are due at `now`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn due_digests(&self, now: Timestamp) -> Result<DueDigests, StoreError> {
        each!(self, db => db.due_digests(now).await)
    }

    /// Makes a run of a digest, if `when` permits. Its message belongs to `pbx`.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub async fn run_digest(
        &self,
        account: RecordId,
        name: &str,
        when: RunWhen,
        (pbx, now): (&PbxId, Timestamp),
    ) -> Result<RunOutcome, StoreError> {
        each!(self, db => db.run_digest(account, name, when, (pbx, now)).await)
    }

    /// The digests of an account with their next times, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn digest_timers(&self, account: RecordId) -> Result<Vec<DigestTimer>, StoreError> {
        each!(self, db => db.digest_timers(account).await)
    }

    /// The runs of an account, the newest first; at most [`RUNS_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn digest_runs(&self, account: RecordId) -> Result<Vec<DigestRun>, StoreError> {
        each!(self, db => db.digest_runs(account).await)
    }
}
