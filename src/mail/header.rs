//! Header lines: text becomes a [`Line`], and a line is folded and encoded so that every server passes it on unchanged.
//!
//! | text | written as |
//! |---|---|
//! | printable ASCII that can be folded | itself, folded at spaces |
//! | anything else | encoded words (RFC 2047, B), each complete: it decodes alone, and in ISO-2022-JP ends in ASCII |
//! | a file name | in ASCII as `name` of Content-Type; of Content-Disposition `filename` or, where it is not ASCII, `filename*` (RFC 2231), in parts where it is long |
//!
//! Invariant: a written header has no line break that is not followed by a space, and no byte outside printable ASCII.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::charset::{Charset, to_iso_2022_jp};

/// Most columns of a header line that can be folded (RFC 2047, section 2).
pub const HEADER_COLUMNS_MAX: usize = 76;
/// Longest encoded word (RFC 2047, section 2).
const ENCODED_WORD_MAX: usize = 75;
/// Longest part of a file name (RFC 2231), so that the line stays within its columns.
const NAME_PART_MAX: usize = 50;

/// One line of text without control characters: the only text that a header is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(String);

impl Line {
    /// The text on one line: line breaks, tabs and control characters become single spaces; spaces at the ends go.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let is_break = |c: char| {
            c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let parts = text.split(is_break).filter(|part| !part.is_empty());
        Self(parts.collect::<Vec<_>>().join(" ").trim().to_owned())
    }

    /// As [`Self::new`], with at most `chars_max` characters; the last one is then `…`.
    #[must_use]
    pub fn cut(text: &str, chars_max: usize) -> Self {
        let line = Self::new(text);
        if line.0.chars().count() <= chars_max {
            return line;
        }
        let kept: String = line.0.chars().take(chars_max.saturating_sub(1)).collect();
        Self(format!("{}…", kept.trim_end()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a line can be written in this character set.
pub(super) fn fits(line: &Line, charset: Charset) -> bool {
    charset == Charset::Utf8 || to_iso_2022_jp(line.as_str()).is_ok()
}

/// Writes `Name: text`, folded. A character that the character set does not have is written in UTF-8.
pub(super) fn write_text(out: &mut Vec<u8>, name: &str, line: &Line, charset: Charset) {
    let mut header = Folder::begin(out, name);
    header.text(line, charset);
    header.end();
}

/// Writes `Name: "display" <address>`, folded.
pub(super) fn write_mailbox(out: &mut Vec<u8>, name: &str, display: &Line, address: &str, charset: Charset) {
    let mut header = Folder::begin(out, name);
    if display.as_str().is_empty() {
        header.token(address);
    } else {
        if is_plain(display.as_str()) {
            let quoted = display.as_str().replace('\\', "\\\\").replace('"', "\\\"");
            header.token(&format!("\"{quoted}\""));
        } else {
            header.text(display, charset);
        }
        header.token(&format!("<{address}>"));
    }
    header.end();
}

/// Writes `Name: token token …`, folded between the tokens, which are ASCII of our own.
pub(super) fn write_tokens(out: &mut Vec<u8>, name: &str, tokens: &[&str]) {
    let mut header = Folder::begin(out, name);
    for token in tokens {
        header.token(token);
    }
    header.end();
}

/// Writes the type of an attached file, with its name in ASCII for readers that do not know RFC 2231.
pub(super) fn write_file_type(out: &mut Vec<u8>, media_type: &str, name: &Line) {
    write_tokens(
        out,
        "Content-Type",
        &[&format!("{media_type};"), &format!("name=\"{}\"", ascii_form(name))],
    );
}

/// Writes that a file is attached, and its name. There is no ASCII form beside an encoded name: readers take whichever comes first,
/// or put the second part of the encoded one behind it.
pub(super) fn write_file_name(out: &mut Vec<u8>, name: &Line) {
    let mut folder = Folder::begin(out, "Content-Disposition");
    folder.token("attachment;");
    let plain = ascii_form(name);
    if plain == name.as_str() {
        folder.token(&format!("filename=\"{plain}\""));
        return folder.end();
    }
    let parts = percent_encoded(name.as_str());
    let last = parts.len() - 1;
    for (n, part) in parts.iter().enumerate() {
        let charset = if n == 0 { "UTF-8''" } else { "" };
        let number = if last == 0 { String::new() } else { format!("*{n}") };
        let end = if n == last { "" } else { ";" };
        folder.token(&format!("filename{number}*={charset}{part}{end}"));
    }
    folder.end();
}

/// The name with `_` for each character that needs an encoding, at most as long as one line.
fn ascii_form(name: &Line) -> String {
    let is_simple = |c: char| c.is_ascii_alphanumeric() || "._- ".contains(c);
    name.as_str().chars().map(|c| if is_simple(c) { c } else { '_' }).take(NAME_PART_MAX).collect()
}

/// The bytes as RFC 2231 writes them, in parts that end with whole characters.
fn percent_encoded(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        let encoded = if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c.to_string()
        } else {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect()
        };
        if parts.last().is_some_and(|part| part.len() + encoded.len() > NAME_PART_MAX) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(&encoded);
        }
    }
    parts
}

fn is_plain(text: &str) -> bool {
    let longest = text.split(' ').map(str::len).max().unwrap_or(0);
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.contains("=?") && longest <= 60
}

/// Writes one header and folds it.
struct Folder<'a> {
    out: &'a mut Vec<u8>,
    column: usize,
    is_first: bool,
}

impl<'a> Folder<'a> {
    fn begin(out: &'a mut Vec<u8>, name: &str) -> Self {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b":");
        Self { out, column: name.len() + 1, is_first: true }
    }

    /// A word after a space, on a new line if it does not fit. The first word stays beside the name.
    fn token(&mut self, token: &str) {
        if !self.is_first && self.column + 1 + token.len() > HEADER_COLUMNS_MAX {
            self.out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
        self.out.push(b' ');
        self.out.extend_from_slice(token.as_bytes());
        self.column += 1 + token.len();
        self.is_first = false;
    }

    fn text(&mut self, line: &Line, charset: Charset) {
        if is_plain(line.as_str()) {
            // Two spaces are an empty word between them.
            line.as_str().split(' ').for_each(|word| self.token(word));
            return;
        }
        let charset = if fits(line, charset) { charset } else { Charset::Utf8 };
        let mut rest = line.as_str();
        while !rest.is_empty() {
            let mut room = HEADER_COLUMNS_MAX - (self.column + 1).min(HEADER_COLUMNS_MAX);
            let mut length = word_length(rest, charset, room);
            if length == 0 {
                // Not even one character fits: on a new line one does.
                room = HEADER_COLUMNS_MAX - 1;
                length = word_length(rest, charset, room);
                self.out.extend_from_slice(b"\r\n");
                self.column = 0;
            }
            let (word, after) = rest.split_at(length);
            let word = format!("=?{}?B?{}?=", charset.name(), BASE64.encode(encode(word, charset)));
            self.out.push(b' ');
            self.out.extend_from_slice(word.as_bytes());
            self.column += 1 + word.len();
            self.is_first = false;
            rest = after;
        }
    }

    fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The length in bytes of the most characters at the start of `text` that make one encoded word of at most `room` columns.
fn word_length(text: &str, charset: Charset, room: usize) -> usize {
    let room = room.min(ENCODED_WORD_MAX);
    let around = charset.name().len() + "=??B??=".len();
    let bytes_max = room.saturating_sub(around) / 4 * 3;
    let mut length = 0;
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        if encode(&text[..end], charset).len() > bytes_max {
            break;
        }
        length = end;
    }
    length
}

fn encode(text: &str, charset: Charset) -> Vec<u8> {
    match charset {
        Charset::Utf8 => text.as_bytes().to_vec(),
        Charset::Iso2022Jp => to_iso_2022_jp(text).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::Encoding;
    use proptest::prelude::*;

    use super::*;

    /// Reads a header as a mail program does: unfolds it, and decodes each encoded word alone.
    fn read(header: &[u8]) -> String {
        let text = std::str::from_utf8(header).unwrap();
        let text = text.strip_suffix("\r\n").unwrap();
        let (_, value) = text.split_once(": ").unwrap();
        let mut read = String::new();
        let mut was_encoded = false;
        for (n, word) in value.split("\r\n ").flat_map(|line| line.split(' ')).enumerate() {
            let parts: Vec<_> = word.split('?').collect();
            if let ["=", charset, "B", text, "="] = parts[..] {
                assert!(word.len() <= ENCODED_WORD_MAX, "{word}");
                let bytes = BASE64.decode(text).unwrap();
                let charset = Encoding::for_label(charset.as_bytes()).unwrap();
                let (text, is_wrong) = charset.decode_without_bom_handling(&bytes);
                assert!(!is_wrong, "{word}");
                if n > 0 && !was_encoded {
                    read.push(' ');
                }
                read.push_str(&text);
                was_encoded = true;
            } else {
                if n > 0 {
                    read.push(' ');
                }
                read.push_str(word);
                was_encoded = false;
            }
        }
        read
    }

    fn written(name: &str, text: &str, charset: Charset) -> Vec<u8> {
        let mut out = Vec::new();
        write_text(&mut out, name, &Line::new(text), charset);
        for line in std::str::from_utf8(&out).unwrap().split("\r\n") {
            assert!(line.len() <= HEADER_COLUMNS_MAX, "{line}");
        }
        out
    }

    #[test]
    fn a_line_holds_no_header() {
        for text in [
            "a\r\nBcc: b@example.jp",
            "a\nBcc: b@example.jp",
            "a\u{2028}Bcc: b@example.jp",
            "a\0\u{7f}Bcc: b@example.jp",
        ] {
            assert_eq!(Line::new(text).as_str(), "a Bcc: b@example.jp");
        }
        assert_eq!(Line::new("\u{202e}abc").as_str(), "abc");
        assert_eq!(Line::cut("あいうえお", 4).as_str(), "あいう…");
        assert_eq!(Line::cut("あいうえ", 4).as_str(), "あいうえ");
    }

    #[test]
    fn headers_are_folded_and_encoded() {
        assert_eq!(written("Subject", "hello", Charset::Utf8), b"Subject: hello\r\n");
        assert_eq!(written("Subject", "至急", Charset::Utf8), "Subject: =?UTF-8?B?6Iez5oCl?=\r\n".as_bytes());
        assert_eq!(
            written("Subject", "至急", Charset::Iso2022Jp),
            b"Subject: =?ISO-2022-JP?B?GyRCO2o1XhsoQg==?=\r\n"
        );
        // Emoji are in no word of ISO-2022-JP.
        let mixed = written("Subject", "了解👍", Charset::Iso2022Jp);
        assert!(mixed.starts_with(b"Subject: =?UTF-8?B?"));
        let long = "【至急】ヤマモト様 折り返し希望｜株式会社さくら商事 東京本社 営業第二部".repeat(3);
        for charset in [Charset::Utf8, Charset::Iso2022Jp] {
            assert_eq!(read(&written("Subject", &long, charset)), long);
        }
        let words = "word ".repeat(40);
        assert_eq!(read(&written("Subject", &words, Charset::Utf8)), words.trim());
    }

    #[test]
    fn a_name_stands_before_its_address() {
        let mailbox = |display: &str| {
            let mut out = Vec::new();
            write_mailbox(&mut out, "From", &Line::new(display), "report@example.jp", Charset::Utf8);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(mailbox(""), "From: report@example.jp\r\n");
        assert_eq!(mailbox("A \"B\" C"), "From: \"A \\\"B\\\" C\" <report@example.jp>\r\n");
        assert!(mailbox("さくら電話秘書").ends_with("?= <report@example.jp>\r\n"));
        let long = mailbox(&"さくら電話秘書サービス".repeat(5));
        assert!(long.split("\r\n").all(|line| line.len() <= HEADER_COLUMNS_MAX), "{long}");
    }

    #[test]
    fn a_file_name_is_read_back_as_it_was() {
        let name = |text: &str| {
            let mut out = Vec::new();
            write_file_type(&mut out, "application/pdf", &Line::new(text));
            write_file_name(&mut out, &Line::new(text));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            name("fax 1.pdf"),
            "Content-Type: application/pdf; name=\"fax 1.pdf\"\r\nContent-Disposition: attachment; filename=\"fax 1.pdf\"\r\n"
        );
        assert_eq!(
            name("図.pdf"),
            "Content-Type: application/pdf; name=\"_.pdf\"\r\n\
             Content-Disposition: attachment; filename*=UTF-8''%E5%9B%B3.pdf\r\n"
        );
        let long = name(&format!("{}.pdf", "あ".repeat(120)));
        assert!(
            long.contains(" filename*0*=UTF-8''%E3%81%82") && long.contains("\r\n filename*1*=%E3"),
            "{long}"
        );
        assert!(long.split("\r\n").all(|line| line.len() <= HEADER_COLUMNS_MAX + 1), "{long}");
        let read_back = |text: &str| {
            let mail = format!("{}\r\nx\r\n", name(text));
            let mail = mail_parser::MessageParser::default().parse(mail.as_bytes()).unwrap();
            mail_parser::MimeHeaders::attachment_name(mail.part(0).unwrap()).unwrap().to_owned()
        };
        for text in ["fax 1.pdf", "図.pdf", "月次報告書_2026-10.pdf", &format!("{}.pdf", "あ".repeat(120))]
        {
            assert_eq!(read_back(text), text);
        }
        assert_eq!(read_back("a\"b\r\nX: y"), "a\"b X: y");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "[ -~あ-んア-ン亜腕佐木東京都商事桜山田本日折返\r\n👍①]{0,200}", is_jis in any::<bool>()) {
            let charset = if is_jis { Charset::Iso2022Jp } else { Charset::Utf8 };
            let line = Line::new(&text);
            let out = written("Subject", &text, charset);
            prop_assert!(out.iter().all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n')));
            if !line.as_str().is_empty() {
                prop_assert_eq!(read(&out), line.as_str());
            }
        }
    }
}
