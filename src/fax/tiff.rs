//! Reads the TIFF file of a received fax (TIFF 6.0; RFC 3949 for fax): which pages it has and where their data is.
//!
//! Invariants: pure. No offset, count or length of the file is believed: each read is checked against the file, and the
//! number of pages, their size and the strips of a page have limits. A file that breaks off after some pages, because the
//! PBX died in the middle of the next one, gives the pages before.
//!
//! Read next: `page.rs`, which decodes the data of a page.

use std::ops::Range;

/// Most pages of a fax.
pub const PAGES_MAX: usize = 200;
/// Widest page, in pixels: A3 at 408 dpi.
const COLUMNS_MAX: u32 = 4_864;
/// Longest page, in rows: 1.9 m at 391 dpi.
const ROWS_MAX: u32 = 30_000;
/// Most strips of a page.
const STRIPS_MAX: u32 = 4_096;
/// Most entries of a directory.
const ENTRIES_MAX: u16 = 512;
/// Standard fax resolution, in dots an inch, for a file that names none.
const DEFAULT_DPI: (u32, u32) = (204, 196);
/// The resolutions that a page may claim.
const DPI_RANGE: std::ops::RangeInclusive<u32> = 50..=1_200;

/// How a page's data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// T.4, each row by itself.
    Group3,
    /// T.4, rows that refer to the row before.
    Group3TwoDimensional,
    /// T.6.
    Group4,
}

/// A page, and where its data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEntry {
    /// Width, in pixels.
    pub columns: u32,
    /// Height, in rows.
    pub rows: u32,
    /// Dots an inch, across and down.
    pub dpi: (u32, u32),
    /// The compression.
    pub coding: Coding,
    /// The first pixel of a byte is its lowest bit.
    pub is_reversed: bool,
    /// What the coding calls white is black.
    pub is_negative: bool,
    /// Rows of each strip but the last.
    pub rows_per_strip: u32,
    /// The bytes of each strip.
    pub strips: Vec<Range<usize>>,
}

/// What a file has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TiffFile {
    /// The pages, in order.
    pub pages: Vec<PageEntry>,
    /// Why the file was not read to its end.
    pub fault: Option<TiffFault>,
}

/// Why a file, or the rest of it, cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TiffFault {
    /// Another kind of file.
    #[error("it is no TIFF file")]
    NoTiff,
    /// An offset or a length points behind the end.
    #[error("it breaks off")]
    Truncated,
    /// The directories of pages form a circle, or there are too many.
    #[error("it has more than {PAGES_MAX} pages")]
    TooManyPages,
    /// No page has this size.
    #[error("a page has {columns} x {rows} pixels")]
    Size {
        /// Width.
        columns: u32,
        /// Height.
        rows: u32,
    },
    /// A fax is compressed as T.4 or T.6.
    #[error("compression {0} is no fax")]
    Compression(u32),
    /// A fax is black and white.
    #[error("it is no black and white picture")]
    Colours,
    /// The strips do not make up a page.
    #[error("its strips make no page")]
    Strips,
}

/// The tags that a fax has.
mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const LENGTH: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const X_RESOLUTION: u16 = 282;
    pub(super) const Y_RESOLUTION: u16 = 283;
    pub(super) const T4_OPTIONS: u16 = 292;
    pub(super) const RESOLUTION_UNIT: u16 = 296;
}

/// Reads a file. A file without a page has a fault, unless it is one in which no page began.
#[must_use]
pub fn read(bytes: &[u8]) -> TiffFile {
    let mut file = TiffFile::default();
    if let Err(fault) = read_pages(bytes, &mut file.pages) {
        file.fault = Some(fault);
    }
    file
}

fn read_pages(bytes: &[u8], pages: &mut Vec<PageEntry>) -> Result<(), TiffFault> {
    let reader = Reader::new(bytes)?;
    let mut next = reader.long(4)?;
    while next != 0 {
        if pages.len() == PAGES_MAX {
            return Err(TiffFault::TooManyPages);
        }
        let at = usize::try_from(next).map_err(|_| TiffFault::Truncated)?;
        let directory = reader.directory(at)?;
        pages.push(directory.page()?);
        next = directory.next;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, TiffFault> {
        let is_big_endian = match bytes.get(..4) {
            Some(b"II*\0") => false,
            Some(b"MM\0*") => true,
            _ => return Err(TiffFault::NoTiff),
        };
        Ok(Self { bytes, is_big_endian })
    }

    fn at<const N: usize>(&self, at: usize) -> Result<[u8; N], TiffFault> {
        let end = at.checked_add(N).ok_or(TiffFault::Truncated)?;
        let bytes = self.bytes.get(at..end).ok_or(TiffFault::Truncated)?;
        bytes.try_into().map_err(|_| TiffFault::Truncated)
    }

    fn short(&self, at: usize) -> Result<u16, TiffFault> {
        let bytes = self.at(at)?;
        Ok(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Result<u32, TiffFault> {
        let bytes = self.at(at)?;
        Ok(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn directory(self, at: usize) -> Result<Directory<'a>, TiffFault> {
        let count = self.short(at)?;
        if count > ENTRIES_MAX {
            return Err(TiffFault::Truncated);
        }
        let first = at + 2;
        let next = self.long(first + usize::from(count) * ENTRY_BYTES)?;
        Ok(Directory { reader: self, first, count, next })
    }
}

/// Bytes of an entry of a directory: tag, type, count, value or offset.
const ENTRY_BYTES: usize = 12;

/// The directory of a page.
#[derive(Debug, Clone, Copy)]
struct Directory<'a> {
    reader: Reader<'a>,
    first: usize,
    count: u16,
    /// Where the next one is; 0: this is the last.
    next: u32,
}

impl Directory<'_> {
    fn page(self) -> Result<PageEntry, TiffFault> {
        let required = |tag| self.number(tag)?.ok_or(TiffFault::Strips);
        let (columns, rows) = (required(tag::WIDTH)?, required(tag::LENGTH)?);
        if columns == 0 || rows == 0 || columns > COLUMNS_MAX || rows > ROWS_MAX {
            return Err(TiffFault::Size { columns, rows });
        }
        let number_or = |tag, default| Ok(self.number(tag)?.unwrap_or(default));
        if number_or(tag::BITS, 1)? != 1 || number_or(tag::SAMPLES, 1)? != 1 {
            return Err(TiffFault::Colours);
        }
        let coding = match number_or(tag::COMPRESSION, 1)? {
            3 if number_or(tag::T4_OPTIONS, 0)? & 1 == 1 => Coding::Group3TwoDimensional,
            3 => Coding::Group3,
            4 => Coding::Group4,
            other => return Err(TiffFault::Compression(other)),
        };
        let is_negative = match number_or(tag::PHOTOMETRIC, 0)? {
            0 => false,
            1 => true,
            _ => return Err(TiffFault::Colours),
        };
        let rows_per_strip = number_or(tag::ROWS_PER_STRIP, rows)?.min(rows);
        let strips = self.strips()?;
        if rows_per_strip == 0 || strips.len() != rows.div_ceil(rows_per_strip) as usize {
            return Err(TiffFault::Strips);
        }
        Ok(PageEntry {
            columns,
            rows,
            dpi: self.dpi()?,
            coding,
            is_reversed: number_or(tag::FILL_ORDER, 1)? == 2,
            is_negative,
            rows_per_strip,
            strips,
        })
    }

    fn strips(self) -> Result<Vec<Range<usize>>, TiffFault> {
        let (offsets, lengths) = (self.entry(tag::STRIP_OFFSETS)?, self.entry(tag::STRIP_BYTES)?);
        let (Some(offsets), Some(lengths)) = (offsets, lengths) else { return Err(TiffFault::Strips) };
        if offsets.count != lengths.count || offsets.count > STRIPS_MAX {
            return Err(TiffFault::Strips);
        }
        let strip = |n| {
            let at = usize::try_from(self.value(offsets, n)?).map_err(|_| TiffFault::Truncated)?;
            let length = usize::try_from(self.value(lengths, n)?).map_err(|_| TiffFault::Truncated)?;
            let end = at.checked_add(length).ok_or(TiffFault::Truncated)?;
            if end > self.reader.bytes.len() { Err(TiffFault::Truncated) } else { Ok(at..end) }
        };
        (0..offsets.count).map(strip).collect()
    }

    fn dpi(self) -> Result<(u32, u32), TiffFault> {
        let is_metric = self.number(tag::RESOLUTION_UNIT)? == Some(3);
        let of = |tag, default| {
            let Some(dots) = self.ratio(tag)? else { return Ok(default) };
            let dots = if is_metric { dots * 2.54 } else { dots };
            // A value that is out of range converts to the nearest number, and NaN to 0.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
            let dots = dots.round() as u32;
            Ok(if DPI_RANGE.contains(&dots) { dots } else { default })
        };
        Ok((of(tag::X_RESOLUTION, DEFAULT_DPI.0)?, of(tag::Y_RESOLUTION, DEFAULT_DPI.1)?))
    }

    fn number(self, tag: u16) -> Result<Option<u32>, TiffFault> {
        self.entry(tag)?.filter(|entry| entry.count > 0).map(|entry| self.value(entry, 0)).transpose()
    }

    fn ratio(self, tag: u16) -> Result<Option<f64>, TiffFault> {
        let Some(entry) = self.entry(tag)?.filter(|entry| entry.kind == 5 && entry.count > 0) else {
            return Ok(None);
        };
        let at = usize::try_from(self.reader.long(entry.value_at)?).map_err(|_| TiffFault::Truncated)?;
        let behind = at.checked_add(4).ok_or(TiffFault::Truncated)?;
        let (over, under) = (self.reader.long(at)?, self.reader.long(behind)?);
        Ok((under != 0).then(|| f64::from(over) / f64::from(under)))
    }

    fn entry(self, tag: u16) -> Result<Option<Entry>, TiffFault> {
        for n in 0..usize::from(self.count) {
            let at = self.first + n * ENTRY_BYTES;
            if self.reader.short(at)? == tag {
                let kind = self.reader.short(at + 2)?;
                return Ok(Some(Entry { kind, count: self.reader.long(at + 4)?, value_at: at + 8 }));
            }
        }
        Ok(None)
    }

    /// The `n`th number of an entry: in the entry itself where all of them fit, else where it points.
    fn value(self, entry: Entry, n: u32) -> Result<u32, TiffFault> {
        let width: u32 = match entry.kind {
            3 => 2,
            4 => 4,
            _ => return Err(TiffFault::Strips),
        };
        let is_inside = entry.count.checked_mul(width).is_some_and(|bytes| bytes <= 4);
        let first = if is_inside {
            entry.value_at
        } else {
            usize::try_from(self.reader.long(entry.value_at)?).map_err(|_| TiffFault::Truncated)?
        };
        let at = u64::from(n) * u64::from(width) + first as u64;
        let at = usize::try_from(at).map_err(|_| TiffFault::Truncated)?;
        if width == 2 { self.reader.short(at).map(u32::from) } else { self.reader.long(at) }
    }
}

/// An entry of a directory.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u16,
    count: u32,
    value_at: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fax::made::{Made, tiff};

    #[test]
    fn the_pages_of_a_fax_are_found() {
        let file = read(&tiff(&[Made::small(), Made { coding: Coding::Group4, ..Made::small() }]));
        assert_eq!((file.pages.len(), file.fault), (2, None));
        let page = &file.pages[0];
        assert_eq!((page.columns, page.rows, page.dpi), (64, 32, (204, 98)));
        assert_eq!(page.coding, Coding::Group3TwoDimensional);
        assert!(page.is_reversed && !page.is_negative);
    }

    #[test]
    fn a_file_that_breaks_off_gives_the_pages_before() {
        let whole = tiff(&[Made::small(), Made::small()]);
        let first = tiff(&[Made::small()]).len();
        let file = read(&whole[..whole.len() - 20]);
        assert_eq!((file.pages.len(), file.fault), (1, Some(TiffFault::Truncated)));
        // The PBX names the second page when it is complete.
        let file = read(&whole[..first]);
        assert_eq!((file.pages.len(), file.fault), (1, Some(TiffFault::Truncated)));
    }

    #[test]
    fn what_is_no_fax_is_refused() {
        let made = tiff(&[Made::small()]);
        let set = |tag: u16, value: u32| {
            let mut bytes = made.clone();
            let directory = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
            let at = (0..)
                .map(|n| directory + 2 + n * ENTRY_BYTES)
                .find(|at| bytes[*at..*at + 2] == tag.to_le_bytes())
                .unwrap();
            let is_short = bytes[at + 2] == 3;
            bytes[at + 8..at + 12].copy_from_slice(&value.to_le_bytes());
            assert!(!is_short || value < 65_536);
            read(&bytes).fault
        };
        assert_eq!(read(b"%PDF-1.7").fault, Some(TiffFault::NoTiff));
        assert_eq!(read(b"").fault, Some(TiffFault::NoTiff));
        assert_eq!(read(b"II*\0\0\0\0\0"), TiffFile::default(), "no page has begun");
        assert_eq!(set(tag::COMPRESSION, 7), Some(TiffFault::Compression(7)));
        assert_eq!(set(tag::BITS, 8), Some(TiffFault::Colours));
        assert_eq!(set(tag::PHOTOMETRIC, 2), Some(TiffFault::Colours));
        assert_eq!(set(tag::WIDTH, 60_000), Some(TiffFault::Size { columns: 60_000, rows: 32 }));
        assert_eq!(set(tag::LENGTH, u32::MAX), Some(TiffFault::Size { columns: 64, rows: u32::MAX }));
        assert_eq!(set(tag::STRIP_OFFSETS, u32::MAX), Some(TiffFault::Truncated));
        assert_eq!(set(tag::STRIP_BYTES, u32::MAX), Some(TiffFault::Truncated));
        assert_eq!(set(tag::ROWS_PER_STRIP, 1), Some(TiffFault::Strips));
        assert_eq!(set(tag::X_RESOLUTION, u32::MAX), Some(TiffFault::Truncated));
    }

    #[test]
    fn directories_in_a_circle_end() {
        let mut bytes = tiff(&[Made::small()]);
        let directory: [u8; 4] = bytes[4..8].try_into().unwrap();
        let length = bytes.len();
        bytes[length - 4..].copy_from_slice(&directory);
        let file = read(&bytes);
        assert_eq!((file.pages.len(), file.fault), (PAGES_MAX, Some(TiffFault::TooManyPages)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_strip_lies_outside(
            at in 0usize..700, byte: u8, cut in 0usize..700,
        ) {
            let mut bytes = tiff(&[Made::small(), Made::small()]);
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % length);
            for page in read(&bytes).pages {
                prop_assert!(page.strips.iter().all(|strip| bytes.get(strip.clone()).is_some()));
            }
        }
    }
}
