//! Routes (報告ルール): to whom a message goes, what happens while nobody confirms it, and the running escalation of one message.
//! No clock, no randomness, no IO.
//!
//! | file | holds |
//! |---|---|
//! | `document.rs` | routes as an administrator writes them (TOML), with the line and column of what is wrong |
//! | `condition.rs` | when a route applies |
//! | `digest.rs` | digests: at which times an account gets what, and who gets it |
//! | `world.rs` | an account and its people, as far as routes need them: who is there, and how each is reached |
//! | `resolve.rs` | whom a step of a route reaches at a time |
//! | `dispatch.rs` | the running route of one message: its states, its timers |
//! | `plan.rs` | the simulator: who would get a message, and when |
//! | `check.rs` | the simulator over two weeks: at which times nobody would get a message |
//! | `week.rs` | the simulator over a week, hour by hour |
//! | `text.rs` | a plan in one Japanese sentence |
//!
//! Invariant: the simulator and the dispatch ask the same functions, so what the plan says is what happens. Read next: `dispatch.rs`;
//! then [`crate::store::routes`] (the rows and their transactions).

mod check;
mod condition;
mod digest;
mod dispatch;
mod document;
mod plan;
mod resolve;
mod text;
mod week;
mod world;

pub use check::{CHECK_DAYS, Finding, check};
pub use condition::{Daily, HoursState, MessageFacts, When};
pub use digest::{Digest, IfEmpty, Include, LATE_MAX};
pub use dispatch::{Answer, Asked, Dispatch, DispatchInput, DispatchOutput, EscalationReason, Progress};
pub use document::{
    Document, DocumentError, Minutes, Need, Outside, ROUTE_BYTES_MAX, Recipient, Route, Step, Until,
    built_in_route,
};
pub use plan::{Plan, PlanStep, plan};
pub use resolve::{Note, Target, TargetKind};
pub use text::sentence;
pub use week::{Week, WeekHour, WeekPlan, week};
pub use world::{Absence, DEPUTIES_MAX, Mailbox, Person, Way, World};
