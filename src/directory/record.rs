//! The directory's records, as they are read, written and served.
//!
//! Each kind has *fields* (what a person sets), a *record* (the fields, an id, times) and a *checked* form: the
//! fields cleaned and with every number read. Only checked fields reach the store.
//!
//! Invariant: text in a record has no control or direction-changing characters, and nothing is longer than its
//! limit: too long is an error, never a cut.
//!
//! Read next: `hours.rs`, `numbers.rs`, then `crate::store::accounts`.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::hours::{Hours, HoursError};
use super::link::LinkTemplate;
use super::numbers::{Number, NumberPlan};
use crate::identity::printable;
use crate::ids::RecordId;
use crate::supervision::Notify;

/// Longest name, reading, code, department or role, in characters.
pub const NAME_CHARS_MAX: usize = 120;
/// Longest notes and answer phrases, in characters.
pub const NOTES_CHARS_MAX: usize = 10_000;
/// Most numbers of each kind of an account.
pub const NUMBERS_PER_ACCOUNT_MAX: usize = 200;
/// Most numbers of a customer.
pub const NUMBERS_PER_CUSTOMER_MAX: usize = 20;
/// Most flags of a customer.
pub const FLAGS_MAX: usize = 20;
/// Longest wrap-up, in seconds.
pub const WRAP_UP_S_MAX: u32 = 3_600;
/// Highest place in an on-call order.
pub const ON_CALL_ORDER_MAX: u32 = 1_000;
/// Shortest and longest time that a contact rings, in seconds.
pub const RING_S: std::ops::RangeInclusive<u32> = 5..=120;
/// Most beginnings of numbers that an account opens to transfers.
pub const EXTRA_NUMBERS_MAX: usize = 50;
/// Fewest and most digits of such a beginning: a shorter one would open half of the world.
pub const EXTRA_NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 3..=15;
/// Longest name of a sound file, in bytes.
pub const SOUND_BYTES_MAX: usize = 100;

/// Why a record can't be kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct RecordError {
    /// The field, by its name in JSON.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// Which number a target of a transfer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerIdPolicy {
    /// The caller's own.
    #[default]
    Caller,
    /// The account's.
    Account,
    /// The service's.
    Service,
}

/// What a person sets of an account.
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
    /// What the operator says first.
    #[serde(default)]
    pub answer_phrase: String,
    /// What was agreed with this company.
    #[serde(default)]
    pub notes: String,
    /// The service's numbers that are for this account alone.
    #[serde(default)]
    pub dialled: Vec<String>,
    /// The account's own numbers that forward to the service.
    #[serde(default)]
    pub forwarding: Vec<String>,
    /// Which number a target of a transfer sees.
    #[serde(default)]
    pub caller_id_policy: CallerIdPolicy,
    /// Who is called outside presses 1 before a transferred caller is connected; where it is off, nobody does.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub accept_by_key: bool,
    /// What they hear before they press 1: a sound as Asterisk names it, without an ending; the installation's
    /// where absent.
    #[serde(default)]
    pub accept_sound: Option<String>,
    /// Beginnings of numbers, as they are dialled, that transfers may call besides the usual kinds: `0570`, `010886`.
    #[serde(default)]
    pub extra_numbers: Vec<String>,
    /// Nobody may listen to this account's calls.
    #[serde(default)]
    pub never_monitor: bool,
    /// How an operator learns that somebody hears her in this account's calls; as the installation says where
    /// absent.
    #[serde(default)]
    pub supervision_notify: Option<Notify>,
    /// Length of the after-call work, in seconds; the installation's where absent.
    #[serde(default)]
    pub wrap_up_s: Option<u32>,
    /// When it is open; always where absent.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// A link into another system, offered with the pop; the installation's where absent. Placeholders: `{caller}`,
    /// `{account}`, `{account_id}`, `{customer}`, `{call}`.
    #[serde(default)]
    pub link: Option<String>,
}

/// An account: a company that calls are answered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Account {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// What a person sets.
    #[serde(flatten)]
    pub fields: AccountFields,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub changed_at: Timestamp,
}

/// What a person sets of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerFields {
    /// The account whose customer it is.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The account's own code of the customer; unique within the account.
    #[serde(default)]
    pub code: Option<String>,
    /// The person's or company's name.
    pub name: String,
    /// Its reading.
    #[serde(default)]
    pub kana: String,
    /// The company the person works for.
    #[serde(default)]
    pub company: Option<String>,
    /// The department.
    #[serde(default)]
    pub department: Option<String>,
    /// What operators should know.
    #[serde(default)]
    pub notes: Option<String>,
    /// Marks such as `vip` or `claim`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// The numbers they call from; the first is theirs above all.
    #[serde(default)]
    pub numbers: Vec<String>,
}

/// A customer: somebody who calls an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Customer {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// What a person sets.
    #[serde(flatten)]
    pub fields: CustomerFields,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub changed_at: Timestamp,
}

/// What a person sets of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactFields {
    /// The account whose contact it is.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The account's own code of the contact; unique within the account.
    #[serde(default)]
    pub code: Option<String>,
    /// The person's name.
    pub name: String,
    /// Its reading.
    #[serde(default)]
    pub kana: String,
    /// What they do there.
    #[serde(default)]
    pub role: String,
    /// Where calls for them go.
    #[serde(default)]
    pub number: Option<String>,
    /// Where messages for them go.
    #[serde(default)]
    pub email: Option<String>,
    /// Their place in the on-call list, from 1; absent: not on it.
    #[serde(default)]
    pub on_call_order: Option<u32>,
    /// They press 1 before a caller is connected, so that no mailbox takes the call.
    #[serde(default = "yes")]
    pub accept_by_key: bool,
    /// How long their phone rings for a transferred caller, in seconds; the installation's where absent.
    #[serde(default)]
    pub ring_s: Option<u32>,
}

fn yes() -> bool {
    true
}

/// A contact: a person of the account to whom a call or message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Contact {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// What a person sets.
    #[serde(flatten)]
    pub fields: ContactFields,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub changed_at: Timestamp,
}

/// A number as it is kept: the key to find it, the text to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptNumber {
    pub(crate) key: String,
    pub(crate) original: String,
}

/// An account's fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedAccount {
    pub(crate) fields: AccountFields,
    pub(crate) dialled: Vec<KeptNumber>,
    pub(crate) forwarding: Vec<KeptNumber>,
}

/// A customer's fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCustomer {
    pub(crate) fields: CustomerFields,
    pub(crate) numbers: Vec<KeptNumber>,
}

/// A contact's fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedContact {
    pub(crate) fields: ContactFields,
    pub(crate) number: Option<KeptNumber>,
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
        }
    }
}

impl AccountFields {
    /// Cleans the text and reads the numbers.
    ///
    /// # Errors
    /// The first field that can't be kept.
    pub fn checked(mut self, plan: &NumberPlan) -> Result<CheckedAccount, RecordError> {
        self.code = required("code", &self.code)?;
        self.name = required("name", &self.name)?;
        self.kana = line("kana", &self.kana)?;
        self.answer_phrase = lines("answer_phrase", &self.answer_phrase)?;
        self.notes = lines("notes", &self.notes)?;
        if self.wrap_up_s.is_some_and(|seconds| seconds > WRAP_UP_S_MAX) {
            return Err(wrong("wrap_up_s", format!("at most {WRAP_UP_S_MAX} seconds")));
        }
        self.accept_sound = optional("accept_sound", self.accept_sound)?;
        if self.accept_sound.as_deref().is_some_and(|sound| !is_sound(sound)) {
            return Err(wrong(
                "accept_sound",
                "letters, digits, /, _ and - only, without an ending".to_owned(),
            ));
        }
        self.extra_numbers = beginnings("extra_numbers", &self.extra_numbers)?;
        if let Some(hours) = &self.hours {
            hours.check().map_err(|error: HoursError| wrong("hours", error.to_string()))?;
        }
        self.link = self.link.map(|link| link.trim().to_owned()).filter(|link| !link.is_empty());
        if let Some(link) = &self.link {
            link.parse::<LinkTemplate>().map_err(|error| wrong("link", error.to_string()))?;
        }
        let dialled = numbers("dialled", &mut self.dialled, NUMBERS_PER_ACCOUNT_MAX, plan)?;
        let forwarding = numbers("forwarding", &mut self.forwarding, NUMBERS_PER_ACCOUNT_MAX, plan)?;
        Ok(CheckedAccount { fields: self, dialled, forwarding })
    }
}

impl CustomerFields {
    /// Fields with a name alone.
    #[must_use]
    pub fn named(account: RecordId, name: &str) -> Self {
        Self {
            account,
            code: None,
            name: name.to_owned(),
            kana: String::new(),
            company: None,
            department: None,
            notes: None,
            flags: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// Cleans the text and reads the numbers.
    ///
    /// # Errors
    /// The first field that can't be kept.
    pub fn checked(mut self, plan: &NumberPlan) -> Result<CheckedCustomer, RecordError> {
        self.code = optional("code", self.code)?;
        self.name = required("name", &self.name)?;
        self.kana = line("kana", &self.kana)?;
        self.company = optional("company", self.company)?;
        self.department = optional("department", self.department)?;
        self.notes = self.notes.map(|notes| lines("notes", &notes)).transpose()?.filter(|n| !n.is_empty());
        if self.flags.len() > FLAGS_MAX {
            return Err(wrong("flags", format!("at most {FLAGS_MAX} flags")));
        }
        for flag in &mut self.flags {
            *flag = line("flags", flag)?;
        }
        self.flags.retain(|flag| !flag.is_empty());
        let numbers = numbers("numbers", &mut self.numbers, NUMBERS_PER_CUSTOMER_MAX, plan)?;
        Ok(CheckedCustomer { fields: self, numbers })
    }
}

impl ContactFields {
    /// Fields with a name alone.
    #[must_use]
    pub fn named(account: RecordId, name: &str) -> Self {
        Self {
            account,
            code: None,
            name: name.to_owned(),
            kana: String::new(),
            role: String::new(),
            number: None,
            email: None,
            on_call_order: None,
            accept_by_key: true,
            ring_s: None,
        }
    }

    /// Cleans the text and reads the number.
    ///
    /// # Errors
    /// The first field that can't be kept.
    pub fn checked(mut self, plan: &NumberPlan) -> Result<CheckedContact, RecordError> {
        self.code = optional("code", self.code)?;
        self.name = required("name", &self.name)?;
        self.kana = line("kana", &self.kana)?;
        self.role = line("role", &self.role)?;
        self.email = optional("email", self.email)?;
        if self.email.as_deref().is_some_and(|email| !looks_like_email(email)) {
            return Err(wrong("email", "write it as name@example.com".to_owned()));
        }
        if self.on_call_order.is_some_and(|order| order == 0 || order > ON_CALL_ORDER_MAX) {
            return Err(wrong("on_call_order", format!("from 1 to {ON_CALL_ORDER_MAX}")));
        }
        if self.ring_s.is_some_and(|seconds| !RING_S.contains(&seconds)) {
            return Err(wrong("ring_s", format!("from {} to {} seconds", RING_S.start(), RING_S.end())));
        }
        let mut texts: Vec<String> = self.number.take().into_iter().collect();
        let number = numbers("number", &mut texts, 1, plan)?.pop();
        self.number = texts.pop();
        Ok(CheckedContact { fields: self, number })
    }
}

/// `current` with a JSON merge patch (RFC 7396) applied: members replace, `null` resets to the default.
///
/// # Errors
/// The patch names no field of this kind of record, or gives one a value of the wrong type.
pub fn patched<T: Serialize + DeserializeOwned>(current: &T, patch: &Value) -> Result<T, RecordError> {
    let failed = |error: serde_json::Error| wrong("patch", error.to_string());
    let Value::Object(changes) = patch else {
        return Err(wrong("patch", "must be a JSON object".to_owned()));
    };
    let mut whole = serde_json::to_value(current).map_err(failed)?;
    if let Value::Object(fields) = &mut whole {
        for (name, value) in changes {
            if value.is_null() {
                fields.remove(name);
            } else {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    serde_json::from_value(whole).map_err(failed)
}

fn wrong(field: &'static str, problem: String) -> RecordError {
    RecordError { field, problem }
}

fn line(field: &'static str, text: &str) -> Result<String, RecordError> {
    let text = printable(text, usize::MAX).unwrap_or_default();
    if text.chars().count() > NAME_CHARS_MAX {
        return Err(wrong(field, format!("longer than {NAME_CHARS_MAX} characters")));
    }
    Ok(text.into())
}

fn required(field: &'static str, text: &str) -> Result<String, RecordError> {
    let text = line(field, text)?;
    if text.is_empty() { Err(wrong(field, "must not be empty".to_owned())) } else { Ok(text) }
}

fn optional(field: &'static str, text: Option<String>) -> Result<Option<String>, RecordError> {
    Ok(text.map(|text| line(field, &text)).transpose()?.filter(|text| !text.is_empty()))
}

fn lines(field: &'static str, text: &str) -> Result<String, RecordError> {
    paragraphs(field, text, NOTES_CHARS_MAX)
}

/// Text of several lines, cleaned.
pub(crate) fn paragraphs(field: &'static str, text: &str, chars_max: usize) -> Result<String, RecordError> {
    let cleaned: Vec<_> = text.lines().map(|line| printable(line, usize::MAX).unwrap_or_default()).collect();
    let cleaned = cleaned.join("\n").trim().to_owned();
    if cleaned.chars().count() > chars_max {
        return Err(wrong(field, format!("longer than {chars_max} characters")));
    }
    Ok(cleaned)
}

/// Reads the numbers in `texts`, and leaves there what was kept: each number once, without empty texts.
fn numbers(
    field: &'static str,
    texts: &mut Vec<String>,
    max: usize,
    plan: &NumberPlan,
) -> Result<Vec<KeptNumber>, RecordError> {
    let mut kept: Vec<KeptNumber> = Vec::with_capacity(texts.len());
    for text in texts.iter() {
        let original = line(field, text)?;
        if original.is_empty() {
            continue;
        }
        let Some(number) = Number::read(&original, plan) else {
            return Err(wrong(field, format!("{original:?} is not a telephone number")));
        };
        if !kept.iter().any(|known| known.key == number.key()) {
            kept.push(KeptNumber { key: number.key().to_owned(), original });
        }
    }
    if kept.len() > max {
        return Err(wrong(field, format!("at most {max} numbers")));
    }
    *texts = kept.iter().map(|number| number.original.clone()).collect();
    Ok(kept)
}

/// A name that the dialplan can say without quoting; its `FILTER` lets the same characters through.
fn is_sound(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
    text.len() <= SOUND_BYTES_MAX && text.bytes().all(plain)
}

/// Beginnings of numbers as they are dialled here, each once: `+886` becomes `010886`, as in Japan.
fn beginnings(field: &'static str, texts: &[String]) -> Result<Vec<String>, RecordError> {
    let mut kept: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        let text = line(field, text)?;
        let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
        if bare.is_empty() {
            continue;
        }
        let digits = match (bare.strip_prefix("+81"), bare.strip_prefix('+')) {
            (Some(national), _) => format!("0{national}"),
            (None, Some(abroad)) => format!("010{abroad}"),
            (None, None) => bare,
        };
        let right = EXTRA_NUMBER_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !right {
            let (min, max) = (EXTRA_NUMBER_DIGITS.start(), EXTRA_NUMBER_DIGITS.end());
            return Err(wrong(field, format!("{text:?} is no beginning of a number: {min} to {max} digits")));
        }
        if !kept.contains(&digits) {
            kept.push(digits);
        }
    }
    if kept.len() > EXTRA_NUMBERS_MAX {
        return Err(wrong(field, format!("at most {EXTRA_NUMBERS_MAX}")));
    }
    Ok(kept)
}

fn looks_like_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    !name.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !text.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountFields {
        AccountFields {
            code: "A001".into(), name: "株式会社さくら商事".into(), ..AccountFields::default()
        }
    }

    #[test]
    fn text_is_cleaned_and_numbers_are_read_once() {
        let fields = AccountFields {
            name: " さくら\u{202e}商事\r\n".into(),
            notes: "一行目\u{7}\r\n二行目 \n".into(),
            dialled: vec!["03-5550-1001".into(), String::new(), "+81355501001".into()],
            ..account()
        };
        let checked = fields.checked(&NumberPlan::default()).unwrap();
        assert_eq!(checked.fields.name, "さくら商事");
        assert_eq!(checked.fields.notes, "一行目\n二行目");
        assert_eq!(checked.fields.dialled, ["03-5550-1001"]);
        assert_eq!(checked.dialled[0].key, "+81355501001");
    }

    #[test]
    fn beginnings_are_kept_as_they_are_dialled() {
        let texts = ["0570", "+886 2", "+81-990", "", "0570"].map(str::to_owned);
        assert_eq!(beginnings("extra_numbers", &texts).unwrap(), ["0570", "0108862", "0990"]);
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let plan = NumberPlan::default();
        for (fields, message) in [
            (AccountFields { code: "\u{0}".into(), ..account() }, "code: must not be empty"),
            (AccountFields { name: "あ".repeat(121), ..account() }, "name: longer than 120 characters"),
            (
                AccountFields { dialled: vec!["内線".into()], ..account() },
                "dialled: \"内線\" is not a telephone number",
            ),
            (AccountFields { wrap_up_s: Some(9_999), ..account() }, "wrap_up_s: at most 3600 seconds"),
            (
                AccountFields { accept_sound: Some("a b".into()), ..account() },
                "accept_sound: letters, digits, /, _ and - only, without an ending",
            ),
            (
                AccountFields { extra_numbers: vec!["0".into()], ..account() },
                "extra_numbers: \"0\" is no beginning of a number: 3 to 15 digits",
            ),
        ] {
            assert_eq!(fields.checked(&plan).unwrap_err().to_string(), message);
        }
        let contact = ContactFields {
            email: Some("nobody".into()),
            ..ContactFields::named(RecordId(uuid::Uuid::nil()), "x")
        };
        assert!(contact.checked(&plan).unwrap_err().to_string().starts_with("email: "));
        let rushed =
            ContactFields { ring_s: Some(1), ..ContactFields::named(RecordId(uuid::Uuid::nil()), "x") };
        assert_eq!(rushed.checked(&plan).unwrap_err().to_string(), "ring_s: from 5 to 120 seconds");
    }

    #[test]
    fn a_patch_replaces_resets_and_refuses() {
        let before = AccountFields { wrap_up_s: Some(30), ..account() };
        let patch = serde_json::json!({"notes": "本日休業", "wrap_up_s": null});
        let after = patched(&before, &patch).unwrap();
        assert_eq!((after.notes.as_str(), after.wrap_up_s, after.code.as_str()), ("本日休業", None, "A001"));
        for bad in [serde_json::json!({"id": 1}), serde_json::json!({"name": null}), serde_json::json!([])] {
            assert!(patched(&before, &bad).is_err(), "{bad}");
        }
    }
}
