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
use super::numbers::{Number, NumberPlan};
use crate::identity::printable;
use crate::ids::RecordId;

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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
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
    /// Nobody may listen to this account's calls.
    #[serde(default)]
    pub never_monitor: bool,
    /// Length of the after-call work, in seconds; the installation's where absent.
    #[serde(default)]
    pub wrap_up_s: Option<u32>,
    /// When it is open; always where absent.
    #[serde(default)]
    pub hours: Option<Hours>,
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
        if let Some(hours) = &self.hours {
            hours.check().map_err(|error: HoursError| wrong("hours", error.to_string()))?;
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
    let cleaned: Vec<_> = text.lines().map(|line| printable(line, usize::MAX).unwrap_or_default()).collect();
    let cleaned = cleaned.join("\n").trim().to_owned();
    if cleaned.chars().count() > NOTES_CHARS_MAX {
        return Err(wrong(field, format!("longer than {NOTES_CHARS_MAX} characters")));
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
        ] {
            assert_eq!(fields.checked(&plan).unwrap_err().to_string(), message);
        }
        let contact = ContactFields {
            email: Some("nobody".into()),
            ..ContactFields::named(RecordId(uuid::Uuid::nil()), "x")
        };
        assert!(contact.checked(&plan).unwrap_err().to_string().starts_with("email: "));
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
