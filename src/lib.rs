//! Toritsugi (取次): to take a call and pass it on.
#![forbid(unsafe_code)]

pub mod ami;
pub mod announce;
pub mod bus;
pub mod call;
pub mod command;
pub mod config;
pub mod control;
pub mod daemon;
pub mod directory;
pub mod gateway;
pub mod identity;
pub mod ids;
pub mod operator;
pub mod replay;
pub mod secret;
pub mod sip;
pub mod store;
