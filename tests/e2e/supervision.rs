//! Supervision by sound: who hears whom in which tenth of a second, and what the API, the events and the audit trail
//! report.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
mod policy;
mod sessions;
mod sound;
