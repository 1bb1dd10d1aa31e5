//! The gateway over real sockets, on a port the system chooses: a bus, a store and people, and no PBX.
//!
//! `rig.rs` holds the gateway under test and its clients; each other file is one promise of the gateway.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../backends/mod.rs"]
mod backends;
#[path = "../desk/mod.rs"]
mod desk;

mod audit;
mod auth;
mod history;
mod input;
mod limits;
mod messages;
mod records;
mod rig;
mod sight;
mod silent_store;
mod streams;
