//! The digits that are dialled for a number, and whether they may be dialled without an account's permission.
//!
//! | number | dialled in Japan | dialled in the country `XX` |
//! |---|---|---|
//! | of the country | `0` and the national number | the national prefix and the national number |
//! | of another country | `010`, country code, national number | the international prefix, country code, national number |
//! | extension, service, unknown digits | unchanged | unchanged |
//!
//! A number may be dialled if its line is positively known: a fixed, mobile, IP or free phone line that the country's
//! numbering plan assigns. Everything else (other countries, premium numbers, carriers' codes, digits that nobody
//! assigned) needs a prefix that the account opens.
//!
//! Invariant: the decision is about the digits that are dialled, not about the text that somebody typed. They must read
//! back as the same number, and never begin as an international call does.

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};
use smol_str::{SmolStr, format_smolstr};

use super::{Number, NumberKind, NumberPlan};

/// A number of another country, to learn how the library dials abroad: of the United States and of Great Britain.
const ABROAD: [&str; 2] = ["12125550100", "442079460018"];
/// What is dialled in front of a national number in North America, where numbers are written without it.
const NANP_PREFIX: &str = "1";
/// The international prefix of most countries, for a country that has several and prefers none.
const INTERNATIONAL_PREFIX_DEFAULT: &str = "00";
/// Most digits dialled for a number that an account opens: an international prefix and E.164's 15.
const DIAL_DIGITS_MAX: usize = 20;

impl NumberPlan {
    /// What is dialled in front of a number of the country: `0` in Japan.
    #[must_use]
    pub fn national_prefix(&self) -> String {
        if PHONE_NUMBER_UTIL.is_nanpa_country(self.home) {
            return NANP_PREFIX.to_owned();
        }
        let Ok(example) = PHONE_NUMBER_UTIL.get_example_number(self.home) else { return String::new() };
        let shown = example.format_as(PhoneNumberFormat::National);
        let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
        digits.strip_suffix(&example.get_national_significant_number()).unwrap_or_default().to_owned()
    }

    /// What is dialled in front of another country's code: `010` in Japan.
    #[must_use]
    pub fn international_prefix(&self) -> String {
        let home = self.country_code();
        let abroad = ABROAD.into_iter().find(|number| !number.starts_with(&home)).unwrap_or(ABROAD[0]);
        let number = PHONE_NUMBER_UTIL.parse(format!("+{abroad}"), None).ok();
        let shown = number.map(|number| number.format_out_of_country_calling_number(self.home).into_owned());
        let digits: String = shown.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        let prefix = digits.strip_suffix(abroad).filter(|prefix| !prefix.is_empty());
        prefix.unwrap_or(INTERNATIONAL_PREFIX_DEFAULT).to_owned()
    }

    /// The country's code, without `+`: `81` for Japan.
    #[must_use]
    pub fn country_code(&self) -> String {
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(self.home);
        code.map(|code| code.to_string()).unwrap_or_default()
    }

    /// The digits dialled for a number, or the beginning of one, in international form without its `+`.
    #[must_use]
    pub fn dialled_from_international(&self, digits: &str) -> SmolStr {
        let home = self.country_code();
        match digits.strip_prefix(home.as_str()).filter(|_| !home.is_empty()) {
            Some(national) => format_smolstr!("{}{national}", self.national_prefix()),
            None => format_smolstr!("{}{digits}", self.international_prefix()),
        }
    }

    /// Whether dialled digits with this beginning could reach any country: it ends before the country's code does.
    #[must_use]
    pub fn opens_every_country(&self, prefix: &str) -> bool {
        self.international_prefix().starts_with(prefix)
    }
}

impl Number {
    /// The digits that are dialled for it.
    #[must_use]
    pub fn dial_string(&self, plan: &NumberPlan) -> SmolStr {
        match self.key.strip_prefix('+') {
            Some(digits) => plan.dialled_from_international(digits),
            None => self.key.clone(),
        }
    }

    /// The digits to dial, if the number may be dialled: it is a subscriber of the country, or begins with one of the
    /// prefixes that the account opens (`opened`, as dialled).
    #[must_use]
    pub fn permitted_dial_string(&self, plan: &NumberPlan, opened: &[String]) -> Option<SmolStr> {
        let dial = self.dial_string(plan);
        let opens = |prefix: &String| {
            !plan.opens_every_country(prefix)
                && dial.len() <= DIAL_DIGITS_MAX
                && dial.starts_with(prefix.as_str())
        };
        (self.is_subscriber(&dial, plan) || opened.iter().any(opens)).then_some(dial)
    }

    /// Whether `dial` reaches a fixed, mobile, IP or free phone line of the country, and no other line.
    fn is_subscriber(&self, dial: &str, plan: &NumberPlan) -> bool {
        use NumberKind::{Fixed, Ip, Mobile, TollFree};
        matches!(self.kind, Fixed | Mobile | Ip | TollFree)
            && !dial.starts_with(&plan.international_prefix())
            && Self::read(dial, plan).as_ref() == Some(self)
            && (plan.home != Region::JP || is_japanese_line(self.kind, dial))
    }
}

/// Whether dialled digits have the form that Japan's numbering plan gives this kind of line. The form of a carrier's
/// code (`00…`), of an international call (`010…`) and of every service (`0180`, `020`, `0570`, `0990`) is another one.
fn is_japanese_line(kind: NumberKind, dial: &str) -> bool {
    let digit = |at: usize| dial.as_bytes().get(at).copied().unwrap_or(0);
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| dial.starts_with(prefix));
    let known = |at: usize| (b'1'..=b'9').contains(&digit(at));
    match (kind, dial.len()) {
        (NumberKind::Fixed, 10) => {
            digit(0) == b'0' && known(1) && known(2) && !begins(&["0120", "0170", "0180", "0570", "0990"])
        }
        (NumberKind::Mobile, 11) => begins(&["060", "070", "080", "090"]) && known(3),
        (NumberKind::Ip, 11) => begins(&["050"]) && known(3),
        (NumberKind::TollFree, 10) => begins(&["0120"]),
        (NumberKind::TollFree, 11) => begins(&["0800"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is dialled for `text` in Japan, if it may be dialled.
    fn dialled(text: &str, opened: &[&str]) -> Option<String> {
        let plan = NumberPlan::default();
        let opened: Vec<String> = opened.iter().map(|prefix| (*prefix).to_owned()).collect();
        Number::read(text, &plan)?.permitted_dial_string(&plan, &opened).map(|dial| dial.to_string())
    }

    /// The lines that anybody may be transferred to, written down from the ministry's numbering plan (総務省
    /// 電気通信番号計画): geographic, mobile, IP, free phone. This is on purpose no call of the code above.
    fn is_a_line_of_japan(dial: &str) -> bool {
        let bytes = dial.as_bytes();
        let all_digits = bytes.iter().all(u8::is_ascii_digit);
        let geographic = bytes.len() == 10
            && bytes.first() == Some(&b'0')
            && bytes[1] != b'0'
            && bytes[2] != b'0'
            && !["0120", "0170", "0180", "0190", "0570", "0990"].contains(&&dial[..4]);
        let eleven = |code: &str| bytes.len() == 11 && dial.starts_with(code) && bytes[3] != b'0';
        let personal = ["050", "060", "070", "080", "090"].iter().any(|code| eleven(code));
        let free = (bytes.len() == 10 && dial.starts_with("0120"))
            || (bytes.len() == 11 && dial.starts_with("0800"));
        all_digits && (geographic || personal || free)
    }

    #[test]
    fn lines_of_the_country_are_dialled_as_written() {
        for (text, dial) in [
            ("03-5550-1001", "0355501001"),
            ("+81 3 5550 1001", "0355501001"),
            ("81355501001", "0355501001"),
            ("0466-12-3456", "0466123456"),
            ("090-1111-2222", "09011112222"),
            ("080-1111-2222", "08011112222"),
            ("070-1111-2222", "07011112222"),
            ("050-1111-2222", "05011112222"),
            ("0120-123-456", "0120123456"),
            ("0800-123-4567", "08001234567"),
            ("184-03-5550-1001", "0355501001"),
        ] {
            assert_eq!(dialled(text, &[]).as_deref(), Some(dial), "{text}");
        }
    }

    #[test]
    fn a_zero_that_is_left_out_opens_no_foreign_country() {
        for text in [
            "1012125550100",
            "106834000",
            "10-881-622-000-000",
            "+81 10 1 212 5550100",
            "+81-010-1-212-5550100",
            "0101012125550100",
            "010 1 212 555 0100",
            "+1 212 555 0100",
            "+870 773 111 111",
            "+881 622 000 000",
            "0990123456",
            "+81990123456",
            "0570012345",
            "117",
            "110",
            "184010",
            "184-010-1-212-555-0100",
            "0204123456",
            "02012345678",
            "0180123456",
            "0010012125550100",
            "00330101212555010",
            "0033-010-1-212-555-0100",
            "0061010121255501",
            "0091010121255501",
            "0037601012125550",
            "003712345678",
            "+8100371234567",
            "+810066123456789",
            "0312",
            "0355501001123",
            "0355501001123456",
            "101000000",
            "018400000",
            "0000000000",
        ] {
            assert_eq!(dialled(text, &[]), None, "{text}");
        }
    }

    #[test]
    fn an_account_opens_what_begins_with_its_prefixes_and_nothing_else() {
        assert_eq!(dialled("0570012345", &["0570"]).as_deref(), Some("0570012345"));
        assert_eq!(dialled("+886 2 2345 6789", &["010886"]).as_deref(), Some("010886223456789"));
        assert_eq!(dialled("117", &["117"]).as_deref(), Some("117"));
        assert_eq!(dialled("+1 212 555 0100", &["010886"]), None);
        assert_eq!(dialled("0990123456", &["0570", "010886"]), None);
        // As an older version stored "+": it names no country, so it opens none.
        for everything in ["0", "01", "010"] {
            assert_eq!(dialled("+1 212 555 0100", &[everything]), None, "{everything}");
            assert_eq!(dialled("1012125550100", &[everything]), None, "{everything}");
        }
    }

    #[test]
    fn prefixes_follow_the_country() {
        let prefixes = |code| {
            let plan = NumberPlan::of_country(code).unwrap();
            (plan.national_prefix(), plan.international_prefix())
        };
        let of = |national: &str, international: &str| (national.to_owned(), international.to_owned());
        assert_eq!(prefixes("JP"), of("0", "010"));
        assert_eq!(prefixes("US"), of("1", "011"));
        assert_eq!(prefixes("GB"), of("0", "00"));
        assert_eq!(prefixes("AU"), of("0", "0011"));
        assert_eq!(prefixes("IT"), of("", "00"));
        for (code, text, dial) in [
            ("GB", "020 7946 0018", Some("02079460018")),
            ("GB", "+44 20 7946 0018", Some("02079460018")),
            ("GB", "+81 3 5550 1001", None),
            ("US", "(212) 555-0100", Some("12125550100")),
            // A country of the same code is another country: the oldest fraud of all.
            ("US", "+1 876 555 0100", None),
            ("US", "809-555-0100", None),
            ("US", "900-555-0100", None),
            ("US", "011 44 20 7946 0018", None),
            ("IT", "02 3661 8300", Some("0236618300")),
            // The Vatican has numbers of Rome.
            ("IT", "06 6982 0018", None),
        ] {
            let plan = NumberPlan::of_country(code).unwrap();
            let number = Number::read(text, &plan).unwrap();
            assert_eq!(number.permitted_dial_string(&plan, &[]).as_deref(), dial, "{code} {text}");
        }
        let british = NumberPlan::of_country("GB").unwrap();
        let tokyo = Number::read("+81 3 5550 1001", &british).unwrap();
        assert_eq!(tokyo.dial_string(&british), "0081355501001");
        assert_eq!(tokyo.permitted_dial_string(&british, &["0081".to_owned()]).unwrap(), "0081355501001");
    }

    /// Numbers as people type them, and as somebody types them who wants to be connected abroad: pieces of codes in
    /// front of digits, with separators.
    fn typed() -> impl Strategy<Value = String> {
        let code = prop::sample::select(vec![
            "",
            "0",
            "00",
            "+",
            "+0",
            "+00",
            "010",
            "10",
            "0010",
            "+81",
            "+810",
            "+8110",
            "81",
            "810",
            "8110",
            "184",
            "186",
            "1840",
            "184010",
            "1860",
            "001",
            "0033",
            "0041",
            "0061",
            "0077",
            "0091",
            "0037",
            "0066",
            "0088",
            "020",
            "0120",
            "0170",
            "0180",
            "0190",
            "0570",
            "0800",
            "0990",
            "030",
            "040",
            "050",
            "060",
            "070",
            "080",
            "090",
            "03",
            "06",
            "0466",
            "+1",
            "1",
            "+44",
            "+870",
            "+881",
            "+883",
            "+882",
            "+979",
            "1010",
            "100",
            "11",
            "1081",
            "０１０",
            "＋８１",
        ]);
        let separator = prop::sample::select(vec!["", "-", " ", "(", ")", ".", "/", "　", "－"]);
        (prop::collection::vec((code, separator), 0..4), "[0-9]{0,14}").prop_map(|(codes, rest)| {
            codes.iter().map(|(code, by)| format!("{code}{by}")).collect::<String>() + &rest
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_dialled_is_a_line_of_the_numbering_plan(text in typed()) {
            if let Some(dial) = dialled(&text, &[]) {
                prop_assert!(is_a_line_of_japan(&dial), "{text:?} is dialled as {dial}");
            }
        }

        #[test]
        fn a_prefix_opens_only_what_begins_with_it(text in typed(), opened in "(0570|0990|010886|01044|117|0033)") {
            if let Some(dial) = dialled(&text, &[&opened]) {
                prop_assert!(
                    is_a_line_of_japan(&dial) || (dial.starts_with(&opened) && dial.len() <= DIAL_DIGITS_MAX),
                    "{text:?} is dialled as {dial}"
                );
            }
        }

        /// The other way round: a wall that lets nobody through would satisfy the properties above.
        #[test]
        fn every_mobile_phone_can_be_reached(line in "0[789]0[1-9][0-9]{7}", form in 0..3) {
            let text = match form {
                0 => line.clone(),
                1 => format!("+81{}", &line[1..]),
                _ => format!("{}-{}-{}", &line[..3], &line[3..7], &line[7..]),
            };
            prop_assert_eq!(dialled(&text, &[]), Some(line));
        }

        #[test]
        fn in_no_country_a_call_abroad_is_a_call_at_home(
            text in typed(),
            country in prop::sample::select(vec!["JP", "US", "GB", "DE", "FR", "KR", "AU", "IT", "BR", "RU"]),
        ) {
            let plan = NumberPlan::of_country(country).unwrap();
            let number = Number::read(&text, &plan);
            if let Some(dial) = number.and_then(|number| number.permitted_dial_string(&plan, &[])) {
                let again = Number::read(&dial, &plan).unwrap();
                prop_assert!(!matches!(again.kind(), NumberKind::Foreign | NumberKind::Special), "{text:?}: {dial}");
                prop_assert!(!dial.starts_with(&plan.international_prefix()), "{text:?}: {dial}");
            }
        }
    }
}
