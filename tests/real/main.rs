//! Tests against a real Asterisk: what is asserted here happened on a PBX.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../lab/mod.rs"]
mod lab;

#[path = "../desk/mod.rs"]
mod desk;

#[path = "../backends/mod.rs"]
mod backends;

mod crowd;
mod desk_phone;
mod dialplan;
mod far_record;
mod faults;
mod identity;
mod link;
mod operator_states;
mod pop;
mod receiver;
mod service;
mod several;
mod supervised;
mod supervision;
mod supervision_cli;
mod supervision_help;
mod supervision_transfer;
mod the_lab_itself;
mod tls;
mod transfer;
mod webhooks;

use std::time::Duration;

/// A customer of account 1 (and of account 2, as somebody else).
const KNOWN_CALLER: &str = "09012345678";
/// Dialled number of account 1: everybody's phone rings.
const SAKURA: &str = "0355501001";
/// Dialled number of account 2: one phone after the other.
const MINATO: &str = "0355501002";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
