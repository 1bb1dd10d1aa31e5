//! Splits a byte stream into frames.
//!
//! Invariant: any division of the stream into reads gives the same frames. A torn frame is set aside (see
//! [`crate::ami::quarantine`]) and decoding continues; only a broken limit and a foreign greeting are errors.
//!
//! | input | result |
//! |---|---|
//! | first line `Asterisk Call Manager/…` | [`Decoded::Banner`] (only where a banner is expected) |
//! | any other first line | [`FrameError::NotAManager`] |
//! | lines closed by an empty line | [`Decoded::Frame`] or [`Decoded::Quarantined`] |
//! | an empty line alone | skipped |
//! | the stream ends within a frame | the tail is dropped: Asterisk cuts off slow readers in the middle of one |

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio_util::codec::Decoder;

use super::scan::{Lines, Scanner};
use super::{AMI_BANNER_BYTES_MAX, AMI_BUFFER_BYTES, AMI_READ_BYTES, Batch, Frame, FrameError};
use crate::ami::quarantine::{Quarantine, Quarantined};

const BANNER_START: &[u8] = b"Asterisk Call Manager/";

/// One piece of the stream.
#[derive(Debug, Clone)]
pub enum Decoded {
    /// The greeting: the AMI version, for instance `11.0.0`.
    Banner(Bytes),
    /// A frame that passed the quarantine's rules.
    Frame(Frame),
    /// A frame that broke a rule, or that follows such a frame.
    Quarantined(Quarantined),
}

/// The decoder of one connection's bytes, from their beginning.
#[derive(Debug, Default)]
pub struct FrameCodec {
    scanner: Scanner,
    /// The frames of the last scan, until all of them are returned.
    batch: Option<Arc<Batch>>,
    /// Memory of the last batch's lines, reused by the next batch.
    recycled: Lines,
    /// How many frames of the batch were returned.
    returned: usize,
    /// The error to return after the last frame of the batch.
    pending_error: Option<FrameError>,
    quarantine: Quarantine,
    banner_done: bool,
}

impl FrameCodec {
    /// A decoder for a connection: the first line must be Asterisk's greeting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder for a stream that begins with a frame.
    #[must_use]
    pub fn without_banner() -> Self {
        Self { banner_done: true, ..Self::default() }
    }

    /// A buffer to read into.
    #[must_use]
    pub fn buffer() -> BytesMut {
        BytesMut::with_capacity(AMI_BUFFER_BYTES)
    }

    /// Makes room for the next read: in the same memory, unless a frame still uses it.
    pub fn make_room(src: &mut BytesMut) {
        if src.capacity() - src.len() < AMI_READ_BYTES {
            src.reserve(AMI_READ_BYTES);
        }
    }

    /// Moves the complete frames from the front of `src` into a new batch; returns whether there are any.
    fn scan_batch(&mut self, src: &mut BytesMut) -> Result<bool, FrameError> {
        self.scanner.spans.clear();
        self.returned = 0;
        // Usually no frame of the last batch is left, and its memory can be reused.
        if let Some(batch) = self.batch.take().and_then(Arc::into_inner) {
            self.recycled = batch.lines;
        }
        if let Some(error) = self.pending_error.take() {
            return Err(error);
        }
        let scanned = self.scanner.scan(src);
        if self.scanner.spans.is_empty() {
            scanned?;
        } else {
            self.pending_error = scanned.err().map(FrameError::from);
        }
        let complete = self.scanner.complete_bytes();
        let lines = self.scanner.take_lines(&src[..complete], std::mem::take(&mut self.recycled));
        if self.scanner.spans.is_empty() {
            // Even an empty slice of the buffer, if kept, would force the next read into new memory.
            src.advance(complete);
            self.recycled = lines;
            return Ok(false);
        }
        let bytes = src.split_to(complete).freeze();
        self.batch = Some(Arc::new(Batch { bytes, lines }));
        Ok(true)
    }

    fn decode_banner(&mut self, src: &mut BytesMut) -> Result<Option<Decoded>, FrameError> {
        let newline = memchr(b'\n', &src[..src.len().min(AMI_BANNER_BYTES_MAX)]);
        let line_end = newline.unwrap_or(src.len());
        let compared = line_end.min(BANNER_START.len());
        if src[..compared] != BANNER_START[..compared]
            || (newline.is_none() && src.len() >= AMI_BANNER_BYTES_MAX)
        {
            let greeting = String::from_utf8_lossy(&src[..line_end.min(64)]).trim_end().to_owned();
            return Err(FrameError::NotAManager { greeting });
        }
        let Some(newline) = newline else {
            return Ok(None);
        };
        if newline < BANNER_START.len() {
            let greeting = String::from_utf8_lossy(&src[..newline]).trim_end().to_owned();
            return Err(FrameError::NotAManager { greeting });
        }
        self.banner_done = true;
        let mut version = src.split_to(newline + 1).freeze();
        version.advance(BANNER_START.len());
        let kept = version.trim_ascii_end().len();
        version.truncate(kept);
        Ok(Some(Decoded::Banner(version)))
    }
}

impl Decoder for FrameCodec {
    type Item = Decoded;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Decoded>, FrameError> {
        if !self.banner_done {
            return self.decode_banner(src);
        }
        loop {
            if let Some(batch) = &self.batch
                && let Some(span) = self.scanner.spans.get(self.returned)
            {
                self.returned += 1;
                let frame = Frame::new(Arc::clone(batch), *span);
                return Ok(Some(match self.quarantine.check(&frame, span.unkeyed) {
                    None => Decoded::Frame(frame),
                    Some(reason) => Decoded::Quarantined(Quarantined { frame, reason }),
                }));
            }
            if !self.scan_batch(src)? {
                return Ok(None);
            }
        }
    }

    /// Decodes after the end of the connection: the rest is at most a partial frame.
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Decoded>, FrameError> {
        let last = self.decode(src)?;
        if last.is_none() {
            src.clear();
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(codec: &mut FrameCodec, src: &mut BytesMut) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(decoded) = codec.decode(src).unwrap() {
            out.push(format!("{decoded:?}"));
        }
        out
    }

    #[test]
    fn the_greeting_comes_first_and_has_no_empty_line() {
        let mut src = BytesMut::from("Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n\r\n");
        let mut codec = FrameCodec::new();
        assert!(
            matches!(codec.decode(&mut src), Ok(Some(Decoded::Banner(version))) if &version[..] == b"11.0.0")
        );
        assert!(matches!(codec.decode(&mut src), Ok(Some(Decoded::Frame(_)))));
        assert!(matches!(codec.decode(&mut src), Ok(None)));
    }

    #[test]
    fn another_greeting_is_refused_as_early_as_it_shows() {
        for other in ["SSH-2.0-OpenSSH\r\n", "HTTP", "Asterisk Call Centre", "\r\n", "Asterisk\r\n"] {
            let refused = FrameCodec::new().decode(&mut BytesMut::from(other));
            assert!(matches!(refused, Err(FrameError::NotAManager { .. })), "{other:?}");
        }
        let endless = format!("Asterisk Call Manager/{}", "1".repeat(AMI_BANNER_BYTES_MAX));
        assert!(FrameCodec::new().decode(&mut BytesMut::from(&endless[..])).is_err());
    }

    #[test]
    fn every_limit_ends_the_stream() {
        let long_line = "x".repeat(super::super::AMI_LINE_BYTES_MAX + 2);
        let long_frame = format!("A: {}\r\n", "x".repeat(60_000)).repeat(5);
        let many = "A: b\r\n".repeat(super::super::AMI_FRAME_HEADERS_MAX + 1);
        let decode = |text: &str| FrameCodec::without_banner().decode(&mut BytesMut::from(text));
        assert!(matches!(decode(&long_line), Err(FrameError::LineTooLong)));
        assert!(matches!(decode(&format!("{long_line}\r\n\r\n")), Err(FrameError::LineTooLong)));
        let longest = format!("A: b\r\n\r\n{}\r\n\r\n", "x".repeat(super::super::AMI_LINE_BYTES_MAX));
        assert_eq!(drain(&mut FrameCodec::without_banner(), &mut BytesMut::from(&longest[..])).len(), 2);
        let longer = BytesMut::from(&format!("A: b\r\n\r\nx{}", &longest[8..])[..]);
        let mut codec = FrameCodec::without_banner();
        let mut left = longer.clone();
        assert!(matches!(codec.decode(&mut left), Ok(Some(_))));
        assert!(matches!(codec.decode(&mut left), Err(FrameError::LineTooLong)));
        assert!(matches!(decode(&long_frame), Err(FrameError::FrameTooLong)));
        assert!(matches!(decode(&format!("{long_frame}\r\n")), Err(FrameError::FrameTooLong)));
        assert!(matches!(decode(&many), Err(FrameError::TooManyHeaders)));
        let fits = "A: b\r\n".repeat(super::super::AMI_FRAME_HEADERS_MAX) + "\r\n";
        assert!(matches!(decode(&fits), Ok(Some(_))));
    }

    #[test]
    fn empty_lines_between_frames_and_a_partial_tail_are_dropped() {
        let mut src =
            BytesMut::from("\r\n\r\nResponse: A\r\n\r\n\r\nResponse: B\r\n\r\nResponse: C\r\nEvent");
        let mut codec = FrameCodec::without_banner();
        assert_eq!(drain(&mut codec, &mut src).len(), 2);
        assert!(matches!(codec.decode_eof(&mut src), Ok(None)));
        assert!(src.is_empty());
    }

    /// New memory for each read costs more than decoding what it holds.
    #[test]
    fn reads_go_into_the_same_memory_again() {
        let mut codec = FrameCodec::without_banner();
        let mut src = FrameCodec::buffer();
        let stream = "Event: Newstate\r\nPrivilege: call,all\r\nUniqueid: 1.2\r\n\r\n".repeat(10_000);
        let memory = src.as_ptr().addr()..src.as_ptr().addr() + src.capacity();
        for piece in stream.as_bytes().chunks(10_007) {
            FrameCodec::make_room(&mut src);
            src.extend_from_slice(piece);
            while codec.decode(&mut src).unwrap().is_some() {}
            assert!(memory.contains(&src.as_ptr().addr()));
        }
    }

    /// Valid and invalid lines, so that every rule meets every cut.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"Event: Newchannel".to_vec()),
            Just(b"Privilege: call,all".to_vec()),
            Just(b"Response: Success".to_vec()),
            Just(Vec::new()),
            "[A-Za-z]{0,8}: [ -~]{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..40),
        ]
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(lines in prop::collection::vec(line(), 0..60),
                                           cuts in prop::collection::vec(1_usize..50, 1..40)) {
            let stream: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\r\n"].concat()).collect();
            let whole = drain(&mut FrameCodec::without_banner(), &mut BytesMut::from(&stream[..]));
            let mut codec = FrameCodec::without_banner();
            let mut src = BytesMut::new();
            let mut pieces = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                src.extend_from_slice(piece);
                pieces.extend(drain(&mut codec, &mut src));
                rest = later;
            }
            prop_assert_eq!(whole, pieces);
        }

        /// The fast search finds the same frames as a plain one.
        #[test]
        fn frames_and_headers_are_those_of_a_plain_reading(
            stream in prop::collection::vec(prop_oneof![
                4 => Just(b"\r\n".to_vec()),
                1 => Just(b"\r".to_vec()),
                1 => Just(b"\n".to_vec()),
                2 => Just(b":".to_vec()),
                1 => Just(b" ".to_vec()),
                4 => prop::collection::vec(any::<u8>(), 0..70),
            ], 0..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let stream = stream.concat();
            let mut plain = Vec::new();
            let mut frame = Vec::new();
            let mut rest = &stream[..];
            while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
                let line = &rest[..end];
                rest = &rest[end + 2..];
                if !line.is_empty() {
                    let (key, value) = match memchr(b':', line) {
                        Some(colon) => (&line[..colon], &line[colon + 1..]),
                        None => (line, &b""[..]),
                    };
                    frame.push((key.to_vec(), value.strip_prefix(b" ").unwrap_or(value).to_vec()));
                } else if !frame.is_empty() {
                    plain.push(std::mem::take(&mut frame));
                }
            }
            let mut found = Vec::new();
            let mut codec = FrameCodec::without_banner();
            let mut src = BytesMut::new();
            let (first, second) = stream.split_at(cut.index(stream.len() + 1));
            for part in [first, second] {
                src.extend_from_slice(part);
                while let Some(decoded) = codec.decode(&mut src).unwrap() {
                    let (Decoded::Frame(frame) | Decoded::Quarantined(Quarantined { frame, .. })) = decoded else {
                        unreachable!()
                    };
                    let headers: Vec<_> = frame.headers().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
                    for (key, _) in &headers {
                        if let Ok(key) = std::str::from_utf8(key) {
                            let first = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(key.as_bytes()));
                            prop_assert_eq!(frame.get(key), first.map(|(_, value)| &value[..]));
                        }
                    }
                    found.push(headers);
                }
            }
            prop_assert_eq!(found, plain);
        }

        #[test]
        fn any_bytes_are_survived(stream in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut src = BytesMut::from(&stream[..]);
            let mut codec = FrameCodec::without_banner();
            while let Ok(Some(decoded)) = codec.decode(&mut src) {
                let _ = format!("{decoded:?}");
            }
        }
    }
}
