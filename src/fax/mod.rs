//! Fax in: takes the files of the faxes that the PBX received (`ReceiveFAX` in the dialplan) out of its directory, and
//! makes each a record with a PDF document and an event, and a message to its account, which the outbox mails with the document.
//!
//! | file | holds |
//! |---|---|
//! | `name.rs` | the name of a file: the channel and the dialled number |
//! | `report.rs` | what the PBX says about a fax, and how much of it arrived |
//! | `tiff.rs`, `page.rs`, `pdf.rs` | the file's pages; a page as T.6; the document |
//! | `receiver.rs` | the task that brings the parts together |
//!
//! A file of the PBX's directory goes through these states:
//!
//! | | report of the PBX | all channels listed, its own among them | all channels listed without it | the store fails | the document cannot be made |
//! |---|---|---|---|---|---|
//! | **growing**: the call lasts, or nobody knows | reported | - | left behind, if it is a minute old | | |
//! | **reported** | - | - | - | reported: again after [`RETRY_INTERVAL`](receiver::RETRY_INTERVAL) | recorded as `unreadable`, moved to `unreadable/` |
//! | **left behind**: its report was lost | reported | - | - | as above | as above |
//! | **recorded** | the file is deleted | the file is deleted | the file is deleted | | |
//!
//! A reported file with at least one page becomes `complete` or `partial`, one that was left behind `unconfirmed`. A file
//! without a page (a person called, or the sender gave up) becomes nothing.
//!
//! Invariants: the file is deleted only after the record, its document and its message are committed together; the record is found by
//! the file's name, so a file that is read again after a crash makes no second fax. Only the leader of the PBX takes files.
//! Nothing that the PBX names is a path: a name is looked up in the directory alone, and what is there must be a plain file
//! of limited size. The files are other people's data: everything that is read of them is bounded and checked.
//!
//! Read next: [`crate::spool`] (what may be read from the directory, and how), `asterisk-conf/toritsugi-dialplan.conf` (`toritsugi-fax`), `docs/fax.md`.

#[cfg(test)]
mod made;
pub mod name;
pub mod page;
pub mod pdf;
pub mod receiver;
pub mod report;
pub mod tiff;

pub use self::name::FaxFileName;
pub use self::receiver::{FaxDoor, FaxHouse, FaxReceiver, FaxSettings, FaxStats};
pub use self::report::{FaxCall, FaxReport};
