//! A CSV file as records of text with line numbers.
//!
//! Invariant: the file is cut into cells before it is decoded. That is right for both encodings: no byte of a
//! Shift_JIS character is a comma, a quote or a line end.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};
use encoding_rs::SHIFT_JIS;

/// Longest cell, in characters.
pub const CELL_CHARS_MAX: usize = 20_000;
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// Largest record, in bytes: more means that a closing quote is missing.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most columns.
const COLUMNS_MAX: usize = 200;

/// How a file's text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextEncoding {
    /// UTF-8, with or without a mark at its beginning.
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

/// Why a file can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file can't be read.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    /// There is nothing in it.
    #[error("the file is empty; its first line must name the columns")]
    Empty,
    /// It is in an encoding that is not supported.
    #[error("the file is UTF-16; save it as CSV in UTF-8 (or Shift_JIS) and try again")]
    Utf16,
    /// Its first line can't be understood.
    #[error("line 1: {0}")]
    Header(String),
    /// It has too many rows.
    #[error("the file has more than {rows} rows; split it")]
    TooLong {
        /// The limit.
        rows: u64,
    },
    /// A record is so long that a quote must be missing.
    #[error("line {line}: the record does not end; is a closing quote (\") missing?")]
    Endless {
        /// Where it begins.
        line: u64,
    },
}

/// A file being read.
pub(super) struct Table {
    reader: Reader<Box<dyn BufRead + Send>>,
    encoding: TextEncoding,
    header: Vec<String>,
    /// What to try when the header makes no sense.
    hint: &'static str,
}

/// One line of the file, or several where a cell has line breaks.
pub(super) struct Record {
    cells: ByteRecord,
    encoding: TextEncoding,
}

impl Table {
    /// Reads the header.
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

    /// The header can't be used.
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
    /// The line it begins on.
    pub(super) fn line(&self) -> u64 {
        self.cells.position().map_or(0, csv::Position::line)
    }

    /// Nothing but empty cells.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim_ascii().is_empty())
    }

    /// The text of a column; `None` where the record has fewer.
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

    /// The encoding is never guessed; a guess only helps whoever reads the error.
    fn not_text(&self, bytes: &[u8]) -> String {
        let hint = match self.encoding {
            TextEncoding::Utf8 if shift_jis(bytes).is_some() => "; it reads well as --encoding shift_jis",
            TextEncoding::ShiftJis if str::from_utf8(bytes).is_ok() => "; it reads well as --encoding utf-8",
            _ => "",
        };
        format!("the text is not {}{hint}", self.encoding)
    }
}

fn shift_jis(bytes: &[u8]) -> Option<String> {
    SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes).map(std::borrow::Cow::into_owned)
}
