//! A CSV file as records of text with line numbers.
//!
//! | in the file | is |
//! |---|---|
//! | LF, CR LF, CR | each the end of a line; a file may mix them |
//! | `"` at the beginning of a cell | a cell in quotes, with commas and line ends; `""` is a quote in it |
//! | `"` later in a cell without quotes | the character, as Excel reads it |
//! | `="0123"`, in quotes or not | the text `0123`: so spreadsheets keep a leading zero |
//! | a quote that is not closed, text behind a closing quote, a space before an opening one | an error that names the line of the opening quote: readers differ about what follows |
//! | an empty line | nothing |
//!
//! Invariants: the line of a record is the line on which it begins, as an editor numbers it. The file is split into cells
//! before it is decoded. That is safe in both encodings: no byte of a Shift_JIS character is a comma, a quote, an equals
//! sign, a space or a line end.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use encoding_rs::SHIFT_JIS;

use crate::text::spreadsheet::FORMULA;

/// Longest cell, in characters.
pub const CELL_CHARS_MAX: usize = 20_000;
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// Largest record, in bytes: a larger one lacks a closing quote.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// Maximum number of columns.
const COLUMNS_MAX: usize = 200;

/// The encoding of a file's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextEncoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    Utf8,
    /// Shift_JIS as Windows writes it (CP932).
    ShiftJis,
}

impl TextEncoding {
    /// The encoding in which a whole file reads best: UTF-8 where it is valid, else the one with fewer places that are no
    /// text.
    #[must_use]
    pub fn found_in(file: &[u8]) -> Self {
        let Err(_) = std::str::from_utf8(file) else { return Self::Utf8 };
        if file.starts_with("\u{feff}".as_bytes()) {
            return Self::Utf8;
        }
        let faults = |text: &str| text.matches('\u{fffd}').count();
        let shift_jis = SHIFT_JIS.decode_without_bom_handling(file).0;
        if faults(&shift_jis) <= faults(&String::from_utf8_lossy(file)) { Self::ShiftJis } else { Self::Utf8 }
    }
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::ShiftJis => "Shift_JIS",
        })
    }
}

/// Why a file as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file can't be read.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    /// The file is empty.
    #[error("the file is empty; its first line must name the columns")]
    Empty,
    /// The file has an unsupported encoding.
    #[error("the file is UTF-16; save it as CSV in UTF-8 (or Shift_JIS) and try again")]
    Utf16,
    /// The first record is not a valid header.
    #[error("line {line}: {problem}")]
    Header {
        /// The line on which it begins.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is too large.
    #[error("the file is larger than {} GiB; split it", FILE_BYTES_MAX >> 30)]
    TooLarge,
    /// A quote is opened and not closed.
    #[error(
        "line {line}: the quote (\") that is opened here is never closed; close it, and double every quote (\"\") inside a cell"
    )]
    Unclosed {
        /// The line of the quote.
        line: u64,
    },
    /// Text follows a closing quote.
    #[error(
        "line {line}: the cell in quotes (\") that begins here goes on behind its closing quote; is that quote at the right \
         place? Double every quote (\"\") inside a cell"
    )]
    BehindQuote {
        /// The line of the opening quote.
        line: u64,
    },
    /// Only spaces stand before an opening quote.
    #[error(
        "line {line}: a space stands before a quote (\"), so that the quote does not begin the cell; remove the space"
    )]
    BeforeQuote {
        /// The line of the quote.
        line: u64,
    },
    /// The file has too many rows.
    #[error("the file has more than {rows} rows; split it")]
    TooLong {
        /// The limit.
        rows: u64,
    },
    /// A record is so long that a closing quote must be missing.
    #[error("line {line}: the record does not end; is a closing quote (\") missing?")]
    Endless {
        /// The line on which the record begins.
        line: u64,
    },
}

/// A file being read.
pub(super) struct Table {
    source: Box<dyn BufRead + Send>,
    /// The line of the next byte, from 1.
    line: u64,
    /// The last byte was a CR: an LF that follows belongs to it.
    is_after_cr: bool,
    bytes_read: u64,
    encoding: TextEncoding,
    header: Vec<String>,
    header_line: u64,
    /// A hint to add when the header is invalid.
    hint: &'static str,
}

/// One line of the file, or several where a cell has line breaks.
pub(super) struct Record {
    bytes: Vec<u8>,
    /// The end of each cell in `bytes`.
    ends: Vec<usize>,
    line: u64,
    encoding: TextEncoding,
}

/// Where a byte of a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    CellStart,
    /// In a cell without quotes.
    Plain,
    /// In a cell without quotes that has only spaces so far.
    Spaces,
    Quoted,
    /// Behind a quote in a cell in quotes: the first of two, or the closing one.
    Quote,
    /// Behind the closing quote and a space.
    Closed,
    /// The record has ended.
    RecordEnd,
}

/// A quote that readers would understand differently.
enum QuoteFault {
    /// Text follows the closing quote.
    Behind,
    /// Spaces precede the opening quote.
    Before,
}

impl Table {
    /// Opens a file and reads its header.
    pub(super) fn open(
        source: impl Read + Send + 'static,
        encoding: TextEncoding,
    ) -> Result<Self, TableError> {
        let mut source = BufReader::with_capacity(1 << 18, source);
        let start = source.fill_buf().map_err(TableError::Read)?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(TableError::Utf16);
        }
        if start.starts_with(&[0xef, 0xbb, 0xbf]) {
            source.consume(3);
            if encoding != TextEncoding::Utf8 {
                return Err(TableError::Header {
                    line: 1,
                    problem: "the file says that it is UTF-8, not Shift_JIS; leave out --encoding".to_owned(),
                });
            }
        }
        let mut table = Self {
            source: Box::new(source),
            line: 1,
            is_after_cr: false,
            bytes_read: 0,
            encoding,
            header: Vec::new(),
            header_line: 1,
            hint: "",
        };
        let Some(first) = table.next_record()? else { return Err(TableError::Empty) };
        table.header_line = first.line;
        let error = |problem| TableError::Header { line: first.line, problem };
        if first.width() > COLUMNS_MAX {
            return Err(error(format!("more than {COLUMNS_MAX} columns")));
        }
        let names = (0..first.width()).map(|column| first.cell(column).map(|text| text.unwrap_or_default()));
        table.header = names.collect::<Result<_, _>>().map_err(error)?;
        Ok(table)
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The error of an invalid header.
    pub(super) fn header_error(&self, problem: String) -> TableError {
        TableError::Header { line: self.header_line, problem: problem + self.hint }
    }

    /// The next record that is not blank; `None` at the end.
    pub(super) fn next_record(&mut self) -> Result<Option<Record>, TableError> {
        loop {
            match self.split_record()? {
                Some(record) if record.is_blank() => {}
                record => return Ok(record),
            }
        }
    }

    fn split_record(&mut self) -> Result<Option<Record>, TableError> {
        let mut record = Record { bytes: Vec::new(), ends: Vec::new(), line: 0, encoding: self.encoding };
        let (mut place, mut quote_line) = (Place::CellStart, self.line);
        loop {
            let chunk = self.source.fill_buf().map_err(TableError::Read)?;
            if chunk.is_empty() {
                if place == Place::Quoted {
                    return Err(TableError::Unclosed { line: quote_line });
                }
                if record.line > 0 {
                    record.ends.push(record.bytes.len());
                }
                return Ok((record.line > 0).then_some(record));
            }
            let mut taken = 0;
            for &byte in chunk {
                taken += 1;
                let is_second = byte == b'\n' && std::mem::take(&mut self.is_after_cr);
                self.is_after_cr = byte == b'\r';
                if is_second && place != Place::Quoted {
                    continue;
                }
                if record.line == 0 {
                    (record.line, quote_line) = (self.line, self.line);
                }
                let is_end = matches!(byte, b'\r' | b'\n');
                if is_end && !is_second {
                    self.line += 1;
                }
                if place == Place::CellStart && byte == b'"' {
                    quote_line = self.line;
                }
                place = record.take(place, byte).map_err(|fault| match fault {
                    QuoteFault::Behind => TableError::BehindQuote { line: quote_line },
                    QuoteFault::Before => TableError::BeforeQuote { line: self.line },
                })?;
                if place == Place::RecordEnd {
                    break;
                }
            }
            self.source.consume(taken);
            self.bytes_read += taken as u64;
            if self.bytes_read > FILE_BYTES_MAX {
                return Err(TableError::TooLarge);
            }
            if record.bytes.len() > RECORD_BYTES_MAX {
                return Err(TableError::Endless { line: quote_line });
            }
            if place == Place::RecordEnd {
                return Ok(Some(record));
            }
        }
    }
}

impl Record {
    /// Takes the next byte of the record; returns where the byte after it stands.
    fn take(&mut self, place: Place, byte: u8) -> Result<Place, QuoteFault> {
        Ok(match (place, byte) {
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) | (Place::Quote, b'"') => {
                self.bytes.push(byte);
                Place::Quoted
            }
            (_, b',') => {
                self.ends.push(self.bytes.len());
                Place::CellStart
            }
            (_, b'\r' | b'\n') => {
                self.ends.push(self.bytes.len());
                Place::RecordEnd
            }
            (Place::Quote | Place::Closed, b' ' | b'\t') => Place::Closed,
            (Place::Quote | Place::Closed, _) => return Err(QuoteFault::Behind),
            (Place::CellStart, b'"') => Place::Quoted,
            (Place::Spaces, b'"') => return Err(QuoteFault::Before),
            (Place::CellStart | Place::Spaces, b' ' | b'\t') => {
                self.bytes.push(byte);
                Place::Spaces
            }
            _ => {
                self.bytes.push(byte);
                Place::Plain
            }
        })
    }

    /// The line on which it begins.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The number of its cells.
    pub(super) fn width(&self) -> usize {
        self.ends.len()
    }

    fn bytes(&self, column: usize) -> Option<&[u8]> {
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before.min(self.width() - 1)]);
        self.bytes.get(start..*self.ends.get(column)?)
    }

    /// Whether a cell is empty or absent.
    pub(super) fn is_blank_at(&self, column: usize) -> bool {
        self.bytes(column).is_none_or(|cell| cell.trim_ascii().is_empty())
    }

    /// Whether all cells are empty.
    fn is_blank(&self) -> bool {
        (0..self.width()).all(|column| self.is_blank_at(column))
    }

    /// The text of a column; `None` when the record has fewer columns.
    pub(super) fn cell(&self, column: usize) -> Result<Option<String>, String> {
        let Some(bytes) = self.bytes(column) else { return Ok(None) };
        let text = match self.encoding {
            TextEncoding::Utf8 => str::from_utf8(bytes).ok().map(str::to_owned),
            TextEncoding::ShiftJis => shift_jis(bytes),
        };
        let Some(text) = text else { return Err(self.not_text(bytes)) };
        if text.len() > CELL_CHARS_MAX && text.chars().count() > CELL_CHARS_MAX {
            return Err(format!("column {}: longer than {CELL_CHARS_MAX} characters", column + 1));
        }
        spreadsheet_text(text).map(Some).map_err(|problem| format!("column {}: {problem}", column + 1))
    }

    /// The error of a cell that is not text in this encoding. The encoding is never guessed; the error names the other
    /// encoding if that fits.
    fn not_text(&self, bytes: &[u8]) -> String {
        let hint = match self.encoding {
            TextEncoding::Utf8 if shift_jis(bytes).is_some() => "; it is valid with --encoding shift_jis",
            TextEncoding::ShiftJis if str::from_utf8(bytes).is_ok() => "; it is valid with --encoding utf-8",
            _ => "",
        };
        format!("the text is not {}{hint}", self.encoding)
    }
}

/// The text that a spreadsheet means: `="0123"` is `0123`, `'+81…` is `+81…`, and an error value is no text.
fn spreadsheet_text(text: String) -> Result<String, String> {
    /// What spreadsheets write for a value that they could not compute, or had no room to show.
    const ERRORS: [&str; 8] = ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!"];
    let trimmed = text.trim();
    if let Some(rest) = trimmed.strip_prefix("=\"") {
        let inner = rest.strip_suffix('"').map(|inner| inner.replace("\"\"", "\u{0}"));
        return match inner {
            Some(inner) if !inner.contains('"') => Ok(inner.replace('\u{0}', "\"")),
            _ => Err(format!("{trimmed:?} is a formula; write its value")),
        };
    }
    // A file that was written for spreadsheets guards such cells.
    if let Some(rest) = trimmed.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)) {
        return Ok(rest.to_owned());
    }
    let is_too_narrow = trimmed.len() > 2 && trimmed.bytes().all(|b| b == b'#');
    if is_too_narrow || ERRORS.contains(&trimmed) {
        return Err(format!(
            "{trimmed:?} is what a spreadsheet writes instead of a value; correct the cell there"
        ));
    }
    Ok(text)
}

fn shift_jis(bytes: &[u8]) -> Option<String> {
    SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes).map(std::borrow::Cow::into_owned)
}
