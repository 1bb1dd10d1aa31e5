//! A CSV file as records of text with line numbers.
//!
//! Invariant: the file is split into cells before it is decoded. That is safe in both encodings: no byte of a Shift_JIS
//! character is a comma, a quote or a line end.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};
use encoding_rs::SHIFT_JIS;

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
    /// The first line is not a valid header.
    #[error("line 1: {0}")]
    Header(String),
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
    reader: Reader<Box<dyn BufRead + Send>>,
    encoding: TextEncoding,
    header: Vec<String>,
    /// A hint to add when the header is invalid.
    hint: &'static str,
}

/// One line of the file, or several where a cell has line breaks.
pub(super) struct Record {
    cells: ByteRecord,
    encoding: TextEncoding,
}

impl Table {
    /// Opens a file and reads its header.
    pub(super) fn open(
        source: impl Read + Send + 'static,
        encoding: TextEncoding,
    ) -> Result<Self, TableError> {
        let mut source = BufReader::with_capacity(1 << 18, source.take(FILE_BYTES_MAX));
        let start = source.fill_buf().map_err(TableError::Read)?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(TableError::Utf16);
        }
        if start.starts_with(&[0xef, 0xbb, 0xbf]) {
            source.consume(3);
            if encoding != TextEncoding::Utf8 {
                return Err(TableError::Header(
                    "the file says that it is UTF-8, not Shift_JIS; leave out --encoding".to_owned(),
                ));
            }
        }
        let source: Box<dyn BufRead + Send> = Box::new(source);
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source);
        let mut table = Self { reader, encoding, header: Vec::new(), hint: "" };
        let Some(first) = table.next_record()? else { return Err(TableError::Empty) };
        if first.cells.len() > COLUMNS_MAX {
            return Err(TableError::Header(format!("more than {COLUMNS_MAX} columns")));
        }
        let names =
            (0..first.cells.len()).map(|column| first.cell(column).map(|text| text.unwrap_or_default()));
        table.header = names.collect::<Result<_, _>>().map_err(TableError::Header)?;
        Ok(table)
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The error of an invalid header.
    pub(super) fn header_error(&self, problem: String) -> TableError {
        TableError::Header(problem + self.hint)
    }

    /// The next record; `None` at the end.
    pub(super) fn next_record(&mut self) -> Result<Option<Record>, TableError> {
        let mut cells = ByteRecord::new();
        let line = self.reader.position().line();
        match self.reader.read_byte_record(&mut cells) {
            Ok(false) => Ok(None),
            Ok(true) if cells.as_slice().len() > RECORD_BYTES_MAX => Err(TableError::Endless { line }),
            Ok(true) => Ok(Some(Record { cells, encoding: self.encoding })),
            Err(error) => Err(TableError::Read(error.into())),
        }
    }
}

impl Record {
    /// The line on which it begins.
    pub(super) fn line(&self) -> u64 {
        self.cells.position().map_or(0, csv::Position::line)
    }

    /// Whether all cells are empty.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim_ascii().is_empty())
    }

    /// The text of a column; `None` when the record has fewer columns.
    pub(super) fn cell(&self, column: usize) -> Result<Option<String>, String> {
        let Some(bytes) = self.cells.get(column) else { return Ok(None) };
        let text = match self.encoding {
            TextEncoding::Utf8 => str::from_utf8(bytes).ok().map(str::to_owned),
            TextEncoding::ShiftJis => shift_jis(bytes),
        };
        let Some(text) = text else { return Err(self.not_text(bytes)) };
        if text.len() > CELL_CHARS_MAX && text.chars().count() > CELL_CHARS_MAX {
            return Err(format!("column {}: longer than {CELL_CHARS_MAX} characters", column + 1));
        }
        Ok(Some(text))
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

fn shift_jis(bytes: &[u8]) -> Option<String> {
    SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes).map(std::borrow::Cow::into_owned)
}
