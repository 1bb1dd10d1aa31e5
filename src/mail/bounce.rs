//! Mails that come back: reports of mail systems about a mail of ours, and answers of machines. Reads them; decides nothing.
//!
//! | the mail is | it says |
//! |---|---|
//! | a `multipart/report` (RFC 3464) | for each recipient: failed, delayed or delivered, with a status and the words of the system |
//! | a notice of another kind (`X-Failed-Recipients`, a sender without an address, `MAILER-DAEMON`) | failed, with the status in its text, if there is one |
//! | an answer of a machine (RFC 3834): a vacation notice | its first line |
//! | an answer of a person | who wrote it, its text, and how many files it has ([`super::MailAnswer`] reads the text) |
//! | anything else | nothing |
//!
//! Which mail of ours it is about: the address that it was sent to ([`super::ReturnPath`]), the envelope id that the report names,
//! or the `Message-ID` in the part of our mail that it brings back.
//!
//! Invariant: never fails and never loops on any bytes; reads at most [`RETURNED_BYTES_MAX`].

use std::collections::BTreeMap;

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use uuid::Uuid;

/// Most bytes of a returned mail that are read.
pub const RETURNED_BYTES_MAX: usize = 1024 * 1024;
/// Longest words of a mail system that are kept, in characters.
const WORDS_CHARS_MAX: usize = 300;
/// How much of a mail is looked at for the result of a gateway of faxes, in characters.
const RESULT_CHARS_MAX: usize = 4_000;
/// Most recipients of one report.
const REPORTS_MAX: usize = 20;
/// Most addresses and ids that are looked at.
const CLUES_MAX: usize = 50;

/// What a mail system did with a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It gave up.
    Failed,
    /// It is still trying.
    Delayed,
    /// The recipient has it.
    Delivered,
}

/// What a mail system says about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it did.
    pub action: Action,
    /// The status code (RFC 3463).
    pub status: Option<String>,
    /// The recipient, as the system writes it.
    pub recipient: Option<String>,
    /// Its words, on one line.
    pub text: String,
}

/// What a returned mail says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Returned {
    /// What it reports; empty if it is no report.
    pub reports: Vec<Report>,
    /// The addresses that it was sent to, and the envelope ids that it names.
    pub addresses: Vec<String>,
    /// The deliveries whose `Message-ID` it brings back.
    pub deliveries: Vec<Uuid>,
    /// Whether a machine answered without a report.
    pub is_auto_reply: bool,
    /// The first line of its text.
    pub first_line: String,
    /// Its subject and the beginning of its text.
    pub words: String,
    /// Whether a machine wrote it, or it went to a list.
    pub is_automatic: bool,
    /// Who wrote it: the name, and the address.
    pub author: (Option<String>, Option<String>),
    /// The beginning of its text.
    pub text: String,
    /// How many files it brings.
    pub files: usize,
}

impl Returned {
    /// Reads a mail.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(RETURNED_BYTES_MAX)];
        let Some(mail) = MessageParser::default().parse(bytes) else { return Self::default() };
        let author = mail.from().and_then(|from| from.first());
        let of_author = |part: Option<&str>| part.map(one_line).filter(|part| !part.is_empty());
        let mut returned = Self {
            first_line: first_line(&mail),
            words: words(&mail),
            is_automatic: is_automatic(&mail),
            author: author
                .map_or((None, None), |author| (of_author(author.name()), of_author(author.address()))),
            text: mail.body_text(0).unwrap_or_default().chars().take(RESULT_CHARS_MAX).collect(),
            files: mail.attachment_count(),
            ..Self::default()
        };
        for header in ["To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To"] {
            returned.addresses.extend(mail.header_raw(header).into_iter().flat_map(addresses_in));
        }
        returned.read_parts(&mail);
        if returned.reports.is_empty() {
            returned.read_notice(&mail);
        }
        returned.addresses.truncate(CLUES_MAX);
        returned.deliveries.truncate(CLUES_MAX);
        returned
    }

    /// The machine-readable report, and what it brings back of our mail.
    fn read_parts(&mut self, mail: &Message<'_>) {
        for part in &mail.parts {
            let kind = part.content_type();
            let is = |wanted: &str| {
                kind.is_some_and(|kind| {
                    let (first, second) = wanted.split_once('/').unwrap_or((wanted, ""));
                    kind.ctype().eq_ignore_ascii_case(first)
                        && kind.subtype().is_some_and(|subtype| subtype.eq_ignore_ascii_case(second))
                })
            };
            match &part.body {
                PartType::Message(inner) => {
                    self.read_ours(&format!("<{}", inner.message_id().unwrap_or_default()))
                }
                _ if is("message/delivery-status") || is("message/global-delivery-status") => {
                    self.read_status(&String::from_utf8_lossy(part.contents()));
                }
                _ if is("text/rfc822-headers") || is("message/rfc822") => {
                    self.read_ours(&String::from_utf8_lossy(part.contents()));
                }
                _ => {}
            }
        }
    }

    fn read_status(&mut self, text: &str) {
        let groups = text.replace("\r\n", "\n");
        for (n, group) in groups.split("\n\n").take(REPORTS_MAX + 1).enumerate() {
            let fields = fields(group);
            let field = |name: &str| fields.get(name).map(String::as_str);
            if n == 0
                && let Some(id) = field("original-envelope-id")
            {
                self.addresses.push(id.to_owned());
            }
            let action = match field("action").map(str::to_ascii_lowercase).as_deref() {
                Some("failed") => Action::Failed,
                Some("delayed") => Action::Delayed,
                Some("delivered" | "relayed" | "expanded") => Action::Delivered,
                _ => continue,
            };
            let recipient = field("original-recipient").or_else(|| field("final-recipient"));
            let recipient =
                recipient.map(|text| text.split_once(';').map_or(text, |(_, address)| address).trim());
            let words = field("diagnostic-code");
            let words = words.map(|text| text.split_once(';').map_or(text, |(_, words)| words));
            let status = field("status").and_then(status_in).or_else(|| words.and_then(status_in));
            self.reports.push(Report {
                action,
                status,
                recipient: recipient.map(str::to_owned),
                text: one_line(words.unwrap_or(&self.first_line)),
            });
        }
    }

    /// The `Message-ID` of ours.
    fn read_ours(&mut self, text: &str) {
        self.deliveries.extend(deliveries_in(text));
    }

    /// A notice for people, or an answer.
    fn read_notice(&mut self, mail: &Message<'_>) {
        let header = |name: &str| mail.header_raw(name).map(|text| text.trim().to_ascii_lowercase());
        let text = (0..3).filter_map(|n| mail.body_text(n)).collect::<Vec<_>>().join("\n");
        let failed = mail.header_raw("X-Failed-Recipients").map(|text| text.trim().to_owned());
        let automatic = header("Auto-Submitted");
        let is_answer = automatic.as_deref().is_some_and(|text| text.starts_with("auto-replied"))
            || header("X-Autoreply").is_some()
            || header("Precedence").is_some_and(|text| text == "auto_reply");
        let is_daemon = header("From").is_some_and(|from| {
            ["mailer-daemon", "postmaster@", "mail delivery sub"].iter().any(|name| from.contains(name))
        }) || header("Return-Path").is_some_and(|path| path == "<>");
        if failed.is_none() && (is_answer || !is_daemon) {
            self.is_auto_reply = is_answer;
            return;
        }
        // What it brings back stands in the text.
        self.read_ours(&text);
        let line = text.lines().find(|line| status_in(line).is_some() || code_in(line)).map(one_line);
        let status = status_in(&text);
        let is_delay = status.as_deref().is_some_and(|status| status.starts_with('4')) && failed.is_none();
        self.reports.push(Report {
            action: if is_delay { Action::Delayed } else { Action::Failed },
            status,
            recipient: failed,
            text: line.unwrap_or_else(|| self.first_line.clone()),
        });
    }
}

/// Whether a machine wrote a mail (RFC 3834), or it went to many.
fn is_automatic(mail: &Message<'_>) -> bool {
    let header = |name: &str| mail.header_raw(name).map(|text| text.trim().to_ascii_lowercase());
    header("Auto-Submitted").is_some_and(|text| text != "no")
        || ["X-Autoreply", "X-Autorespond", "List-Id"].iter().any(|name| header(name).is_some())
        || header("Precedence")
            .is_some_and(|text| ["bulk", "junk", "list", "auto_reply"].contains(&text.as_str()))
}

/// The subject, and the beginning of the text.
fn words(mail: &Message<'_>) -> String {
    let text = mail.body_text(0).unwrap_or_default();
    let subject = mail.subject().unwrap_or_default();
    format!("{subject}\n{text}").chars().take(RESULT_CHARS_MAX).collect()
}

/// The fields of a group, in lower case, with their folded lines joined.
fn fields(group: &str) -> BTreeMap<String, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in group.lines() {
        if let Some(rest) = line.strip_prefix([' ', '\t']) {
            if let Some((_, value)) = found.last_mut() {
                value.push(' ');
                value.push_str(rest.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            found.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found.into_iter().collect()
}

/// The words that look like addresses.
fn addresses_in(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || "<>,;\"()".contains(c));
    words.filter(|word| word.contains('@')).take(CLUES_MAX).map(str::to_owned).collect()
}

/// The deliveries of `<d.0123…@domain>` in a text.
fn deliveries_in(text: &str) -> Vec<Uuid> {
    let ids = text.split("<d.").skip(1).take(CLUES_MAX);
    ids.filter_map(|rest| Uuid::try_parse(rest.split_once('@')?.0).ok()).collect()
}

/// The first status code of RFC 3463 in a text.
#[must_use]
pub fn status_in(text: &str) -> Option<String> {
    let is_status = |word: &&str| {
        let parts: Vec<_> = word.split('.').collect();
        matches!(parts[..], [class, subject, detail]
        if ["2", "4", "5"].contains(&class)
            && [subject, detail].iter().all(|part| {
                (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
            }))
    };
    let words = text.split(|c: char| c.is_whitespace() || "()[]:,;-#".contains(c));
    words.map(|word| word.trim_end_matches('.')).find(is_status).map(str::to_owned)
}

/// Whether a line has the code of an SMTP refusal.
fn code_in(line: &str) -> bool {
    line.split(|c: char| !c.is_ascii_digit())
        .any(|word| word.len() == 3 && (word.starts_with('5') || word.starts_with('4')))
}

fn one_line(text: &str) -> String {
    let words: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(WORDS_CHARS_MAX).collect()
}

fn first_line(mail: &Message<'_>) -> String {
    let text = mail.body_text(0).unwrap_or_default();
    text.lines().map(one_line).find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use encoding_rs::ISO_2022_JP;
    use proptest::prelude::*;

    use super::*;

    const OURS: &str = "019a0b1c000070008000000000000007";

    fn lines(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").replace("OURS", OURS).into_bytes()
    }

    /// A report as RFC 3464 has it, with these fields of its recipient.
    fn report(of_recipient: &str) -> Returned {
        let text = format!(
            "From: MAILER-DAEMON@mx.example.jp\nTo: bounce+x@report.example.jp\nSubject: Undelivered Mail\nMIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"b1\"\n\n\
             --b1\nContent-Type: text/plain; charset=us-ascii\n\nThis is the mail system.\n\n\
             --b1\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.jp\n\
             Original-Envelope-Id: env1@x\nArrival-Date: Mon, 30 Nov 2026 09:53:20 +0900\n\n{of_recipient}\n\n\
             --b1\nContent-Type: text/rfc822-headers\n\nSubject: x\nMessage-ID: <d.OURS@report.example.jp>\n\n--b1--\n"
        );
        Returned::read(&lines(&text))
    }

    #[test]
    fn a_report_says_what_became_of_each_recipient() {
        let postfix = report(
            "Final-Recipient: rfc822; gone@sakura.example.jp\nOriginal-Recipient: rfc822;gone@sakura.example.jp\nAction: failed\n\
             Status: 5.1.1\nRemote-MTA: dns; mx.sakura.example.jp\nDiagnostic-Code: smtp; 550 5.1.1 <gone@sakura.example.jp>:\n    \
             Recipient address rejected: User unknown",
        );
        assert_eq!(postfix.addresses, ["bounce+x@report.example.jp", "env1@x"]);
        assert_eq!(postfix.deliveries, [Uuid::try_parse(OURS).unwrap()]);
        let expected = Report {
            action: Action::Failed,
            status: Some("5.1.1".into()),
            recipient: Some("gone@sakura.example.jp".into()),
            text: "550 5.1.1 <gone@sakura.example.jp>: Recipient address rejected: User unknown".into(),
        };
        assert_eq!(postfix.reports, [expected]);
        for (fields, action, status, words) in [
            // Exchange
            (
                "Final-recipient: RFC822; a@example.jp\nAction: failed\nStatus: 5.1.10\nDiagnostic-code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found",
                Action::Failed,
                Some("5.1.10"),
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found",
            ),
            // Gmail
            (
                "Final-Recipient: rfc822; a@gmail.com\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552-5.2.2 The email account that you tried to reach is over quota.",
                Action::Failed,
                Some("5.2.2"),
                "552-5.2.2 The email account that you tried to reach is over quota.",
            ),
            // sendmail, still trying
            (
                "Final-Recipient: RFC822; a@example.jp\nAction: delayed\nStatus: 4.4.1\nDiagnostic-Code: SMTP; 421 4.4.1 Connection timed out",
                Action::Delayed,
                Some("4.4.1"),
                "421 4.4.1 Connection timed out",
            ),
            (
                "Final-Recipient: rfc822;a@example.jp\nAction: delivered\nStatus: 2.0.0",
                Action::Delivered,
                Some("2.0.0"),
                "This is the mail system.",
            ),
            (
                "Final-Recipient: rfc822;a@example.jp\nAction: relayed\nStatus: 2.0.0",
                Action::Delivered,
                Some("2.0.0"),
                "This is the mail system.",
            ),
            (
                "Final-Recipient: rfc822;a@example.jp\nAction: FAILED\nDiagnostic-Code: X-Postfix; host unknown",
                Action::Failed,
                None,
                "host unknown",
            ),
        ] {
            let read = report(fields).reports.remove(0);
            assert_eq!(
                (read.action, read.status.as_deref(), read.text.as_str()),
                (action, status, words),
                "{fields}"
            );
        }
    }

    fn notice(head: &str, body: &str) -> Returned {
        Returned::read(&lines(&format!("{head}\n\n{body}\n")))
    }

    #[test]
    fn a_notice_for_people_is_read_too() {
        for (head, body, status, recipient, words) in [
            (
                "From: MAILER-DAEMON@qmail.example.jp\nTo: bounce@report.example.jp",
                "Hi. This is the qmail-send program.\n\n<a@example.jp>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below\n\
                 Message-ID: <d.OURS@report.example.jp>",
                Some("5.1.1"),
                None,
                "Sorry, no mailbox here by that name. (#5.1.1)",
            ),
            (
                "Return-Path: <>\nFrom: Mail Delivery System <Mailer-Daemon@exim.example.jp>\nX-Failed-Recipients: a@example.jp\nAuto-Submitted: auto-replied",
                "A message that you sent could not be delivered.\n\n  a@example.jp\n    550 Unknown user\n\nMessage-ID: <d.OURS@x>",
                None,
                Some("a@example.jp"),
                "550 Unknown user",
            ),
            (
                "Return-Path: <>\nFrom: postmaster@docomo.ne.jp",
                "<a..b@docomo.ne.jp>: host mfsmax.docomo.ne.jp said: 550 Unknown user a..b@docomo.ne.jp\nMessage-ID: <d.OURS@x>",
                None,
                None,
                "<a..b@docomo.ne.jp>: host mfsmax.docomo.ne.jp said: 550 Unknown user a..b@docomo.ne.jp",
            ),
        ] {
            let read = notice(head, body);
            assert_eq!(read.deliveries, [Uuid::try_parse(OURS).unwrap()], "{head}");
            let report = &read.reports[0];
            assert_eq!(
                (report.action, report.status.as_deref(), report.recipient.as_deref(), report.text.as_str()),
                (Action::Failed, status, recipient, words),
                "{head}"
            );
            assert!(!read.is_auto_reply);
        }
    }

    #[test]
    fn a_japanese_notice_is_read_in_its_own_character_set() {
        let (text, _, _) = ISO_2022_JP.encode("メールをお届けできませんでした。\r\n宛先不明 550 5.1.1\r\n");
        let mut mail = lines(
            "From: postmaster@ezweb.ne.jp\nReturn-Path: <>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n\n",
        );
        mail.extend_from_slice(&text);
        let read = Returned::read(&mail);
        assert_eq!(read.first_line, "メールをお届けできませんでした。");
        assert_eq!(read.reports[0].text, "宛先不明 550 5.1.1");
        let (text, _, _) = encoding_rs::SHIFT_JIS.encode("宛先が見つかりません 550\r\n");
        let mut mail = lines(
            "From: MAILER-DAEMON\nContent-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: 8bit\n\n",
        );
        mail.extend_from_slice(&text);
        assert_eq!(Returned::read(&mail).reports[0].text, "宛先が見つかりません 550");
    }

    #[test]
    fn an_answer_of_a_machine_is_no_report() {
        let read = notice(
            "From: sasaki@example.jp\nTo: bounce+x@report.example.jp\nAuto-Submitted: auto-replied (vacation)",
            "\n休暇中です。550 の件は来週。\n",
        );
        assert_eq!((read.is_auto_reply, read.reports.len()), (true, 0));
        assert_eq!(read.first_line, "休暇中です。550 の件は来週。");
        let read =
            notice("From: sasaki@example.jp\nTo: bounce+x@report.example.jp", "550 5.1.1 と書いてありました");
        assert_eq!((read.is_auto_reply, read.reports.len()), (false, 0), "a person wrote it");
        assert_eq!(Returned::read(b""), Returned::default());
    }

    #[test]
    fn the_status_in_an_answer_is_found() {
        for (text, status) in [
            ("550 5.1.1 <a@example.jp>: user unknown", Some("5.1.1")),
            ("550-5.1.1 The account does not exist", Some("5.1.1")),
            ("450 4.2.0 Greylisted", Some("4.2.0")),
            ("554 no such user", None),
            ("550 the host 10.1.1 is blocked", None),
            ("550 5.7.509 policy", Some("5.7.509")),
            ("550 5.1.1111", None),
        ] {
            assert_eq!(status_in(text).as_deref(), status, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), head in "[ -~\r\n]{0,400}") {
            let _ = Returned::read(&bytes);
            let mut mail = head.into_bytes();
            mail.extend_from_slice(b"\r\nContent-Type: multipart/report; boundary=x\r\n\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n");
            mail.extend_from_slice(&bytes);
            let read = Returned::read(&mail);
            prop_assert!(read.reports.len() <= REPORTS_MAX && read.addresses.len() <= CLUES_MAX);
        }
    }
}
