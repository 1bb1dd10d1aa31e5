//! The operators' page in a real Chromium, against a real daemon and a real Asterisk.
//!
//! `chromium.rs` drives the browser and `person.rs` is one person in front of one desktop; each other file tests one
//! promise. Pictures of every view are written to `target/pictures/`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod acknowledge;
mod addresses;
mod administration;
mod callflow;
mod chromium;
mod composer;
mod connection;
mod day;
mod figures;
mod first_run;
mod hostile;
mod key_figures;
mod keys;
mod messages;
mod narrow;
mod numbers;
mod orders;
mod past;
mod person;
mod place;
mod records;
mod reload;
mod routes;
mod scripts;
mod tasks;
mod typing;
mod unsaved;
mod views;
mod wall;

use std::time::Duration;

/// A customer of account 1.
const KNOWN_CALLER: &str = "09012345678";
/// Dialled number of account 1: every operator's phone rings.
const SAKURA: &str = "0355501001";
/// Dialled number of account 2: one phone after the other.
const MINATO: &str = "0355501002";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
