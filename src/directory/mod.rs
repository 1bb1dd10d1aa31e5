//! Accounts, customers and contacts: for whom a call is, and who calls.
//!
//! | file | holds |
//! |---|---|
//! | [`numbers`] | telephone numbers: one key to compare, one form to show; `areas.rs` has the places |
//! | [`lookup`] | [`Directory`]: accounts in memory (`index.rs`), the card of a call |
//! | [`card`] | what a pop shows |
//! | [`explain`] | the same question asked by a person |
//! | [`link`] | a link into another system, offered with the pop |
//! | [`record`], [`hours`] | the records and what can be kept of them |
//! | [`edit`], [`import`] | changing them one by one, or from a file |
//!
//! Invariant: for whom a call is can always be told from memory; who calls is looked for inside that account
//! alone. Read next: [`lookup`].

mod areas;
pub mod card;
pub mod edit;
pub mod explain;
pub mod hours;
pub mod import;
mod index;
pub mod link;
pub mod lookup;
pub mod numbers;
pub mod record;
// The same battery over both stores.
#[cfg(test)]
#[path = "."]
mod over_sqlite {
    use crate::store::sqlite::empty_store;
    #[path = "tests.rs"]
    mod tests;
}
#[cfg(test)]
#[path = "."]
mod over_postgres {
    use crate::store::postgres::empty_store;
    #[path = "tests.rs"]
    mod tests;
}

pub use edit::EditError;
pub use lookup::{Directory, DirectoryOptions, Found};
