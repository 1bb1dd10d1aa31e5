//! What a person sets of a message, with the limits of each field.
//!
//! Invariant: checked fields have no control or direction-changing characters, and nothing is longer than its limit: too
//! long is an error, never a cut. Sound marks are composed; the characters of names stay as they are written.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::words::{Action, FollowUpBy, Gender, Mark, NumberSource, OfferResult, Privacy, Urgency};
use crate::contract::records::search::{fold, fold_number};
use crate::contract::records::{RecordError, paragraphs};
use crate::identity::{printable, printable_lines};
use crate::ids::RecordId;
use crate::numbers::{Number, NumberPlan};
use crate::text::compose::compose;
use crate::text::kana::kana;

/// Longest text, in characters.
pub const MESSAGE_CHARS_MAX: usize = 4_000;
/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 120;
/// Longest name of a person, in characters.
const PERSON_CHARS_MAX: usize = 60;
/// Longest name of a company or department, and longest label, in characters.
const COMPANY_CHARS_MAX: usize = 120;
/// Longest telephone number as it was said, in characters.
const NUMBER_CHARS_MAX: usize = 40;
/// Longest note of a call-back or follow-up, in characters.
const NOTE_CHARS_MAX: usize = 200;
/// Longest code of a reason, script, field or offer, in characters.
const CODE_CHARS_MAX: usize = 40;
/// Most answers.
const ANSWERS_MAX: usize = 60;
/// Longest answer, in characters.
const ANSWER_CHARS_MAX: usize = 1_000;
/// Most bytes of all answers.
const ANSWERS_BYTES_MAX: usize = 16 * 1024;
/// Most offers.
const OFFERS_MAX: usize = 20;
/// How far ahead a message may be held, and a follow-up be due, in days.
const AHEAD_DAYS_MAX: i64 = 366;

/// What a person sets of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageFields {
    /// The contact of the account it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
    /// The text: 1 to 4000 characters, line breaks allowed.
    pub text: String,
    /// Why the caller called: a code of `reasons` in `/v1/messages/options`, or of the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line about the message, up to 120 characters; made of the reason and the action if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who left the message.
    #[serde(default, skip_serializing_if = "Sender::is_empty")]
    pub from: Sender,
    /// Whom the caller asked for, if the account has no such contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_text: Option<String>,
    /// What the caller expects.
    #[serde(default)]
    pub action: Action,
    /// Where and when to call back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_back: Option<CallBack>,
    /// How urgent it is.
    #[serde(default)]
    pub urgency: Urgency,
    /// A complaint, or thanks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// The message is not delivered before this time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub hold_until: Option<Timestamp>,
    /// What is to be done later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUp>,
    /// The transfer that failed, if the message stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<FailedTransfer>,
    /// The script by which the operator asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptVersion>,
    /// The answers to the script's questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<ScriptAnswer>,
    /// What was offered to the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// How much of it leaves the house.
    #[serde(default)]
    pub privacy: Privacy,
}

/// Who left a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageSender)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// The name, in its kana form: kana are stored as full-width katakana.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name in kanji.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_kanji: Option<String>,
    /// The company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// The department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// The gender, asked for common surnames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gender: Option<Gender>,
    /// The telephone number as it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Where the number is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_is: Option<NumberSource>,
    /// Whether name and number were read back to the caller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
}

/// Where and when to call back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallBack {
    /// The number; that of the sender if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Not before this time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Not after this time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// What the caller said about it, up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What is to be done later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// When.
    #[serde(serialize_with = "crate::contract::time::as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What, up to 200 characters.
    pub text: String,
    /// Who does it.
    pub by: FollowUpBy,
}

/// A transfer that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedTransfer {
    /// The transfer.
    pub id: Uuid,
    /// Its outcome, as the events of transfers name it.
    pub outcome: String,
}

/// A script in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptVersion {
    /// The script.
    pub id: String,
    /// Its version.
    pub version: u32,
}

/// The answer to a question of the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptAnswer {
    /// The question's field.
    pub id: String,
    /// What people read beside it.
    pub label: String,
    /// The answer, up to 1000 characters.
    pub value: String,
    /// Whether only those may read it who work on the call, supervisors and administrators.
    #[serde(default)]
    pub sensitive: bool,
}

/// Something that was offered to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The offer.
    pub id: String,
    /// What the caller said.
    pub result: OfferResult,
}

/// What is shown of a sensitive answer to those who may not read it.
pub const HIDDEN: &str = "•••";

/// Fields that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedMessage {
    pub(crate) fields: MessageFields,
    /// The key of the sender's number, where it is a telephone number.
    pub(crate) from_key: Option<String>,
    /// What a search compares, besides the message's number.
    pub(crate) search: String,
}

impl CheckedMessage {
    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &MessageFields {
        &self.fields
    }
}

impl Sender {
    /// Whether nothing is known of the sender.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn cleaned(self) -> Result<Self, RecordError> {
        let name = line("from.name", self.name, PERSON_CHARS_MAX)?;
        Ok(Self {
            name: line("from.name", name.map(|name| kana(&name)), PERSON_CHARS_MAX)?,
            name_kanji: line("from.name_kanji", self.name_kanji, PERSON_CHARS_MAX)?,
            company: line("from.company", self.company, COMPANY_CHARS_MAX)?,
            department: line("from.department", self.department, COMPANY_CHARS_MAX)?,
            gender: self.gender,
            number: line("from.number", self.number, NUMBER_CHARS_MAX)?,
            number_is: self.number_is,
            confirmed: self.confirmed,
        })
    }
}

impl MessageFields {
    /// Reads the fields from JSON.
    ///
    /// # Errors
    /// A field is unknown, is missing or has the wrong type.
    pub fn read<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Through a map: a flattened struct does not notice unknown fields.
        let fields = serde_json::Map::deserialize(from)?;
        from_json(fields.into()).map_err(serde::de::Error::custom)
    }

    /// The fields with a JSON merge patch (RFC 7396) applied: members replace, `null` resets to the default.
    ///
    /// # Errors
    /// The patch names a field that messages do not have, or a value has the wrong type.
    pub fn patched(&self, patch: &serde_json::Map<String, serde_json::Value>) -> Result<Self, RecordError> {
        let failed = |error: serde_json::Error| RecordError { field: "patch", problem: error.to_string() };
        let mut whole = serde_json::to_value(self).map_err(failed)?;
        merge(&mut whole, patch);
        from_json(whole).map_err(failed)
    }

    /// Cleans the text and parses the sender's number.
    ///
    /// # Errors
    /// The first invalid field, with the reason.
    pub fn checked(self, plan: &NumberPlan) -> Result<CheckedMessage, RecordError> {
        let fields = Self {
            contact: self.contact,
            text: clean_text(&self.text)?,
            reason: code("reason", self.reason)?,
            subject: line("subject", self.subject, SUBJECT_CHARS_MAX)?,
            from: self.from.cleaned()?,
            for_text: line("for_text", self.for_text, PERSON_CHARS_MAX)?,
            action: self.action,
            call_back: self
                .call_back
                .map(CallBack::cleaned)
                .transpose()?
                .filter(|c| *c != CallBack::default()),
            urgency: self.urgency,
            mark: self.mark,
            hold_until: self.hold_until,
            follow_up: self.follow_up.map(FollowUp::cleaned).transpose()?,
            transfer: self.transfer.map(FailedTransfer::cleaned).transpose()?,
            script: self.script.map(ScriptVersion::cleaned).transpose()?,
            answers: answers(self.answers)?,
            offers: offers(self.offers)?,
            privacy: self.privacy,
        };
        let number = fields.from.number.as_deref().and_then(|text| Number::read(text, plan));
        let from_key = number.map(|number| number.key().to_owned());
        let search = search_text(&fields, plan);
        Ok(CheckedMessage { fields, from_key, search })
    }

    /// Checks the times that differ from those of `before`: they are in the future, and within [`AHEAD_DAYS_MAX`].
    ///
    /// # Errors
    /// The first time that is not.
    pub fn check_times(&self, before: Option<&Self>, now: Timestamp) -> Result<(), RecordError> {
        let limit = now.as_millisecond().saturating_add(AHEAD_DAYS_MAX * 86_400_000);
        let check = |field, at: Option<Timestamp>, known: Option<Timestamp>| match at {
            Some(at) if Some(at) != known && (at <= now || at.as_millisecond() > limit) => {
                let problem = format!("must be in the future, and at most {AHEAD_DAYS_MAX} days ahead");
                Err(RecordError { field, problem })
            }
            _ => Ok(()),
        };
        check("hold_until", self.hold_until, before.and_then(|fields| fields.hold_until))?;
        let due = |fields: &Self| fields.follow_up.as_ref().map(|follow_up| follow_up.at);
        check("follow_up.at", due(self), before.and_then(due))
    }

    /// Hides the sensitive answers.
    pub fn hide_sensitive(&mut self) {
        for answer in self.answers.iter_mut().filter(|answer| answer.sensitive) {
            answer.value = HIDDEN.to_owned();
        }
    }
}

impl CallBack {
    fn cleaned(self) -> Result<Self, RecordError> {
        if self.from.zip(self.until).is_some_and(|(from, until)| from > until) {
            return Err(invalid("call_back.until", "must not be before call_back.from"));
        }
        Ok(Self {
            number: line("call_back.number", self.number, NUMBER_CHARS_MAX)?,
            from: self.from,
            until: self.until,
            text: line("call_back.text", self.text, NOTE_CHARS_MAX)?,
        })
    }
}

impl FollowUp {
    fn cleaned(self) -> Result<Self, RecordError> {
        Ok(Self { text: required_line("follow_up.text", self.text, NOTE_CHARS_MAX)?, ..self })
    }
}

impl FailedTransfer {
    fn cleaned(self) -> Result<Self, RecordError> {
        Ok(Self { outcome: required_code("transfer.outcome", self.outcome)?, ..self })
    }
}

impl ScriptVersion {
    fn cleaned(self) -> Result<Self, RecordError> {
        Ok(Self { id: required_code("script.id", self.id)?, ..self })
    }
}

/// Cleans the text of a message.
///
/// # Errors
/// The text is empty or longer than [`MESSAGE_CHARS_MAX`].
pub fn clean_text(text: &str) -> Result<String, RecordError> {
    let text = composed("text", text, MESSAGE_CHARS_MAX)?;
    if text.is_empty() { Err(invalid("text", "must not be empty")) } else { Ok(text) }
}

fn answers(answers: Vec<ScriptAnswer>) -> Result<Vec<ScriptAnswer>, RecordError> {
    if answers.len() > ANSWERS_MAX {
        return Err(invalid("answers", format!("at most {ANSWERS_MAX} answers")));
    }
    let mut cleaned: Vec<ScriptAnswer> = Vec::with_capacity(answers.len());
    for answer in answers {
        let id = required_code("answers.id", answer.id)?;
        if cleaned.iter().any(|known| known.id == id) {
            return Err(invalid("answers", format!("{id} is answered twice")));
        }
        cleaned.push(ScriptAnswer {
            id,
            label: required_line("answers.label", answer.label, COMPANY_CHARS_MAX)?,
            value: composed("answers.value", &answer.value, ANSWER_CHARS_MAX)?,
            sensitive: answer.sensitive,
        });
    }
    if cleaned.iter().map(|answer| answer.label.len() + answer.value.len()).sum::<usize>() > ANSWERS_BYTES_MAX
    {
        return Err(invalid("answers", format!("longer than {ANSWERS_BYTES_MAX} bytes together")));
    }
    Ok(cleaned)
}

fn offers(offers: Vec<Offer>) -> Result<Vec<Offer>, RecordError> {
    if offers.len() > OFFERS_MAX {
        return Err(invalid("offers", format!("at most {OFFERS_MAX} offers")));
    }
    offers.into_iter().map(|offer| Ok(Offer { id: required_code("offers.id", offer.id)?, ..offer })).collect()
}

/// What a search compares of the fields; the message's number is added when it has one.
fn search_text(fields: &MessageFields, plan: &NumberPlan) -> String {
    let from = &fields.from;
    let texts =
        [&from.name, &from.name_kanji, &from.company, &from.department, &fields.for_text, &fields.subject];
    let texts = texts.into_iter().flatten().chain([&fields.text]);
    let mut values: Vec<String> = texts.map(|text| fold(text)).collect();
    let call_back = fields.call_back.as_ref().and_then(|call_back| call_back.number.as_ref());
    for text in from.number.iter().chain(call_back) {
        values.extend(fold_number(text));
        let number = Number::read(text, plan);
        values.extend(number.and_then(|number| fold_number(&number.display())));
    }
    values.retain(|value| !value.is_empty());
    values.join("\n")
}

fn from_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(value)
}

fn merge(into: &mut serde_json::Value, patch: &serde_json::Map<String, serde_json::Value>) {
    if !into.is_object() {
        *into = serde_json::Value::Object(serde_json::Map::new());
    }
    let Some(members) = into.as_object_mut() else { return };
    for (name, value) in patch {
        match value {
            serde_json::Value::Null => drop(members.remove(name)),
            serde_json::Value::Object(inner) => {
                merge(members.entry(name.clone()).or_insert(serde_json::Value::Null), inner);
            }
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
}

fn invalid(field: &'static str, problem: impl Into<String>) -> RecordError {
    RecordError { field, problem: problem.into() }
}

/// Cleans text of several lines and composes its marks: a character that is left out may have stood before a mark.
fn composed(field: &'static str, text: &str, chars_max: usize) -> Result<String, RecordError> {
    paragraphs(field, &compose(&printable_lines(text)), chars_max)
}

/// Cleans text of one line; an empty text becomes `None`.
fn line(field: &'static str, text: Option<String>, chars_max: usize) -> Result<Option<String>, RecordError> {
    let text = text.and_then(|text| printable(&text, usize::MAX)).map(|text| compose(&text));
    match text {
        Some(text) if text.chars().count() > chars_max => {
            Err(invalid(field, format!("longer than {chars_max} characters")))
        }
        text => Ok(text),
    }
}

fn required_line(field: &'static str, text: String, chars_max: usize) -> Result<String, RecordError> {
    line(field, Some(text), chars_max)?.ok_or_else(|| invalid(field, "must not be empty"))
}

fn code(field: &'static str, text: Option<String>) -> Result<Option<String>, RecordError> {
    let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.len() > CODE_CHARS_MAX || !text.chars().all(is_code) => Err(invalid(
            field,
            format!("a code of up to {CODE_CHARS_MAX} characters of a-z, 0-9, '_' and '-'"),
        )),
        text => Ok(text),
    }
}

fn required_code(field: &'static str, text: String) -> Result<String, RecordError> {
    code(field, Some(text))?.ok_or_else(|| invalid(field, "must not be empty"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: serde_json::Value) -> MessageFields {
        serde_json::from_value(value).unwrap()
    }

    fn checked(value: serde_json::Value) -> Result<MessageFields, String> {
        let checked = fields(value).checked(&NumberPlan::default());
        checked.map(|checked| checked.fields).map_err(|error| error.to_string())
    }

    #[test]
    fn a_text_is_cleaned_and_has_a_limit() {
        assert_eq!(
            clean_text(" 折り返し\u{202e}\r\nお願いします\u{7} \n").unwrap(),
            "折り返し\nお願いします"
        );
        assert!(clean_text(&"あ".repeat(MESSAGE_CHARS_MAX)).is_ok());
        for bad in ["", " \r\n\t", "\u{200b}", &"あ".repeat(MESSAGE_CHARS_MAX + 1)] {
            assert!(clean_text(bad).is_err(), "{} characters", bad.chars().count());
        }
    }

    #[test]
    fn fields_are_cleaned_and_a_reading_has_one_form() {
        let clean = checked(json!({
            "text": " 納期\u{7} ", "subject": "a\r\nBcc: x", "for_text": "",
            "from": {"name": "さとう ｼﾞﾛｳ", "name_kanji": "塚\u{fa10}", "company": " さくら\u{202e}商事 ", "gender": "m"},
            "call_back": {"text": " "},
        }))
        .unwrap();
        assert_eq!((clean.text.as_str(), clean.subject.as_deref()), ("納期", Some("aBcc: x")));
        assert_eq!(clean.from.name.as_deref(), Some("サトウ\u{3000}ジロウ"));
        assert_eq!(clean.from.name_kanji.as_deref(), Some("塚\u{fa10}"), "a variant in a name stays");
        assert_eq!((clean.from.company.as_deref(), clean.for_text), (Some("さくら商事"), None));
        assert_eq!(clean.call_back, None, "nothing is in it");
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_its_field() {
        let long = |n: usize| "あ".repeat(n);
        let answer = |n: usize| json!({"id": format!("a{n}"), "label": "x", "value": "x"});
        let big = |n: usize| json!({"id": format!("b{n}"), "label": "x", "value": long(1_000)});
        for (bad, message) in [
            (json!({"subject": long(121)}), "subject: longer than 120 characters"),
            (json!({"for_text": long(61)}), "for_text: longer than 60 characters"),
            (json!({"reason": "納期"}), "reason: a code of"),
            (json!({"reason": "a".repeat(41)}), "reason: a code of"),
            (json!({"from": {"name": long(61)}}), "from.name: longer than 60 characters"),
            (json!({"from": {"name_kanji": long(61)}}), "from.name_kanji: longer"),
            (json!({"from": {"company": long(121)}}), "from.company: longer than 120"),
            (json!({"from": {"department": long(121)}}), "from.department: longer"),
            (json!({"from": {"number": long(41)}}), "from.number: longer than 40"),
            (json!({"call_back": {"number": long(41)}}), "call_back.number: longer"),
            (json!({"call_back": {"text": long(201)}}), "call_back.text: longer than 200"),
            (
                json!({"call_back": {"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}}),
                "call_back.until: must not be before",
            ),
            (
                json!({"follow_up": {"at": "2026-01-02T00:00:00Z", "text": " ", "by": "contact"}}),
                "follow_up.text: must not be empty",
            ),
            (json!({"transfer": {"id": Uuid::nil(), "outcome": "B U"}}), "transfer.outcome: a code"),
            (json!({"script": {"id": "", "version": 1}}), "script.id: must not be empty"),
            (json!({"answers": (0..61).map(answer).collect::<Vec<_>>()}), "answers: at most 60"),
            (json!({"answers": [answer(1), answer(1)]}), "answers: a1 is answered twice"),
            (json!({"answers": [{"id": "a", "label": "x", "value": long(1_001)}]}), "answers.value: longer"),
            (json!({"answers": (0..6).map(big).collect::<Vec<_>>()}), "answers: longer than 16384 bytes"),
            (
                json!({"answers": [{"id": "a", "label": "", "value": "x"}]}),
                "answers.label: must not be empty",
            ),
            (json!({"offers": vec![json!({"id": "a", "result": "later"}); 21]}), "offers: at most 20"),
            (json!({"text": ""}), "text: must not be empty"),
        ] {
            let mut whole = json!({"text": "x"});
            merge(&mut whole, bad.as_object().unwrap());
            let refused = checked(whole).unwrap_err();
            assert!(refused.starts_with(message), "{refused}");
        }
        for bad in
            [json!({"from": {"nam": "x"}}), json!({"urgency": "later"}), json!({"mark": ""}), json!({"x": 1})]
        {
            let mut whole = json!({"text": "x"});
            merge(&mut whole, bad.as_object().unwrap());
            assert!(serde_json::from_value::<MessageFields>(whole).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_in_the_future_when_they_are_set() {
        let now: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
        let held = |at: &str| fields(json!({"text": "x", "hold_until": at}));
        assert!(held("2026-04-01T09:00:00Z").check_times(None, now).is_ok());
        for bad in ["2026-04-01T00:00:00Z", "2025-01-01T00:00:00Z", "2028-01-01T00:00:00Z"] {
            assert_eq!(held(bad).check_times(None, now).unwrap_err().field, "hold_until", "{bad}");
            assert!(held(bad).check_times(Some(&held(bad)), now).is_ok(), "it was set before");
        }
        let due =
            json!({"text": "x", "follow_up": {"at": "2026-03-01T00:00:00Z", "text": "x", "by": "operator"}});
        assert_eq!(fields(due).check_times(None, now).unwrap_err().field, "follow_up.at");
    }

    #[test]
    fn a_patch_changes_members_of_members() {
        let before =
            fields(json!({"text": "x", "from": {"name": "サトウ", "company": "A"}, "mark": "thanks"}));
        let patch =
            json!({"from": {"company": null, "department": "営業"}, "mark": null, "urgency": "urgent"});
        let after = before.patched(patch.as_object().unwrap()).unwrap();
        let wanted =
            json!({"text": "x", "from": {"name": "サトウ", "department": "営業"}, "urgency": "urgent"});
        assert_eq!(after, fields(wanted));
        for bad in [json!({"text": null}), json!({"id": 1}), json!({"from": {"x": 1}}), json!({"from": 1})] {
            assert!(before.patched(bad.as_object().unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_search_finds_names_in_kana_texts_and_numbers() {
        let checked = fields(json!({
            "text": "納期の件", "from": {"name": "ヤマモト", "company": "㈱ミホン", "number": "090-1234-5678"},
            "call_back": {"number": "03-1234-5678"},
        }))
        .checked(&NumberPlan::default())
        .unwrap();
        assert_eq!(checked.from_key.as_deref(), Some("+819012345678"));
        for text in ["やまもと", "株式会社みほん", "納期", "09012345678", "0312345678"] {
            assert!(checked.search.contains(text), "{text}: {}", checked.search);
        }
    }

    #[test]
    fn a_mark_after_a_character_that_is_left_out_is_composed() {
        let raw = json!({"text": "か\u{200b}\u{3099}\nA\u{200b}\u{300}", "subject": "A\u{200b}\u{300}"});
        let checked = fields(raw).checked(&NumberPlan::default()).unwrap().fields;
        assert_eq!((checked.text.as_str(), checked.subject.as_deref()), ("が\nÀ", Some("À")));
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(name in ".{0,30}", text in "\\PC{1,40}x", subject in ".{0,40}") {
            let raw = json!({"text": text, "subject": subject, "from": {"name": name, "company": subject}});
            let once = fields(raw).checked(&NumberPlan::default()).unwrap();
            let twice = once.fields.clone().checked(&NumberPlan::default()).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
