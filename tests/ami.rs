//! The PBX link against a scripted PBX and against recorded transcripts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod peer;

#[path = "ami/client.rs"]
mod client;
#[path = "ami/transcripts.rs"]
mod transcripts;
