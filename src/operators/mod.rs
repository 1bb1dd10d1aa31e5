//! Operator states and after-call work, as a machine of all operators.
//!
//! | file | holds |
//! |---|---|
//! | `machine.rs` | the state of one operator: requested state, calls, after-call work |
//! | `registry.rs`, `registry/` | all operators: seats, what calls do to each state, ownership among daemons |
//! | `queue_members.rs` | brings the PBX's queue members in line with the states |
//! | `shared_faults.rs` | what keeps the queues from following the states, for `/readyz` |
//! | `shared_words.rs` | the words that operators choose from |
//! | `command.rs` | commands that change operator states |
//!
//! Invariant: a state changes only by a command, a call, the clock or the roster, and each change names its cause and
//! has a version. The public form is [`crate::contract::operator`]; who may change whose state is in `command.rs` and
//! [`crate::people`].
//!
//! Read next: `machine.rs`.

mod command;
mod machine;
pub(crate) mod queue_members;
mod registry;
mod shared_faults;
mod shared_words;
#[cfg(test)]
mod tests;

pub use command::{Command, Options, Request, Seat, SeatFacts, authorise_seat};
pub use machine::{
    Activity, CompletedWrapUp, Operator, OperatorSnapshot, WRAP_UP_EXTENSIONS_MAX, WRAP_UPS_EXPIRED_MAX,
    WRAP_UPS_OPEN_MAX, WrapUpTerms,
};
pub use queue_members::{MemberAction, MemberActions, MemberReply, QueueFaults, QueueMembership};
pub use registry::{
    CHOICE_CHARS_MAX, EXTENSION_REASON_CHARS_MAX, Member, NOTES_CHARS_MAX, OperatorRegistry, Output,
    Settings, StateRequest,
};
pub use shared_faults::SharedQueueFaults;
pub use shared_words::{SharedWords, Words};
