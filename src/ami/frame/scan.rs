//! Finds frames in a buffer and, in the same pass, where each line starts and where its key ends.
//!
//! Invariant: each byte is looked at once, however the stream is cut: what was found stays between calls, so a
//! peer that sends single bytes costs no more than one that sends megabytes.
//!
//! How: 64 bytes at a time become bit masks ([`super::masks`]), and the rest is arithmetic on these:
//! - a line ends where a line feed follows a carriage return (a lone one of either is part of a value);
//! - a frame ends where a line ends two bytes after another;
//! - a key ends at the first colon of its line. Adding the bits of the lines' starts to the bits of all bytes at
//!   which a key can *not* end makes each start ripple up to its first colon, or to the end of a line without one.

use fearless_simd::{Level, Simd, dispatch};

use super::masks::{BLOCK_BYTES, Masks};
use super::{AMI_FRAME_BYTES_MAX, AMI_FRAME_HEADERS_MAX, AMI_LINE_BYTES_MAX, FrameError};

/// Which limit of the parent module is broken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    FrameTooLong,
    LineTooLong,
    TooManyHeaders,
}

impl From<Limit> for FrameError {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::FrameTooLong => Self::FrameTooLong,
            Limit::LineTooLong => Self::LineTooLong,
            Limit::TooManyHeaders => Self::TooManyHeaders,
        }
    }
}

/// Most frames found in one go, so that a whole file given at once is not indexed at once.
const FRAMES_PER_BATCH_MAX: usize = 1_024;

/// The lines of some frames, as positions in their buffer: lists in step. Where a line ends follows from the next.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// More than there are: what counts is told by the frames.
    pub(super) starts: Vec<u32>,
    /// Of each line the first colon, or its CR if it has none.
    pub(super) key_ends: Vec<u32>,
    /// Of each line the length of the key, at most 255, so that look-ups compare many at once; padded with
    /// [`KEY_LENS_PADDING`] bytes.
    pub(super) key_lens: Vec<u8>,
}

/// How far behind the last line `key_lens` may be read.
pub(super) const KEY_LENS_PADDING: usize = 8;

/// A complete frame: which bytes, without the closing empty line, and which lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) first_line: u32,
    pub(super) lines_end: u32,
    /// A line without a colon is among them.
    pub(super) unkeyed: bool,
}

/// The search in one stream. All positions count from the front of the buffer.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Lines of the complete frames and of the one that is not complete yet, and room for more.
    starts: Vec<u32>,
    key_ends: Vec<u32>,
    /// The complete frames.
    pub(super) found: Vec<Found>,
    at: Cursor,
}

/// Where the search stands.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    /// Everything before this was searched.
    searched: usize,
    carry: Carry,
    /// How many lines have begun, the incomplete one included.
    starts: usize,
    /// Of how many of them the key has ended.
    key_ends: usize,
    /// Where the incomplete frame begins: everything before belongs to complete ones.
    frame_start: usize,
    /// Its first line.
    first_line: usize,
    /// One of its lines has no colon.
    unkeyed: bool,
}

/// What the bytes before a block mean for it.
#[derive(Debug, Clone, Copy)]
struct Carry {
    /// 1: the last byte was a carriage return.
    after_return: u64,
    /// Bit 1: a line ended at the last byte; bit 0: at the one before.
    after_line: u64,
    /// 1: a line has begun and its key has not ended.
    in_key: u64,
}

impl Default for Carry {
    /// A stream begins as if a line had just ended.
    fn default() -> Self {
        Self { after_return: 0, after_line: 0b10, in_key: 0 }
    }
}

/// How many blocks are marked before their marks are read: separate short loops are faster than a long one.
const BLOCKS_PER_ROUND: usize = 128;

/// What is where in some blocks, as bits. The empty line that ends a frame is none of its lines.
struct Marks {
    /// Line feeds of the empty lines that end frames.
    frame_ends: [u64; BLOCKS_PER_ROUND],
    /// First bytes of lines.
    starts: [u64; BLOCKS_PER_ROUND],
    /// Colons, or line feeds of lines without one.
    key_ends: [u64; BLOCKS_PER_ROUND],
    /// Those that are line feeds.
    unkeyed: [u64; BLOCKS_PER_ROUND],
    /// How many lines began before each block.
    lines_before: [u32; BLOCKS_PER_ROUND],
}

impl Marks {
    /// Marks the block `number`, whose first `length` bytes count: the bits of `masks` above are 0.
    #[inline(always)]
    fn set(&mut self, number: usize, masks: &Masks, length: usize, carry: &mut Carry) {
        let line_ends = masks.line_feeds & (masks.returns << 1 | carry.after_return);
        let frame_ends = line_ends & (line_ends << 2 | carry.after_line);
        let starts = (line_ends << 1 | carry.after_line >> 1) & u64::MAX >> (BLOCK_BYTES - length);
        let stops = masks.colons | line_ends;
        let (rippled, in_key) = (!stops).overflowing_add(starts | carry.in_key);
        let key_ends = rippled & stops & !frame_ends;
        self.frame_ends[number] = frame_ends;
        self.starts[number] = starts & !(frame_ends >> 1);
        self.key_ends[number] = key_ends;
        self.unkeyed[number] = key_ends & line_ends;
        // The last two line ends, those of the block before included, as the lowest bits.
        let after_line = (u128::from(line_ends) << 2 | u128::from(carry.after_line)) >> length;
        *carry = Carry {
            after_return: masks.returns >> (length - 1),
            after_line: after_line as u64,
            in_key: u64::from(in_key),
        };
    }
}

impl Scanner {
    /// How many bytes at the front of the buffer belong to complete frames.
    pub(super) fn complete_bytes(&self) -> usize {
        self.at.frame_start
    }

    /// Searches what is new in `bytes`. On an error, the frames before it are found nevertheless.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), Limit> {
        dispatch!(Level::new(), simd => self.scan_with(simd, bytes))?;
        self.check_lines()?;
        let at = &self.at;
        let at_line_start = at.carry.after_line & 0b10 != 0;
        let line_start = if at_line_start { at.searched } else { self.starts[at.starts - 1] as usize };
        if at.searched - line_start > AMI_LINE_BYTES_MAX + 1 {
            return Err(Limit::LineTooLong);
        }
        at.check_frame(at.searched, at.starts)
    }

    #[inline(always)]
    fn scan_with<S: Simd>(&mut self, simd: S, bytes: &[u8]) -> Result<(), Limit> {
        const NONE: [u64; BLOCKS_PER_ROUND] = [0; BLOCKS_PER_ROUND];
        let mut marks = Marks {
            frame_ends: NONE,
            starts: NONE,
            key_ends: NONE,
            unkeyed: NONE,
            lines_before: [0; BLOCKS_PER_ROUND],
        };
        while self.at.searched < bytes.len() && self.found.len() < FRAMES_PER_BATCH_MAX {
            let (blocks, rest) = bytes[self.at.searched..].as_chunks();
            let mut carry = self.at.carry;
            for (number, block) in blocks.iter().take(BLOCKS_PER_ROUND).enumerate() {
                marks.set(number, &Masks::of(simd, block), BLOCK_BYTES, &mut carry);
            }
            let (mut count, mut length) = (blocks.len().min(BLOCKS_PER_ROUND), BLOCK_BYTES);
            if count == 0 {
                let mut block = [0; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                (count, length) = (1, rest.len());
                marks.set(0, &Masks::of(simd, &block), length, &mut carry);
            }
            self.at.carry = carry;
            self.take_marks(&mut marks, count)?;
            self.at.searched += (count - 1) * BLOCK_BYTES + length;
        }
        Ok(())
    }

    /// Takes the lines and frames of the first `count` blocks.
    #[inline(always)]
    fn take_marks(&mut self, marks: &mut Marks, count: usize) -> Result<(), Limit> {
        // The CR of an empty line that was the last byte of a block was taken for a line's start.
        self.at.starts -= (marks.frame_ends[0] & 1) as usize;
        for number in 1..count {
            marks.starts[number - 1] &= !(marks.frame_ends[number] << 63);
        }
        let base = self.at.searched as u32;
        push_positions(&mut self.key_ends, &mut self.at.key_ends, base, &marks.key_ends[..count], |_, _| {});
        let lines_before = &mut marks.lines_before;
        push_positions(
            &mut self.starts,
            &mut self.at.starts,
            base,
            &marks.starts[..count],
            |number, lines| {
                lines_before[number] = lines as u32;
            },
        );
        for number in 0..count {
            let mut frame_ends = marks.frame_ends[number];
            let mut unkeyed = marks.unkeyed[number];
            while frame_ends != 0 {
                let before = (frame_ends - 1) & !frame_ends;
                self.at.unkeyed |= unkeyed & before != 0;
                unkeyed &= !before;
                let lines = marks.lines_before[number] + (marks.starts[number] & before).count_ones();
                let line_feed =
                    self.at.searched + number * BLOCK_BYTES + frame_ends.trailing_zeros() as usize;
                self.end_frame(line_feed, lines as usize)?;
                frame_ends &= frame_ends - 1;
            }
            self.at.unkeyed |= unkeyed != 0;
        }
        Ok(())
    }

    /// The frame ends with the empty line whose LF is at `line_feed`.
    fn end_frame(&mut self, line_feed: usize, lines_end: usize) -> Result<(), Limit> {
        let at = &mut self.at;
        let end = line_feed - 1;
        at.check_frame(end, lines_end)?;
        if lines_end > at.first_line {
            self.found.push(Found {
                start: at.frame_start as u32,
                end: end as u32,
                first_line: at.first_line as u32,
                lines_end: lines_end as u32,
                unkeyed: at.unkeyed,
            });
        }
        at.first_line = lines_end;
        at.frame_start = line_feed + 1;
        at.unkeyed = false;
        Ok(())
    }

    /// Drops the first complete frame with a line beyond [`AMI_LINE_BYTES_MAX`], and those after it.
    fn check_lines(&mut self) -> Result<(), Limit> {
        let Cursor { first_line: complete, frame_start, .. } = self.at;
        let Some(behind) = self.starts.get_mut(complete) else { return Ok(()) };
        *behind = frame_start as u32; // Where the next line starts, whether it has been seen or not.
        let lines = self.starts[..complete].iter().zip(&self.starts[1..=complete]);
        // Bits above the sixteenth mean a long line, the CRLF of an empty line behind it perhaps included.
        if lines.fold(0, |bits, (start, next)| bits | (next - start)) <= u32::from(u16::MAX) {
            return Ok(());
        }
        let too_long = |found: &Found| {
            let starts = &self.starts[found.first_line as usize..found.lines_end as usize];
            let ends = starts.iter().skip(1).chain([&found.end]);
            starts.iter().zip(ends).any(|(start, end)| (end - 2 - start) as usize > AMI_LINE_BYTES_MAX)
        };
        match self.found.iter().position(too_long) {
            Some(first) => {
                self.found.truncate(first);
                Err(Limit::LineTooLong)
            }
            None => Ok(()),
        }
    }

    /// The lines of the complete frames, whose bytes the caller takes from the front of the buffer. The search
    /// goes on behind them; `recycled` gives its memory to it.
    pub(super) fn take_lines(&mut self, bytes: &[u8], recycled: Lines) -> Lines {
        for found in self.found.iter().filter(|found| found.unkeyed) {
            for key_end in &mut self.key_ends[found.first_line as usize..found.lines_end as usize] {
                // The ripple ran on to the LF; such a line is all key, without its CRLF.
                *key_end -= u32::from(bytes.get(*key_end as usize) != Some(&b':'));
            }
        }
        let Cursor { frame_start: taken, first_line: complete, starts, key_ends, .. } = self.at;
        self.at = Cursor {
            searched: self.at.searched - taken,
            starts: starts - complete,
            key_ends: key_ends - complete,
            frame_start: 0,
            first_line: 0,
            ..self.at
        };
        let take = |all: &mut Vec<u32>, count: usize, mut recycled: Vec<u32>| {
            let kept = all[complete..count].iter().map(|position| position - taken as u32);
            recycled.splice(..kept.len().min(recycled.len()), kept);
            std::mem::replace(all, recycled)
        };
        let starts = take(&mut self.starts, starts, recycled.starts);
        let key_ends = take(&mut self.key_ends, key_ends, recycled.key_ends);
        let mut key_lens = recycled.key_lens;
        key_lens.clear();
        let lines = starts[..complete].iter().zip(&key_ends[..complete]);
        key_lens.extend(lines.map(|(start, key_end)| (key_end - start).min(255) as u8));
        key_lens.extend([0; KEY_LENS_PADDING]);
        Lines { starts, key_ends, key_lens }
    }
}

impl Cursor {
    /// Whether the frame that begins at `frame_start` is within its limits, up to there.
    #[inline]
    fn check_frame(&self, end: usize, lines_end: usize) -> Result<(), Limit> {
        if end - self.frame_start > AMI_FRAME_BYTES_MAX {
            return Err(Limit::FrameTooLong);
        }
        if lines_end - self.first_line > AMI_FRAME_HEADERS_MAX {
            return Err(Limit::TooManyHeaders);
        }
        Ok(())
    }
}

/// Writes the position of each bit that is set behind the first `count` of `positions`, and counts them. Says to
/// `before_block` how many there were before each block.
#[inline(always)]
fn push_positions(
    positions: &mut Vec<u32>,
    count: &mut usize,
    base: u32,
    blocks: &[u64],
    mut before_block: impl FnMut(usize, usize),
) {
    let mut added = *count;
    if added + (blocks.len() + 1) * BLOCK_BYTES > positions.len() {
        positions.resize(added + (blocks.len() + 1) * BLOCK_BYTES, 0);
    }
    for (number, bits) in blocks.iter().enumerate() {
        before_block(number, added);
        let Some(room) = positions[added..].first_chunk_mut::<BLOCK_BYTES>() else { break };
        let (base, mut bits) = (base + (number * BLOCK_BYTES) as u32, *bits);
        let here = bits.count_ones() as usize;
        added += here;
        let mut next = || {
            let position = base + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
            position
        };
        // Nearly always at most four, and writing four whatever there are is faster than asking after each.
        for position in &mut room[..4] {
            *position = next();
        }
        if here > 4 {
            for position in &mut room[4..here] {
                *position = next();
            }
        }
    }
    *count = added;
}
