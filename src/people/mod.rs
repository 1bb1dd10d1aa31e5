//! The people who use the daemon: roles, what each may do and see, passwords, tokens, and desktops that are connected.
//!
//! Invariant: authorisation reads only what stands here: [`Role::may`] for actions, [`Viewer`] for visibility. The roster
//! in memory is the one that the store holds, replaced as a whole.
//!
//! | module | holds |
//! |---|---|
//! | [`role`] | roles and permissions |
//! | [`viewer`] | which events, calls and operators a person may see |
//! | [`look_alike`] | which names look the same |
//! | [`roster`] | all people, replaced as a whole when the store changes |
//! | [`actor`] | the authenticated person of a command |
//! | [`token`], [`password`] | credentials |
//! | [`presence`] | connected desktops of each operator |

pub mod actor;
pub mod look_alike;
pub mod password;
pub mod presence;
pub mod role;
pub mod roster;
pub mod token;
pub mod viewer;

pub use actor::Actor;
pub use password::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordError, PasswordHash};
pub use presence::{Presence, PresenceGuard};
pub use role::{Permission, Role};
pub use roster::{PERSON_TEXT_CHARS_MAX, People, Person, PersonTextError, Roster, Team, person_text};
pub use token::{Token, TokenError, TokenHash};
pub use viewer::Viewer;
