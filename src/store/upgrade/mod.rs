//! The part of a migration that takes long on a large database: indexes over tables that grow, and rows that are derived
//! from every call or customer.
//!
//! A migration names its steps in the table `upgrade_steps`. [`Store::open`] carries them out in order, before anything is
//! read. An index is one transaction; derived rows are written in chunks of [`CHUNK_ROWS`], each a transaction that also
//! notes how far the step has come. On a database with calls the log says which step is under way, how many are left, how long
//! each took and, of derived rows, how long the rest will take.
//!
//! Invariant: a step and the note about it are committed together. A process that is killed loses the transaction under
//! way and nothing else; the next start goes on from there. Of several processes that open a database at once each takes
//! the next piece of work, one at a time.
//!
//! Read next: `sql.rs` beside this file, and the steps of each dialect in `dialect.rs`.

#[cfg(doc)]
use super::Store;

use std::time::{Duration, Instant};

/// Calls or customers of one transaction.
pub(super) const CHUNK_ROWS: u32 = 2_000;
/// How often the log says how far a step has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// How a step is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// These statements.
    Statements(&'static [&'static str]),
    /// The rows of `call_operators`, in the order of the calls' times.
    CallOperators,
    /// The words of customers in the text index, in the order of their ids.
    CustomerTexts,
    /// The words of messages in theirs.
    MessageTexts,
}

/// Says in the log how a step comes on.
#[derive(Debug)]
pub(super) struct Progress {
    step: String,
    since: Instant,
    reported: Instant,
    done: u64,
    left: u64,
}

impl Progress {
    /// Of a step that begins or goes on now.
    pub(super) fn new(step: &str) -> Self {
        let now = Instant::now();
        Self { step: step.to_owned(), since: now, reported: now, done: 0, left: 0 }
    }

    /// Whether nothing is done yet.
    pub(super) fn is_new(&self) -> bool {
        self.done == 0
    }

    /// The step is done.
    pub(super) fn finish(&self) {
        let seconds = self.since.elapsed().as_secs();
        if seconds > 0 {
            tracing::info!(step = self.step, seconds, "finished a step of the upgrade");
        }
    }

    /// `rows` more are done, and `left` are left, if that is known again.
    pub(super) fn add(&mut self, rows: u64, left: Option<u64>) {
        self.done += rows;
        self.left = left.unwrap_or(self.left.saturating_sub(rows));
        if self.reported.elapsed() < REPORT_INTERVAL {
            return;
        }
        self.reported = Instant::now();
        let left = self.left;
        let seconds = self.since.elapsed().as_secs_f64() / self.done as f64 * left as f64;
        tracing::info!(
            step = self.step,
            done = self.done,
            left,
            seconds_left = seconds.round(),
            "upgrading the database; the daemon starts when this is done, and it may be stopped and started again"
        );
    }
}
