//! Writes the pages of a fax as a PDF document (ISO 32000-1, version 1.4): one picture a page, as T.6.
//!
//! Invariants: pure, and the bytes depend on the pages and the time alone. The document has no script, no link, no font and
//! no text of the sender: what a viewer reads beside the pictures are numbers that this module wrote.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::page::Page;

/// Points an inch.
const POINTS: f64 = 72.0;

/// The document of these pages, received at `at`.
#[must_use]
pub fn document(pages: &[Page], at: Timestamp) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes.extend_from_slice(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n");
    writer.object(1, b"<< /Type /Catalog /Pages 2 0 R >>");
    let kids: Vec<String> = (0..pages.len()).map(|n| format!("{} 0 R", first_of(n))).collect();
    let tree = format!("<< /Type /Pages /Count {} /Kids [{}] >>", pages.len(), kids.join(" "));
    writer.object(2, tree.as_bytes());
    let time = at.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S");
    writer.object(3, format!("<< /Producer (Toritsugi) /CreationDate (D:{time}Z) >>").as_bytes());
    for (n, page) in pages.iter().enumerate() {
        writer.page(first_of(n), page);
    }
    writer.finish()
}

/// The number of the first of the three objects of page `n`.
fn first_of(n: usize) -> usize {
    4 + 3 * n
}

#[derive(Debug, Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Where each object begins, from number 1 on.
    offsets: Vec<usize>,
}

impl Writer {
    fn object(&mut self, number: usize, content: &[u8]) {
        debug_assert_eq!(number, self.offsets.len() + 1, "objects are written in order");
        self.offsets.push(self.bytes.len());
        self.bytes.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.extend_from_slice(b"\nendobj\n");
    }

    fn stream(&mut self, number: usize, entries: &str, data: &[u8]) {
        let mut content = format!("<< {entries}/Length {} >>\nstream\n", data.len()).into_bytes();
        content.extend_from_slice(data);
        content.extend_from_slice(b"\nendstream");
        self.object(number, &content);
    }

    fn page(&mut self, number: usize, page: &Page) {
        let (width, height) = (points(page.columns, page.dpi.0), points(page.rows, page.dpi.1));
        let (contents, picture) = (number + 1, number + 2);
        let object = format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.2} {height:.2}] /Contents {contents} 0 R \
             /Resources << /XObject << /Fax {picture} 0 R >> >> >>"
        );
        self.object(number, object.as_bytes());
        self.stream(contents, "", format!("q {width:.2} 0 0 {height:.2} 0 0 cm /Fax Do Q").as_bytes());
        let (columns, rows) = (page.columns, page.rows);
        let entries = format!(
            "/Type /XObject /Subtype /Image /Width {columns} /Height {rows} /ColorSpace /DeviceGray \
             /BitsPerComponent 1 /Filter /CCITTFaxDecode \
             /DecodeParms << /K -1 /Columns {columns} /Rows {rows} >> "
        );
        self.stream(picture, &entries, &page.data);
    }

    fn finish(mut self) -> Vec<u8> {
        let table = self.bytes.len();
        let count = self.offsets.len() + 1;
        let mut text = format!("xref\n0 {count}\n0000000000 65535 f \n");
        for offset in &self.offsets {
            text.push_str(&format!("{offset:010} 00000 n \n"));
        }
        text.push_str(&format!(
            "trailer\n<< /Size {count} /Root 1 0 R /Info 3 0 R >>\nstartxref\n{table}\n%%EOF\n"
        ));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes
    }
}

fn points(pixels: u32, dpi: u32) -> f64 {
    f64::from(pixels) / f64::from(dpi) * POINTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fax::made::{Made, tiff};
    use crate::fax::{page, tiff as reader};

    #[test]
    fn each_object_is_where_the_table_says() {
        let file = tiff(&[Made::small(), Made::small()]);
        let pages: Vec<Page> =
            reader::read(&file).pages.iter().map(|entry| page::decode(&file, entry)).collect();
        let pdf = document(&pages, "2026-11-29T16:34:57Z".parse().unwrap());
        assert_eq!(pdf, document(&pages, "2026-11-29T16:34:57Z".parse().unwrap()));
        let text = String::from_utf8_lossy(&pdf);
        assert!(text.contains("/CreationDate (D:20261129163457Z)"));
        // 64 pixels at 204 dpi, 32 rows at 98 dpi.
        assert!(text.contains("/MediaBox [0 0 22.59 23.51]"), "{text}");
        let find = |what: &[u8]| pdf.windows(what.len()).position(|window| window == what).unwrap();
        let table = find(b"xref\n0 ");
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().trim().parse::<usize>().unwrap();
        let end = find(b"startxref\n") + 10;
        assert_eq!(number(&pdf[end..pdf.len() - 6]), table);
        let lines: Vec<&[u8]> = pdf[table..].split(|byte| *byte == b'\n').collect();
        assert_eq!(lines[1], b"0 10");
        for (n, line) in lines[3..12].iter().enumerate() {
            assert_eq!(line.len(), 19, "an entry has 20 bytes with its line end");
            let at = number(&line[..10]);
            assert!(pdf[at..].starts_with(format!("{} 0 obj\n", n + 1).as_bytes()), "object {}", n + 1);
        }
    }
}
