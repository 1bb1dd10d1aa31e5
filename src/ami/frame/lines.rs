//! The lines of one frame: keys, values, look-ups.
//!
//! Most events begin with the same 16 keys, the *usual lines*: `Event`, `Privilege`, then the fourteen lines of a channel
//! snapshot, in the order of one `printf` in main/manager_channels.c. In such a frame the index of these keys is known
//! and no look-up searches.

use super::FrameKind;

macro_rules! usual_keys {
    ($count:literal: $($index:literal $key:literal)+) => {
        /// The number of usual lines.
        pub(in crate::ami) const USUAL_LINES: usize = $count;
        const USUAL_KEY_LENS: [u8; USUAL_LINES] = [$($key.len() as u8),+];

        /// The index of `key` among the usual lines, in the usual spelling.
        #[inline(always)]
        pub(super) fn usual_index(key: &[u8]) -> Option<usize> {
            match key {
                $($key => Some($index),)+
                _ => None,
            }
        }

        impl FrameLines<'_> {
            /// Whether the first lines have the usual keys.
            #[inline(always)]
            pub(super) fn are_usual(&self) -> bool {
                // Lengths first, all at once: they rule out nearly every other frame.
                self.len() >= USUAL_LINES
                    && self.key_lens.first_chunk() == Some(&USUAL_KEY_LENS)
                    $(&& self.key_ends_with($index, $key))+
            }
        }
    };
}

usual_keys! { 16:
    0 b"Event"
    1 b"Privilege"
    2 b"Channel"
    3 b"ChannelState"
    4 b"ChannelStateDesc"
    5 b"CallerIDNum"
    6 b"CallerIDName"
    7 b"ConnectedLineNum"
    8 b"ConnectedLineName"
    9 b"Language"
    10 b"AccountCode"
    11 b"Context"
    12 b"Exten"
    13 b"Priority"
    14 b"Uniqueid"
    15 b"Linkedid"
}

/// The lines of one frame; at least one.
#[derive(Debug, Clone, Copy)]
pub(in crate::ami) struct FrameLines<'a> {
    /// Everything up to the end of the frame.
    pub(super) bytes: &'a [u8],
    pub(super) starts: &'a [u32],
    pub(super) key_ends: &'a [u32],
    /// Padded with [`super::KEY_LENS_PADDING`] unused bytes.
    pub(super) key_lens: &'a [u8],
}

impl<'a> FrameLines<'a> {
    #[inline(always)]
    pub(in crate::ami) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The length of each key, longer ones as 255.
    #[inline(always)]
    pub(in crate::ami) fn key_lens(&self) -> &'a [u8] {
        &self.key_lens[..self.starts.len()]
    }

    /// The `index`th key; the whole line if it has no colon.
    #[inline(always)]
    pub(in crate::ami) fn key(&self, index: usize) -> &'a [u8] {
        &self.bytes[self.starts[index] as usize..self.key_ends[index] as usize]
    }

    /// The first byte of the `index`th line.
    #[inline(always)]
    pub(in crate::ami) fn first_byte(&self, index: usize) -> u8 {
        self.bytes[self.starts[index] as usize]
    }

    /// Whether the `index`th key ends with `suffix`.
    #[inline(always)]
    pub(in crate::ami) fn key_ends_with<const N: usize>(&self, index: usize, suffix: &[u8; N]) -> bool {
        let key_end = self.key_ends[index] as usize;
        self.bytes[..key_end].last_chunk() == Some(suffix)
    }

    /// The text after the `index`th key, its colon and one space.
    #[inline(always)]
    pub(in crate::ami) fn value(&self, index: usize) -> &'a [u8] {
        // The next line starts behind this one's CRLF, and the frame's bytes end with the last one's.
        let end = self.starts.get(index + 1).map_or(self.bytes.len(), |next| *next as usize) - 2;
        match self.bytes.get(self.key_ends[index] as usize..end) {
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => b"",
        }
    }

    #[inline(always)]
    pub(in crate::ami) fn kind(&self) -> FrameKind {
        match self.key(0) {
            b"Event" => FrameKind::Event,
            b"Response" => FrameKind::Response,
            key if key.eq_ignore_ascii_case(b"Event") => FrameKind::Event,
            key if key.eq_ignore_ascii_case(b"Response") => FrameKind::Response,
            _ => FrameKind::Other,
        }
    }

    /// The first line with this key. Eight key lengths are compared at once: the first byte of a word that equals
    /// another is the lowest one that borrows when 1 is taken from the difference.
    #[inline(always)]
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        const ONES: u64 = u64::from_le_bytes([1; 8]);
        let wanted = ONES * key.len().min(255) as u64;
        let mut first = 0;
        while first < self.len() {
            let lens = u64::from_le_bytes(*self.key_lens[first..].first_chunk()?);
            let difference = lens ^ wanted;
            let mut candidates = difference.wrapping_sub(ONES) & !difference & (ONES << 7);
            while candidates != 0 {
                let index = first + candidates.trailing_zeros() as usize / 8;
                if index >= self.len() {
                    return None;
                }
                let found = self.key(index);
                if found.len() == key.len() && is_key(found, key) {
                    return Some(index);
                }
                candidates &= candidates - 1;
            }
            first += 8;
        }
        None
    }
}

/// The headers of a frame, in order.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    pub(super) lines: FrameLines<'a>,
    pub(super) next: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index == self.lines.len() {
            return None;
        }
        self.next += 1;
        Some((self.lines.key(index), self.lines.value(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.lines.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Whether two keys of the same length are equal except for case; Asterisk nearly always writes the usual case.
#[inline(always)]
fn is_key(found: &[u8], wanted: &[u8]) -> bool {
    let (Some(found_ends), Some(wanted_ends)) = (ends(found), ends(wanted)) else {
        return found.eq_ignore_ascii_case(wanted);
    };
    let (first, last) = (found_ends.0 ^ wanted_ends.0, found_ends.1 ^ wanted_ends.1);
    match first | last {
        0 => wanted.len() <= 16 || found.eq_ignore_ascii_case(wanted),
        // They differ in more than the case bit.
        difference if difference & !u64::from_le_bytes([b'a' ^ b'A'; 8]) != 0 => false,
        _ => found.eq_ignore_ascii_case(wanted),
    }
}

/// The first and the last eight bytes, or four; together they cover nearly every key.
#[inline(always)]
fn ends(key: &[u8]) -> Option<(u64, u64)> {
    if key.len() >= 8 {
        return Some((u64::from_le_bytes(*key.first_chunk()?), u64::from_le_bytes(*key.last_chunk()?)));
    }
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    Some((half(key.first_chunk()?), half(key.last_chunk()?)))
}
