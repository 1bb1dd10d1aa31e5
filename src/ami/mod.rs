//! The connection to one PBX: Asterisk's manager interface (AMI), from bytes to frames and back.
//!
//! Invariant: the task that reads the socket never waits for anything behind it. Every buffer, list and queue here
//! has a named limit. What exceeds a limit is dropped, counted and reported as a [`client::ClientEvent`], so that the
//! daemon can list the PBX's state again.
//!
//! Reading order follows the data:
//! - [`frame`]: bytes become [`frame::Frame`]s that share the read buffer;
//! - [`event`]: the events that calls need, as types;
//! - [`member`]: the events about queue members and devices, as types;
//! - [`quarantine`]: which frames no code in Asterisk writes, and what happens to them;
//! - [`action`]: requests to the PBX, as types that cannot carry a line break;
//! - [`session`]: one login as a state machine without sockets or clocks;
//! - [`reconnect`]: how long to wait before the next attempt;
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
