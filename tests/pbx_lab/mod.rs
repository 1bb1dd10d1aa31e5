//! A real Asterisk PBX with the product's own configuration, and a far end that plays the carrier and every
//! telephone.
//!
//! Invariants: the lab shares no code with the product, so that a test is an independent check. Each wait has a
//! time-out and says what was awaited. No process outlives the test binary, not even when it panics or is killed: the
//! supervising shell ends both Asterisks when its standard input closes.
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
//! Read next: [`call`] and [`phone`] for what a test can do, [`events`] and `support/wait.rs` for how it waits,
//! [`sound`] for what it can hear, [`process`] for how the two Asterisks run, `far-end/extensions.conf` for what a
//! telephone does when it rings.

mod ami;
mod call;
mod events;
mod phone;
mod process;
mod product_actions;
mod raw_phone;
mod raw_sip;
mod rig;
mod sound;

pub(crate) use ami::{Ami, Reply};
pub(crate) use call::{CallSpec, PlacedCall};
pub(crate) use events::{Event, EventLog};
pub(crate) use phone::Phone;
pub(crate) use process::AsteriskVersion;
pub(crate) use product_actions::ProductActions;
pub(crate) use raw_phone::{RAW_PHONE, RAW_PHONE_DIALLED, RawPhone};
pub(crate) use raw_sip::RawCall;
pub(crate) use rig::{Lab, ManagerAccess};
pub(crate) use sound::{Recording, Seconds, Spoken, Tone, is_unbroken};
