//! The people of the service: who they are, what they may do, what they may see.
//!
//! Invariant: this is the only place that knows what a role means. The gateway asks [`Role::may`] before it
//! does something, and the bus asks [`Viewer`] before it shows something; neither compares roles on its own.
//! Everything here is in memory and answers without waiting; the store is read when people change.
//!
//! | file | holds |
//! |---|---|
//! | `viewer.rs`, `role.rs` | sight, permissions |
//! | `people.rs` | who is who, and who sits where |
//! | `state.rs`, `machine.rs`, `floor.rs` | operator states and after-call work: words, one operator, everybody |
//! | `members.rs` | what the queues of the PBX are told |
//! | `command.rs` | what people ask of states |
//! | `presence.rs` | whose desktops follow the events |
//! | `token.rs`, `password.rs` | how people prove who they are |
//!
//! Read next: `viewer.rs`, then `machine.rs`.

mod command;
mod floor;
mod machine;
pub(crate) mod members;
mod password;
mod people;
mod presence;
mod role;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod viewer;

pub use command::{Asked, Command, Options, Seat};
pub use floor::{Floor, Member, NOTES_CHARS_MAX, Output, Settings, WHY_CHARS_MAX, WORD_CHARS_MAX, Wanted};
pub use machine::{Activity, Finished, Operator, Saved, Terms, WRAP_UP_EXTENSIONS_MAX, WRAP_UPS_OPEN_MAX};

pub use members::{Members, Orders};
pub use password::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordError, PasswordHash};
pub use people::{PERSON_TEXT_CHARS_MAX, People, Person, PersonTextError, Roster, Team, person_text};
pub use presence::{Attendance, Presence};
pub use role::{Permission, Role};
pub use state::{ActorKind, By, Extended, PendingView, Phone, Rest, State, StateView, WrapUp};
pub use token::{Token, TokenError, TokenHash};
pub use viewer::Viewer;
