//! Scripts (トークスクリプト): what an operator says, asks and notes for an account, as data.
//!
//! A script is one form, not a wizard: all questions that apply are visible in order, and conditions show and hide them.
//! It is a TOML text of up to 64 KiB (docs/scripts.md describes it), and there are no expressions and no code in it.
//!
//! | file | holds |
//! |---|---|
//! | `model.rs` | the script after reading |
//! | `raw.rs`, `read/` | TOML to script: limits, references, every mistake with its line and column |
//! | `talk.rs` | texts with placeholders |
//! | `condition.rs` | `when` |
//! | `value.rs` | the answer to a question: its form and its limits |
//! | `evaluate.rs` | the form at one moment: talk, questions, defaults, the offer, what is missing |
//! | `select.rs` | which script a call has, and when there is none |
//! | `check.rs` | what a script that can be read does wrong for its account |
//! | `message.rs` | a message held against its script |
//! | `usual.toml` | the built-in script of accounts without one |
//!
//! Invariants: pure, without clock and input or output. Evaluation ends for every script and every answer: steps are taken
//! once, in order, and a condition sees only questions of earlier steps. An answer to a question that is not asked counts
//! as not given.
//!
//! Read next: `model.rs`, `evaluate.rs`; then `crate::directory::scripts`, which keeps the live scripts in memory.

mod check;
mod condition;
mod evaluate;
mod message;
mod model;
mod raw;
mod read;
mod select;
mod talk;
mod value;

pub use check::{Account, check};
pub use condition::{Caller, Facts};
pub(crate) use evaluate::opening;
pub use evaluate::{Answers, Defaults, FieldView, Form, Missing, OfferView, ReasonView, StepView, evaluate};
pub use message::{MessageProblem, answers_of, hold, subject};
pub use model::{
    FieldType, Finding, Level, OfferKind, Required, SCRIPT_BYTES_MAX, Script, Severity, Validity, built_in,
};
pub use read::read;
pub use select::{Gap, Head, gaps, select};
