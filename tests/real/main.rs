//! Tests against a real Asterisk: what is asserted here happened on a PBX.
#[path = "../lab/mod.rs"]
mod lab;

mod the_lab_itself;
