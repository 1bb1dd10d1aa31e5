//! The answer to a question: the one form in which it is kept, or what is wrong with it.
//!
//! | type | is kept as |
//! |---|---|
//! | `kana` | full-width katakana |
//! | `name`, `text`, `lines` | the text, cleaned |
//! | `choice`, `choices`, `yes_no` | the choice, the choices in the script's order, `yes` or `no` |
//! | `date`, `time`, `datetime` | `2026-12-01`, `09:00`, `2026-12-01 09:00` |
//! | `phone` | as it was said |
//! | `number` | digits |
//! | `postal` | `100-0001` |
//! | `email` | the address |
//! | `contact` | the contact's id, or a name |
//!
//! Invariant: the form of a form is the same form. An empty answer is no answer, never a wrong one.

use jiff::civil::{Date, DateTime, Time};
use serde::Serialize;
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;

use super::model::{ANSWER_CHARS, ANSWER_CHARS_MAX, Field, FieldType};
use crate::identity::{printable, printable_lines};
use crate::numbers::{Number, NumberPlan};
use crate::text::compose::compose;
use crate::text::kana::{is_kana, kana};

/// Between the choices of an answer with several, where it is one text.
pub(super) const SEPARATOR: char = '、';
/// Largest number.
pub(super) const NUMBER_MAX: i64 = 1_000_000_000_000;

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ScriptAnswerProblem)]
pub enum ValueProblem {
    /// It has too many characters, or the number is too large.
    TooLong,
    /// It has too few characters, or the number is too small.
    TooShort,
    /// It is no reading in kana.
    NotKana,
    /// It is none of the choices.
    NotAChoice,
    /// It is no day, written `YYYY-MM-DD`.
    NotADate,
    /// It is no time, written `HH:MM`.
    NotATime,
    /// It is no telephone number.
    NotAPhone,
    /// It is no whole number.
    NotANumber,
    /// It is no postal code of seven digits.
    NotAPostalCode,
    /// It is no mail address.
    NotAnEmail,
}

impl ValueProblem {
    /// What is wrong, for the author of a script.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::TooLong => "it is longer or larger than max",
            Self::TooShort => "it is shorter or smaller than min",
            Self::NotKana => "it is no reading in kana",
            Self::NotAChoice => "it is none of the choices",
            Self::NotADate => "it is no day, written 2026-12-01",
            Self::NotATime => "it is no time, written 09:00",
            Self::NotAPhone => "it is no telephone number",
            Self::NotANumber => "it is no whole number",
            Self::NotAPostalCode => "it is no postal code of seven digits",
            Self::NotAnEmail => "it is no mail address",
        }
    }
}

impl Field {
    /// Most characters of an answer.
    pub(super) fn chars_max(&self) -> usize {
        let own =
            self.max.filter(|_| self.kind.counts_characters()).and_then(|max| usize::try_from(max).ok());
        let of_field = self.to.map(super::model::To::chars_max);
        own.or(of_field.map(|max| max.min(ANSWER_CHARS_MAX))).unwrap_or(ANSWER_CHARS)
    }

    /// The answer in its form; nothing if it is empty.
    pub(super) fn canonical(&self, value: &[String], plan: &NumberPlan) -> Result<Vec<String>, ValueProblem> {
        if self.kind == FieldType::Choices {
            let given: Vec<&str> =
                value.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
            if given.iter().any(|text| !self.choices.iter().any(|choice| choice == text)) {
                return Err(ValueProblem::NotAChoice);
            }
            let chosen = self.choices.iter().filter(|choice| given.contains(&choice.as_str()));
            return Ok(chosen.cloned().collect());
        }
        let text = value.first().map_or("", String::as_str);
        let text = match self.kind {
            FieldType::Lines => compose(&printable_lines(text)),
            _ => compose(&printable(text, usize::MAX).unwrap_or_default()),
        };
        if text.is_empty() {
            return Ok(Vec::new());
        }
        self.one(text, plan).map(|text| vec![text])
    }

    fn one(&self, text: String, plan: &NumberPlan) -> Result<String, ValueProblem> {
        let is_choice = |text: &String| self.choices.contains(text);
        let text = match self.kind {
            FieldType::Kana if !is_kana(&text) => return Err(ValueProblem::NotKana),
            FieldType::Kana => kana(&text),
            FieldType::Choice if !is_choice(&text) => return Err(ValueProblem::NotAChoice),
            FieldType::YesNo => yes_no(&text).ok_or(ValueProblem::NotAChoice)?.to_owned(),
            FieldType::Date => date(&text).ok_or(ValueProblem::NotADate)?.to_string(),
            FieldType::Time => clock(&text).ok_or(ValueProblem::NotATime)?.strftime("%H:%M").to_string(),
            FieldType::Datetime => {
                datetime(&text).ok_or(ValueProblem::NotADate)?.strftime("%Y-%m-%d %H:%M").to_string()
            }
            FieldType::Phone => phone(&text, plan).ok_or(ValueProblem::NotAPhone)?,
            FieldType::Number => return self.number(&text),
            FieldType::Postal => postal(&text).ok_or(ValueProblem::NotAPostalCode)?,
            FieldType::Email if !is_email(&text) => return Err(ValueProblem::NotAnEmail),
            _ => text,
        };
        let chars = text.chars().count();
        if chars > self.chars_max() {
            return Err(ValueProblem::TooLong);
        }
        let min =
            self.min.filter(|_| self.kind.counts_characters()).and_then(|min| usize::try_from(min).ok());
        if min.is_some_and(|min| chars < min) { Err(ValueProblem::TooShort) } else { Ok(text) }
    }

    fn number(&self, text: &str) -> Result<String, ValueProblem> {
        let plain: String = text.nfkc().filter(|c| *c != ',').collect();
        let number: i64 = plain.trim().parse().map_err(|_| ValueProblem::NotANumber)?;
        if number > self.max.unwrap_or(NUMBER_MAX) {
            return Err(ValueProblem::TooLong);
        }
        if number < self.min.unwrap_or(0) { Err(ValueProblem::TooShort) } else { Ok(number.to_string()) }
    }
}

impl FieldType {
    /// Whether `min` and `max` count characters.
    pub(super) fn counts_characters(self) -> bool {
        matches!(self, Self::Kana | Self::Name | Self::Text | Self::Lines)
    }
}

fn yes_no(text: &str) -> Option<&'static str> {
    match text {
        "yes" | "true" | "はい" => Some("yes"),
        "no" | "false" | "いいえ" => Some("no"),
        _ => None,
    }
}

/// `2026-12-01`, `2026/12/1`, `2026年12月1日`, in any width.
fn date(text: &str) -> Option<Date> {
    let plain: String = text.nfkc().collect();
    let parts = plain.trim().trim_end_matches('日').replace(['年', '月', '/', '.'], "-");
    let mut parts = parts.split('-').map(str::trim);
    let (year, month, day) =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Date::new(year, month, day).ok().filter(|_| parts.next().is_none() && year >= 1000)
}

/// `9:00`, `09:00`, `9時`, `9時30分`, in any width.
fn clock(text: &str) -> Option<Time> {
    let plain: String = text.nfkc().collect();
    let plain = plain.trim().trim_end_matches('分').replace('時', ":");
    let (hour, minute) = plain.split_once(':')?;
    let minute = if minute.is_empty() { "0" } else { minute };
    Time::new(hour.trim().parse().ok()?, minute.trim().parse().ok()?, 0, 0).ok()
}

/// A day and a time, with a space or a `T` between them.
fn datetime(text: &str) -> Option<DateTime> {
    let plain: String = text.nfkc().collect();
    let (day, time) = plain.trim().split_once([' ', 'T', '日'])?;
    // A browser may send seconds.
    let time = match time.trim().split(':').collect::<Vec<_>>().as_slice() {
        [hour, minute, _] => format!("{hour}:{minute}"),
        _ => time.to_owned(),
    };
    Some(date(day)?.to_datetime(clock(&time)?))
}

/// A number that somebody can be called at, as it was said.
fn phone(text: &str, plan: &NumberPlan) -> Option<String> {
    const DIGITS_MIN: usize = 4;
    let number = Number::read(text, plan)?;
    let digits = number.key().chars().filter(char::is_ascii_digit).count();
    (DIGITS_MIN..=crate::contract::records::NUMBER_DIGITS_MAX).contains(&digits).then(|| text.to_owned())
}

fn postal(text: &str) -> Option<String> {
    let digits: String = text.nfkc().filter(|c| !matches!(c, '-' | '〒' | ' ' | 'ー' | '−' | '‐')).collect();
    let is_code = digits.len() == 7 && digits.bytes().all(|b| b.is_ascii_digit());
    is_code.then(|| format!("{}-{}", &digits[..3], &digits[3..]))
}

fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_graphic() && !b"<>()[],;:\\\"@".contains(&b))
        && host.contains('.')
        && host.chars().all(is_host)
        && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::script::model::{Place, Required, To};

    fn field(kind: FieldType) -> Field {
        Field {
            id: "x".into(),
            label: "x".into(),
            kind,
            required: Required::No,
            choices: vec!["甲".into(), "乙".into()],
            min: None,
            max: None,
            default: None,
            sensitive: false,
            to: None,
            place: Place::default(),
        }
    }

    fn form(kind: FieldType, text: &str) -> Result<String, ValueProblem> {
        let value = field(kind).canonical(&[text.to_owned()], &NumberPlan::default())?;
        Ok(value.into_iter().next().unwrap_or_default())
    }

    #[test]
    fn each_type_has_one_form() {
        for (kind, text, expected) in [
            (FieldType::Kana, "さとう はなこ", Ok("サトウ　ハナコ")),
            (FieldType::Kana, "佐藤", Err(ValueProblem::NotKana)),
            (FieldType::Text, " a\u{202e}b\u{0} ", Ok("ab")),
            (FieldType::Lines, "一\r\n\u{7}二\n\n", Ok("一\n二")),
            (FieldType::Choice, "乙", Ok("乙")),
            (FieldType::Choice, "丙", Err(ValueProblem::NotAChoice)),
            (FieldType::YesNo, "はい", Ok("yes")),
            (FieldType::YesNo, "maybe", Err(ValueProblem::NotAChoice)),
            (FieldType::Date, "１９８０年４月５日", Ok("1980-04-05")),
            (FieldType::Date, "1980/4/5", Ok("1980-04-05")),
            (FieldType::Date, "1980-02-30", Err(ValueProblem::NotADate)),
            (FieldType::Date, "80-1-1", Err(ValueProblem::NotADate)),
            (FieldType::Time, "9時30分", Ok("09:30")),
            (FieldType::Time, "25:00", Err(ValueProblem::NotATime)),
            (FieldType::Datetime, "2026-12-01T09:05", Ok("2026-12-01 09:05")),
            (FieldType::Datetime, "2026-12-01 09:05:00", Ok("2026-12-01 09:05")),
            (FieldType::Datetime, "2026-12-01", Err(ValueProblem::NotADate)),
            (FieldType::Phone, "03-5550-1001", Ok("03-5550-1001")),
            (FieldType::Phone, "いつもの", Err(ValueProblem::NotAPhone)),
            (FieldType::Phone, "12", Err(ValueProblem::NotAPhone)),
            (FieldType::Number, "１，２００", Ok("1200")),
            (FieldType::Number, "1.5", Err(ValueProblem::NotANumber)),
            (FieldType::Number, "-1", Err(ValueProblem::TooShort)),
            (FieldType::Postal, "〒100-0001", Ok("100-0001")),
            (FieldType::Postal, "1000001", Ok("100-0001")),
            (FieldType::Postal, "100-001", Err(ValueProblem::NotAPostalCode)),
            (FieldType::Email, "a.b+c@example.co.jp", Ok("a.b+c@example.co.jp")),
            (FieldType::Email, "a@b", Err(ValueProblem::NotAnEmail)),
            (FieldType::Email, "a\"b@example.jp", Err(ValueProblem::NotAnEmail)),
            (FieldType::Contact, "佐々木", Ok("佐々木")),
            (FieldType::Text, " \t ", Ok("")),
        ] {
            assert_eq!(form(kind, text).as_deref().map_err(|e| *e), expected, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn choices_keep_the_order_of_the_script() {
        let choices = |list: &[&str]| {
            let value: Vec<String> = list.iter().map(ToString::to_string).collect();
            field(FieldType::Choices).canonical(&value, &NumberPlan::default())
        };
        assert_eq!(choices(&["乙", "", "甲"]).unwrap(), ["甲", "乙"]);
        assert_eq!(choices(&["甲", "丁"]), Err(ValueProblem::NotAChoice));
        assert_eq!(choices(&[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn lengths_have_limits() {
        let plan = NumberPlan::default();
        let long = |kind, chars: usize| field(kind).canonical(&["あ".repeat(chars)], &plan);
        assert!(long(FieldType::Text, ANSWER_CHARS).is_ok());
        assert_eq!(long(FieldType::Text, ANSWER_CHARS + 1), Err(ValueProblem::TooLong));
        assert_eq!(long(FieldType::Lines, 10_000), Err(ValueProblem::TooLong));
        let named = Field { to: Some(To::FromName), ..field(FieldType::Kana) };
        assert_eq!(named.canonical(&["ア".repeat(61)], &plan), Err(ValueProblem::TooLong));
        let short = Field { min: Some(3), ..field(FieldType::Text) };
        assert_eq!(short.canonical(&["ab".into()], &plan), Err(ValueProblem::TooShort));
        let count = Field { min: Some(1), max: Some(99), ..field(FieldType::Number) };
        assert_eq!(count.canonical(&["100".into()], &plan), Err(ValueProblem::TooLong));
        assert_eq!(count.canonical(&["0".into()], &plan), Err(ValueProblem::TooShort));
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_the_same_form(text in "\\PC{0,30}", at in 0..15usize) {
            let kinds = [
                FieldType::Kana, FieldType::Name, FieldType::Text, FieldType::Lines, FieldType::Choice,
                FieldType::Choices, FieldType::YesNo, FieldType::Date, FieldType::Time, FieldType::Datetime,
                FieldType::Phone, FieldType::Number, FieldType::Postal, FieldType::Email, FieldType::Contact,
            ];
            let (field, plan) = (field(kinds[at]), NumberPlan::default());
            if let Ok(once) = field.canonical(&[text], &plan) {
                prop_assert_eq!(field.canonical(&once, &plan), Ok(once));
            }
        }
    }
}
