//! The identity of a call, as the network reports it: the called numbers, the forwarding numbers, the caller.
//!
//! The numbers are raw and in order of trust; no record was looked up yet. [`crate::sip`] reads them from the SIP
//! headers, or from the channel alone if the dialplan sends no headers. [`crate::directory`] looks up the account and
//! the customers for them.
//!
//! Invariant: no value of these types holds the number of a withheld caller. [`Caller::new`] is the only constructor
//! with a number, and it drops number and name unless their presentation is allowed.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Longest number kept, in characters; E.164 needs 15, prefixes and internal numbers a few more.
pub const NUMBER_CHARS_MAX: usize = 40;
/// Longest display name kept, in characters.
pub const DISPLAY_CHARS_MAX: usize = 120;

/// Whether the caller's number may be shown, and if not, why (Japanese networks distinguish the reasons).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presentation {
    /// The number may be shown.
    Allowed,
    /// 非通知: the caller withholds it.
    Withheld,
    /// 公衆電話: a public telephone.
    Payphone,
    /// 表示圏外: the network could not deliver it.
    #[default]
    Unavailable,
}

impl Presentation {
    /// The word that counts when two are known: the one that withholds the number, whatever comes later.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let rank = |presentation| match presentation {
            Self::Allowed => 0,
            Self::Unavailable => 1,
            Self::Withheld => 2,
            // Withheld as well, and it says why.
            Self::Payphone => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// Whether the caller, or the caller's phone, hides the number. (A number can also be missing.)
    #[must_use]
    pub fn hides_number(self) -> bool {
        matches!(self, Self::Withheld | Self::Payphone)
    }
}

/// The caller, as far as the network reports one and permits showing it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Caller {
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<SmolStr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<SmolStr>,
    presentation: Presentation,
}

impl Caller {
    /// A caller. Drops number and display name unless `presentation` is `Allowed`; removes control characters from both
    /// and cuts them to their limits. An allowed caller without a number becomes `Unavailable`.
    #[must_use]
    pub fn new(number: Option<&str>, display: Option<&str>, presentation: Presentation) -> Self {
        if presentation != Presentation::Allowed {
            return Self { number: None, display: None, presentation };
        }
        let number = number.and_then(|n| printable(n, NUMBER_CHARS_MAX));
        let presentation = if number.is_some() { Presentation::Allowed } else { Presentation::Unavailable };
        Self { number, display: display.and_then(display_name), presentation }
    }

    /// The number as the network sent it; `None` if it may not be shown.
    #[must_use]
    pub fn number(&self) -> Option<&str> {
        self.number.as_deref()
    }

    /// The name that the network sent; `None` if the number may not be shown.
    #[must_use]
    pub fn display(&self) -> Option<&str> {
        self.display.as_deref()
    }

    /// Whether the number may be shown, or why not.
    #[must_use]
    pub fn presentation(&self) -> Presentation {
        self.presentation
    }
}

/// The source of a number that may have been dialled, most trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialledSource {
    /// P-Called-Party-ID (RFC 7315).
    CalledParty,
    /// The Request-URI.
    RequestUri,
    /// The To header: NTT's home gateways put the dialled number here.
    To,
    /// A dialplan extension that the trunk's channel entered: the first one, or one to which the dialplan sent it.
    Extension,
}

/// The source of a forwarding number, most trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiversionSource {
    /// The topmost Diversion header (RFC 5806).
    Diversion,
    /// The History-Info entry with a cause, or the entry before it (RFC 7044; the standard between Japanese carriers, JJ-90.27).
    HistoryInfo,
    /// Asterisk's own redirecting number.
    Redirecting,
}

/// Called numbers, forwarding numbers and caller of one call. The lists are in order of trust and short by construction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Numbers that the caller may have dialled.
    pub dialled: Vec<(DialledSource, SmolStr)>,
    /// Numbers that may have forwarded the call.
    pub diverted_by: Vec<(DiversionSource, SmolStr)>,
    /// The caller.
    pub caller: Caller,
}

/// `text` without control and direction-changing characters, trimmed, at most `chars_max` characters; `None` when nothing is left.
#[must_use]
pub fn printable(text: &str, chars_max: usize) -> Option<SmolStr> {
    let shown = |c: &char| !c.is_control() && !is_direction_mark(*c) && *c != char::REPLACEMENT_CHARACTER;
    if text.len() <= chars_max && text.chars().all(|c| shown(&c)) {
        let text = text.trim();
        return (!text.is_empty()).then(|| SmolStr::new(text));
    }
    let kept: String = text.trim().chars().filter(shown).take(chars_max).collect();
    let kept = kept.trim();
    (!kept.is_empty()).then(|| SmolStr::new(kept))
}

/// `text` of several lines, each as [`printable`] cleans it, without empty lines at its beginning and end.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| printable(line, usize::MAX).unwrap_or_default()).collect();
    lines.join("\n").trim().to_owned()
}

/// The name of a caller, cleaned and cut. A name with bytes of another code page (they became replacement characters) is
/// no name; a name that a network cut within its last character is one.
#[must_use]
pub fn display_name(text: &str) -> Option<SmolStr> {
    let text = text.trim_end();
    let text = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(text);
    if text.contains(char::REPLACEMENT_CHARACTER) { None } else { printable(text, DISPLAY_CHARS_MAX) }
}

/// Characters that reorder or hide the text around them (bidirectional controls, zero-width marks).
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withheld_number_is_dropped() {
        for presentation in [Presentation::Withheld, Presentation::Payphone, Presentation::Unavailable] {
            let caller = Caller::new(Some("09012345678"), Some("田中"), presentation);
            assert_eq!((caller.number(), caller.display()), (None, None));
            assert!(!format!("{caller:?}").contains("0901"));
        }
    }

    #[test]
    fn a_name_in_another_code_page_is_no_name() {
        // 株式会社 as Shift_JIS, EUC-JP and UTF-8, and 田中 cut by a network that counts bytes.
        let names: [(&[u8], Option<&str>); 5] = [
            (b"ABC \x8a\x94\x8e\xae\x89\xef\x8e\xd0", None),
            (b"\xb3\xf4\xbc\xb0\xb2\xf1\xbc\xd2", None),
            ("ABC 株式会社".as_bytes(), Some("ABC 株式会社")),
            (b"\xe7\x94\xb0\xe4\xb8", Some("田")),
            (b"\xc0\xc5\xb6", None),
        ];
        for (bytes, expected) in names {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(display_name(&text).as_deref(), expected, "{bytes:x?}");
            let caller = Caller::new(Some("0312345678"), Some(&text), Presentation::Allowed);
            assert_eq!((caller.number(), caller.display()), (Some("0312345678"), expected));
        }
    }

    #[test]
    fn the_stricter_word_counts_in_any_order() {
        use Presentation::{Allowed, Payphone, Unavailable, Withheld};
        for (one, other, counts) in [
            (Allowed, Allowed, Allowed),
            (Allowed, Unavailable, Unavailable),
            (Unavailable, Withheld, Withheld),
            (Allowed, Withheld, Withheld),
            (Withheld, Payphone, Payphone),
        ] {
            assert_eq!((one.stricter(other), other.stricter(one)), (counts, counts));
        }
    }

    #[test]
    fn text_is_cleaned_and_cut() {
        assert_eq!(printable(" 田中\r\nX\u{202E}太郎 ", 80).as_deref(), Some("田中X太郎"));
        assert_eq!(printable("\u{0}\u{1b}", 80), None);
        assert_eq!(printable(&"あ".repeat(500), 5).as_deref(), Some("あああああ"));
    }
}
