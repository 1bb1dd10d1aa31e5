//! Accounts, customers and contacts: for whom a call is, and who calls.

pub mod card;
