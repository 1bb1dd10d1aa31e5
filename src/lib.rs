//! Toritsugi (取次): to take a call and pass it on.
#![forbid(unsafe_code)]

pub mod directory;
pub mod identity;
pub mod ids;
