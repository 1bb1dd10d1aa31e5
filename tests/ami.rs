//! The PBX link against a scripted PBX and against recorded transcripts.

mod peer;

#[path = "ami/client.rs"]
mod client;
#[path = "ami/transcripts.rs"]
mod transcripts;
