//! The manager's stream of any bytes, in any pieces: nothing panics, the frames are the same however the bytes
//! are split, and decoding them to events never fails for more than a missing field.
//!
//! The first byte chooses the size of the pieces, the second whether a greeting is expected.

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

/// Everything that comes out, as text; the last line says why the stream ended, if it did.
fn decode(stream: &[u8], piece: usize, greeting: u8) -> Vec<String> {
    let mut codec = if greeting % 2 == 0 { FrameCodec::without_banner() } else { FrameCodec::new() };
    let mut buffer = BytesMut::new();
    let mut told = Vec::new();
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(Decoded::Frame(frame))) => told.push(look_at(&frame)),
                Ok(Some(Decoded::Quarantined(set_aside))) => {
                    told.push(format!("{} {}", set_aside.reason, look_at(&set_aside.frame)));
                }
                Ok(Some(Decoded::Banner(version))) => told.push(format!("{version:?}")),
                Ok(None) => break,
                // It quotes as much of a foreign greeting as has arrived.
                Err(FrameError::NotAManager { .. }) => {
                    told.push("not a manager".into());
                    return told;
                }
                Err(error) => {
                    told.push(error.to_string());
                    return told;
                }
            }
        }
    }
    told
}

fn look_at(frame: &Frame) -> String {
    for (key, value) in frame.headers() {
        if let Ok(key) = std::str::from_utf8(key) {
            let first = frame.get(key).expect("a header that is there is found");
            assert!(first == value || frame.all(key).any(|other| other == value));
        }
        let _ = unescape(&String::from_utf8_lossy(value));
    }
    format!("{:?} {:?}", frame.as_bytes(), Event::decode(frame))
}
