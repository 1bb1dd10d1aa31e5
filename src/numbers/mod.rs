//! Telephone numbers: one key to compare, one form to show. Records also keep the original text.
//!
//! | written as | key | shown as |
//! |---|---|---|
//! | `0355501001`, `+81 3-5550-1001`, `81355501001`, `（０３）５５５０－１００１`, `184-03-5550-1001` | `+81355501001` | `03-5550-1001` |
//! | `010-1-212-555-0100`, `+12125550100` | `+12125550100` | `+1 212-555-0100` |
//! | `1001` (no longer than an extension, no leading 0) | `1001` | `1001` |
//! | `110`, `117`, … | `110` | `110` |
//!
//! Invariant: parsing a key, or the shown form of a key, gives the same key again; a key is `+` and digits, or digits
//! alone. Extensions and service numbers are recognised before the number library sees them: the library would read them
//! as subscribers' numbers.
//!
//! Why a type of its own: the headers of one call can have the same subscriber in five spellings, and accounts are found
//! by equality. Read next: `areas.rs` (places), `dial.rs` (what is dialled, and whether it may be), `lookup.rs` (uses the
//! keys).

mod areas;
mod dial;

use std::fmt;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType, Region};
use smol_str::{SmolStr, SmolStrBuilder};

/// Longest text that is parsed as a number, in characters: a number with many separators.
pub const NUMBER_TEXT_CHARS_MAX: usize = 64;
/// Maximum number of digits: E.164's 15, a call prefix, an access code.
const NUMBER_DIGITS_MAX: usize = 24;
/// Minimum number of digits of a national number with its leading zero.
const NATIONAL_DIGITS_MIN: usize = 9;
/// Longest extension unless configured otherwise, in digits.
pub const EXTENSION_DIGITS_DEFAULT: usize = 6;

/// The country whose national numbers are dialled, and the length of extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberPlan {
    home: Region,
    /// A number of at most this many digits without a leading zero is an extension.
    pub extension_digits_max: usize,
}

impl Default for NumberPlan {
    fn default() -> Self {
        Self { home: Region::JP, extension_digits_max: EXTENSION_DIGITS_DEFAULT }
    }
}

impl NumberPlan {
    /// The plan of a country by its ISO 3166 code; `None` for an unknown code.
    #[must_use]
    pub fn of_country(code: &str) -> Option<Self> {
        let home: Region = code.to_ascii_uppercase().parse().ok()?;
        PHONE_NUMBER_UTIL.get_country_code_for_region(home)?;
        Some(Self { home, ..Self::default() })
    }

    /// The country's ISO 3166 code.
    #[must_use]
    pub fn country(&self) -> String {
        self.home.to_string()
    }

    fn is_japanese(&self) -> bool {
        self.home == Region::JP
    }
}

/// The kind of line that a number reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberKind {
    /// A fixed line with an area code (0AB-J).
    Fixed,
    /// 携帯電話: 060, 070, 080, 090.
    Mobile,
    /// 050.
    Ip,
    /// フリーダイヤル: 0120, 0800.
    TollFree,
    /// ナビダイヤル and similar services: 0570, 0990, 020.
    Special,
    /// A number of this country that its numbering plan assigns to no line that this program knows.
    Unassigned,
    /// Another country's number, also of a country with the same country code.
    Foreign,
    /// 1xx: emergency and carrier services.
    Service,
    /// A phone of this PBX.
    Extension,
    /// Digits that fit no plan; compared unchanged.
    Other,
}

/// A parsed number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number {
    key: SmolStr,
    kind: NumberKind,
}

impl Number {
    /// Parses a number in the forms that people and networks write; `None` when the text is not a number.
    #[must_use]
    pub fn read(text: &str, plan: &NumberPlan) -> Option<Self> {
        let digits = bare_digits(text)?;
        let is_short = !digits.starts_with(['0', '+']) && digits.len() <= plan.extension_digits_max;
        if plan.is_japanese() && is_service(&digits) {
            return Some(Self { key: digits, kind: NumberKind::Service });
        }
        if is_short {
            return Some(Self { key: digits, kind: NumberKind::Extension });
        }
        let bare = if plan.is_japanese() { without_call_prefix(&digits) } else { &digits };
        Some(Self::of_subscriber(bare, plan))
    }

    fn of_subscriber(digits: &str, plan: &NumberPlan) -> Self {
        let parsed = PHONE_NUMBER_UTIL.parse(digits, Some(plan.home)).ok();
        let Some(parsed) = parsed.filter(|number| PHONE_NUMBER_UTIL.is_possible_number(number)) else {
            return Self { key: SmolStr::new(digits), kind: NumberKind::Other };
        };
        let key = SmolStr::new(parsed.format_as(PhoneNumberFormat::E164));
        // Each parse drops one leading zero that no plan has: such a number is kept unchanged.
        let is_stable = || PHONE_NUMBER_UTIL.parse(&key, None).is_ok_and(|again| again == parsed);
        if parsed.italian_leading_zero() && !is_stable() {
            return Self { key: SmolStr::new(digits), kind: NumberKind::Other };
        }
        let home_code = PHONE_NUMBER_UTIL.get_country_code_for_region(plan.home);
        // Countries share codes (+1, +7, +44): the region decides, where the number has one.
        let is_abroad = parsed.get_region_code().is_some_and(|region| region != plan.home);
        let kind = if Some(parsed.country_code) != home_code || is_abroad {
            NumberKind::Foreign
        } else {
            match parsed.get_type() {
                PhoneNumberType::FixedLine | PhoneNumberType::FixedLineOrMobile => NumberKind::Fixed,
                PhoneNumberType::Mobile => NumberKind::Mobile,
                PhoneNumberType::VoIP => NumberKind::Ip,
                PhoneNumberType::TollFree => NumberKind::TollFree,
                PhoneNumberType::Unknown => NumberKind::Unassigned,
                _ => NumberKind::Special,
            }
        };
        Self { key, kind }
    }

    /// The key: equal for equal numbers.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The kind of line that the number reaches.
    #[must_use]
    pub fn kind(&self) -> NumberKind {
        self.kind
    }

    /// The number in its usual form: `03-5550-1001`, `090-1234-5678`, `+1 212-555-0100`.
    #[must_use]
    pub fn display(&self) -> String {
        let format = match self.kind {
            NumberKind::Service | NumberKind::Extension | NumberKind::Other => return self.key.to_string(),
            NumberKind::Foreign => PhoneNumberFormat::International,
            _ => PhoneNumberFormat::National,
        };
        let Ok(number) = PHONE_NUMBER_UTIL.parse(&self.key, None) else { return self.key.to_string() };
        let shown = number.format_as(format).into_owned();
        // Without its country code, a number that no plan knows can look like another number.
        let home = PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code);
        let again = PHONE_NUMBER_UTIL.parse(without_call_prefix(&shown), home);
        if again.is_ok_and(|again| again == number) { shown } else { self.key.to_string() }
    }

    /// Where the line is (`大阪`) or what kind it is (`携帯電話`); `None` if unknown.
    #[must_use]
    pub fn area(&self) -> Option<&'static str> {
        match self.kind {
            NumberKind::Fixed | NumberKind::Unassigned if self.key.starts_with("+81") => {
                let display = self.display();
                areas::name(display.split('-').next()?)
            }
            NumberKind::Mobile => Some("携帯電話"),
            NumberKind::Ip => Some("IP電話"),
            NumberKind::TollFree => Some("フリーダイヤル"),
            NumberKind::Foreign => Some("海外"),
            NumberKind::Extension => Some("内線"),
            NumberKind::Fixed
            | NumberKind::Special
            | NumberKind::Unassigned
            | NumberKind::Service
            | NumberKind::Other => None,
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.key, self.kind)
    }
}

/// The digits of `text` with a leading `+`; separators and full-width forms are accepted. `None` if it has anything else.
fn bare_digits(text: &str) -> Option<SmolStr> {
    let text = text.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let mut digits = SmolStrBuilder::new();
    let mut count = 0;
    let mut plus = false;
    for (index, c) in text.chars().enumerate() {
        if index >= NUMBER_TEXT_CHARS_MAX {
            return None;
        }
        match c {
            '0'..='9' | '０'..='９' => {
                let value = c.to_digit(10).or_else(|| (c as u32).checked_sub('０' as u32))?;
                digits.push(char::from_digit(value, 10)?);
                count += 1;
            }
            '+' | '＋' if count == 0 && !plus => {
                digits.push('+');
                plus = true;
            }
            ' '
            | '\u{3000}'
            | '\u{a0}'
            | '-'
            | '.'
            | '('
            | ')'
            | '/'
            | '（'
            | '）'
            | '－'
            | 'ー'
            | '―'
            | '‐'..='—'
            | '−'
            | '・'
            | '．' => {}
            _ => return None,
        }
    }
    (1..=NUMBER_DIGITS_MAX).contains(&count).then(|| digits.finish())
}

/// Three-digit numbers that work on every Japanese line; they are never extensions.
fn is_service(digits: &str) -> bool {
    matches!(
        digits,
        "104"
            | "110"
            | "111"
            | "113"
            | "114"
            | "115"
            | "116"
            | "117"
            | "118"
            | "119"
            | "136"
            | "141"
            | "142"
            | "144"
            | "147"
            | "148"
            | "151"
            | "157"
            | "161"
            | "162"
            | "171"
            | "177"
            | "184"
            | "186"
            | "188"
            | "189"
    )
}

/// Without 184 (withhold my number) or 186 (show it), which callers dial in front of a number.
fn without_call_prefix(digits: &str) -> &str {
    match digits.strip_prefix("184").or_else(|| digits.strip_prefix("186")) {
        Some(rest) if rest.starts_with('0') && rest.len() >= NATIONAL_DIGITS_MIN => rest,
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Number> {
        Number::read(text, &NumberPlan::default())
    }

    #[test]
    fn the_same_subscriber_has_one_key_however_written() {
        for text in [
            "0355501001",
            "03-5550-1001",
            "+81355501001",
            "+81 3 5550 1001",
            "81355501001",
            "+81(0)355501001",
            "（０３）５５５０－１００１",
            "184-03-5550-1001",
            "1860355501001",
            "tel:+81-3-5550-1001",
            "03ー5550ー1001",
            "010-81-3-5550-1001",
        ] {
            let number = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(number.key(), "+81355501001", "{text}");
            assert_eq!((number.display().as_str(), number.area()), ("03-5550-1001", Some("東京")), "{text}");
        }
    }

    #[test]
    fn each_kind_is_told_from_the_others() {
        use NumberKind::{
            Extension, Fixed, Foreign, Ip, Mobile, Other, Service, Special, TollFree, Unassigned,
        };
        for (text, key, kind, display, area) in [
            ("09012345678", "+819012345678", Mobile, "090-1234-5678", Some("携帯電話")),
            ("08012345678", "+818012345678", Mobile, "080-1234-5678", Some("携帯電話")),
            ("07012345678", "+817012345678", Mobile, "070-1234-5678", Some("携帯電話")),
            ("05012345678", "+815012345678", Ip, "050-1234-5678", Some("IP電話")),
            ("0120123456", "+81120123456", TollFree, "0120-123-456", Some("フリーダイヤル")),
            ("08001234567", "+818001234567", TollFree, "0800-123-4567", Some("フリーダイヤル")),
            ("0570012345", "+81570012345", Special, "0570-012-345", None),
            ("0663450103", "+81663450103", Fixed, "06-6345-0103", Some("大阪")),
            ("0466123456", "+81466123456", Fixed, "0466-12-3456", Some("藤沢")),
            ("0112345678", "+81112345678", Fixed, "011-234-5678", Some("札幌")),
            ("+12125550100", "+12125550100", Foreign, "+1 212-555-0100", Some("海外")),
            ("010-44-20-7946-0018", "+442079460018", Foreign, "+44 20 7946 0018", Some("海外")),
            ("110", "110", Service, "110", None),
            ("1001", "1001", Extension, "1001", Some("内線")),
            ("200001", "200001", Extension, "200001", Some("内線")),
            ("99", "99", Extension, "99", Some("内線")),
            ("0312", "0312", Other, "0312", None),
            ("0000000000", "0000000000", Other, "0000000000", None),
            ("101000000", "+81101000000", Unassigned, "+81101000000", None),
            ("018400000", "+8118400000", Unassigned, "18400000", None),
            ("1840123456780", "+81123456780", Fixed, "0123-45-6780", Some("千歳")),
        ] {
            let number = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((number.key(), number.kind()), (key, kind), "{text}");
            assert_eq!((number.display().as_str(), number.area()), (display, area), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "",
            "+",
            "anonymous",
            "03-5550-1001 内線12",
            "sip:0355501001@x",
            "*21",
            "12\u{0}3",
            &"1".repeat(30),
        ] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_plan_decides_what_an_extension_is() {
        let american = NumberPlan::of_country("us").unwrap();
        assert_eq!((american.country(), NumberPlan::default().country()), ("US".to_owned(), "JP".to_owned()));
        assert_eq!(Number::read("212-555-0100", &american).unwrap().display(), "(212) 555-0100");
        assert!(NumberPlan::of_country("XX").is_none());
        let plan = NumberPlan { extension_digits_max: 3, ..NumberPlan::default() };
        assert_eq!(Number::read("1001", &plan).unwrap().kind(), NumberKind::Other);
        assert_eq!(Number::read("100", &plan).unwrap().kind(), NumberKind::Extension);
    }

    proptest! {
        #[test]
        fn reading_twice_changes_nothing(text in "(\\+|184|186|0|81|\\+81|010|\\+39|\\+54|00)?[0-9]{1,22}") {
            if let Some(once) = read(&text) {
                prop_assert_eq!(&read(once.key()).unwrap(), &once);
                let shown = read(&once.display()).unwrap();
                prop_assert_eq!(shown.key(), once.key());
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            if let Some(number) = read(&text) {
                let bare = number.key().strip_prefix('+').unwrap_or(number.key());
                prop_assert!(!bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()));
            }
        }
    }
}
