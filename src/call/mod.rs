//! The call model: what the PBX's events mean for the people of an answering service.
//!
//! A pure state machine (no clock, socket, randomness or log): [`Model::handle`] takes an [`Input`],
//! [`Model::poll_output`] gives what must be done, [`Model::poll_timeout`] says until when nothing else will
//! change. One task owns it and is its only writer, so nothing in here locks or waits.
//!
//! Reading order: [`view`] (how a call looks from outside), [`output`] (what is told), `stage` (the stages of a
//! call), `leg` (what a channel's name tells), `intake` (what each event changes), `settle` (what that means),
//! `offer` (waiting for identity and card), `resync` (lists after a gap), [`memory`] (over a restart), `query` (for those who give orders),
//! `check` (the invariant).

mod check;
mod input;
mod intake;
mod leg;
pub mod memory;
mod model;
mod offer;
mod output;
mod query;
mod resync;
mod settle;
mod stage;
#[cfg(test)]
mod tests;
pub mod view;

pub use input::Input;
pub use leg::{PHONE_DIGITS_MAX, Plan};
pub use model::{Census, Model, TOMBSTONE_TIME};
pub use output::{Notice, NoticeKind, Output, RescindReason};
pub use query::{LegView, Parties};
pub use stage::CHANNELS_PER_CALL_MAX;
