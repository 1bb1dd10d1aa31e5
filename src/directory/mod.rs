//! Accounts, customers and contacts: for whom a call is, and who calls.

mod areas;
pub mod card;
pub mod numbers;
