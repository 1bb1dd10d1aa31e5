//! Recorded calls, multiplied: copies of one call, each with its own ids.
#![allow(dead_code, reason = "each bench uses its own part")]
#![allow(clippy::unwrap_used, reason = "a bench stops on failure")]

use bytes::BytesMut;

/// A recorded call whose ids a copy can replace by others of the same length.
pub(crate) struct Template {
    pub(crate) bytes: Vec<u8>,
    /// Positions of the unique ids; a copy replaces the first seven digits of their Unix time.
    seconds: Vec<usize>,
    /// Positions of the bridges' UUIDs; a copy replaces the first eight digits.
    bridges: Vec<usize>,
}

impl Template {
    /// A scenario recorded on Asterisk 22, from its first channel on.
    pub(crate) fn recorded(scenario: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/transcripts/asterisk-22/{scenario}.ami"));
        Self::of(&std::fs::read(path).unwrap())
    }

    /// Three parts: everything before the first phone rings, that phone's ringing event, everything after it.
    pub(crate) fn around_ringing(&self) -> [Self; 3] {
        let states = memchr::memmem::find_iter(&self.bytes, b"Event: Newstate");
        let is_ringing = |at: &usize| {
            let frame = &self.bytes[*at..];
            find(&frame[..find(frame, b"\r\n\r\n").unwrap()], b"ChannelState: 5\r\n").is_some()
        };
        let from = states.into_iter().find(is_ringing).unwrap();
        let to = from + find(&self.bytes[from..], b"\r\n\r\n").unwrap() + 4;
        [self.part(0, from), self.part(from, to), self.part(to, self.bytes.len())]
    }

    fn part(&self, from: usize, to: usize) -> Self {
        let within =
            |list: &[usize]| list.iter().filter(|at| (from..to).contains(at)).map(|at| at - from).collect();
        let (seconds, bridges) = (within(&self.seconds), within(&self.bridges));
        Self { bytes: self.bytes[from..to].to_vec(), seconds, bridges }
    }

    pub(crate) fn of(transcript: &[u8]) -> Self {
        let first = find(transcript, b"Event: Newchannel").unwrap();
        let bytes = transcript[first..].to_vec();
        let uniqueid = find(&bytes, b"Uniqueid: ").unwrap() + b"Uniqueid: ".len();
        let second = bytes[uniqueid..uniqueid + 10].to_vec();
        let seconds = memchr::memmem::find_iter(&bytes, &second[..7]).collect();
        let key = b"BridgeUniqueid: ";
        let bridges = memchr::memmem::find_iter(&bytes, key).map(|at| at + key.len()).collect();
        Self { bytes, seconds, bridges }
    }

    pub(crate) fn stamp(&self, n: u64, out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let second = format!("{:07}", n % 10_000_000);
        let bridge = format!("{:08x}", n % 0xffff_ffff);
        for at in &self.seconds {
            out[start + at..start + at + 7].copy_from_slice(second.as_bytes());
        }
        for at in &self.bridges {
            out[start + at..start + at + 8].copy_from_slice(bridge.as_bytes());
        }
    }

    /// The part up to the BridgeEnter of the second party.
    pub(crate) fn until_talking(&self) -> Self {
        let enters: Vec<usize> = memchr::memmem::find_iter(&self.bytes, b"Event: BridgeEnter").collect();
        let end = enters[1] + find(&self.bytes[enters[1]..], b"\r\n\r\n").unwrap() + 4;
        self.part(0, end)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}
