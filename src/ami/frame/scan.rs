//! Finds frames in a buffer and, in the same pass, where each line starts and where its key ends.
//!
//! Invariant: each byte is scanned once, however the reads divide the stream. The results stay between calls, so a peer
//! that sends single bytes costs no more than one that sends megabytes.
//!
//! How: 64 bytes at a time become bit masks ([`super::masks`]), and the rest is arithmetic on these:
//! - a line ends where a line feed follows a carriage return (a lone one of either is part of a value);
//! - a frame ends where a line ends two bytes after another;
//! - a key ends at the first colon of its line. Adding the bits of the lines' starts to the bits of all bytes at
//!   which a key can *not* end makes each start ripple up to its first colon, or to the end of a line without one.

use fearless_simd::{Level, Simd, dispatch};

use super::masks::{BLOCK_BYTES, Masks};
use super::{AMI_FRAME_BYTES_MAX, AMI_FRAME_HEADERS_MAX, AMI_LINE_BYTES_MAX, FrameError};

/// A broken limit of the parent module.
#[derive(Debug, Clone, Copy)]
pub(super) enum BrokenLimit {
    FrameTooLong,
    LineTooLong,
    TooManyHeaders,
}

impl From<BrokenLimit> for FrameError {
    fn from(limit: BrokenLimit) -> Self {
        match limit {
            BrokenLimit::FrameTooLong => Self::FrameTooLong,
            BrokenLimit::LineTooLong => Self::LineTooLong,
            BrokenLimit::TooManyHeaders => Self::TooManyHeaders,
        }
    }
}

/// Most frames found in one scan, so that a whole file in one buffer is not indexed at once.
const FRAMES_PER_BATCH_MAX: usize = 1_024;

/// The lines of some frames, as positions in their buffer; the lists are parallel. A line ends where the next starts.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Longer than the number of lines; the frames hold the valid ranges.
    pub(super) starts: Vec<u32>,
    /// Position of each line's first colon, or of its CR if it has none.
    pub(super) key_ends: Vec<u32>,
    /// Length of each line's key, at most 255, so that look-ups compare many at once; padded with
    /// [`KEY_LENS_PADDING`] bytes.
    pub(super) key_lens: Vec<u8>,
}

/// Number of bytes after the last line that a reader of `key_lens` may load.
pub(super) const KEY_LENS_PADDING: usize = 8;

/// A complete frame: its range of bytes, without the closing empty line, and its range of lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameSpan {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) first_line: u32,
    pub(super) lines_end: u32,
    /// Whether one of the lines has no colon.
    pub(super) unkeyed: bool,
}

/// The scan of one stream. All positions count from the front of the buffer.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Lines of the complete frames and of the incomplete one, and room for more.
    starts: Vec<u32>,
    key_ends: Vec<u32>,
    /// The complete frames.
    pub(super) spans: Vec<FrameSpan>,
    progress: Progress,
}

/// How far the scan is.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Everything before this position was scanned.
    searched: usize,
    carry: Carry,
    /// Number of lines that have begun, the incomplete one included.
    starts: usize,
    /// Number of lines whose key has ended.
    key_ends: usize,
    /// Start of the incomplete frame: everything before it belongs to complete frames.
    frame_start: usize,
    /// The first line of the incomplete frame.
    first_line: usize,
    /// One of its lines has no colon.
    unkeyed: bool,
}

/// State that the bytes before a block carry into it.
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
    /// Number of bytes at the front of the buffer that belong to complete frames.
    pub(super) fn complete_bytes(&self) -> usize {
        self.progress.frame_start
    }

    /// Scans the new bytes in `bytes`. On an error, the frames before it are still found.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), BrokenLimit> {
        dispatch!(Level::new(), simd => self.scan_with(simd, bytes))?;
        self.check_lines()?;
        let progress = &self.progress;
        let at_line_start = progress.carry.after_line & 0b10 != 0;
        let line_start =
            if at_line_start { progress.searched } else { self.starts[progress.starts - 1] as usize };
        if progress.searched - line_start > AMI_LINE_BYTES_MAX + 1 {
            return Err(BrokenLimit::LineTooLong);
        }
        progress.check_frame(progress.searched, progress.starts)
    }

    #[inline(always)]
    fn scan_with<S: Simd>(&mut self, simd: S, bytes: &[u8]) -> Result<(), BrokenLimit> {
        const NONE: [u64; BLOCKS_PER_ROUND] = [0; BLOCKS_PER_ROUND];
        let mut marks = Marks {
            frame_ends: NONE,
            starts: NONE,
            key_ends: NONE,
            unkeyed: NONE,
            lines_before: [0; BLOCKS_PER_ROUND],
        };
        while self.progress.searched < bytes.len() && self.spans.len() < FRAMES_PER_BATCH_MAX {
            let (blocks, rest) = bytes[self.progress.searched..].as_chunks();
            let mut carry = self.progress.carry;
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
            self.progress.carry = carry;
            self.take_marks(&mut marks, count)?;
            self.progress.searched += (count - 1) * BLOCK_BYTES + length;
        }
        Ok(())
    }

    /// Records the lines and frames of the first `count` blocks.
    #[inline(always)]
    fn take_marks(&mut self, marks: &mut Marks, count: usize) -> Result<(), BrokenLimit> {
        // If the CR of an empty line is the last byte of a block, it was recorded as a line start.
        self.progress.starts -= (marks.frame_ends[0] & 1) as usize;
        for number in 1..count {
            marks.starts[number - 1] &= !(marks.frame_ends[number] << 63);
        }
        let base = self.progress.searched as u32;
        push_positions(
            &mut self.key_ends,
            &mut self.progress.key_ends,
            base,
            &marks.key_ends[..count],
            |_, _| {},
        );
        let lines_before = &mut marks.lines_before;
        push_positions(
            &mut self.starts,
            &mut self.progress.starts,
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
                self.progress.unkeyed |= unkeyed & before != 0;
                unkeyed &= !before;
                let lines = marks.lines_before[number] + (marks.starts[number] & before).count_ones();
                let line_feed =
                    self.progress.searched + number * BLOCK_BYTES + frame_ends.trailing_zeros() as usize;
                self.end_frame(line_feed, lines as usize)?;
                frame_ends &= frame_ends - 1;
            }
            self.progress.unkeyed |= unkeyed != 0;
        }
        Ok(())
    }

    /// Records a frame that ends with the empty line whose LF is at `line_feed`.
    fn end_frame(&mut self, line_feed: usize, lines_end: usize) -> Result<(), BrokenLimit> {
        let progress = &mut self.progress;
        let end = line_feed - 1;
        progress.check_frame(end, lines_end)?;
        if lines_end > progress.first_line {
            self.spans.push(FrameSpan {
                start: progress.frame_start as u32,
                end: end as u32,
                first_line: progress.first_line as u32,
                lines_end: lines_end as u32,
                unkeyed: progress.unkeyed,
            });
        }
        progress.first_line = lines_end;
        progress.frame_start = line_feed + 1;
        progress.unkeyed = false;
        Ok(())
    }

    /// Drops the first complete frame with a line beyond [`AMI_LINE_BYTES_MAX`], and those after it.
    fn check_lines(&mut self) -> Result<(), BrokenLimit> {
        let Progress { first_line: complete, frame_start, .. } = self.progress;
        let Some(behind) = self.starts.get_mut(complete) else { return Ok(()) };
        *behind = frame_start as u32; // Where the next line starts, whether it was scanned or not.
        let lines = self.starts[..complete].iter().zip(&self.starts[1..=complete]);
        // A bit above the sixteenth means a long line, perhaps because of the CRLF of an empty line after it.
        if lines.fold(0, |bits, (start, next)| bits | (next - start)) <= u32::from(u16::MAX) {
            return Ok(());
        }
        let too_long = |span: &FrameSpan| {
            let starts = &self.starts[span.first_line as usize..span.lines_end as usize];
            let ends = starts.iter().skip(1).chain([&span.end]);
            starts.iter().zip(ends).any(|(start, end)| (end - 2 - start) as usize > AMI_LINE_BYTES_MAX)
        };
        match self.spans.iter().position(too_long) {
            Some(first) => {
                self.spans.truncate(first);
                Err(BrokenLimit::LineTooLong)
            }
            None => Ok(()),
        }
    }

    /// Takes the lines of the complete frames, whose bytes the caller takes from the front of the buffer. The scan
    /// continues after them and reuses the memory of `recycled`.
    pub(super) fn take_lines(&mut self, bytes: &[u8], recycled: Lines) -> Lines {
        for span in self.spans.iter().filter(|span| span.unkeyed) {
            for key_end in &mut self.key_ends[span.first_line as usize..span.lines_end as usize] {
                // The ripple ran on to the LF; the whole line without its CRLF is the key.
                *key_end -= u32::from(bytes.get(*key_end as usize) != Some(&b':'));
            }
        }
        let Progress { frame_start: taken, first_line: complete, starts, key_ends, .. } = self.progress;
        self.progress = Progress {
            searched: self.progress.searched - taken,
            starts: starts - complete,
            key_ends: key_ends - complete,
            frame_start: 0,
            first_line: 0,
            ..self.progress
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

impl Progress {
    /// Checks that the frame that begins at `frame_start` is within its limits up to `end` and `lines_end`.
    #[inline]
    fn check_frame(&self, end: usize, lines_end: usize) -> Result<(), BrokenLimit> {
        if end - self.frame_start > AMI_FRAME_BYTES_MAX {
            return Err(BrokenLimit::FrameTooLong);
        }
        if lines_end - self.first_line > AMI_FRAME_HEADERS_MAX {
            return Err(BrokenLimit::TooManyHeaders);
        }
        Ok(())
    }
}

/// Appends the position of each set bit after the first `count` of `positions`, and adds their number to `count`. Calls
/// `before_block` with the number of positions before each block.
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
        // There are nearly always at most four, and writing four at once is faster than checking after each.
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
