//! Decodes a page of a fax and codes it again as T.6 (Group 4).
//!
//! Why again: a viewer of PDF gets only what this module wrote itself, whatever the file held, and every viewer reads T.6,
//! while few read all variants of T.4. It is also the smallest form.
//!
//! Invariants: pure. A page has the number of rows that its entry names: what cannot be decoded is white, and the page is
//! marked as damaged. The result decodes to the same pixels.

use std::convert::Infallible;

use ::fax::encoder::Encoder;
use ::fax::{Color, VecWriter};
use hayro_ccitt::{DecodeSettings, Decoder, DecoderContext, EncodingMode};

use super::tiff::{Coding, PageEntry};

/// A page as T.6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Width, in pixels.
    pub columns: u32,
    /// Height, in rows.
    pub rows: u32,
    /// Dots an inch, across and down.
    pub dpi: (u32, u32),
    /// The picture as T.6, with its end-of-block code.
    pub data: Vec<u8>,
    /// Rows are missing.
    pub is_damaged: bool,
}

/// The page of `entry`, whose strips are in `file`.
#[must_use]
pub fn decode(file: &[u8], entry: &PageEntry) -> Page {
    let mut writer = RowWriter {
        encoder: Encoder::new(VecWriter::new()),
        columns: entry.columns,
        is_negative: entry.is_negative,
        rows: 0,
    };
    let mut is_damaged = false;
    for (n, strip) in (0_u32..).zip(&entry.strips) {
        let first = n * entry.rows_per_strip;
        let rows = entry.rows_per_strip.min(entry.rows - first);
        // The reader has checked the range.
        let bytes = file.get(strip.clone()).unwrap_or_default();
        let is_whole = decode_strip(bytes, entry, rows, &mut writer);
        is_damaged |= !is_whole || writer.rows < first + rows;
        while writer.rows < first + rows {
            writer.push_row(if entry.is_negative { &[0] } else { &[] });
        }
    }
    let Ok(data) = writer.encoder.finish();
    Page { columns: entry.columns, rows: entry.rows, dpi: entry.dpi, data: data.finish(), is_damaged }
}

/// Decodes a strip; returns whether nothing was wrong with it.
fn decode_strip(bytes: &[u8], entry: &PageEntry, rows: u32, writer: &mut RowWriter) -> bool {
    let reversed: Vec<u8>;
    let bytes = if entry.is_reversed {
        reversed = bytes.iter().map(|byte| byte.reverse_bits()).collect();
        &reversed
    } else {
        bytes
    };
    let encoding = match entry.coding {
        Coding::Group3 => EncodingMode::Group3_1D,
        Coding::Group3TwoDimensional => EncodingMode::Group3_2D,
        Coding::Group4 => EncodingMode::Group4,
    };
    let settings = DecodeSettings {
        columns: entry.columns,
        rows,
        end_of_block: true,
        end_of_line: entry.coding != Coding::Group4,
        rows_are_byte_aligned: false,
        encoding,
        // A damaged row costs that row, not the rest of the page.
        strict: false,
    };
    hayro_ccitt::decode(bytes, writer, &mut DecoderContext::new(settings)).is_ok()
}

/// Codes each row as it comes.
struct RowWriter {
    encoder: Encoder<VecWriter>,
    columns: u32,
    is_negative: bool,
    rows: u32,
}

impl Decoder for RowWriter {
    fn push_row(&mut self, changes: &[u32]) {
        let mut changes = changes.iter().copied().peekable();
        let mut is_black = self.is_negative;
        let pixels = (0..self.columns).map(|column| {
            if changes.next_if_eq(&column).is_some() {
                is_black = !is_black;
            }
            if is_black { Color::Black } else { Color::White }
        });
        let Ok::<(), Infallible>(()) = self.encoder.encode_line(pixels, self.columns);
        self.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fax::made::{Made, pixels_of, tiff};
    use crate::fax::tiff::read;

    fn page_of(made: Made) -> Page {
        let file = tiff(&[made]);
        let found = read(&file);
        decode(&file, &found.pages[0])
    }

    #[test]
    fn every_coding_gives_the_same_pixels() {
        for coding in [Coding::Group3, Coding::Group3TwoDimensional, Coding::Group4] {
            for is_reversed in [false, true] {
                for rows_per_strip in [32, 8, 5] {
                    let made = Made { coding, is_reversed, rows_per_strip, ..Made::small() };
                    let expected = made.pixels.clone();
                    let page = page_of(made);
                    assert!(!page.is_damaged, "{coding:?} {is_reversed} {rows_per_strip}");
                    assert_eq!(pixels_of(&page), expected, "{coding:?} {is_reversed} {rows_per_strip}");
                }
            }
        }
    }

    /// A page of 1728 x 1100 as a PBX wrote it (spandsp): T.4 in two dimensions, fill bits, the lowest bit first.
    #[test]
    fn the_file_of_a_pbx_is_read() {
        let file = include_bytes!("../../tests/samples/fax.tif");
        let found = read(file);
        assert_eq!((found.pages.len(), found.fault), (1, None));
        let page = decode(file, &found.pages[0]);
        assert_eq!((page.columns, page.rows, page.dpi, page.is_damaged), (1_728, 1_100, (204, 196), false));
        let pixels = pixels_of(&page);
        assert_eq!(pixels.iter().flatten().filter(|black| **black).count(), 86_816);
        assert!(pixels[60][60] && !pixels[59][60] && pixels[400][200] && !pixels[400][199]);
    }

    #[test]
    fn a_negative_is_turned_over() {
        let made = Made { is_negative: true, ..Made::small() };
        let expected: Vec<Vec<bool>> =
            made.pixels.iter().map(|row| row.iter().map(|black| !black).collect()).collect();
        assert_eq!(pixels_of(&page_of(made)), expected);
    }

    #[test]
    fn a_page_that_breaks_off_is_white_below_and_damaged() {
        let file = tiff(&[Made::small()]);
        let mut entry = read(&file).pages.remove(0);
        entry.strips[0].end = entry.strips[0].start + entry.strips[0].len() / 2;
        let page = decode(&file, &entry);
        assert!(page.is_damaged);
        let pixels = pixels_of(&page);
        assert_eq!(pixels.len(), 32);
        assert!(pixels[31].iter().all(|black| !black));
        assert!(pixels[0].iter().any(|black| *black));
    }

    proptest! {
        #[test]
        fn any_picture_survives(
            rows in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..90), 1..12),
            coding in prop::sample::select(vec![Coding::Group3, Coding::Group3TwoDimensional, Coding::Group4]),
        ) {
            let columns = rows[0].len();
            let pixels: Vec<Vec<bool>> = rows
                .into_iter()
                .map(|mut row| { row.resize(columns, false); row })
                .collect();
            let made = Made { rows_per_strip: u32::MAX, coding, pixels: pixels.clone(), ..Made::small() };
            let page = page_of(made);
            prop_assert!(!page.is_damaged);
            prop_assert_eq!(pixels_of(&page), pixels);
        }

        #[test]
        fn no_data_panics_and_the_page_has_its_size(
            data in prop::collection::vec(any::<u8>(), 0..300),
            coding in prop::sample::select(vec![Coding::Group3, Coding::Group3TwoDimensional, Coding::Group4]),
            columns in 1u32..200,
            is_reversed: bool,
            is_negative: bool,
        ) {
            let entry = PageEntry {
                columns,
                rows: 20,
                dpi: (204, 196),
                coding,
                is_reversed,
                is_negative,
                rows_per_strip: 20,
                strips: std::iter::once(0..data.len()).collect(),
            };
            let pixels = pixels_of(&decode(&data, &entry));
            prop_assert_eq!(pixels.len(), 20);
            prop_assert!(pixels.iter().all(|row| row.len() == columns as usize));
        }
    }
}
