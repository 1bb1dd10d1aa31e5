//! Forms of written Japanese that records share.
//!
//! Read next: `compose.rs`, `kana.rs` (the one form of a name's reading), `spreadsheet.rs` (files that a spreadsheet opens).

pub mod compose;
pub mod kana;
pub mod spreadsheet;
