//! Callflows (受付): what happens to a call before an operator, compiled for the PBX.
//!
//! The daemon compiles, the PBX decides. For each account the daemon leaves a *plan* in the PBX's database (AstDB, family
//! `toritsugi`): which treatment holds from which minute on, for the next 35 days, and the steps of each treatment. The
//! dialplan (`toritsugi-callflow` in `asterisk-conf/toritsugi-dialplan.conf`) compares one number with the clock and carries
//! the steps out. It computes no date and asks nobody, so calls are treated by the hours also while no daemon runs.
//!
//! | key below `toritsugi/` | value |
//! |---|---|
//! | `forwarding/NUMBER`, `dialled/NUMBER` | the id of the plan: the account's id, 32 hexadecimal digits |
//! | `plan/ID` | `STEPS\|TIMES\|BASE\|HINT`: the names of the steps and of the schedule, minutes since 1970, and where the dialplan waits for the daemon's hint: `h`, also for what the operator hears of the caller; `r`, only for rules about callers |
//! | `times/TIMES` | `LETTER/minute:LETTER/…/minute:z`, in minutes after `BASE` |
//! | `do/ID/STEPS/LETTER` | the steps of a treatment, joined by `\|`; a number after the letter: with another list of people on call |
//! | `callback/CHANNEL` | a caller who wants to be called back (`offline.rs`) |
//! | `offline/CHANNEL` | a call that the PBX wrote down while no daemon ran (`offline.rs`) |
//!
//! `STEPS` and `TIMES` are digests of what they name. The plan `default` is for numbers without a plan of their own; it exists
//! while an override of the whole service does.
//!
//! | letter | treatment |
//! |---|---|
//! | `o` | open |
//! | `c` | closed |
//! | `h` | closed, because it is a holiday |
//! | `x` | closed by an override |
//! | `z` | the schedule ends here: as `o` |
//!
//! What holds, the first that applies: an override of the service; a rule of the account that refuses the caller; an override of
//! the account; dated exceptions; holidays; weekly hours.
//! An account without a callflow has a plan only while an override is set for it, or it has rules about callers; else its steps are `pbx`: the
//! PBX's own dialplan decides, as for a number without a plan.
//!
//! Invariants: pure, without clock and input or output; two compilations of the same records are equal. At every minute until
//! `z` the schedule is open exactly when [`Hours::is_open`](crate::contract::hours::Hours::is_open) is, unless an override
//! holds. A plan changes by writing its one key `plan/ID` after everything that it names was read back from the PBX.
//!
//! | file | holds |
//! |---|---|
//! | `schedule.rs` | hours, holidays and overrides to changes by the minute |
//! | `step.rs` | the steps of each treatment, and how they are written |
//! | `on_call.rs` | which contacts of an account are on call when |
//! | `plan.rs` | all accounts to the wanted keys |
//! | `readiness.rs` | what in the records would treat calls in another way than somebody expects |
//! | `seen.rs` | what was seen of the PBX beside its plans: queues, sounds, until when its plans reach |
//! | `hint.rs` | what the daemon adds to one call: the caller is refused or preferred, what the operator hears of the caller |
//! | `offline.rs` | what the PBX wrote down while no daemon ran |
//! | `then.rs` | what happens at a time, for people |
//! | `guidance.rs` | a sound that somebody uploads, as the PBX plays it to callers |
//! | `wav.rs` | the recording of a voice message: what was spoken, and whether anything was |
//! | `sync.rs` | the machine that makes the PBX's keys the wanted ones |
//!
//! Read next: `schedule.rs`, `plan.rs`, `sync.rs`; then `daemon/callflow.rs`, which runs them.

pub mod guidance;
mod hint;
mod offline;
mod on_call;
mod plan;
mod readiness;
mod schedule;
mod seen;
mod step;
mod sync;
mod then;
pub mod wav;

use std::collections::BTreeMap;

use smol_str::SmolStr;

pub use hint::{Hint, hint_of};
pub use offline::{
    CALLBACK_TREE, CallbackRequest, OFFLINE_TREE, OfflineCall, OfflineWait, callback_request, offline_call,
};
pub use on_call::{ON_CALL_MAX, OnCall, OnCallPerson, VARIANTS_MAX};
pub use plan::{Source, World, base_of, compile};
pub use readiness::{Finding, FindingKind, findings};
pub use schedule::{
    Because, Change, HORIZON_DAYS, HORIZON_LETTER, Letter, Rules, SCHEDULE_BYTES_MAX, Schedule, Treatment,
    Variant,
};
pub use seen::{PLANS_LEFT_DAYS_MIN, SeenAtPbx, SoundProbe, plans_end_at};
pub use step::{CallerKind, Ending, SHIPPED_SOUNDS, Step, steps_of};
pub use sync::{
    AUDIT_INTERVAL, BATCH_CHANGES_MAX, BATCHES_AT_ONCE, CLOCK_OFF_MAX_S, Input, KeyChange, OLD_VERSION_TTL,
    Output, PROOF_TIMEOUT, PlanState, PlanStatus, PlanSync, Scope, SharedPlanStatus,
};
pub use then::{CallflowChange, CallflowThen};

/// The family of AstDB below which all keys are.
pub const FAMILY: &str = "toritsugi";
/// Longest key below the family, in bytes.
pub const KEY_BYTES_MAX: usize = 120;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1_800;

/// A key below [`FAMILY`]: `0-9a-z/.-`, and upper-case letters nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(SmolStr);

/// A value: `0-9A-Za-z|:/._ -`. The dialplan's parser changes no byte of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(SmolStr);

/// Keys with their values.
pub type Entries = BTreeMap<Key, Value>;

impl Key {
    /// The key, if it is one that the dialplan writes unchanged.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=KEY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b"/.-".contains(&b));
        fits.then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `/`.
    #[must_use]
    pub fn tree(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(tree, _)| tree)
    }
}

impl Value {
    /// The value, if it is one that the dialplan writes unchanged.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=VALUE_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"|:/._ -".contains(&b));
        fits.then(|| Self(text.into()))
    }

    /// A value as the PBX has it, whatever it is.
    #[must_use]
    pub fn found(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
