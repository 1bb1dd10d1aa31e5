//! Accounts: the companies that calls are answered for.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::check::{NumberUse, StoredNumber, invalid, multi_line, numbers, optional, required, single_line};
use super::search::account_search_text;
use super::{RecordError, yes};
use crate::contract::hours::{Hours, HoursError};
use crate::contract::message::{Privacy, Urgency};
use crate::contract::supervision::Notify;
use crate::contract::url_template::UrlTemplate;
use crate::ids::RecordId;
use crate::numbers::NumberPlan;

/// Maximum number of telephone numbers of each kind of an account.
pub const NUMBERS_PER_ACCOUNT_MAX: usize = 200;
/// Longest wrap-up, in seconds.
pub const WRAP_UP_S_MAX: u32 = 3_600;
/// Most minutes that a message may stay unconfirmed.
const UNANSWERED_MIN_MAX: u16 = 1_440;
/// Maximum number of prefixes that an account opens to transfers.
pub const EXTRA_NUMBERS_MAX: usize = 50;
/// Length of such a prefix, in digits: a shorter one would open whole numbering plans.
pub const EXTRA_NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 3..=15;
/// Longest name of a sound, in bytes.
pub const SOUND_BYTES_MAX: usize = 100;

/// Which number a target of a transfer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerIdPolicy {
    /// The caller's number.
    #[default]
    Caller,
    /// The account's number.
    Account,
    /// The service's number.
    Service,
}

/// Which calls are reported to the account without a message of their own (1コール報告).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportCalls {
    /// None.
    #[default]
    Off,
    /// Those that ended with a reason for no message (`no_message_reasons`).
    NoMessage,
    /// Each call that an operator had, and that has no message.
    All,
}

/// The language of what a person of an account reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Japanese.
    #[default]
    Ja,
    /// English.
    En,
}

impl ReportCalls {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Off, Self::NoMessage, Self::All];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoMessage => "no_message",
            Self::All => "all",
        }
    }

    /// The value with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::Ja, Self::En];

    /// The value in JSON, in the store and in `Content-Language`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }

    /// What a person of this language reads.
    #[must_use]
    pub fn say<'a>(self, ja: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }

    /// The language with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// The fields of an account that a person sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountFields {
    /// The installation's own code of the account; unique.
    pub code: String,
    /// The company's name.
    pub name: String,
    /// Its reading.
    #[serde(default)]
    pub kana: String,
    /// The greeting that the operator says first.
    #[serde(default)]
    pub answer_phrase: String,
    /// What was agreed with this company.
    #[serde(default)]
    pub notes: String,
    /// The service's numbers that belong to this account alone.
    #[serde(default)]
    pub dialled: Vec<String>,
    /// The account's own numbers that forward to the service.
    #[serde(default)]
    pub forwarding: Vec<String>,
    /// Which number a target of a transfer sees.
    #[serde(default)]
    pub caller_id_policy: CallerIdPolicy,
    /// An external transfer target must press 1 before the caller is connected. When off, no target must.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub accept_by_key: bool,
    /// The sound that asks the target to press 1: its Asterisk name without a file extension; absent: the installation's.
    #[serde(default)]
    pub accept_sound: Option<String>,
    /// Number prefixes, as dialled, that transfers may call besides the usual kinds: `0570`, `010886`.
    #[serde(default)]
    pub extra_numbers: Vec<String>,
    /// This account's calls are never monitored.
    #[serde(default)]
    pub never_monitor: bool,
    /// How an operator is notified that a call of this account is monitored; absent: as the installation is configured.
    #[serde(default)]
    pub supervision_notify: Option<Notify>,
    /// Length of the wrap-up (after-call work), in seconds; absent: the installation's.
    #[serde(default)]
    pub wrap_up_s: Option<u32>,
    /// The account's hours; absent: always open.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// The URL template of another system, offered with the pop; absent: the installation's. Placeholders: `{caller}`,
    /// `{caller_hyphens}`, `{caller_e164}`, `{account}`, `{account_id}`, `{customer}`, `{customer_code}`, `{customer_number}`,
    /// `{call}`.
    #[serde(default)]
    pub link: Option<String>,
    /// Which calls without a message are reported to the account all the same (1コール報告): each makes a message of the kind `report`.
    #[serde(default)]
    pub report_calls: ReportCalls,
    /// The language of mails to this account, where its endpoint has none.
    #[serde(default)]
    pub language: Language,
    /// What of its messages may leave the house; with `notice`, a message never says more, whatever it has itself.
    #[serde(default)]
    pub privacy: Privacy,
    /// The form of a message opens when an operator answers a call of this account.
    #[serde(default)]
    pub open_on_answer: bool,
    /// How many minutes a step of a route waits for a confirmation that does not say so itself (`wait_min`). 1 to 1440.
    #[serde(default = "unanswered_min")]
    #[schema(default = 120)]
    pub unanswered_min: u16,
    /// The same for an urgent message.
    #[serde(default = "unanswered_urgent_min")]
    #[schema(default = 10)]
    pub unanswered_urgent_min: u16,
    /// The mail server that its mails go over, with that server's sender: a name of `[mail.hosts]` in the configuration. Absent, or no
    /// longer in the configuration: the main server.
    #[serde(default)]
    pub mail_host: Option<String>,
}

fn unanswered_min() -> u16 {
    UnansweredMinutes::default().normal
}

fn unanswered_urgent_min() -> u16 {
    UnansweredMinutes::default().urgent
}

/// How many minutes messages of an account may stay unconfirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnansweredMinutes {
    /// Those that are not urgent.
    pub normal: u16,
    /// Urgent ones.
    pub urgent: u16,
}

impl Default for UnansweredMinutes {
    fn default() -> Self {
        Self { normal: 120, urgent: 10 }
    }
}

impl UnansweredMinutes {
    /// How long a message of this urgency may.
    #[must_use]
    pub fn of(self, urgency: Urgency) -> Duration {
        let minutes = if urgency == Urgency::Urgent { self.urgent } else { self.normal };
        Duration::from_secs(u64::from(minutes) * 60)
    }
}

/// An account: a company that calls are answered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Account {
    /// The record's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The fields that a person sets.
    #[serde(flatten)]
    pub fields: AccountFields,
    /// When the record was created.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When the record was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

/// An account's fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedAccount {
    pub(crate) fields: AccountFields,
    pub(crate) dialled: Vec<StoredNumber>,
    pub(crate) forwarding: Vec<StoredNumber>,
    /// What a search by text compares; nothing while it is not known whole.
    pub(crate) search: Option<String>,
}

impl Default for AccountFields {
    fn default() -> Self {
        Self {
            code: String::new(),
            name: String::new(),
            kana: String::new(),
            answer_phrase: String::new(),
            notes: String::new(),
            dialled: Vec::new(),
            forwarding: Vec::new(),
            caller_id_policy: CallerIdPolicy::default(),
            accept_by_key: true,
            accept_sound: None,
            extra_numbers: Vec::new(),
            never_monitor: false,
            supervision_notify: None,
            wrap_up_s: None,
            hours: None,
            link: None,
            report_calls: ReportCalls::Off,
            language: Language::Ja,
            privacy: Privacy::Full,
            open_on_answer: false,
            unanswered_min: unanswered_min(),
            unanswered_urgent_min: unanswered_urgent_min(),
            mail_host: None,
        }
    }
}

impl AccountFields {
    /// Cleans the text and parses the numbers.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn checked(mut self, plan: &NumberPlan) -> Result<CheckedAccount, RecordError> {
        self.code = required("code", &self.code)?;
        self.name = required("name", &self.name)?;
        self.kana = single_line("kana", &self.kana)?;
        self.answer_phrase = multi_line("answer_phrase", &self.answer_phrase)?;
        self.notes = multi_line("notes", &self.notes)?;
        if self.wrap_up_s.is_some_and(|seconds| seconds > WRAP_UP_S_MAX) {
            return Err(invalid("wrap_up_s", format!("at most {WRAP_UP_S_MAX} seconds")));
        }
        for (field, minutes) in
            [("unanswered_min", self.unanswered_min), ("unanswered_urgent_min", self.unanswered_urgent_min)]
        {
            if !(1..=UNANSWERED_MIN_MAX).contains(&minutes) {
                return Err(invalid(field, format!("from 1 to {UNANSWERED_MIN_MAX} minutes")));
            }
        }
        self.accept_sound = optional("accept_sound", self.accept_sound)?;
        if self.accept_sound.as_deref().is_some_and(|sound| !is_sound(sound)) {
            return Err(invalid(
                "accept_sound",
                "letters, digits, /, _ and - only, without an ending".to_owned(),
            ));
        }
        self.extra_numbers = number_prefixes("extra_numbers", &self.extra_numbers, plan)?;
        if let Some(hours) = &self.hours {
            hours.check().map_err(|error: HoursError| invalid("hours", error.to_string()))?;
        }
        self.link = self.link.map(|link| link.trim().to_owned()).filter(|link| !link.is_empty());
        if let Some(link) = &self.link {
            link.parse::<UrlTemplate>().map_err(|error| invalid("link", error.to_string()))?;
        }
        self.mail_host = optional("mail_host", self.mail_host)?;
        let dialled =
            numbers("dialled", &mut self.dialled, NUMBERS_PER_ACCOUNT_MAX, (NumberUse::Routed, plan))?;
        let forwarding =
            numbers("forwarding", &mut self.forwarding, NUMBERS_PER_ACCOUNT_MAX, (NumberUse::Routed, plan))?;
        let search = Some(account_search_text(&self, plan));
        Ok(CheckedAccount { fields: self, dialled, forwarding, search })
    }

    /// Checks the mail server against those of the configuration.
    ///
    /// # Errors
    /// There is none with this name.
    pub fn check_mail_host(&self, known: &[SmolStr]) -> Result<(), RecordError> {
        let Some(name) = self.mail_host.as_deref().filter(|name| known.iter().all(|one| one != name)) else {
            return Ok(());
        };
        if known.is_empty() {
            return Err(invalid(
                "mail_host",
                format!("{name:?} is unknown; the configuration has no [mail.hosts]"),
            ));
        }
        Err(invalid("mail_host", format!("{name:?} is not one of {}", known.join(", "))))
    }
}

/// Whether the dialplan can use the name without quoting; its `FILTER` accepts the same characters.
fn is_sound(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
    text.len() <= SOUND_BYTES_MAX && text.bytes().all(plain)
}

/// Number prefixes as dialled in the plan's country, each once: in Japan, `+886` becomes `010886`.
fn number_prefixes(
    field: &'static str,
    texts: &[String],
    plan: &NumberPlan,
) -> Result<Vec<String>, RecordError> {
    let mut prefixes: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        let text = single_line(field, text)?;
        let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
        if bare.is_empty() {
            continue;
        }
        let digits = match bare.strip_prefix('+') {
            Some(international) => plan.dialled_from_international(international).to_string(),
            None => bare,
        };
        let is_valid =
            EXTRA_NUMBER_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_valid {
            let (min, max) = (EXTRA_NUMBER_DIGITS.start(), EXTRA_NUMBER_DIGITS.end());
            return Err(invalid(field, format!("{text:?} is not a number prefix: {min} to {max} digits")));
        }
        if plan.opens_every_country(&digits) {
            return Err(invalid(
                field,
                format!("{text:?} opens every country: add a country code, for instance +886"),
            ));
        }
        if !prefixes.contains(&digits) {
            prefixes.push(digits);
        }
    }
    if prefixes.len() > EXTRA_NUMBERS_MAX {
        return Err(invalid(field, format!("at most {EXTRA_NUMBERS_MAX}")));
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_prefixes_are_stored_as_dialled() {
        let texts = ["0570", "+886 2", "+81-990", "", "0570"].map(str::to_owned);
        let stored = number_prefixes("extra_numbers", &texts, &NumberPlan::default()).unwrap();
        assert_eq!(stored, ["0570", "0108862", "0990"]);
        let british = NumberPlan::of_country("GB").unwrap();
        let texts = ["+44 870", "+886"].map(str::to_owned);
        assert_eq!(number_prefixes("extra_numbers", &texts, &british).unwrap(), ["0870", "00886"]);
    }

    #[test]
    fn a_mail_server_is_one_of_the_configuration() {
        let account = |name: &str| AccountFields {
            code: "A".into(),
            name: "A".into(),
            mail_host: Some(name.into()),
            ..AccountFields::default()
        };
        let known = ["clinic", "minato"].map(SmolStr::new);
        let fields = account(" clinic ").checked(&NumberPlan::default()).unwrap().fields;
        assert_eq!(
            (fields.mail_host.as_deref(), fields.check_mail_host(&known).is_ok()),
            (Some("clinic"), true)
        );
        assert_eq!(account(" ").checked(&NumberPlan::default()).unwrap().fields.mail_host, None);
        for (known, words) in [(&known[..], "is not one of clinic, minato"), (&[], "has no [mail.hosts]")] {
            let error = account("main").check_mail_host(known).unwrap_err().to_string();
            assert!(error.starts_with("mail_host: \"main\" is ") && error.ends_with(words), "{error}");
        }
    }

    #[test]
    fn values_survive_their_text() {
        for one in ReportCalls::ALL {
            assert_eq!(ReportCalls::parse(one.as_str()), Some(one));
            assert_eq!(serde_json::to_value(one).unwrap(), one.as_str());
        }
        for one in Language::ALL {
            assert_eq!(Language::parse(one.as_str()), Some(one));
            assert_eq!(serde_json::to_value(one).unwrap(), one.as_str());
        }
    }

    #[test]
    fn no_prefix_opens_every_country() {
        for text in ["+", "010", "0-1-0", "+81", "0", "00", "+ ", "＋", "+81 0"] {
            let texts = [text.to_owned()];
            assert!(number_prefixes("extra_numbers", &texts, &NumberPlan::default()).is_err(), "{text:?}");
        }
        let american = NumberPlan::of_country("US").unwrap();
        assert!(number_prefixes("extra_numbers", &["011".to_owned()], &american).is_err());
    }
}
