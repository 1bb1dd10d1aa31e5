//! Toritsugi (取次): to take a call and pass it on. A CTI daemon beside the Asterisk PBX of a telephone answering
//! service: it shows an operator, before the operator answers, which company a call is for and who is calling.
//!
//! This page is the architecture document: the map, the rules that hold everywhere, and the reading order.
//!
//! # One call, from the PBX to the screen pop
//! ```text
//!  Asterisk ──AMI──▶ ami ──▶ call (pure model) ──▶ publish ──▶ bus ──▶ gateway ──▶ desktops, CLI, CRMs
//!     ▲               ▲        │        ▲                                │
//!     │               │        ▼        │ card                           │ commands
//!     └── actions ────┴── daemon::core ─┴─ directory ◀── store           ▼
//!                              ▲                           ▲          command
//!                              └───────────────────────────┼─────────────┘
//!                                events, finished calls ───┘
//! ```
//! 1. [`ami`] reads the manager interface, splits the bytes into frames without copying, quarantines frames that no
//!    Asterisk writes, and never waits for its consumers.
//! 2. [`call`] is a pure state machine. It groups channels into calls, derives from them what each operator's phone
//!    does, and reports changes as notices. [`sip`] reads from the SIP headers who is calling and who forwarded the
//!    call, or that the caller withholds the number.
//! 3. [`directory`] finds the account by two keys (the forwarding number and the dialled number) in memory, and the
//!    customer of that account in the [`store`].
//! 4. [`publish`] turns a notice into an event of the public contract. [`bus`] assigns its id in an ordered, resumable
//!    stream. [`gateway`] sends it to every client that may see it; [`people`] defines visibility.
//! 5. [`command`] is the way back: a gateway authenticates a request and passes it to the core. The machine that
//!    carries it out decides whether it is permitted. An action sent to the PBX counts as done when an event confirms
//!    it, not when the PBX accepts it.
//! 6. [`screen_pop`] tracks whether desktops acknowledge pops. [`transfer`] passes callers on and follows what the
//!    targets' phones do. [`supervision`] lets supervisors listen, whisper and barge. [`call_control`] answers, holds
//!    and hangs up.
//! 7. [`script`] says what operators say and ask for an account; [`messages`] publishes what they note down, and [`outbox`]
//!    mails it to the account's people, as [`delivery`] decides and [`mail`] writes; [`chat`] posts it to chats and by SMS. [`operators`] keeps states and
//!    after-call work. [`webhook`] posts the events to other systems from an outbox in the store. [`fax`] takes
//!    over the faxes that the PBX received, [`voice`] what callers spoke, from a [`spool`].
//! 8. [`callflow`] compiles for the PBX what happens to calls before an operator, and keeps it there.
//! 9. [`stats`] says what each finished call counts as, and by which formula counters become figures; [`billing`] which
//!    calls an account pays for; [`report`] is what the account's company gets about a month.
//! 10. [`pbx_link`] decides what is published about the connection to the PBX, [`journal`] what is committed with an event.
//! 11. [`daemon`] owns the tasks, the clock and the one loop that connects all of this.
//!
//! # What holds everywhere
//! - **The core is pure.** [`call`] and the machines beside it have no async, socket, clock, randomness or log:
//!   `handle(now, input)`, then drain `poll_output()`, then wait until `poll_timeout()`. One task owns them. [`replay`]
//!   runs a recorded session through them with the same result each time.
//! - **Nothing blocks the AMI reader**, and every queue, buffer, retry and wait has a named limit. A slow client is cut
//!   off and resumes with the id of its last event; it delays neither the PBX nor other clients.
//! - **A withheld number is nowhere** behind [`identity::Caller::new`]: not in an event, a record or a log.
//! - **Every byte from a caller, a CSV file, a browser or a PBX is untrusted.** It becomes one of the types in [`ids`]
//!   and [`identity`] where it enters, or it is rejected.
//!
//! # What happens when a part fails
//! | fails | what happens |
//! |---|---|
//! | the daemon | the PBX still takes and distributes calls, by the hours that it was given for 35 days; a transfer under way is finished by the dialplan |
//! | the store | a pop still shows the account, from memory; records and events wait for the store in bounded queues |
//! | the PBX, or the link to it | clients keep the last state, receive `pbx.down`, and after the reconnect what changed |
//! | Redis (several daemons) | each leader serves its own PBX's clients and sends its events when Redis is back; a standby shows its clients what it sees itself |
//! | the leader of a PBX | a standby takes the lead and publishes what the leader had not published |
//!
//! # What is deliberately absent
//! Mutable state shared between tasks (except for the bus's one short lock and snapshots that are replaced as a whole),
//! an ORM, a plug-in interface, and any knowledge of Asterisk in what leaves the machines: events, records and answers
//! name calls, operators and targets.
//!
//! # Reading order
//! [`ids`], [`identity`]; then along the path of a pop: [`ami`], [`call`], [`sip`], [`directory`], [`publish`] (with
//! the order in which events must be published), [`bus`], [`gateway`]; then [`command`], [`call_control`], [`daemon`];
//! then [`store`] and [`config`] when you need them. The command line is in `src/cli/`. `tests/pbx_lab/` holds the private
//! Asterisk that the end-to-end tests run against.

#![forbid(unsafe_code)]

// The order of the rooms. A room imports only rooms of the groups above its own line (`make lint`).
pub mod backoff;
pub mod https;
pub mod ids;
pub mod secret;
pub mod spool;

pub mod identity;
pub mod mail;
pub mod numbers;
pub mod text;

pub mod contract;

pub mod callflow;
pub mod people;
pub mod script;
pub mod stats;

pub mod ami;
pub mod billing;
pub mod sip;

pub mod call;

pub mod call_control;
pub mod delivery;
pub mod operators;
pub mod pbx_link;
pub mod route;
pub mod screen_pop;
pub mod supervision;
pub mod transfer;

pub mod command;
pub mod journal;
pub mod publish;

pub mod bus;
pub mod store;

pub mod directory;

pub mod messages;
pub mod report;

pub mod gateway;
pub mod replay;

pub mod fax;
pub mod voice;
pub mod webhook;

pub mod chat;
pub mod outbox;

pub mod config;

pub mod daemon;

// The store's tests also run on a private PostgreSQL server.
#[cfg(test)]
#[path = "../tests/services/mod.rs"]
mod backends;

// A generated year of calls, for the tests of the store.
#[cfg(test)]
#[path = "../tests/year/mod.rs"]
mod year;
