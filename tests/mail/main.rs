//! Messages as mails: the daemon as a process, with a real Postfix and a real Dovecot (`tests/mail_lab`), and no PBX.
//!
//! | file | shows |
//! |---|---|
//! | `acknowledged.rs` | the link in a mail, and the route until somebody confirms |
//! | `alarms.rs` | thresholds at which somebody gets a mail |
//! | `arrives.rs` | what is saved is in the mailbox, character by character |
//! | `chat.rs` | messages to chats and by SMS, over TLS to stand-ins of the services; needs no mail server |
//! | `changed.rs` | corrections and withdrawals |
//! | `choices.rs` | what accounts choose for their messages; recordings, phone tasks by hand, a test of everything |
//! | `counted.rs` | the daemon is killed while it counts figures and closes bills |
//! | `digests.rs` | digests: their times, "nothing came", a daemon that dies |
//! | `fax.rs` | messages by fax over a gateway, and its results |
//! | `refused.rs` | what servers say, and what the daemon makes of it |
//! | `reports.rs` | monthly reports on their day of the month |
//! | `returned.rs` | mails that come back: by IMAP, by HTTP, by the command line; the next endpoint |
//! | `replies.rs` | people who answer a mail |
//! | `servers.rs` | the backup server; servers of accounts; access tokens instead of passwords |
//! | `unsafe_server.rs` | servers to which nothing is sent |
//! | `kills.rs` | the daemon is killed at any moment |
//! | `figures.rs` | how fast it is |
//!
//! `house.rs` holds the daemon under test and its people.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../benches/calls/mod.rs"]
mod calls;
#[path = "../mail_lab/mod.rs"]
mod mail_lab;
#[path = "../support/mod.rs"]
mod support;

mod acknowledged;
mod alarms;
mod arrives;
mod changed;
mod chat;
mod choices;
mod counted;
mod digests;
mod fax;
mod figures;
mod house;
mod kills;
mod refused;
mod replies;
mod reports;
mod returned;
mod servers;
mod unsafe_server;
