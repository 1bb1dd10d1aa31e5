//! CSV files for spreadsheets: what Excel in Japan opens with a double click.
//!
//! | written | so that |
//! |---|---|
//! | UTF-8 with a byte order mark, or CP932 | Excel finds the encoding; old systems read the file |
//! | every field in quotes, lines end with CR LF | a line break in a note does not end the row (RFC 4180) |
//! | an apostrophe before a field that begins like a formula ([`begins_formula`]) | no text of a caller or operator is carried out |
//! | 〓 for a character that CP932 does not have | a missing character is seen, and counted in the header `Toritsugi-Unmapped`; some have a twin that is taken ([`shift_jis`]) |
//! | no control characters but line breaks and tabs | - |
//!
//! Invariant: pure; as many fields in each row as the caller passes.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::text::spreadsheet::{begins_formula, shift_jis};

/// The header that says how many characters the encoding of the file does not have.
const UNMAPPED: HeaderName = HeaderName::from_static("toritsugi-unmapped");

/// How the text of a CSV file becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
pub(crate) enum CsvEncoding {
    /// UTF-8 with a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// CP932 (Windows-31J), the Shift_JIS of Japanese Windows.
    #[serde(rename = "cp932", alias = "shift_jis")]
    Cp932,
}

impl CsvEncoding {
    /// The charset as a content type names it.
    pub(crate) fn charset(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Cp932 => "shift_jis",
        }
    }
}

/// The language of the words in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileLanguage {
    /// Japanese.
    #[default]
    Ja,
    /// English.
    En,
}

impl FileLanguage {
    /// The word in this language.
    pub(crate) fn of(self, japanese: &'static str, english: &'static str) -> &'static str {
        match self {
            Self::Ja => japanese,
            Self::En => english,
        }
    }
}

/// A CSV file that is being written.
#[derive(Debug)]
pub(crate) struct CsvFile {
    encoding: CsvEncoding,
    bytes: Vec<u8>,
    /// Characters that became 〓.
    unmapped: u64,
}

impl CsvFile {
    /// An empty file.
    pub(crate) fn new(encoding: CsvEncoding) -> Self {
        let bytes = match encoding {
            CsvEncoding::Utf8 => "\u{feff}".as_bytes().to_vec(),
            CsvEncoding::Cp932 => Vec::new(),
        };
        Self { encoding, bytes, unmapped: 0 }
    }

    /// The rest of a file that was begun before.
    pub(crate) fn continued(encoding: CsvEncoding) -> Self {
        Self { encoding, bytes: Vec::new(), unmapped: 0 }
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds a row.
    pub(crate) fn row<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) {
        for (n, text) in fields.into_iter().enumerate() {
            if n > 0 {
                self.bytes.push(b',');
            }
            let field = field(text);
            match self.encoding {
                CsvEncoding::Utf8 => self.bytes.extend_from_slice(field.as_bytes()),
                CsvEncoding::Cp932 => {
                    let (bytes, unmapped) = shift_jis(&field);
                    self.bytes.extend(bytes);
                    self.unmapped += unmapped;
                }
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The answer with the file of this name, and how many characters the encoding does not have.
    pub(crate) fn into_response(self, name: &str) -> Response {
        let headers = [
            (header::CONTENT_TYPE, format!("text/csv; charset={}; header=present", self.encoding.charset())),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
            (UNMAPPED, self.unmapped.to_string()),
        ];
        (headers, self.bytes).into_response()
    }
}

/// The text in quotes.
fn field(text: &str) -> String {
    let mut field = String::with_capacity(text.len() + 3);
    field.push('"');
    if begins_formula(text) {
        field.push('\'');
    }
    let text = text.replace("\r\n", "\n");
    for c in text.chars() {
        match c {
            '"' => field.push_str("\"\""),
            '\n' | '\t' => field.push(c),
            '\r' => field.push('\n'),
            c if c.is_control() => {}
            c => field.push(c),
        }
    }
    field.push('"');
    field
}

#[cfg(test)]
mod tests {
    use encoding_rs::SHIFT_JIS;
    use proptest::prelude::*;

    use super::*;
    use crate::text::spreadsheet::FORMULA;

    fn written(encoding: CsvEncoding, rows: &[&[&str]]) -> Vec<u8> {
        let mut file = CsvFile::new(encoding);
        for row in rows {
            file.row(row.iter().copied());
        }
        file.bytes
    }

    /// The fields as a reader of CSV gets them.
    fn read_back(bytes: &[u8]) -> Vec<Vec<String>> {
        let text = std::str::from_utf8(bytes).unwrap().trim_start_matches('\u{feff}');
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_file_is_what_excel_opens() {
        let utf8 =
            written(CsvEncoding::Utf8, &[&["日時", "メモ"], &["12:00", "納期は\"3日\"\r\n折り返し,希望"]]);
        assert!(utf8.starts_with(b"\xef\xbb\xbf\""), "{utf8:?}");
        let text = String::from_utf8(utf8.clone()).unwrap();
        assert_eq!(
            text.trim_start_matches('\u{feff}'),
            "\"日時\",\"メモ\"\r\n\"12:00\",\"納期は\"\"3日\"\"\n折り返し,希望\"\r\n"
        );
        assert_eq!(read_back(&utf8)[1], ["12:00", "納期は\"3日\"\n折り返し,希望"]);
        let cp932 = written(CsvEncoding::Cp932, &[&["髙橋〜①", "𠮷田"]]);
        assert_eq!(SHIFT_JIS.decode(&cp932).0, "\"髙橋～①\",\"〓田\"\r\n");
        let mut file = CsvFile::new(CsvEncoding::Cp932);
        file.row(["𠮷田", "👍", "山田"]);
        assert_eq!(file.into_response("x.csv").headers()["toritsugi-unmapped"], "2");
    }

    #[test]
    fn nothing_that_somebody_wrote_is_carried_out() {
        for formula in [
            "=1+1",
            "+819012345678",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r\n=1",
            " =cmd|'/c calc'!A0",
            "\u{0}=1",
            "\u{a0}=1",
            "＝1+1",
            "＋1",
            "－1",
            "＠x",
        ] {
            let text = field(formula);
            assert!(text.starts_with("\"'"), "{formula:?}: {text}");
        }
        for plain in ["03-1234-5678", "株式会社=さくら", "", "1-2", "'x"] {
            assert_eq!(field(plain), format!("\"{plain}\""));
        }
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_field(text in "\\PC{0,12}|[\"',\r\n\t=+＝ あ-ん\u{0}\u{7f}]{0,12}") {
            let file = written(CsvEncoding::Utf8, &[&["a", text.as_str(), "b"]]);
            let rows = read_back(&file);
            prop_assert_eq!(rows.len(), 1);
            prop_assert_eq!(rows[0].len(), 3);
            let kept = rows[0][1].strip_prefix('\'').unwrap_or(&rows[0][1]);
            prop_assert!(!kept.trim_start().starts_with(FORMULA) || rows[0][1].starts_with('\''));
            prop_assert!(!kept.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}
