//! Accounts, customers and contacts: which account a call is for, and who calls.
//!
//! | file | holds |
//! |---|---|
//! | [`lookup`], [`resolution`] | [`Directory`]: accounts in memory (`index.rs`), the choice of the account, the card of a call |
//! | `notices` | the accounts' notices in memory, and which of them hold |
//! | [`scripts`] | the live scripts in memory, and which of them a call has |
//! | [`explain`] | why a call would show this account and these customers |
//! | [`transfer_targets`] | the people and numbers to whom a caller may be transferred |
//! | `callflows` | how an account's calls are treated, and what the plans for the PBX are compiled from |
//! | [`edit`], [`import`] | changing the records one by one, or from a file |
//!
//! The records, their checks and the card are in [`crate::contract`], telephone numbers in [`crate::numbers`].
//!
//! Invariant: the account of a call is always found from memory. Customers are searched inside that account alone.
//! Read next: [`lookup`].

mod callflows;
pub mod edit;
pub mod explain;
pub mod import;
mod index;
pub mod lookup;
mod notices;
pub mod resolution;
pub mod scripts;
pub mod transfer_targets;
// The same tests on both stores.
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

pub use callflows::QueueUsers;
pub use edit::{EditError, Edited};
pub use lookup::{Directory, DirectoryOptions};
pub use resolution::{DialledHeader, Resolution};
