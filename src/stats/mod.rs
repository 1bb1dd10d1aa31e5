//! Stats (統計): what one finished call counts as, counters that add up, and the formulas that are printed beside each figure.
//!
//! One source: the history. A figure is a formula over [`Counters`]; counters are sums over calls; what a call adds is
//! decided by its record alone ([`CallFacts`]). Everything that is stored of it (`store/stats`) can be built again.
//!
//! | fact | from the record |
//! |---|---|
//! | offered, connected, ended | the times of the call |
//! | queued, queue | the first segment `queued`: its beginning, and its queue |
//! | waiting begins | when the call was queued; of a call that never was, at the first ring; else when it was offered |
//! | wait | from there to the connection with an operator; of a call without one, to its end |
//! | part | a segment `talking`: one operator's time with the caller; the segments `held` in it are hold, the rest is talk |
//! | wrap-up | the after-call work of (call, operator) |
//! | ring | a segment `presented`; missed where that operator did not answer, was busy or could not be reached |
//! | transfer | a segment `transfer`: one target that was tried; reached where it answered |
//!
//! | mark, never an outcome | holds for a call |
//! |---|---|
//! | short | that was abandoned within [`SHORT`] of its wait |
//! | repeat | not closed, whose caller was lost at the same account within [`REPEAT_WINDOW`] before |
//! | recovered | that was lost, and whose caller was answered at the same account within [`REPEAT_WINDOW`] after |
//! | withheld | whose caller showed no number |
//! | inferred | whose end was not seen |
//! | left behind | whose caller left a voice message, or asked to be called back; what became of it is [`Care`] |
//! | offline | that the PBX wrote down while no daemon followed it |
//! | hop | a queue that the caller left unserved; a call may have several |
//!
//! How long people were in which state is no fact of a call: it is read from their own history where it is asked for, and
//! added to the counters of their work ([`Counters::add_state`]).
//!
//! Lost means abandoned, overflowed or blocked. A call is one, however often it rings, queues or is transferred. It belongs
//! to the bin of [`BIN`] in which it was offered, to one account, to one queue (its first), and to operators by parts.
//!
//! Invariant: pure, and each call has exactly one outcome: it is a fax, or it was offered, and in all counters of calls
//! `offered = answered + elsewhere + closed + blocked + refused + overflowed + abandoned + unknown`. A fax is offered to nobody: it is
//! counted in `fax` alone, and no formula has it above or below its line. Adding counters is associative and commutative: the counters of a bin are the sum of those of its calls, in any order.
//!
//! What the records do not have, and no counter pretends to: who sat at a phone that rang in vain.
//!
//! Reading order: `facts` (one call), `care` (what became of what a caller left), `counters`, `packed` (how they are stored), `bin` (the sum of a quarter of an hour), `formula`,
//! `contract` (goals of accounts), `alarm` (thresholds).

mod alarm;
mod bin;
mod care;
mod contract;
mod counters;
mod facts;
mod formula;
pub(crate) mod packed;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use alarm::{
    AlarmChange, AlarmClock, AlarmInput, AlarmMetric, AlarmRule, AlarmRuleError, RAISE_INTERVAL,
};
pub use bin::{BinInput, BinStats, CallerContact, OperatorKey, context_of, start_of_bin};
pub use care::{CARE_WITHIN, Care, LeftMessage};
pub use contract::{Contract, ContractError, MISSING_MAX, Period, Verdict, merged};
pub use counters::{COUNTERS, CounterName, Counters, NOT_OF_CALLS};
pub use facts::{CallFacts, Neighbours, Part, TransferFact, TransferKind, WrapUpTime};
pub use formula::{FORMULAS, Figure, Formula, Unit, WITHIN_DEFAULT_S, WITHIN_S};

/// The length of a bin. All time zones of the world are whole quarters of an hour from UTC.
pub const BIN: Duration = Duration::from_secs(900);
/// [`BIN`] in milliseconds.
pub const BIN_MS: i64 = 900_000;
/// An abandoned call is short up to this wait.
pub const SHORT: Duration = Duration::from_secs(5);
/// Within this time a caller's next call belongs to the lost one.
pub const REPEAT_WINDOW: Duration = Duration::from_secs(1_800);
/// [`REPEAT_WINDOW`] in milliseconds.
pub const REPEAT_WINDOW_MS: i64 = 1_800_000;
/// The version of the rules by which calls are counted. Bins that were built by another version are built again while
/// their calls are there.
///
/// | version | counts besides |
/// |---|---|
/// | 1 | |
/// | 2 | `refused`, `voice`, `callbacks`, `callbacks_reached`, `cared`, `offline` |
pub const RULES_VERSION: i64 = 2;
/// The first version whose marks `repeat` and `recovered` mean what they mean now.
pub const CALLER_MARKS_VERSION: i64 = 1;
