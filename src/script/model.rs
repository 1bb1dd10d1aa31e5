//! A script after reading: every reference in it resolves, and every text fits.

use std::sync::LazyLock;

use jiff::civil::{Date, Time};
use serde::Serialize;
use utoipa::ToSchema;

use super::condition::When;
use super::talk::Talk;
use crate::contract::message::{Action, Mark, Privacy, Urgency};

/// Largest script, in bytes of TOML.
pub const SCRIPT_BYTES_MAX: usize = 64 * 1024;
/// Most reasons.
pub(super) const REASONS_MAX: usize = 20;
/// Most questions.
pub(super) const FIELDS_MAX: usize = 60;
/// Most steps.
pub(super) const STEPS_MAX: usize = 60;
/// Most offers.
pub(super) const OFFERS_MAX: usize = 20;
/// Most choices of a question.
pub(super) const CHOICES_MAX: usize = 30;
/// Most special openings, and most greetings of times of day.
pub(super) const OPENINGS_MAX: usize = 20;
/// Most numbers that a script names.
pub(super) const DIALLED_MAX: usize = 50;
/// Longest talk or hint, in characters.
pub(super) const TALK_CHARS_MAX: usize = 1_000;
/// Longest name, label or choice, in characters.
pub(super) const LABEL_CHARS_MAX: usize = 60;
/// Longest id or code, in characters.
pub(super) const CODE_CHARS_MAX: usize = 40;
/// Most mistakes of one text that are named.
pub(super) const FINDINGS_MAX: usize = 50;
/// Longest answer to a question that has no `max`, in characters.
pub(super) const ANSWER_CHARS: usize = 200;
/// Longest answer, in characters.
pub(super) const ANSWER_CHARS_MAX: usize = 1_000;

/// The id of the question for the reason, among those that are missing.
pub(super) const REASON: &str = "reason";

/// A mistake in a script, or something that its author should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ScriptFinding)]
pub struct Finding {
    /// Whether the script can be used all the same.
    pub severity: Severity,
    /// Where, from 1.
    pub line: u32,
    /// Where in the line, from 1, in characters.
    pub column: u32,
    /// What is wrong, and what to write.
    pub reason: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ScriptSeverity)]
pub enum Severity {
    /// The script cannot work and is not saved.
    Error,
    /// The script works, and probably not as it was meant.
    Warning,
}

/// Where something stands in the text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Place {
    /// The place of the byte at `offset`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn finding(self, severity: Severity, reason: impl Into<String>) -> Finding {
        Finding { severity, line: self.line, column: self.column, reason: reason.into() }
    }
}

/// An enum whose values are words of a script.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $text:tt,)* }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        $(#[$meta])*
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $value,)*
        }

        impl $name {
            /// The words, for messages about mistakes.
            pub(super) const WORDS: &[&str] = &[$($text,)*];

            /// The word in a script.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }

            pub(super) fn parse(word: &str) -> Option<Self> {
                match word {
                    $($text => Some(Self::$value),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// The language in which the operator speaks.
    #[derive(Default)]
    #[schema(as = ScriptLanguage)]
    Language {
        /// Japanese.
        #[default]
        Ja = "ja",
        /// English.
        En = "en",
    }
}

words! {
    /// How the caller's name is written down.
    #[derive(Default)]
    #[schema(as = ScriptNameForm)]
    NameForm {
        /// In kana.
        #[default]
        Kana = "kana",
        /// In kanji.
        Kanji = "kanji",
        /// In both.
        Both = "both",
    }
}

words! {
    /// How loud a step is.
    #[derive(Default)]
    #[schema(as = ScriptLevel)]
    Level {
        /// As any other.
        #[default]
        Info = "info",
        /// To be careful.
        Warn = "warn",
        /// Somebody is in danger.
        Danger = "danger",
    }
}

words! {
    /// What kind of answer a question has.
    #[schema(as = ScriptFieldType)]
    FieldType {
        /// A reading, in full-width katakana.
        Kana = "kana",
        /// A name as it is written.
        Name = "name",
        /// One line.
        Text = "text",
        /// Several lines.
        Lines = "lines",
        /// One of the choices.
        Choice = "choice",
        /// Any of the choices.
        Choices = "choices",
        /// `yes` or `no`.
        YesNo = "yes_no",
        /// A day, `YYYY-MM-DD`.
        Date = "date",
        /// A time of day, `HH:MM`.
        Time = "time",
        /// Both, `YYYY-MM-DD HH:MM`, in the account's time zone.
        Datetime = "datetime",
        /// A telephone number.
        Phone = "phone",
        /// A whole number.
        Number = "number",
        /// A postal code, `NNN-NNNN`.
        Postal = "postal",
        /// A mail address.
        Email = "email",
        /// A contact of the account: its id, or a name.
        Contact = "contact",
    }
}

/// Whether a question must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ScriptRequired)]
pub enum Required {
    /// No.
    #[default]
    No,
    /// It is asked once more, and may then be skipped.
    Soft,
    /// Yes.
    Yes,
}

words! {
    /// What an offer is.
    #[schema(as = ScriptOfferKind)]
    OfferKind {
        /// More of what the caller orders (アップセル).
        Upsell = "upsell",
        /// Something that goes with it (クロスセル).
        CrossSell = "cross_sell",
    }
}

words! {
    /// The field of a message that an answer goes to.
    #[schema(as = ScriptTo)]
    To {
        /// The caller's name, in kana.
        FromName = "from.name",
        /// The caller's name in kanji.
        FromNameKanji = "from.name_kanji",
        /// The caller's company.
        FromCompany = "from.company",
        /// The caller's department.
        FromDepartment = "from.department",
        /// The caller's gender.
        FromGender = "from.gender",
        /// The number at which the caller can be reached.
        FromNumber = "from.number",
        /// The contact that the message is for.
        Contact = "contact",
        /// Whom the caller asked for.
        ForText = "for_text",
        /// The subject.
        Subject = "subject",
        /// The text.
        Text = "text",
        /// Where to call back.
        CallBackNumber = "call_back.number",
        /// Not before this time.
        CallBackFrom = "call_back.from",
        /// Not after this time.
        CallBackUntil = "call_back.until",
        /// What the caller said about the call-back.
        CallBackText = "call_back.text",
    }
}

impl To {
    /// The types of the questions whose answers fit.
    pub(super) fn types(self) -> &'static [FieldType] {
        use FieldType::{Choice, Contact, Datetime, Kana, Lines, Name, Phone, Text};
        match self {
            Self::FromName => &[Kana, Name, Text],
            Self::FromNameKanji => &[Name, Text],
            Self::FromCompany | Self::FromDepartment | Self::ForText | Self::Subject | Self::CallBackText => {
                &[Kana, Name, Text, Choice]
            }
            Self::FromGender => &[Choice],
            Self::FromNumber | Self::CallBackNumber => &[Phone],
            Self::Contact => &[Contact],
            Self::Text => &[Text, Lines],
            Self::CallBackFrom | Self::CallBackUntil => &[Datetime],
        }
    }

    /// Most characters that the message's field takes.
    pub(super) fn chars_max(self) -> usize {
        match self {
            Self::FromName | Self::FromNameKanji | Self::ForText => 60,
            Self::FromCompany | Self::FromDepartment | Self::Subject => 120,
            Self::FromNumber | Self::CallBackNumber => 40,
            Self::CallBackText => 200,
            Self::Text => 4_000,
            Self::FromGender | Self::Contact | Self::CallBackFrom | Self::CallBackUntil => ANSWER_CHARS,
        }
    }
}

/// A script.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The code of the account that the text names.
    pub account: Option<String>,
    /// What people call it.
    pub name: String,
    /// The language in which the operator speaks.
    pub language: Language,
    /// Whether a call of this script needs a message.
    pub message_required: bool,
    /// How much of a message leaves the house.
    pub privacy: Privacy,
    /// How the caller's name is written down.
    pub name_form: NameForm,
    /// When it is used.
    pub valid: Validity,
    /// The dialled numbers for which it is used, as they are written; empty: all.
    pub dialled: Vec<String>,
    pub(super) dialled_places: Vec<Place>,
    pub(super) account_place: Place,
    pub(super) valid_place: Place,
    pub(super) opening_place: Place,
    pub(super) greeting: Greeting,
    pub(super) opening: Opening,
    pub(super) closing: Closing,
    pub(super) reasons: Vec<Reason>,
    pub(super) steps: Vec<Step>,
    pub(super) offers: Vec<OfferTalk>,
}

/// The days on which a script is used, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// The first day.
    pub from: Option<Date>,
    /// The last day.
    pub until: Option<Date>,
}

impl Validity {
    /// Whether `day` is one of them.
    #[must_use]
    pub fn includes(&self, day: Date) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }

    /// Whether it is used on all days.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.from.is_none() && self.until.is_none()
    }
}

/// What `{greeting}` stands for.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Greeting {
    /// The greeting of a span of the day; over midnight if the end is not after the start.
    pub(super) by_time: Vec<(Time, Time, String)>,
    /// The greeting of the rest of the day.
    pub(super) say: Option<String>,
}

/// What the operator says first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opening {
    pub(super) open: Talk,
    /// While the account is closed; absent: as when it is open.
    pub(super) closed: Option<Talk>,
    /// The first that holds goes before the others.
    pub(super) special: Vec<(When, Talk)>,
}

/// What the operator says last.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Closing {
    pub(super) say: Option<Talk>,
    pub(super) by_action: Vec<(Action, Talk)>,
}

/// Why a caller calls.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) label: String,
    /// The digit that chooses it.
    pub(super) key: Option<String>,
    pub(super) set: Set,
    pub(super) place: Place,
}

/// Defaults that a reason or a step sets.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Set {
    pub(super) urgency: Option<Urgency>,
    pub(super) action: Option<Action>,
    pub(super) contact: Option<String>,
    pub(super) mark: Option<Mark>,
    pub(super) route: Option<String>,
    pub(super) privacy: Option<Privacy>,
    pub(super) transfer_to: Option<String>,
    pub(super) contact_place: Place,
    pub(super) transfer_place: Place,
}

/// A part of the form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) id: String,
    /// The reasons for which it is shown; empty: all.
    pub(super) reasons: Vec<String>,
    pub(super) when: When,
    pub(super) level: Level,
    pub(super) say: Option<Talk>,
    pub(super) hint: Option<Talk>,
    /// What to do instead of taking a message.
    pub(super) stop: Option<Talk>,
    pub(super) fields: Vec<Field>,
    pub(super) set: Set,
    pub(super) place: Place,
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) kind: FieldType,
    pub(super) required: Required,
    pub(super) choices: Vec<String>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) default: Option<String>,
    pub(super) sensitive: bool,
    pub(super) to: Option<To>,
    pub(super) place: Place,
}

/// Something that the operator offers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OfferTalk {
    pub(super) id: String,
    pub(super) kind: OfferKind,
    pub(super) reasons: Vec<String>,
    pub(super) when: When,
    pub(super) say: Talk,
    pub(super) once_per_call: bool,
}

impl Script {
    /// The questions, each with its step.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&Step, &Field)> {
        self.steps.iter().flat_map(|step| step.fields.iter().map(move |field| (step, field)))
    }

    pub(super) fn field(&self, id: &str) -> Option<&Field> {
        self.fields().map(|(_, field)| field).find(|field| field.id == id)
    }

    /// The label of a reason.
    #[must_use]
    pub fn reason_label(&self, code: &str) -> Option<&str> {
        self.reasons.iter().find(|reason| reason.code == code).map(|reason| reason.label.as_str())
    }

    /// The ids of its offers.
    pub fn offer_ids(&self) -> impl Iterator<Item = &str> {
        self.offers.iter().map(|offer| offer.id.as_str())
    }

    /// Whether it has something of its own to say while the account is closed.
    #[must_use]
    pub fn has_closed_opening(&self) -> bool {
        self.opening.closed.is_some()
    }
}

/// The script of an account that has none for a call.
#[must_use]
pub fn built_in() -> &'static Script {
    #[expect(clippy::expect_used, reason = "a test reads it")]
    static SCRIPT: LazyLock<Script> =
        LazyLock::new(|| super::read(include_str!("usual.toml")).expect("the built-in script can be read"));
    &SCRIPT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_1() {
        let text = "一\n二三x\n";
        assert_eq!(Place::of(text, 0), Place { line: 1, column: 1 });
        assert_eq!(Place::of(text, 10), Place { line: 2, column: 3 });
        assert_eq!(Place::of(text, 999), Place { line: 3, column: 1 });
        assert_eq!(Place::of(text, 1), Place { line: 3, column: 1 }, "inside a character: somewhere");
    }

    #[test]
    fn days_are_both_included() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let valid = Validity { from: Some(day("2026-12-01")), until: Some(day("2026-12-31")) };
        let includes = |text| valid.includes(day(text));
        assert!(includes("2026-12-01") && includes("2026-12-31"));
        assert!(!includes("2026-11-30") && !includes("2027-01-01"));
        assert!(Validity::default().is_always());
    }

    #[test]
    fn the_built_in_script_can_be_read() {
        assert_eq!(built_in().reasons, []);
        assert!(built_in().field("text").is_some());
    }
}
