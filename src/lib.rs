//! Toritsugi (取次): to take a call and pass it on. A CTI daemon that stands beside the Asterisk PBX of a telephone
//! answering service and shows an operator, before she speaks, for which company a call is and who calls.
//!
//! This page is the architecture document: the map, what holds everywhere, and in which order to read.
//!
//! # The way of a pop
//! ```text
//!  Asterisk ──AMI──▶ ami ──▶ call (pure model) ──▶ announce ──▶ bus ──▶ gateway ──▶ desktops, CLI, CRMs
//!     ▲               ▲        │        ▲                                  │
//!     │               │        ▼        │ card                             │ commands
//!     └─── orders ────┴── daemon::core ─┴─ directory ◀── store             ▼
//!                              ▲                           ▲            command
//!                              └───────────────────────────┼───────────────┘
//!                                finished calls ───────────┘
//! ```
//! 1. [`ami`] reads the manager's bytes, cuts them into frames without copying, sets aside what no Asterisk
//!    writes, and never waits for anything behind it.
//! 2. [`call`] is a pure state machine: legs become calls of their own id; what they mean for the operators is
//!    derived and told as notices. [`sip`] says who calls and who forwarded, or that it may not be known.
//! 3. [`directory`] finds the account by two keys (who forwarded, what was dialled) from memory, and the customer
//!    inside that account from the [`store`].
//! 4. [`announce`] puts a notice into the words of the public contract; [`bus`] gives it its place in an ordered,
//!    resumable stream; [`gateway`] brings it to every desktop that may see it ([`operator`] knows which).
//! 5. [`command`] is the way back: who may do what is decided next to the call, and an order to the PBX is proven
//!    by an event, never by its reply.
//! 6. [`pop`] asks for proof that it was shown; [`transfer`] stands beside the model: it passes callers on and follows what the targets really do.
//! 7. [`message`] is what an operator writes down for the account; [`webhook`] posts the same events to other systems, out of an outbox in the store.
//! 8. [`daemon`] owns the tasks, the clock and the one loop that connects all of it.
//!
//! # What holds everywhere
//! - **The core is pure.** [`call`] and the machines beside it have no async, socket, clock, randomness or log:
//!   `handle(now, input)`, then drain `poll_output()`, then wait until `poll_timeout()`. One task writes them.
//!   [`replay`] runs a recorded session through them and gets the same result each time.
//! - **Nothing blocks the AMI reader**, and every queue, buffer, retry and wait has a named limit. A slow desktop
//!   is cut off and resumes by the id of its last event; it never slows the PBX or the others.
//! - **It fails open.** Without the daemon the PBX still takes and distributes calls. Without the store the pop
//!   still names the account, from memory. Without the PBX desktops keep what they have and hear that it is gone.
//!   Without Redis each of several daemons serves its own PBX alone, and tells the others when it is back.
//! - **A withheld number is nowhere** behind [`identity::Caller::new`]: not in an event, a record or a log.
//! - **Every byte from a caller, a CSV file, a browser or a PBX is untrusted**: it becomes one of the types in
//!   [`ids`] and [`identity`] at the border or does not get in.
//!
//! # What is deliberately absent
//! Shared mutable state between tasks (but for the bus's one short lock and swapped snapshots), an ORM, a plug-in
//! interface, and any knowledge of Asterisk behind [`call`]'s intake.
//!
//! # Reading order
//! [`ids`], [`identity`]; then along the way of a pop: [`ami`], [`call`], [`sip`], [`directory`], [`announce`],
//! [`bus`], [`gateway`]; then [`command`], [`control`], [`daemon`]; [`store`] and [`config`] when you need them.
//! The command line is in `src/cli/`, and `tests/lab/` holds the private Asterisk that proves all of it.

#![forbid(unsafe_code)]

pub mod ami;
pub mod announce;
pub mod bus;
pub mod call;
pub mod command;
pub mod config;
pub mod control;
pub mod daemon;
pub mod directory;
pub mod gateway;
pub mod identity;
pub mod ids;
pub mod message;
pub mod operator;
pub mod pop;
pub mod replay;
pub mod secret;
pub mod sip;
pub mod store;
pub mod supervision;
pub mod transfer;
pub mod webhook;
pub mod wire;

// The stores' tests run over a private PostgreSQL, too.
#[cfg(test)]
#[path = "../tests/backends/mod.rs"]
mod backends;
