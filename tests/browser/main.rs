//! The page in a real Chromium, against the real daemon: what is asserted here was on a screen.
//!
//! `chromium.rs` drives the browser, `desk.rs` is one person at one desk; each other file is a promise. Pictures
//! of every view are kept in `target/pictures/`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures")]

#[path = "../desk/mod.rs"]
mod desk;
#[path = "../lab/mod.rs"]
mod lab;
#[path = "../gateway/rig.rs"]
#[allow(dead_code, reason = "the gateway's own tests use the rest")]
mod rig;
#[path = "../real/service.rs"]
#[allow(dead_code, reason = "the other tests on a real PBX use the rest")]
mod service;

mod access;
mod chromium;
mod connection;
mod day;
mod figures;
mod hostile;
mod numbers;
mod orders;
mod person;
mod unsaved;
mod views;

use std::time::Duration;

/// A customer of account 1.
const KNOWN_CALLER: &str = "09012345678";
/// Dialled number of account 1: everybody's phone rings.
const SAKURA: &str = "0355501001";
/// Dialled number of account 2: one phone after the other.
const MINATO: &str = "0355501002";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
