//! Records what a real PBX says in each scenario, byte by byte, as the product's own
//! least-privilege user hears it: `make transcripts`.
//!
//! The bytes go to `tests/transcripts/asterisk-VERSION/SCENARIO.ami`; what was played
//! stands beside them in `SCENARIO.toml`. Everything the PBX is told in a scenario is
//! told as the product's other user, so that a scenario that needs more rights than
//! `asterisk-conf/manager.conf` grants fails here.
//!
//! Read next: [`scenarios`], one function for each.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it says what it records and fails by panicking"
)]
#[path = "../lab/mod.rs"]
mod lab;
mod scenarios;
mod tap;

use std::path::Path;

use lab::{AsteriskVersion, Lab};

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
