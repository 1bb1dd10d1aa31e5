//! Messages as mails: the daemon as a process, with a real Postfix and a real Dovecot (`tests/mail_lab`), and no PBX.
//!
//! | file | shows |
//! |---|---|
//! | `arrives.rs` | what is saved is in the mailbox, character by character |
//! | `changed.rs` | corrections and withdrawals |
//! | `refused.rs` | what servers say, and what the daemon makes of it |
//! | `unsafe_server.rs` | servers to which nothing is sent |
//! | `kills.rs` | the daemon is killed at any moment |
//! | `figures.rs` | how fast it is |
//!
//! `house.rs` holds the daemon under test and its people.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../mail_lab/mod.rs"]
mod mail_lab;
#[path = "../support/mod.rs"]
mod support;

mod arrives;
mod changed;
mod figures;
mod house;
mod kills;
mod refused;
mod unsafe_server;
