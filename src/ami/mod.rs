//! The PBX link: Asterisk's manager interface (AMI), from bytes to frames and back.
//!
//! Invariant: whoever reads the socket never waits for anything behind it. Every buffer, list and queue here has
//! a named limit; what overflows is dropped, counted and told, so that the model can ask the PBX again.
//!
//! Reading order follows the data:
//! - [`frame`]: bytes become [`frame::Frame`]s that share the read buffer;
//! - [`event`]: what the daemon needs of them, typed;
//! - [`member`]: what it says of queues' members and devices, likewise;
//! - [`quarantine`]: which frames no code in Asterisk wrote, and what is done with them;
//! - [`action`]: orders to the PBX that cannot carry a line break, by type;
//! - [`session`]: one login as a state machine without sockets or clocks;
//! - [`reconnect`]: when to try again;
//! - [`client`]: two sessions per PBX over TCP or TLS ([`tls`]), as tokio tasks.

pub mod action;
pub mod client;
pub mod event;
pub mod frame;
pub mod member;
pub mod quarantine;
pub mod reconnect;
pub mod session;
pub mod tls;
