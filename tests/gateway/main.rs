//! The gateway over real sockets, on a port that the system chooses: with a bus, a store and people, and without a
//! PBX.
//!
//! `support/gateway_rig.rs` holds the gateway under test and its clients; each file here tests one promise of the
//! gateway.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod account_notices;
mod administration;
mod alarms;
mod attention;
mod audit;
mod auth;
mod billing;
mod callflow;
mod command_line;
mod contract;
mod contracts;
mod digests;
mod endpoints;
mod faxes;
mod history;
mod imports;
mod input;
mod limits;
mod message_record;
mod messages;
mod records;
mod reports;
mod rights;
mod roles;
mod scripts;
mod search;
mod setup;
mod silent_store;
mod stats;
mod streams;
mod visibility;
