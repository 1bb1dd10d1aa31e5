//! Tests against a real Asterisk. What they assert happened on a PBX.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../mail_lab/mod.rs"]
#[allow(dead_code, reason = "the tests of mails use the rest")]
mod mail_lab;
#[path = "../support/mod.rs"]
mod support;

mod callers;
mod callflow;
mod callflow_figures;
mod cluster;
mod command_line;
mod connected;
mod crowd;
mod demo;
mod desk_phone;
mod dialplan;
mod direction;
mod elsewhere;
mod existing_site;
mod far_end_cdr;
mod faults;
mod fax;
mod guidance;
mod identity;
mod lab_self_test;
mod offline;
mod operator_states;
mod pbx_restart;
mod plan_faults;
mod plan_orders;
mod pop;
mod seats;
mod stats;
mod supervision;
mod supervision_cli;
mod supervision_help;
mod supervision_scene;
mod supervision_transfer;
mod tls;
mod transfer;
mod voice;
mod webhook_receiver;
mod webhooks;
mod withheld;

use std::time::Duration;

/// A customer of account 1 (and of account 2, under another name).
const KNOWN_CALLER: &str = "09012345678";
/// Dialled number of account 1: every operator's phone rings.
const SAKURA: &str = "0355501001";
/// Dialled number of account 2: one phone after the other.
const MINATO: &str = "0355501002";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
