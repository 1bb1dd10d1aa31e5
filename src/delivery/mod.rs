//! Deliveries as pure machines: what happens to a delivery, when it is tried again, when a server is left alone, and how fast
//! one may send. No clock, no randomness, no IO.
//!
//! | file | holds |
//! |---|---|
//! | `bounce.rs` | what a refusal or a bounce means for the address |
//! | `machine.rs` | the states of a delivery, and the schedule of its attempts |
//! | `pause.rs` | the pause of a server that refuses everybody |
//! | `rate.rs` | a limit of mails per minute |
//! | `summary.rs` | what a message shows of its deliveries |
//!
//! Read next: `machine.rs`; then [`crate::store::deliveries`] (the rows), [`crate::outbox`] (the workers).

mod bounce;
mod machine;
mod pause;
mod rate;
mod summary;

pub use bounce::{BUSY_AGAIN_DELAY, BUSY_AGAIN_MAX, BounceClass, FULL_BOUNCES_MAX, FULL_BOUNCES_PERIOD};
pub use machine::{
    DeliveryInput, DeliveryProgress, GIVE_UP_DELAY, LEASE_TTL, Outcome, TEST_GIVE_UP_DELAY,
    URGENT_GIVE_UP_DELAY, give_up_delay, retry_delay,
};
pub use pause::{PAUSE, PAUSE_ALARM_DELAY, PAUSE_LONGEST, ServerPause};
pub use rate::RateLimit;
pub use summary::{DeliveryFacts, summary};
