//! Messages as CSV (RFC 4180), for spreadsheets.
//!
//! Invariants: a cell that a spreadsheet would take for a formula begins with an apostrophe. A character that Shift_JIS
//! (CP932) does not have becomes 〓 and is counted, never left out.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::contract::message::{Gender, Mark, Message, MessageKind, MessageState, Urgency};
use crate::numbers::{Number, NumberPlan};
use crate::text::spreadsheet::{begins_formula, shift_jis};

/// The names of the columns.
pub const HEADER: [&str; 26] = [
    "受付番号",
    "受付日時",
    "種別",
    "契約先コード",
    "契約先名",
    "担当者",
    "宛先",
    "用件",
    "件名",
    "お名前",
    "お名前（漢字）",
    "お客様会社名",
    "部署",
    "性別",
    "電話番号",
    "発信番号",
    "対応",
    "折り返し先",
    "折り返し期限",
    "緊急度",
    "印",
    "本文",
    "状態",
    "受付者",
    "報告日時",
    "版",
];

/// How an export is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8 with a byte order mark.
    #[default]
    Utf8,
    /// Shift_JIS as Windows writes it (CP932).
    ShiftJis,
}

/// What a row has besides the message.
#[derive(Debug, Clone, Copy)]
pub struct RowContext<'a> {
    /// The code and the name of the account.
    pub account: (&'a str, &'a str),
    /// The name of the contact.
    pub contact: &'a str,
    /// The label of the reason.
    pub reason: &'a str,
    /// The time zone of the times.
    pub zone: &'a TimeZone,
    /// The plan by which numbers are written.
    pub plan: &'a NumberPlan,
}

/// The cells of a message, in the order of [`HEADER`].
#[must_use]
pub fn cells(message: &Message, context: RowContext<'_>) -> [String; HEADER.len()] {
    let RowContext { account: (code, name), contact, reason, zone, plan } = context;
    let (fields, from) = (&message.fields, &message.fields.from);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |text: &Option<String>| text.as_deref().map(|text| written(text, plan)).unwrap_or_default();
    let time = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let call_back = fields.call_back.clone().unwrap_or_default();
    let kind = match message.kind {
        MessageKind::Message => "伝言",
        MessageKind::Report => "報告",
        MessageKind::Fax => "FAX",
        MessageKind::Voice => "音声",
        MessageKind::Callback => "折り返し依頼",
        MessageKind::Test => "テスト",
        MessageKind::Digest => "まとめ報告",
    };
    let state = match message.state {
        MessageState::Open => "未報告",
        MessageState::Sent => "送信済み",
        MessageState::Failed => "送信できず",
        MessageState::Acknowledged => "報告済み",
    };
    let urgency = match fields.urgency {
        Urgency::Low => "低",
        Urgency::Normal => "通常",
        Urgency::Urgent => "至急",
    };
    let gender = from.gender.map_or("", |gender| match gender {
        Gender::M => "男",
        Gender::F => "女",
    });
    let mark = fields.mark.map_or("", |mark| match mark {
        Mark::Complaint => "クレーム",
        Mark::Thanks => "サンキュー",
    });
    [
        text(&message.number),
        time(message.created_at),
        kind.into(),
        code.into(),
        name.into(),
        contact.into(),
        text(&fields.for_text),
        reason.into(),
        text(&fields.subject),
        text(&from.name),
        text(&from.name_kanji),
        text(&from.company),
        text(&from.department),
        gender.into(),
        number(&from.number),
        number(&message.caller),
        fields.action.label().unwrap_or_default().into(),
        number(&call_back.number),
        call_back.until.map(time).unwrap_or_default(),
        urgency.into(),
        mark.into(),
        fields.text.clone(),
        state.into(),
        text(&message.taken_by_name),
        message.acknowledged_at.map(time).unwrap_or_default(),
        message.revision.to_string(),
    ]
}

/// A number as people write it, so that a spreadsheet keeps its zeros.
fn written(text: &str, plan: &NumberPlan) -> String {
    Number::read(text, plan).map_or_else(|| text.to_owned(), |number| number.display())
}

/// What precedes the first row.
#[must_use]
pub fn prologue(encoding: Encoding) -> Vec<u8> {
    let mark = match encoding {
        Encoding::Utf8 => "\u{feff}".as_bytes(),
        Encoding::ShiftJis => &[],
    };
    [mark, &row(&HEADER, encoding).0].concat()
}

/// A row, and how many of its characters the encoding does not have.
#[must_use]
pub fn row(cells: &[impl AsRef<str>], encoding: Encoding) -> (Vec<u8>, u64) {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell.as_ref())).collect();
    let line = cells.join(",") + "\r\n";
    encoded(&line, encoding)
}

/// `text` in this encoding, and how many of its characters the encoding does not have.
#[must_use]
pub fn encoded(text: &str, encoding: Encoding) -> (Vec<u8>, u64) {
    match encoding {
        Encoding::Utf8 => (text.as_bytes().to_vec(), 0),
        Encoding::ShiftJis => shift_jis(text),
    }
}

fn quoted(cell: &str) -> String {
    let guard = if begins_formula(cell) || cell.starts_with(['\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !cell.contains([',', '"', '\n', '\r']) {
        return cell.to_owned();
    }
    format!("\"{guard}{}\"", cell.replace('"', "\"\"").replace('\n', "\r\n"))
}

#[cfg(test)]
mod tests {
    use encoding_rs::SHIFT_JIS;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for (cell, written) in [
            ("=1+1", "\"'=1+1\""),
            ("+81312345678", "\"'+81312345678\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("\tx", "\"'\tx\""),
            ("＝1", "\"'＝1\""),
            (" =1", "\"' =1\""),
            ("03-1234-5678", "03-1234-5678"),
            ("a\"b,c\nd", "\"a\"\"b,c\r\nd\""),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }

    #[test]
    fn the_two_encodings_begin_and_encode_as_spreadsheets_expect() {
        assert!(prologue(Encoding::Utf8).starts_with(&[0xef, 0xbb, 0xbf]));
        assert_eq!(SHIFT_JIS.decode(&prologue(Encoding::ShiftJis)).0.trim_end(), HEADER.join(","));
        let (bytes, replaced) = row(&["①㈱髙﨑〜—", "𠮷野", "😀"], Encoding::ShiftJis);
        assert_eq!((SHIFT_JIS.decode(&bytes).0.as_ref(), replaced), ("①㈱髙﨑～―,〓野,〓\r\n", 2));
        let (bytes, replaced) = row(&["𠮷"], Encoding::Utf8);
        assert_eq!((bytes.as_slice(), replaced), ("𠮷\r\n".as_bytes(), 0));
    }

    proptest! {
        #[test]
        fn every_row_has_its_cells(cells in proptest::collection::vec(".{0,20}", 1..6)) {
            let (bytes, _) = row(&cells, Encoding::Utf8);
            let mut reader = rows_of(std::str::from_utf8(&bytes).unwrap());
            prop_assert_eq!(reader.next().unwrap().len(), cells.len());
            prop_assert!(reader.next().is_none());
            prop_assert!(row(&cells, Encoding::ShiftJis).0.ends_with(b"\r\n"));
        }
    }

    /// The rows of a CSV text, read by its definition.
    fn rows_of(text: &str) -> impl Iterator<Item = Vec<String>> {
        let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
                '\r' if !is_quoted && chars.peek() == Some(&'\n') => {
                    chars.next();
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                other => cell.push(other),
            }
        }
        rows.into_iter()
    }
}
