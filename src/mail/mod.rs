//! Mail as bytes: addresses, character sets, header lines and the MIME writer. Pure: no clock, no randomness, no IO.
//!
//! | file | holds |
//! |---|---|
//! | `address.rs` | a mail address that can be written into a header and an SMTP command |
//! | `bounce.rs` | mails that come back: what they say |
//! | `calendar.rs` | a call-back as an event of a calendar |
//! | `charset.rs` | UTF-8, and ISO-2022-JP with the characters of JIS X 0208 alone |
//! | `fax.rs` | gateways that turn a mail into a fax |
//! | `header.rs` | header lines: folding, encoded words (RFC 2047), file names (RFC 2231) |
//! | `mime.rs` | the whole mail |
//! | `substitute.rs` | text for systems that read nothing but ISO-2022-JP |
//! | `answer.rs` | what a person writes back |
//! | `verp.rs` | the envelope sender by which a returned mail names its delivery |
//!
//! Invariants:
//! - The bytes of a mail are a function of its fields: a repeated attempt sends the same bytes.
//! - Nothing that a caller says can become a header: header text is a [`Line`], which holds no line break and no control
//!   character, and an address is a [`MailAddress`].
//! - A mail is 7-bit, whatever it says: relays without 8BITMIME take it unchanged. Lines have at most 76 columns in the
//!   body, and 76 in the header wherever a line can be folded.
//!
//! Why no library writes the mail: those at hand write UTF-8 only and take boundaries from the clock.

mod address;
mod answer;
mod bounce;
mod calendar;
mod charset;
mod fax;
mod header;
mod mime;
mod substitute;
mod verp;

pub use address::{ADDRESS_BYTES_MAX, MailAddress, MailAddressError};
pub use answer::MailAnswer;
pub use bounce::{Action, RETURNED_BYTES_MAX, Report, Returned, status_in};
pub use calendar::CallBackEvent;
pub use charset::{Charset, to_iso_2022_jp};
pub use fax::{FAX_COLUMNS_MAX, FAX_NUMBER, FaxBody, FaxGateway, FaxOutcome, FaxResult, in_columns};
pub use header::{HEADER_COLUMNS_MAX, Line};
pub use mime::{Attachment, BODY_COLUMNS_MAX, Mail, MessageId};
pub use substitute::{substituted, substitution_note};
pub use verp::{Proof, ReturnPath};
