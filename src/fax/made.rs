//! Faxes that the tests make, and the pixels of what came of them.

use ::fax::maps::{black, white};
use ::fax::{BitWriter, Bits, Color, VecWriter, decoder};

use super::page::Page;
use super::tiff::Coding;

/// A page to be written.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// Black is true.
    pub(crate) pixels: Vec<Vec<bool>>,
    pub(crate) coding: Coding,
    pub(crate) is_reversed: bool,
    pub(crate) is_negative: bool,
    pub(crate) rows_per_strip: u32,
}

impl Made {
    /// A page of 64 x 32 as the PBX writes it: T.4 in two dimensions, the lowest bit first, one strip.
    pub(crate) fn small() -> Self {
        let black = |row: usize, column: usize| match row {
            0..8 => (column / 8 + row / 8).is_multiple_of(2),
            8..16 => column == 5 || column == 63,
            16 => true,
            17..24 => column > row * 2,
            _ => false,
        };
        let pixels = (0..32).map(|row| (0..64).map(|column| black(row, column)).collect()).collect();
        Self {
            pixels,
            coding: Coding::Group3TwoDimensional,
            is_reversed: true,
            is_negative: false,
            rows_per_strip: u32::MAX,
        }
    }

    fn strip(&self, rows: &[Vec<bool>]) -> Vec<u8> {
        let bytes = match self.coding {
            Coding::Group4 => group4(rows),
            coding => group3(rows, coding == Coding::Group3TwoDimensional),
        };
        if self.is_reversed { bytes.iter().map(|byte| byte.reverse_bits()).collect() } else { bytes }
    }
}

fn group4(rows: &[Vec<bool>]) -> Vec<u8> {
    let mut encoder = ::fax::encoder::Encoder::new(VecWriter::new());
    for row in rows {
        let width = u32::try_from(row.len()).unwrap();
        let colours = row.iter().map(|is_black| if *is_black { Color::Black } else { Color::White });
        encoder.encode_line(colours, width).unwrap();
    }
    encoder.finish().unwrap().finish()
}

/// T.4. In two dimensions a row equal to the one before is coded by it, and every fourth row by itself.
fn group3(rows: &[Vec<bool>], is_two_dimensional: bool) -> Vec<u8> {
    let mut writer = VecWriter::new();
    let write = |writer: &mut VecWriter, data: u16, len: u8| writer.write(Bits { data, len }).unwrap();
    for (n, row) in rows.iter().enumerate() {
        write(&mut writer, 1, 12);
        let before = n.checked_sub(1).map(|n| &rows[n]);
        if !is_two_dimensional {
            runs(&mut writer, row, false);
        } else if n.is_multiple_of(4) {
            write(&mut writer, 1, 1);
            runs(&mut writer, row, false);
        } else {
            write(&mut writer, 0, 1);
            if before == Some(row) {
                // Vertical mode, 0, for each change and the end of the row.
                let changes = row.windows(2).filter(|pair| pair[0] != pair[1]).count() + usize::from(row[0]);
                (0..=changes).for_each(|_| write(&mut writer, 1, 1));
            } else {
                runs(&mut writer, row, true);
            }
        }
    }
    for _ in 0..6 {
        write(&mut writer, 1, 12);
        if is_two_dimensional {
            write(&mut writer, 1, 1);
        }
    }
    writer.finish()
}

/// The runs of a row, white first; in two dimensions by pairs in horizontal mode.
fn runs(writer: &mut VecWriter, row: &[bool], is_horizontal: bool) {
    let mut lengths = vec![0_u16];
    let mut is_black = false;
    for pixel in row {
        if *pixel != is_black {
            is_black = *pixel;
            lengths.push(0);
        }
        *lengths.last_mut().unwrap() += 1;
    }
    if is_horizontal && !lengths.len().is_multiple_of(2) {
        lengths.push(0);
    }
    for (n, length) in lengths.into_iter().enumerate() {
        if is_horizontal && n.is_multiple_of(2) {
            writer.write(Bits { data: 0b001, len: 3 }).unwrap();
        }
        let code = if n.is_multiple_of(2) { white::encode } else { black::encode };
        if length >= 64 {
            writer.write(code(length / 64 * 64).unwrap()).unwrap();
        }
        writer.write(code(length % 64).unwrap()).unwrap();
    }
}

/// A TIFF file of these pages, at 204 x 98 dpi.
pub(crate) fn tiff(pages: &[Made]) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    let put = |file: &mut Vec<u8>, value: u32| file.extend_from_slice(&value.to_le_bytes());
    let position = |file: &Vec<u8>| u32::try_from(file.len()).unwrap();
    for page in pages {
        let (columns, rows) = (page.pixels[0].len(), page.pixels.len());
        let per_strip = usize::try_from(page.rows_per_strip).unwrap().min(rows);
        let mut places = Vec::new();
        for strip in page.pixels.chunks(per_strip) {
            let data = page.strip(strip);
            places.push((position(&file), u32::try_from(data.len()).unwrap()));
            file.extend_from_slice(&data);
        }
        let resolution = position(&file);
        [204, 1, 98, 1].into_iter().for_each(|value| put(&mut file, value));
        let (mut offsets, mut lengths) = places[0];
        if places.len() > 1 {
            offsets = position(&file);
            places.iter().for_each(|place| put(&mut file, place.0));
            lengths = position(&file);
            places.iter().for_each(|place| put(&mut file, place.1));
        }
        let count = u32::try_from(places.len()).unwrap();
        let (compression, options) = match page.coding {
            Coding::Group3 => (3, 0),
            Coding::Group3TwoDimensional => (3, 1),
            Coding::Group4 => (4, 0),
        };
        let number = |value: usize| u32::try_from(value).unwrap();
        let entries: [(u16, u16, u32, u32); 14] = [
            (256, 4, 1, number(columns)),
            (257, 4, 1, number(rows)),
            (258, 3, 1, 1),
            (259, 3, 1, compression),
            (262, 3, 1, u32::from(page.is_negative)),
            (266, 3, 1, if page.is_reversed { 2 } else { 1 }),
            (273, 4, count, offsets),
            (277, 3, 1, 1),
            (278, 4, 1, page.rows_per_strip),
            (279, 4, count, lengths),
            (282, 5, 1, resolution),
            (283, 5, 1, resolution + 8),
            (292, 4, 1, options),
            (296, 3, 1, 2),
        ];
        let directory = position(&file);
        file[link..link + 4].copy_from_slice(&directory.to_le_bytes());
        file.extend_from_slice(&u16::try_from(entries.len()).unwrap().to_le_bytes());
        for (tag, kind, count, value) in entries {
            file.extend_from_slice(&tag.to_le_bytes());
            file.extend_from_slice(&kind.to_le_bytes());
            put(&mut file, count);
            put(&mut file, value);
        }
        link = file.len();
        put(&mut file, 0);
    }
    file
}

/// The pixels of a page, decoded by another library than the one that decoded the fax.
pub(crate) fn pixels_of(page: &Page) -> Vec<Vec<bool>> {
    let mut rows = Vec::new();
    let width = page.columns;
    let done = decoder::decode_g4(page.data.iter().copied(), width, None, |changes| {
        rows.push(decoder::pels(changes, width).map(|colour| colour == Color::Black).collect());
    });
    assert!(done.is_some(), "the page is T.6");
    rows
}
