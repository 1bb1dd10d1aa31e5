//! A call-back as an event of a calendar (iCalendar, RFC 5545): a file that a calendar on a phone takes with one touch.
//!
//! Invariant: pure. Nothing of a message is more than the value of one line, whatever it contains.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

/// Most bytes of a line, without its end.
const LINE_BYTES_MAX: usize = 75;
/// How long an event is that has one end.
const LENGTH: SignedDuration = SignedDuration::from_mins(30);

/// A call-back.
#[derive(Debug, Clone, Copy)]
pub struct CallBackEvent<'a> {
    /// What a later revision of the same event has as well.
    pub uid: &'a str,
    /// How often it was changed.
    pub sequence: u32,
    /// When it was written.
    pub stamp: Timestamp,
    /// The earliest time.
    pub from: Option<Timestamp>,
    /// The latest time.
    pub until: Option<Timestamp>,
    /// What it is, and whom to call.
    pub summary: &'a str,
}

impl CallBackEvent<'_> {
    /// The file; `None` without a time.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        let (start, end) = match (self.from, self.until) {
            (Some(from), Some(until)) if from < until => (from, until),
            (_, Some(until)) => (until.checked_sub(LENGTH).ok()?, until),
            (Some(from), None) => (from, from.checked_add(LENGTH).ok()?),
            (None, None) => return None,
        };
        let mut out = String::new();
        let mut line = |name: &str, value: &str| fold(&mut out, &format!("{name}:{value}"));
        line("BEGIN", "VCALENDAR");
        line("VERSION", "2.0");
        line("PRODID", "-//Toritsugi//messages//JA");
        line("METHOD", "PUBLISH");
        line("BEGIN", "VEVENT");
        line("UID", &escaped(self.uid));
        line("SEQUENCE", &self.sequence.to_string());
        line("DTSTAMP", &utc(self.stamp));
        line("DTSTART", &utc(start));
        line("DTEND", &utc(end));
        line("SUMMARY", &escaped(self.summary));
        line("BEGIN", "VALARM");
        line("ACTION", "DISPLAY");
        line("DESCRIPTION", &escaped(self.summary));
        line("TRIGGER", "-PT10M");
        line("END", "VALARM");
        line("END", "VEVENT");
        line("END", "VCALENDAR");
        Some(out)
    }
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A text as a value: no character of it ends the line or the value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Writes a line in parts of at most [`LINE_BYTES_MAX`] bytes, none of which ends within a character.
fn fold(out: &mut String, line: &str) {
    let mut room = LINE_BYTES_MAX;
    for c in line.chars() {
        if c.len_utf8() > room {
            out.push_str("\r\n ");
            room = LINE_BYTES_MAX - 1;
        }
        let _ = write!(out, "{c}");
        room -= c.len_utf8();
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn event(from: Option<&str>, until: Option<&str>, summary: &str) -> Option<String> {
        let event = CallBackEvent {
            uid: "m.0197@example.jp",
            sequence: 1,
            stamp: at("2026-11-30T00:53:20Z"),
            from: from.map(at),
            until: until.map(at),
            summary,
        };
        event.to_text()
    }

    #[test]
    fn a_call_back_is_an_event_with_an_alarm() {
        let text =
            event(None, Some("2026-11-30T17:00:00+09:00"), "折り返し ヤマモト様 03-5550-1001").unwrap();
        let expected = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Toritsugi//messages//JA\r\nMETHOD:PUBLISH\r\nBEGIN:VEVENT\r\n\
            UID:m.0197@example.jp\r\nSEQUENCE:1\r\nDTSTAMP:20261130T005320Z\r\nDTSTART:20261130T073000Z\r\nDTEND:20261130T080000Z\r\n\
            SUMMARY:折り返し ヤマモト様 03-5550-1001\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\n\
            DESCRIPTION:折り返し ヤマモト様 03-5550-1001\r\nTRIGGER:-PT10M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        assert_eq!(text, expected);
        for (from, until, times) in [
            (Some("2026-11-30T01:00:00Z"), None, "DTSTART:20261130T010000Z\r\nDTEND:20261130T013000Z"),
            (
                Some("2026-11-30T01:00:00Z"),
                Some("2026-11-30T03:00:00Z"),
                "DTSTART:20261130T010000Z\r\nDTEND:20261130T030000Z",
            ),
            (
                Some("2026-11-30T05:00:00Z"),
                Some("2026-11-30T03:00:00Z"),
                "DTSTART:20261130T023000Z\r\nDTEND:20261130T030000Z",
            ),
        ] {
            let text = event(from, until, "折り返し").unwrap();
            assert!(text.contains(times), "{text}");
        }
        assert_eq!(event(None, None, "折り返し"), None);
    }

    #[test]
    fn no_text_ends_its_line_and_no_line_is_too_long() {
        let hostile = format!("a;b,c\\d\r\nEND:VCALENDAR\r\nBEGIN:VEVENT {}", "髙".repeat(100));
        let text = event(None, Some("2026-11-30T08:00:00Z"), &hostile).unwrap();
        assert_eq!(text.matches("\r\nEND:VCALENDAR\r\n").count(), 1);
        let whole = text.replace("\r\n ", "");
        assert!(whole.contains("SUMMARY:a\\;b\\,c\\\\d  END:VCALENDAR  BEGIN:VEVENT 髙"), "{whole}");
        assert!(whole.contains(&"髙".repeat(100)));
        assert!(text.split("\r\n").all(|line| line.len() <= LINE_BYTES_MAX), "{text}");
    }
}
