//! Records the bytes that a real PBX sends in each scenario to the product's least-privilege user: `make
//! transcripts`.
//!
//! The bytes go to `tests/transcripts/asterisk-VERSION/SCENARIO.ami`, a description to `SCENARIO.toml` beside them.
//! Every action of a scenario is sent as the product's user for actions, so that a scenario that needs more rights
//! than `asterisk-conf/manager.conf` grants fails here.
//!
//! Read next: [`scenarios`], one function for each.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it says what it records and fails by panicking"
)]
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
mod tap;

use std::path::Path;

use support::pbx_lab::{AsteriskVersion, Lab};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let version = match arguments.next().as_deref() {
        None | Some("22") => AsteriskVersion::Current,
        Some("16") => AsteriskVersion::Old16,
        Some(other) => {
            eprintln!("no recipe for Asterisk {other}: say 22 or 16");
            std::process::exit(2);
        }
    };
    let only: Vec<String> = arguments.collect();
    let lab = Lab::start_own(version).await;
    let directory = match version {
        AsteriskVersion::Current => "asterisk-22",
        AsteriskVersion::Old16 => "asterisk-16",
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(directory);
    scenarios::record_all(&lab, &directory, &only).await;
}
