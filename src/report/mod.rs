//! The monthly report of an account (月次報告書): what its company gets about a month, as data, as a PDF and as a mail.
//!
//! ```text
//!  store (counters, calls, contract, plan) ──gather──▶ MonthlyReport ──close──▶ JSON in the store
//!                                                          │
//!                                                          └─▶ layout ─▶ drawing commands ─▶ PDF
//! ```
//! | file | holds |
//! |---|---|
//! | `content.rs` | [`MonthlyReport`]: every number and word of a report |
//! | `gather.rs` | reads one from the store |
//! | `close.rs` | closes a month: from then on the report is what was written |
//! | `font.rs` | the font, of the configuration or of the system |
//! | `canvas.rs` | pages of texts, lines and rectangles, and the PDF that they become |
//! | `charts.rs` | the bars of the days, and the heat map of weekdays and hours |
//! | `layout.rs` | what stands where |
//! | `letter.rs` | the mail that carries a report |
//! | `text.rs` | a text as pages, in the same way: messages that gateways fax |
//!
//! Invariants: a PDF is a function of its report and its font, to the byte; a closed month is read from the store and never
//! counted again. A report names neither callers nor operators. What is not complete is said on the first page.
//!
//! Why glyphs are placed here and not by a shaping engine: Japanese in lines from left to right needs one glyph for each
//! character, and the width of a text is needed before it is drawn.

mod canvas;
mod charts;
mod close;
mod content;
mod font;
mod gather;
mod layout;
mod letter;
#[cfg(test)]
mod tests;
mod text;

pub use canvas::PdfError;
pub use close::{CloseError, ReadReport, SETTLED_DELAY, close, read};
pub use content::{
    MonthlyReport, REPORT_VERSION, ReportBilling, ReportContract, ReportDay, ReportDisposition, ReportFigure,
    ReportNumber, ReportPeriod, ReportSpan,
};
pub use font::{FONT_PACKAGES, FontError, ReportFont};
pub use gather::{GatherError, Sources, gather};
pub use layout::{pages_of, pdf_of};
pub use letter::{ReportLetter, letter_of};
pub use text::TextDocument;
