//! A frame: one event or response of the manager interface, as the bytes that arrived.
//!
//! Invariant: no value is copied or decoded before a caller reads it. A [`Frame`] is a range of a batch: the bytes of
//! one or more reads, with the position of every line and key, found in the same pass as the frames' ends. Cloning a
//! frame costs one reference count. A frame keeps its batch alive (usually [`AMI_BUFFER_BYTES`]), so code that keeps a
//! value copies that value.
//!
//! What Asterisk writes (main/manager.c): `Key: Value` lines that end in CRLF, closed by an empty line. The key
//! ends at the first colon, and one space after it belongs to neither. Keys repeat and their order matters; look-ups
//! ignore case; values are any bytes, a lone CR or LF included.
//!
//! Read next: [`FrameCodec`] (finds frames in a stream), then [`super::quarantine`] (rejects forged ones).

mod codec;
mod lines;
mod masks;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use codec::{Decoded, FrameCodec};
pub use lines::Headers;
use lines::usual_index;
pub(super) use lines::{FrameLines, USUAL_LINES};
use scan::{FrameSpan, KEY_LENS_PADDING, Lines, Scanner};

/// Longest frame, in bytes. A snapshot of two channels whose names are 10,000 bytes of quotes stays below it.
pub const AMI_FRAME_BYTES_MAX: usize = 256 * 1024;
/// Longest line of a frame without its CRLF, in bytes: with it, one less than 64 KiB.
pub const AMI_LINE_BYTES_MAX: usize = u16::MAX as usize - 2;
/// Most headers of one frame; `ListCommands` answers with some 200, one per line.
pub const AMI_FRAME_HEADERS_MAX: usize = 2_048;
/// Longest greeting line, in bytes; Asterisk's has about 30.
pub const AMI_BANNER_BYTES_MAX: usize = 256;
/// Least room for one read of the socket, in bytes.
pub const AMI_READ_BYTES: usize = 128 * 1024;
/// Size of a read buffer, in bytes: usually room for a read after the incomplete frame of the last one.
pub const AMI_BUFFER_BYTES: usize = 2 * AMI_READ_BYTES;

/// Why a stream of frames cannot be read any further. Each of these ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// More than [`AMI_FRAME_BYTES_MAX`] without an empty line.
    #[error("a frame is longer than {AMI_FRAME_BYTES_MAX} bytes; is this port really Asterisk's manager?")]
    FrameTooLong,
    /// More than [`AMI_LINE_BYTES_MAX`] without a line end.
    #[error("a line is longer than {AMI_LINE_BYTES_MAX} bytes; is this port really Asterisk's manager?")]
    LineTooLong,
    /// More than [`AMI_FRAME_HEADERS_MAX`] lines without an empty one.
    #[error("a frame has more than {AMI_FRAME_HEADERS_MAX} headers")]
    TooManyHeaders,
    /// The first line is not `Asterisk Call Manager/…`.
    #[error("the peer greets with {greeting:?} instead of \"Asterisk Call Manager/…\"; check host and port")]
    NotAManager {
        /// The beginning of the peer's first line, printable.
        greeting: String,
    },
    /// The bytes given to [`Frame::parse`] end within a frame, or hold more than one.
    #[error("these bytes are not exactly one frame")]
    NotOneFrame,
    /// The socket failed.
    #[error("reading from the manager failed")]
    Io(#[from] std::io::Error),
}

/// The kind of a frame, by its first header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A live event, or an item of a list.
    Event,
    /// The response to an action.
    Response,
    /// Neither: no code in Asterisk writes such a frame.
    Other,
}

/// The bytes of some frames and all their lines.
#[derive(Debug)]
struct Batch {
    bytes: Bytes,
    lines: Lines,
}

/// One frame; see the module documentation for its cost.
#[derive(Clone)]
pub struct Frame {
    batch: Arc<Batch>,
    /// Its lines with their CRLFs, without the closing empty line.
    start: u32,
    end: u32,
    /// Its lines, as indexes into the batch's.
    first_line: u32,
    lines_end: u32,
    /// Its first lines are the usual ones (see [`lines`]), so that most look-ups need no search.
    usual: bool,
}

impl Frame {
    /// Reads exactly one frame, with or without its closing empty line. For transcripts and tests.
    ///
    /// # Errors
    /// [`FrameError::NotOneFrame`] when the bytes are not exactly one frame; a broken limit as in a stream.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, FrameError> {
        let mut bytes: Bytes = bytes.into();
        if !bytes.ends_with(b"\r\n\r\n") {
            bytes = Bytes::from([&bytes[..], b"\r\n"].concat());
        }
        let mut scanner = Scanner::default();
        scanner.scan(&bytes)?;
        match scanner.spans[..] {
            [span] if span.start == 0 && scanner.complete_bytes() == bytes.len() => {
                let lines = scanner.take_lines(&bytes, Lines::default());
                Ok(Self::new(Arc::new(Batch { bytes, lines }), span))
            }
            _ => Err(FrameError::NotOneFrame),
        }
    }

    fn new(batch: Arc<Batch>, span: FrameSpan) -> Self {
        let FrameSpan { start, end, first_line, lines_end, .. } = span;
        let mut frame = Self { batch, start, end, first_line, lines_end, usual: false };
        frame.usual = frame.lines().are_usual();
        frame
    }

    #[inline(always)]
    pub(super) fn lines(&self) -> FrameLines<'_> {
        let Batch { bytes, lines } = &*self.batch;
        let range = self.first_line as usize..self.lines_end as usize;
        FrameLines {
            bytes: &bytes[..self.end as usize],
            starts: &lines.starts[range.clone()],
            key_ends: &lines.key_ends[range.clone()],
            key_lens: &lines.key_lens[range.start..range.end + KEY_LENS_PADDING],
        }
    }

    #[inline(always)]
    pub(super) fn is_usual(&self) -> bool {
        self.usual
    }

    /// The first value of `key`; ignores case.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        // For a constant key the compiler evaluates this look-up.
        match usual_index(key.as_bytes()) {
            Some(index) if self.usual => Some(self.lines().value(index)),
            _ => self.search(key.as_bytes()),
        }
    }

    fn search(&self, key: &[u8]) -> Option<&[u8]> {
        let lines = self.lines();
        lines.find(key).map(|index| lines.value(index))
    }

    /// The first value of `key` as text; bytes that are not UTF-8 become replacement characters.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.get(key).map(String::from_utf8_lossy)
    }

    /// Every value of `key`, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.headers()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(key.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Every header in wire order, repeated ones included. A line without a colon is a key without a value.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers { lines: self.lines(), next: 0 }
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.lines_end - self.first_line) as usize
    }

    /// Never true: a frame has at least one line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind, by the first header. `OriginateResponse`, for example, is an event with a `Response` header.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.lines().kind()
    }

    /// The name of the event; `None` for a frame of another kind.
    #[must_use]
    pub fn event_name(&self) -> Option<&[u8]> {
        let lines = self.lines();
        (lines.kind() == FrameKind::Event).then(|| lines.value(0))
    }

    /// The lines as received, each with its CRLF, without the closing empty line.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.batch.bytes[self.start as usize..self.end as usize]
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Frame {}

/// Shows the first headers; every value is escaped, so that a caller's name cannot break a log line.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_HEADERS_MAX: usize = 40;
        const SHOWN_VALUE_BYTES_MAX: usize = 120;
        let mut list = f.debug_map();
        for (key, value) in self.headers().take(SHOWN_HEADERS_MAX) {
            let cut = &value[..value.len().min(SHOWN_VALUE_BYTES_MAX)];
            list.entry(&String::from_utf8_lossy(key), &String::from_utf8_lossy(cut));
        }
        if self.len() > SHOWN_HEADERS_MAX { list.finish_non_exhaustive() } else { list.finish() }
    }
}

/// Undoes Asterisk's C escapes (main/utils.c, `ast_escape_c`), which `CallerIDName`, `ConnectedLineName`,
/// `ChanVariable` and VarSet's `Value` carry. An unknown escape stays as it is.
#[must_use]
pub fn unescape(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find('\\') else {
        return Cow::Borrowed(text);
    };
    let mut plain = String::with_capacity(text.len());
    plain.push_str(&text[..first]);
    let mut chars = text[first..].chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('a') => plain.push('\x07'),
            Some('b') => plain.push('\x08'),
            Some('f') => plain.push('\x0c'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('v') => plain.push('\x0b'),
            Some(same @ ('\\' | '\'' | '"' | '?')) => plain.push(same),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn keys_end_at_the_first_colon_and_lose_one_space() {
        let frame = frame("Event: Test\r\nA: b: c\r\nB:x\r\nC:  two\r\nEmpty: \r\nBare:\r\n\r\n");
        assert_eq!(frame.get("a"), Some(&b"b: c"[..]));
        assert_eq!(frame.get("B"), Some(&b"x"[..]));
        assert_eq!(frame.get("C"), Some(&b" two"[..]));
        assert_eq!(frame.get("EMPTY"), Some(&b""[..]));
        assert_eq!(frame.get("Bare"), Some(&b""[..]));
        assert_eq!(frame.get("Bar"), None);
        assert_eq!(frame.len(), 6);
    }

    #[test]
    fn repeated_headers_keep_their_order() {
        let frame = frame("Event: Newchannel\r\nChanVariable: b=1\r\nX: -\r\nchanvariable: a=2\r\n");
        let all: Vec<_> = frame.all("ChanVariable").collect();
        assert_eq!(all, [&b"b=1"[..], b"a=2"]);
        assert_eq!(frame.get("ChanVariable"), Some(&b"b=1"[..]));
    }

    #[test]
    fn the_first_header_says_what_a_frame_is() {
        let originated = frame("Event: OriginateResponse\r\nPrivilege: call,all\r\nResponse: Failure\r\n");
        assert_eq!(originated.kind(), FrameKind::Event);
        assert_eq!(originated.event_name(), Some(&b"OriginateResponse"[..]));
        let response = frame("Response: Success\r\nEvent: no\r\n");
        assert_eq!(response.kind(), FrameKind::Response);
        assert_eq!(response.event_name(), None);
        assert_eq!(frame("Linkedid: 1.2\r\n").kind(), FrameKind::Other);
    }

    #[test]
    fn any_bytes_are_a_value() {
        let frame = Frame::parse(Bytes::from_static(b"Event: X\r\nName: \xff\n\r\xfe\r\n\r\n")).unwrap();
        assert_eq!(frame.get("Name"), Some(&b"\xff\n\r\xfe"[..]));
        assert_eq!(frame.text("Name").unwrap(), "\u{fffd}\n\r\u{fffd}");
    }

    #[test]
    fn parse_takes_exactly_one_frame() {
        for wrong in ["", "\r\n", "Event: A", "Event: A\r\n\r\nEvent: B\r\n\r\n", "Event: A\r\n\r\nx"] {
            assert!(matches!(Frame::parse(wrong), Err(FrameError::NotOneFrame)), "{wrong:?}");
        }
    }

    #[test]
    fn debug_shows_no_raw_control_character() {
        let shown =
            format!("{:?}", Frame::parse(Bytes::from_static(b"Event: X\r\nName: a\x1b[31m\nb\r\n")).unwrap());
        assert!(!shown.contains(['\n', '\x1b']), "{shown}");
    }

    #[test]
    fn c_escapes_are_undone_once() {
        for (escaped, plain) in [
            ("plain", "plain"),
            (r"O\'Brien", "O'Brien"),
            (r#"\"a\" \\n \? \t."#, "\"a\" \\n ? \t."),
            (r"\a\b\f\n\r\v", "\x07\x08\x0c\n\r\x0b"),
            (r"\x41\", r"\x41\"),
            (r"取次\n", "取次\n"),
        ] {
            assert_eq!(unescape(escaped), plain, "{escaped}");
        }
    }
}
