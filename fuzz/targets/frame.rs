//! Fuzzes the decoder with any bytes in pieces of any size: nothing panics, the frames do not depend on how the bytes are
//! split, and decoding a frame to an event fails only for a missing field.
//!
//! The first byte of the input is the size of the pieces, the second decides whether a greeting is expected.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tokio_util::codec::Decoder;
use toritsugi::ami::event::Event;
use toritsugi::ami::frame::{Decoded, Frame, FrameCodec, FrameError, unescape};

fuzz_target!(|data: &[u8]| {
    let [piece, greeting, stream @ ..] = data else { return };
    let whole = decode(stream, stream.len().max(1), *greeting);
    let split = decode(stream, usize::from(*piece).max(1), *greeting);
    assert_eq!(whole, split);
});

/// The decoder's output as text; the last line is the error that ended the stream, if one did.
fn decode(stream: &[u8], piece: usize, greeting: u8) -> Vec<String> {
    let mut codec = if greeting % 2 == 0 { FrameCodec::without_banner() } else { FrameCodec::new() };
    let mut buffer = BytesMut::new();
    let mut lines = Vec::new();
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(Decoded::Frame(frame))) => lines.push(describe(&frame)),
                Ok(Some(Decoded::Quarantined(set_aside))) => {
                    lines.push(format!("{} {}", set_aside.reason, describe(&set_aside.frame)));
                }
                Ok(Some(Decoded::Banner(version))) => lines.push(format!("{version:?}")),
                Ok(None) => break,
                // The error quotes the part of a foreign greeting that has arrived.
                Err(FrameError::NotAManager { .. }) => {
                    lines.push("not a manager".into());
                    return lines;
                }
                Err(error) => {
                    lines.push(error.to_string());
                    return lines;
                }
            }
        }
    }
    lines
}

fn describe(frame: &Frame) -> String {
    for (key, value) in frame.headers() {
        if let Ok(key) = std::str::from_utf8(key) {
            let first = frame.get(key).expect("a header that is there is found");
            assert!(first == value || frame.all(key).any(|other| other == value));
        }
        let _ = unescape(&String::from_utf8_lossy(value));
    }
    format!("{:?} {:?}", frame.as_bytes(), Event::decode(frame))
}
