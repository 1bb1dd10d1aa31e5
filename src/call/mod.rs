//! The call model: turns the PBX's channel events into calls and their notices.
//!
//! A pure state machine (no clock, socket, randomness or log): [`Model::handle`] takes an [`Input`],
//! [`Model::poll_output`] returns what the owner must do next, [`Model::poll_timeout`] returns when
//! [`Model::handle_timeout`] is due. One task owns the model and is its only writer, so nothing in here locks or waits.
//!
//! Reading order: [`crate::contract::call`] (the public form of a call), [`output`] (notices and requests), `stage` (the
//! stages of a call), `leg` (channels and endpoints), `apply_event` (what each event changes), `direction` (which calls
//! come from outside), `outbound` (the records of those that go there), `recall` (an operator who is called back),
//! `derive` (what the legs mean for the operators), `announced` (operators
//! who hear an announcement), `offer` (identity and card), `resync` (channel lists after a gap),
//! [`queue_visit`] (waits in queues), [`snapshot`] (restart of the daemon), `query` (reads for transfer, supervision and call control), `check` (the
//! invariant).

mod announced;
mod apply_event;
mod check;
mod derive;
mod direction;
mod input;
mod leg;
mod model;
mod offer;
mod outbound;
mod output;
mod query;
pub mod queue_visit;
mod recall;
mod resync;
pub mod snapshot;
mod stage;
#[cfg(test)]
mod tests;

pub use announced::ANNOUNCEMENT_MIN;
pub use direction::ENDPOINTS_REMEMBERED_MAX;
pub use input::Input;
pub use leg::{EndpointRules, PHONE_DIGITS_MAX};
pub use model::{HANDLERS_PER_CALL_MAX, Model, ModelStats, TOMBSTONE_TTL};
pub use output::{Notice, NoticeKind, OutboundCall, Output, RescindReason};
pub use query::{LegView, Parties};
pub use stage::CHANNELS_PER_CALL_MAX;
