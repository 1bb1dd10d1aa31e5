//! What all test binaries share. A binary names it once (`mod support`), and its own files then use these modules:
//!
//! | module | what a test gets from it |
//! |---|---|
//! | [`wait`] | [`wait::eventually`] and the one time-out of all tests |
//! | [`clock`], [`ids`], [`bus`], [`people`] | a clock that the test sets, ids, bus settings, users with tokens |
//! | [`client`] | the desktop's side of the event stream, over SSE and WebSocket |
//! | [`event_order`] | the ordering rules of the event stream, checked on every stream of an administrator |
//! | [`gateway_rig`] | the gateway over a store and a bus, without a PBX |
//! | [`api_contract`] | the OpenAPI document, with which the rig compares every answer |
//! | [`service`] | the whole daemon in this process, beside the lab's PBX |
//! | [`pbx_lab`] | a real Asterisk with its carrier and telephones |
//! | [`fake_pbx`] | a scripted PBX that speaks the manager protocol |
//! | [`services`] | a private Redis and a private PostgreSQL |
//!
//! Invariant: `client` and `pbx_lab` use no type of the product, so that what they report is an independent check.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a rig that fails must fail the test, with the reason"
)]

pub(crate) mod api_contract;
pub(crate) mod bus;
#[path = "../client/mod.rs"]
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod event_order;
#[path = "../fake_pbx/mod.rs"]
pub(crate) mod fake_pbx;
pub(crate) mod gateway_rig;
pub(crate) mod ids;
#[path = "../pbx_lab/mod.rs"]
pub(crate) mod pbx_lab;
pub(crate) mod people;
pub(crate) mod service;
#[path = "../services/mod.rs"]
pub(crate) mod services;
pub(crate) mod wait;
