//! Forms of written Japanese that records share.
//!
//! Read next: `kana.rs` (the one form of a name's reading).

pub mod kana;
