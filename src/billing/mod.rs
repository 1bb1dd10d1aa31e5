//! Billing (請求): which calls of a month an account pays for, by the rules of its plan, and what they cost.
//!
//! | step | |
//! |---|---|
//! | [`Plan`] | the rules: what counts, what is left out, steps of prices |
//! | [`Verdict`] of each call | whether it counts, and why not |
//! | [`Bill`] | the lines with their counts and amounts, the sum, and the verdicts |
//! | [`Correction`] | what a later bill adds for a closed month whose calls have changed since |
//!
//! Invariants: pure, and the same calls in any order give the same bill. A call belongs to the month in which it was
//! offered and has one verdict. Amounts are whole yen before tax; the sum is that of the lines. A bill holds no number
//! and no name of a caller, so it may be kept for as long as the books are.
//!
//! A closed bill is never changed. When a call of it changes later (an observed record in place of an inferred one,
//! another disposition), the difference is a line of the next bill.
//!
//! Reading order: `plan`, `month` (the time of a bill), `count` (verdicts), `bill`.

mod bill;
mod count;
mod month;
mod plan;
#[cfg(test)]
mod tests;

pub use bill::{Bill, ChangedCall, Correction, Line, LineKind, Warning, bill_of, correction_of};
pub use count::{BilledCall, Reason, Verdict, verdicts_of};
pub use month::{BillingMonth, MonthError};
pub use plan::{Basis, OutboundPrice, Plan, PlanError, Step, TimePrice, TransferPrice, VoiceMessagePrice};
