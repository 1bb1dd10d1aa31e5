//! What the network said about a call: under which number it reached us, who forwarded it, who calls.
//!
//! This is raw evidence in order of trust, before any record is looked up: [`crate::sip`] fills it from SIP
//! headers, the call model from the channel alone where the dialplan hands nothing over, and
//! [`crate::directory`] turns it into an account and customers.
//!
//! Invariant: a withheld number is nowhere in here. [`Caller::new`] is the only way to make a caller, and it
//! forgets number and name unless their presentation is allowed.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Longest number kept, in characters; E.164 needs 15, prefixes and internal numbers a few more.
pub const NUMBER_CHARS_MAX: usize = 40;
/// Longest display name kept, in characters.
pub const DISPLAY_CHARS_MAX: usize = 120;

/// Whether the caller's number may be shown, and if not, why (Japan keeps the reasons apart).
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

/// Who calls, as far as the network told and allows us to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Caller {
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<SmolStr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<SmolStr>,
    presentation: Presentation,
}

impl Caller {
    /// Number and display name are forgotten unless `presentation` is `Allowed`; both are cleaned of control
    /// characters and cut to their limits. An allowed caller without a number is `Unavailable`.
    #[must_use]
    pub fn new(number: Option<&str>, display: Option<&str>, presentation: Presentation) -> Self {
        if presentation != Presentation::Allowed {
            return Self { number: None, display: None, presentation };
        }
        let number = number.and_then(|n| printable(n, NUMBER_CHARS_MAX));
        let presentation = if number.is_some() { Presentation::Allowed } else { Presentation::Unavailable };
        Self { number, display: display.and_then(|d| printable(d, DISPLAY_CHARS_MAX)), presentation }
    }

    /// The number as the network sent it; only where it may be shown.
    #[must_use]
    pub fn number(&self) -> Option<&str> {
        self.number.as_deref()
    }

    /// The name the network sent; only where the number may be shown.
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

/// Where a number that may have been dialled was found, most trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialledSource {
    /// P-Called-Party-ID (RFC 7315).
    CalledParty,
    /// The Request-URI.
    RequestUri,
    /// The To header: where NTT's home gateways leave the dialled number.
    To,
    /// The dialplan extension the trunk's channel entered.
    Extension,
}

/// Where the forwarding number was found, most trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiversionSource {
    /// The topmost Diversion header (RFC 5806).
    Diversion,
    /// The History-Info entry that bears a cause (RFC 7044; the standard between Japanese carriers, JJ-90.27).
    HistoryInfo,
    /// Asterisk's own redirecting number.
    Redirecting,
}

/// All the evidence about one call. The lists are in order of trust and short by construction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Numbers the call may have been dialled under.
    pub dialled: Vec<(DialledSource, SmolStr)>,
    /// Numbers that may have forwarded it.
    pub diverted_by: Vec<(DiversionSource, SmolStr)>,
    /// Who calls.
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

/// Characters that reorder or hide the text around them (bidirectional controls, zero-width marks).
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withheld_number_is_forgotten() {
        for presentation in [Presentation::Withheld, Presentation::Payphone, Presentation::Unavailable] {
            let caller = Caller::new(Some("09012345678"), Some("田中"), presentation);
            assert_eq!((caller.number(), caller.display()), (None, None));
            assert!(!format!("{caller:?}").contains("0901"));
        }
    }

    #[test]
    fn text_is_cleaned_and_cut() {
        assert_eq!(printable(" 田中\r\nX\u{202E}太郎 ", 80).as_deref(), Some("田中X太郎"));
        assert_eq!(printable("\u{0}\u{1b}", 80), None);
        assert_eq!(printable(&"あ".repeat(500), 5).as_deref(), Some("あああああ"));
    }
}
