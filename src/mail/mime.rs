//! The MIME writer: a text, and files with it.
//!
//! | part | written as |
//! |---|---|
//! | text in UTF-8 | base64: long lines and 7-bit relays cannot change it |
//! | text in ISO-2022-JP | 7bit, each line folded at [`BODY_COLUMNS_MAX`] columns |
//! | files | base64 |
//!
//! A text that ISO-2022-JP cannot carry goes as UTF-8, with its whole mail ([`Mail::charset()`]).
//!
//! Invariant: a mail answers no mail and asks for no answer of a machine (`Auto-Submitted`), so two machines never write to
//! each other for ever.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Zoned;
use unicode_width::UnicodeWidthChar as _;
use uuid::Uuid;

use super::address::MailAddress;
use super::charset::{Charset, to_iso_2022_jp};
use super::header::{Line, fits, write_file_name, write_file_type, write_mailbox, write_text, write_tokens};

/// Most columns of a line in a body.
pub const BODY_COLUMNS_MAX: usize = 76;

/// The id of a mail, or of the message that several mails are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageId(String);

impl MessageId {
    /// `<prefix.uuid@domain>`
    #[must_use]
    pub fn new(prefix: char, id: Uuid, domain: &MailAddress) -> Self {
        Self(format!("<{prefix}.{}@{}>", id.simple(), domain.domain()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that goes with a mail.
#[derive(Debug, Clone, Copy)]
pub struct Attachment<'a> {
    /// Its name.
    pub name: &'a Line,
    /// Its type, for instance `application/pdf`: one of ours, never text from outside.
    pub media_type: &'static str,
    /// Its content.
    pub bytes: &'a [u8],
}

/// A mail to one recipient.
#[derive(Debug, Clone)]
pub struct Mail<'a> {
    /// The id of this delivery, the same for each attempt: also the boundary is made of it.
    pub delivery: Uuid,
    /// `Message-ID`.
    pub id: MessageId,
    /// What mails about the same message refer to.
    pub thread: MessageId,
    /// The sender's name and address.
    pub from: (&'a Line, &'a MailAddress),
    /// Where answers go; the sender if absent.
    pub reply_to: Option<&'a MailAddress>,
    /// The recipient.
    pub to: &'a MailAddress,
    /// The subject.
    pub subject: &'a Line,
    /// `Date`: when the delivery was made, in the installation's time zone.
    pub date: Zoned,
    /// The number of the message that people see.
    pub number: Option<&'a Line>,
    /// The text; lines end with `\n`.
    pub text: &'a str,
    /// The text as HTML, for mails in UTF-8.
    pub html: Option<&'a str>,
    /// Which character set to use where the text allows it.
    pub charset: Charset,
    /// Files.
    pub attachments: &'a [Attachment<'a>],
}

impl Mail<'_> {
    /// The character set of the mail: UTF-8 if a character of the text or subject is not in the other.
    #[must_use]
    pub fn charset(&self) -> Charset {
        let is_representable = || {
            [self.subject, self.from.0].iter().all(|line| fits(line, self.charset))
                && self.text.lines().all(|line| to_iso_2022_jp(line).is_ok())
        };
        if self.charset == Charset::Utf8 || is_representable() { self.charset } else { Charset::Utf8 }
    }

    /// The bytes of the mail; lines end with CR LF.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let charset = self.charset();
        let mut out = Vec::with_capacity(1024 + self.text.len() * 2);
        self.write_headers(&mut out, charset);
        if self.attachments.is_empty() {
            self.write_body(&mut out, charset);
            return out;
        }
        let boundary = format!("=_t.{}", self.delivery.simple());
        write_tokens(&mut out, "Content-Type", &["multipart/mixed;", &format!("boundary=\"{boundary}\"")]);
        out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        self.write_body(&mut out, charset);
        for file in self.attachments {
            out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            write_file_type(&mut out, file.media_type, file.name);
            write_file_name(&mut out, file.name);
            out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
            write_base64(&mut out, file.bytes);
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        out
    }

    /// The text; with its HTML form, which carriers' systems for ISO-2022-JP do not read, as an alternative.
    fn write_body(&self, out: &mut Vec<u8>, charset: Charset) {
        let html = self.html.filter(|_| charset == Charset::Utf8);
        let Some(html) = html else { return write_text_part(out, "text/plain;", self.text, charset) };
        let boundary = format!("=_a.{}", self.delivery.simple());
        write_tokens(out, "Content-Type", &["multipart/alternative;", &format!("boundary=\"{boundary}\"")]);
        for (kind, text) in [("text/plain;", self.text), ("text/html;", html)] {
            out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            write_text_part(out, kind, text, charset);
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    }

    fn write_headers(&self, out: &mut Vec<u8>, charset: Charset) {
        let (name, address) = self.from;
        write_mailbox(out, "From", name, &address.wire(), charset);
        if let Some(reply_to) = self.reply_to {
            write_tokens(out, "Reply-To", &[&reply_to.wire()]);
        }
        write_tokens(out, "To", &[&self.to.wire()]);
        write_text(out, "Subject", self.subject, charset);
        // The format has no text of ours, so it cannot fail.
        let date = jiff::fmt::rfc2822::to_string(&self.date).unwrap_or_default();
        write_tokens(out, "Date", &[&date]);
        write_tokens(out, "Message-ID", &[&self.id.to_string()]);
        write_tokens(out, "In-Reply-To", &[&self.thread.to_string()]);
        write_tokens(out, "References", &[&self.thread.to_string()]);
        write_tokens(out, "Auto-Submitted", &["auto-generated"]);
        write_tokens(out, "X-Auto-Response-Suppress", &["All"]);
        if let Some(number) = self.number {
            write_text(out, "X-Toritsugi-Message", number, charset);
        }
        write_tokens(out, "Content-Language", &["ja"]);
        write_tokens(out, "MIME-Version", &["1.0"]);
    }
}

fn write_text_part(out: &mut Vec<u8>, kind: &str, text: &str, charset: Charset) {
    write_tokens(out, "Content-Type", &[kind, &format!("charset={}", charset.name())]);
    match charset {
        Charset::Utf8 => {
            write_tokens(out, "Content-Transfer-Encoding", &["base64"]);
            out.extend_from_slice(b"\r\n");
            let lines: String = text.lines().flat_map(|line| [line, "\r\n"]).collect();
            write_base64(out, lines.as_bytes());
        }
        Charset::Iso2022Jp => {
            write_tokens(out, "Content-Transfer-Encoding", &["7bit"]);
            out.extend_from_slice(b"\r\n");
            for line in text.lines().flat_map(folded) {
                out.extend_from_slice(&to_iso_2022_jp(line).unwrap_or_default());
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// The line in pieces of at most [`BODY_COLUMNS_MAX`] columns.
fn folded(line: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut columns) = (Vec::new(), 0, 0);
    for (at, c) in line.char_indices() {
        let width = c.width().unwrap_or(0);
        if columns + width > BODY_COLUMNS_MAX {
            pieces.push(&line[start..at]);
            (start, columns) = (at, 0);
        }
        columns += width;
    }
    pieces.push(&line[start..]);
    pieces
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for line in bytes.chunks(BODY_COLUMNS_MAX / 4 * 3) {
        out.extend_from_slice(BASE64.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::ISO_2022_JP;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, charset: Charset, files: &[Attachment<'_>]) -> Vec<u8> {
        with_html(text, None, charset, files)
    }

    fn with_html(text: &str, html: Option<&str>, charset: Charset, files: &[Attachment<'_>]) -> Vec<u8> {
        let from: MailAddress = "report@example.jp".parse().unwrap();
        let to: MailAddress = "a..b@docomo.ne.jp".parse().unwrap();
        let id = Uuid::from_u128(7);
        let (name, subject) = (Line::new("さくら電話秘書"), Line::new("【至急】ヤマモト様 折り返し希望"));
        let number = Line::new("261129-0001");
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let mail = Mail {
            delivery: id,
            id: MessageId::new('d', id, &from),
            thread: MessageId::new('m', Uuid::from_u128(8), &from),
            from: (&name, &from),
            reply_to: None,
            to: &to,
            subject: &subject,
            date: Timestamp::from_second(1_796_000_000).unwrap().to_zoned(tokyo),
            number: Some(&number),
            text,
            html,
            charset,
            attachments: files,
        };
        mail.to_bytes()
    }

    fn bytes(text: &str, charset: Charset) -> String {
        String::from_utf8(written(text, charset, &[])).unwrap()
    }

    #[test]
    fn a_mail_is_written_whole() {
        let mail = bytes("折り返しを\nお願いします", Charset::Utf8);
        let expected = "\
From: =?UTF-8?B?44GV44GP44KJ6Zu76Kmx56eY5pu4?= <report@example.jp>\r
To: \"a..b\"@docomo.ne.jp\r
Subject: =?UTF-8?B?44CQ6Iez5oCl44CR44Ok44Oe44Oi44OI5qeYIOaKmOOCiui/lA==?=\r
 =?UTF-8?B?44GX5biM5pyb?=\r
Date: Mon, 30 Nov 2026 09:53:20 +0900\r
Message-ID: <d.00000000000000000000000000000007@example.jp>\r
In-Reply-To: <m.00000000000000000000000000000008@example.jp>\r
References: <m.00000000000000000000000000000008@example.jp>\r
Auto-Submitted: auto-generated\r
X-Auto-Response-Suppress: All\r
X-Toritsugi-Message: 261129-0001\r
Content-Language: ja\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=UTF-8\r
Content-Transfer-Encoding: base64\r
\r
5oqY44KK6L+U44GX44KSDQrjgYrpoZjjgYTjgZfjgb7jgZkNCg==\r
";
        assert_eq!(mail, expected);
        assert_eq!(mail, bytes("折り返しを\nお願いします", Charset::Utf8), "the same bytes each time");
    }

    #[test]
    fn what_iso_2022_jp_cannot_carry_goes_as_utf_8() {
        let mail = bytes("折り返しを", Charset::Iso2022Jp);
        assert!(
            mail.contains("charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\x1b$B"),
            "{mail}"
        );
        let mail = bytes("髙橋様", Charset::Iso2022Jp);
        assert!(mail.contains("charset=UTF-8") && !mail.contains("ISO-2022-JP"), "{mail}");
    }

    #[test]
    fn a_text_makes_no_header_and_no_part() {
        let name = Line::new("図\r\nX: y.pdf");
        let file = Attachment { name: &name, media_type: "application/pdf", bytes: &[0; 200] };
        let text = "a\n\nContent-Type: text/html\n\n--=_t.00000000000000000000000000000007\n";
        let mail = written(text, Charset::Utf8, &[file]);
        let mail = String::from_utf8(mail).unwrap();
        assert_eq!(mail.matches("\r\n--=_t.00000000000000000000000000000007").count(), 3, "{mail}");
        assert!(!mail.contains("text/html") && !mail.contains("\r\nX:"), "{mail}");
        assert!(mail.split("\r\n").all(|line| line.len() <= BODY_COLUMNS_MAX), "{mail}");
    }

    /// Read by a library, not by code of ours.
    #[test]
    fn a_mail_with_html_and_a_file_reads_back() {
        let name = Line::new("図.pdf");
        let file = Attachment { name: &name, media_type: "application/pdf", bytes: &[7; 100] };
        let html = "<p>折り返しを</p>\n";
        let bytes = with_html("折り返しを\n", Some(html), Charset::Utf8, &[file]);
        let mail = mail_parser::MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(mail.subject(), Some("【至急】ヤマモト様 折り返し希望"));
        assert_eq!(mail.body_text(0).unwrap().replace("\r\n", "\n"), "折り返しを\n");
        assert_eq!(mail.body_html(0).unwrap().replace("\r\n", "\n"), html);
        assert_eq!((mail.text_body_count(), mail.html_body_count(), mail.attachment_count()), (1, 1, 1));
        assert_eq!(mail.attachment(0).unwrap().contents(), &[7; 100]);
        // The form that carriers read has no HTML.
        let bytes = with_html("折り返しを\n", Some(html), Charset::Iso2022Jp, &[]);
        let mail = mail_parser::MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(mail.body_text(0).unwrap().replace("\r\n", "\n"), "折り返しを\n");
        assert!(!String::from_utf8(bytes).unwrap().contains("html"));
    }

    proptest! {
        /// The body reads back as the text, and no line is too long; in ISO-2022-JP with three bytes around each run.
        #[test]
        fn bodies_read_back(text in "[ -~あ-んア-ン亜腕佐木東京都商事桜山田本日折返\n]{0,300}", is_jis in any::<bool>()) {
            let charset = if is_jis { Charset::Iso2022Jp } else { Charset::Utf8 };
            let mail = written(&text, charset, &[]);
            prop_assert!(mail.iter().all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n' | 0x1b)));
            let at = mail.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
            let body = &mail[at..];
            let expected: Vec<&str> = text.lines().collect();
            let read = match charset {
                Charset::Utf8 => {
                    let joined: Vec<u8> = body.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
                    String::from_utf8(BASE64.decode(joined).unwrap()).unwrap()
                }
                Charset::Iso2022Jp => {
                    let (read, _, is_wrong) = ISO_2022_JP.decode(body);
                    prop_assert!(!is_wrong);
                    read.into_owned()
                }
            };
            prop_assert_eq!(read.replace("\r\n", ""), expected.concat());
            prop_assert!(read.lines().all(|line| charset == Charset::Utf8 || unicode_width::UnicodeWidthStr::width(line) <= BODY_COLUMNS_MAX));
        }
    }
}
