//! Finds the end of a frame and, on the way, the length of every line and key.
//!
//! Invariant: each byte is looked at once, however the stream is cut: what was found stays between calls, so a
//! peer that sends single bytes costs no more than one that sends megabytes.

use std::sync::Arc;

use memchr::memchr;

use super::{AMI_FRAME_BYTES_MAX, AMI_FRAME_HEADERS_MAX, AMI_LINE_BYTES_MAX, FrameError};

/// One line: its length without CRLF and the length of its key. Four bytes, since a frame has twenty of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    line: u16,
    key: u16,
}

impl Span {
    pub(super) fn line_len(self) -> usize {
        usize::from(self.line)
    }

    /// The whole line when it has no colon.
    pub(super) fn key_len(self) -> usize {
        usize::from(self.key)
    }
}

/// A complete frame was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    /// Its length with the closing empty line, in bytes.
    pub(super) end: usize,
    /// A line without a colon was among its lines.
    pub(super) unkeyed: bool,
}

/// Result of one look at the buffer.
pub(super) enum Scan {
    Complete(Scanned),
    Incomplete,
}

/// Where the search stands. One per stream; [`Scanner::take_spans`] makes it ready for the next frame.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Lines found so far in the frame at the front of the buffer.
    spans: Vec<Span>,
    /// Start of the line being searched.
    line_start: usize,
    /// Everything before this was searched for a line end.
    searched: usize,
    unkeyed: bool,
}

impl Scanner {
    /// Looks for the end of the frame that starts at `bytes[0]`; call again with a longer slice when incomplete.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Scan, FrameError> {
        while let Some(found) = memchr(b'\n', &bytes[self.searched..]) {
            let newline = self.searched + found;
            self.searched = newline + 1;
            if newline == self.line_start || bytes[newline - 1] != b'\r' {
                continue; // A lone LF is part of the value.
            }
            let line = &bytes[self.line_start..newline - 1];
            self.line_start = self.searched;
            if line.is_empty() {
                return Ok(Scan::Complete(Scanned { end: self.searched, unkeyed: self.unkeyed }));
            }
            self.push(line)?;
        }
        self.searched = bytes.len();
        if bytes.len() - self.line_start > AMI_LINE_BYTES_MAX + 1 {
            return Err(FrameError::LineTooLong);
        }
        if bytes.len() > AMI_FRAME_BYTES_MAX {
            return Err(FrameError::FrameTooLong);
        }
        Ok(Scan::Incomplete)
    }

    /// The lines of the complete frame; the scanner then stands at the start of the next one.
    pub(super) fn take_spans(&mut self) -> Arc<[Span]> {
        let spans = Arc::from(&self.spans[..]);
        self.spans.clear();
        self.line_start = 0;
        self.searched = 0;
        self.unkeyed = false;
        spans
    }

    fn push(&mut self, line: &[u8]) -> Result<(), FrameError> {
        if self.line_start > AMI_FRAME_BYTES_MAX {
            return Err(FrameError::FrameTooLong);
        }
        if self.spans.len() == AMI_FRAME_HEADERS_MAX {
            return Err(FrameError::TooManyHeaders);
        }
        let key = memchr(b':', line).unwrap_or_else(|| {
            self.unkeyed = true;
            line.len()
        });
        let (Ok(line), Ok(key)) = (u16::try_from(line.len()), u16::try_from(key)) else {
            return Err(FrameError::LineTooLong);
        };
        self.spans.push(Span { line, key });
        Ok(())
    }
}
