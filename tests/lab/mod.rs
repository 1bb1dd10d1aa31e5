//! A real Asterisk PBX with the product's own configuration, and a far end that plays
//! the carrier and every telephone: what the tests of the real thing stand on.
//!
//! Invariants: it shares no code with the product, so that a test is an independent
//! check; each wait ends (`PATIENCE`) and says what was waited for; no process outlives
//! the test binary, not even when it panics or is killed, because the supervising
//! shell ends both Asterisks when its standard input closes.
//!
//! ```ignore
//! let lab = Lab::start().await;                       // one test at a time, reset
//! lab.phone("1001").answers_after(Duration::from_secs(1)).await;
//! let call = lab.place_call(CallSpec::new("09012345678", "0355501001")
//!     .diverted_by("0335550101")).await;
//! call.answered().await;
//! …
//! call.hang_up().await;
//! assert!(call.heard().await.every_second(1..3).hears(Tone::OPERATOR));
//! ```
//!
//! Read next: [`call`] and [`phone`] for what a test can do, [`events`] and [`asking`] for
//! how it waits, [`sound`] for what it can hear, [`process`] for how the two Asterisks are kept, `far-end/extensions.conf` for
//! what a telephone does when it rings.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of the lab")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a lab that fails must fail the test, with the reason"
)]

mod ami;
mod asking;
mod call;
mod events;
mod orders;
mod phone;
mod process;
mod raw_phone;
mod raw_sip;
mod rig;
mod sound;

pub(crate) use ami::{Ami, Reply};
pub(crate) use asking::{ask_at_any_time, ask_until, ask_within};
pub(crate) use call::{CallSpec, PlacedCall};
pub(crate) use events::{Event, EventLog};
pub(crate) use orders::Orders;
pub(crate) use phone::Phone;
pub(crate) use process::AsteriskVersion;
pub(crate) use raw_phone::{RAW_PHONE, RAW_PHONE_DIALLED, RawPhone};
pub(crate) use raw_sip::RawCall;
pub(crate) use rig::{Lab, ManagerAccess};
pub(crate) use sound::{Recording, Seconds, Spoken, Tone, is_unbroken};

use std::time::Duration;

/// How long the lab waits for anything before it fails the test. Generous: tests state
/// what happens, not how fast, and the machine may be busy, or stand still for a while.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
