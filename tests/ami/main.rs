//! The AMI client against a fake PBX, and the frame decoder against recorded transcripts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod transcripts;
