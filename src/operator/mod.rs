//! The people of the service: who they are, what they may do, what they may see.
//!
//! Invariant: this is the only place that knows what a role means. The gateway asks [`Role::may`] before it
//! does something, and the bus asks [`Viewer`] before it shows something; neither compares roles on its own.
//! Everything here is in memory and answers without waiting; the store is read when people change.
//!
//! Operator states and after-call work will live beside this, keyed by the same extensions.
//!
//! Read next: `viewer.rs` (sight), `role.rs` (permissions), `people.rs` (who is who), `token.rs` and
//! `password.rs` (how they prove it).

mod password;
mod people;
mod role;
mod token;
mod viewer;

pub use password::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordError, PasswordHash};
pub use people::{PERSON_TEXT_CHARS_MAX, People, Person, PersonTextError, Roster, Team, person_text};
pub use role::{Permission, Role};
pub use token::{Token, TokenError, TokenHash};
pub use viewer::Viewer;
