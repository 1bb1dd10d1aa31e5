//! Forms of written Japanese that records share.
//!
//! Read next: `compose.rs`, `kana.rs` (the one form of a name's reading), `romaji.rs` (readings typed in Latin letters),
//! `spreadsheet.rs` (files that a spreadsheet opens).

pub mod compose;
pub mod kana;
pub mod romaji;
pub mod spreadsheet;
