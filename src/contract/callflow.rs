//! What happens to an account's calls before an operator (受付), as people set it, and overrides (臨時切替).
//!
//! | field | permits |
//! |---|---|
//! | a queue | 1 to 40 of `0-9A-Za-z_-`: the text passes through the PBX's database and its dialplan |
//! | a sound | 1 to 80 of `0-9A-Za-z/_-`: an Asterisk name without a file extension, below the PBX's sounds directory |
//! | whom to reach | an extension, or a number of this country that costs no more than a call |
//! | times and counts | the limits below |
//!
//! Invariant: [`CallflowFields::checked`] and [`NewOverride::checked`] let nothing through that the PBX could read in
//! another way.
//!
//! Read next: [`crate::callflow`], which compiles this for the PBX.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::contract::guidance_draft::RecordedGuidance;
use crate::identity::printable;
use crate::ids::RecordId;

/// Longest time that callers wait in one queue, in seconds.
pub const WAIT_S_MAX: u32 = 3_600;
/// Most calls of one account at a time, where they are limited.
pub const LINES_MAX: u32 = 1_000;
/// Highest priority in a queue.
pub const PRIORITY_MAX: u32 = 9;
/// Shortest limit of a voice message, in seconds.
pub const VOICE_S_MIN: u32 = 10;
/// Longest limit of a voice message, in seconds: its recording still goes with a mail.
pub const VOICE_S_MAX: u32 = 180;
/// Shortest time that somebody is called, in seconds.
pub const REACH_S_MIN: u32 = 5;
/// Longest time that somebody is called, in seconds.
pub const REACH_S_MAX: u32 = 120;
/// Most people who are called, one after the other.
pub const REACH_NUMBERS_MAX: usize = 5;
/// What numbers that cost more begin with, international ones and carriers.
const EXPENSIVE_PREFIXES: [&str; 7] = ["00", "010", "0170", "0180", "0570", "0910", "0990"];
/// Longest code of a template, in bytes.
pub const TEMPLATE_CODE_BYTES_MAX: usize = 40;
/// Longest name of a template, in characters.
pub const TEMPLATE_NAME_CHARS_MAX: usize = 60;
/// Longest name of a queue, in bytes.
pub const QUEUE_BYTES_MAX: usize = 40;
/// Longest name of a sound, in bytes.
pub const SOUND_BYTES_MAX: usize = 80;
/// Longest reason of an override, in characters.
pub const REASON_CHARS_MAX: usize = 200;

/// An account's callflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallflowFields {
    /// The queue in which callers wait.
    #[schema(default = "operators", max_length = 40)]
    pub queue: String,
    /// How long they wait there, in seconds.
    #[schema(default = 90, minimum = 1, maximum = 3600)]
    pub wait_s: u32,
    /// What they hear meanwhile.
    pub while_waiting: WhileWaiting,
    /// Their priority in the queue; a higher one is answered first.
    #[schema(default = 0, maximum = 9)]
    pub priority: u32,
    /// The calls that the account may have at a time (回線数); 0: any number. A further one hears busy.
    #[schema(default = 0, maximum = 1000)]
    pub lines: u32,
    /// With so many waiting callers, a further one does not wait, and hears the overflow guidance; 0: each waits.
    #[schema(default = 0, maximum = 1000)]
    pub full_at: u32,
    /// The queue in which callers wait after `wait_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_queue: Option<String>,
    /// How long they wait there, in seconds.
    #[schema(default = 60, minimum = 1, maximum = 3600)]
    pub second_wait_s: u32,
    /// What the operator hears before the caller is connected (応答前ウィスパー), at most two seconds; nobody else hears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announcement: Option<String>,
    /// Whether the operator also hears, after the announcement, that the caller is known and from which region the call comes
    /// (発信地域案内). While no daemon runs, the announcement alone is played.
    #[schema(default = false)]
    pub announce_caller: bool,
    /// Whether callers who wait with music also hear at which place they are, and how long it may take, after 10 seconds and then
    /// each half minute. Without a daemon they hear music alone.
    #[schema(default = false)]
    pub announce_place: bool,
    /// How guidance is played.
    pub guidance: GuidanceMode,
    /// What callers hear out of hours; absent: `toritsugi/closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_guidance: Option<String>,
    /// From when on that is what somebody of the account records by telephone: at once, from the next time on at which the account
    /// closes, or when an administrator has confirmed it.
    pub recorded_guidance: RecordedGuidance,
    /// What callers hear on a holiday on which the account is closed; absent: as out of hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holiday_guidance: Option<String>,
    /// What callers hear while an override closes the account; absent: as out of hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_guidance: Option<String>,
    /// What callers hear whom nobody answered, or who cannot wait; absent: `toritsugi/busy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_guidance: Option<String>,
    /// Where callers may ask to be called back (折り返し依頼): a message to the account, and a phone task for the operators.
    pub callback: OfferedWhen,
    /// How that is offered; absent: `toritsugi/callback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_guidance: Option<String>,
    /// Where callers may leave a voice message (音声メール), which is a message to the account: out of hours, when nobody answered.
    pub voice_message: OfferedWhen,
    /// What callers hear before the tone; absent: `toritsugi/voice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_guidance: Option<String>,
    /// Longest voice message, in seconds.
    #[schema(default = 120, minimum = 10, maximum = 180)]
    pub voice_max_s: u32,
    /// Where somebody of the account is called before the guidance (着信転送): out of hours, when nobody answered.
    pub reach: OfferedWhen,
    /// Whether the account's contacts who are on call at that time are called first, at most 5, in their order: who is in a shift by
    /// date, else the on-call list. Those with `no_transfer` are not.
    #[schema(default = false)]
    pub reach_on_call: bool,
    /// Who, one after the other, at most 5 with the contacts: numbers as they are dialled, or extensions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 5)]
    pub reach_numbers: Vec<String>,
    /// How long each of them rings, in seconds.
    #[schema(default = 25, minimum = 5, maximum = 120)]
    pub reach_s: u32,
    /// Whether they must press 1 to take the call, so that no mailbox takes it.
    #[schema(default = true)]
    pub reach_accept: bool,
    /// Whether callers who withhold their number hear that they may call again with it, and are refused (非通知お断り).
    #[schema(default = false)]
    pub refuse_withheld: bool,
    /// What they hear; absent: `toritsugi/withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld_guidance: Option<String>,
}

/// When callers are offered something besides an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfferedWhen {
    /// Never.
    #[default]
    Off,
    /// While the account is closed.
    Closed,
    /// When nobody answered, or too many wait.
    Overflow,
    /// In both cases.
    Both,
}

impl OfferedWhen {
    /// Whether it is offered while the account is closed.
    #[must_use]
    pub fn in_closed(self) -> bool {
        matches!(self, Self::Closed | Self::Both)
    }

    /// Whether it is offered to callers whom nobody answered.
    #[must_use]
    pub fn in_overflow(self) -> bool {
        matches!(self, Self::Overflow | Self::Both)
    }
}

/// What waiting callers hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhileWaiting {
    /// Ringing: the call is charged from the moment an operator answers.
    #[default]
    Ring,
    /// Music: the call is answered, and charged, as soon as it waits.
    Music,
}

/// How guidance is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceMode {
    /// Before the answer (early media): the caller is not charged. Some carriers do not pass it on to forwarded callers.
    #[default]
    Early,
    /// After an answer: every carrier passes it on, and the caller is charged.
    Answer,
}

/// Closes or opens an account, or all accounts, for a time, whatever their hours are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Override {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The account; absent: all.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<RecordId>,
    /// Closed or open.
    pub treatment: OverrideTreatment,
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// Until when; absent: until somebody ends it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Who set it.
    pub by_name: String,
}

/// What an override does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverrideTreatment {
    /// Callers hear that nobody can be reached now.
    Closed,
    /// Callers are treated as during the hours.
    Open,
}

impl OverrideTreatment {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// An override to set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOverride {
    /// The account; absent: all.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// Closed or open.
    pub treatment: OverrideTreatment,
    /// From when on; absent: now.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Until when; absent: until somebody ends it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// Why, up to 200 characters.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub reason: String,
}

/// Why a callflow or an override is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct CallflowError {
    field: &'static str,
    problem: String,
}

fn invalid(field: &'static str, problem: impl Into<String>) -> CallflowError {
    CallflowError { field, problem: problem.into() }
}

impl Default for CallflowFields {
    fn default() -> Self {
        Self {
            queue: "operators".to_owned(),
            wait_s: 90,
            while_waiting: WhileWaiting::default(),
            priority: 0,
            lines: 0,
            full_at: 0,
            second_queue: None,
            second_wait_s: 60,
            announcement: None,
            announce_caller: false,
            announce_place: false,
            guidance: GuidanceMode::default(),
            closed_guidance: None,
            recorded_guidance: RecordedGuidance::default(),
            holiday_guidance: None,
            override_guidance: None,
            overflow_guidance: None,
            callback: OfferedWhen::default(),
            callback_guidance: None,
            voice_message: OfferedWhen::default(),
            voice_guidance: None,
            voice_max_s: 120,
            reach: OfferedWhen::default(),
            reach_on_call: false,
            reach_numbers: Vec::new(),
            reach_s: 25,
            reach_accept: true,
            refuse_withheld: false,
            withheld_guidance: None,
        }
    }
}

impl CallflowFields {
    /// The fields, if each is within its limits.
    ///
    /// # Errors
    /// Names the field and what it permits.
    pub fn checked(self) -> Result<Self, CallflowError> {
        check_queue("queue", &self.queue)?;
        if let Some(second) = &self.second_queue {
            check_queue("second_queue", second)?;
        }
        for (field, seconds) in [("wait_s", self.wait_s), ("second_wait_s", self.second_wait_s)] {
            if !(1..=WAIT_S_MAX).contains(&seconds) {
                return Err(invalid(field, format!("1 to {WAIT_S_MAX} seconds")));
            }
        }
        for (field, count, most) in [
            ("priority", self.priority, PRIORITY_MAX),
            ("lines", self.lines, LINES_MAX),
            ("full_at", self.full_at, LINES_MAX),
        ] {
            if count > most {
                return Err(invalid(field, format!("0 to {most}")));
            }
        }
        if !(VOICE_S_MIN..=VOICE_S_MAX).contains(&self.voice_max_s) {
            return Err(invalid("voice_max_s", format!("{VOICE_S_MIN} to {VOICE_S_MAX} seconds")));
        }
        for (field, sound) in self.sounds() {
            check_sound(field, sound)?;
        }
        if !(REACH_S_MIN..=REACH_S_MAX).contains(&self.reach_s) {
            return Err(invalid("reach_s", format!("{REACH_S_MIN} to {REACH_S_MAX} seconds")));
        }
        if self.reach_numbers.len() > REACH_NUMBERS_MAX {
            return Err(invalid("reach_numbers", format!("at most {REACH_NUMBERS_MAX}")));
        }
        if self.reach != OfferedWhen::Off && self.reach_numbers.is_empty() && !self.reach_on_call {
            return Err(invalid("reach_numbers", "whom to call"));
        }
        self.reach_numbers.iter().try_for_each(|number| check_reached(number))?;
        Ok(self)
    }

    /// Whether people on call are called.
    #[must_use]
    pub fn reaches_on_call(&self) -> bool {
        self.reach_on_call && self.reach != OfferedWhen::Off
    }

    /// The sounds that it names, with their fields.
    pub fn sounds(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let all = [
            ("announcement", &self.announcement),
            ("closed_guidance", &self.closed_guidance),
            ("holiday_guidance", &self.holiday_guidance),
            ("override_guidance", &self.override_guidance),
            ("overflow_guidance", &self.overflow_guidance),
            ("callback_guidance", &self.callback_guidance),
            ("voice_guidance", &self.voice_guidance),
            ("withheld_guidance", &self.withheld_guidance),
        ];
        all.into_iter().filter_map(|(field, sound)| Some((field, sound.as_ref()?)))
    }

    /// Every field with its value.
    #[must_use]
    pub fn as_object(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }

    /// The settings of a template with those of an account over them; `null` is a field's default.
    ///
    /// # Errors
    /// A field that does not exist, or a value that it does not have; the error names the field.
    pub fn over(
        template: &Map<String, Value>,
        own: &Map<String, Value>,
    ) -> Result<Self, serde_path_to_error::Error<serde_json::Error>> {
        let mut fields = template.clone();
        fields.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        fields.retain(|_, value| !value.is_null());
        serde_path_to_error::deserialize(Value::Object(fields))
    }
}

/// What `fields` says in another way than the template: the account's own settings.
#[must_use]
pub fn own_of(template: &Map<String, Value>, fields: &Map<String, Value>) -> Map<String, Value> {
    let differs = |(key, value): &(&String, &Value)| template.get(*key).unwrap_or(&Value::Null) != *value;
    fields.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Settings that callflows of accounts share (受付の型).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallflowTemplate {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// Its code, by which callflows name it.
    pub code: String,
    /// How people call it.
    pub name: String,
    /// The settings.
    pub fields: CallflowFields,
    /// Who wrote it.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

/// The code of a template.
///
/// # Errors
/// It has other characters than it may have.
pub fn check_template_code(code: &str) -> Result<(), CallflowError> {
    let fits = (1..=TEMPLATE_CODE_BYTES_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let permitted = || invalid("code", format!("1 to {TEMPLATE_CODE_BYTES_MAX} letters, digits, '_' or '-'"));
    if fits { Ok(()) } else { Err(permitted()) }
}

/// The name of a template, cleaned.
///
/// # Errors
/// It is empty or too long.
pub fn checked_template_name(name: &str) -> Result<String, CallflowError> {
    let name: String = printable(name, usize::MAX).unwrap_or_default().into();
    let fits = (1..=TEMPLATE_NAME_CHARS_MAX).contains(&name.chars().count());
    if fits { Ok(name) } else { Err(invalid("name", format!("1 to {TEMPLATE_NAME_CHARS_MAX} characters"))) }
}

/// An extension of this PBX, or a number of this country: the dialplan places this call at the house's cost.
fn check_reached(number: &str) -> Result<(), CallflowError> {
    let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let is_extension = (2..=6).contains(&number.len()) && !number.starts_with('0');
    let is_national = (10..=11).contains(&number.len())
        && number.starts_with('0')
        && !EXPENSIVE_PREFIXES.iter().any(|prefix| number.starts_with(prefix));
    if is_digits && (is_extension || is_national) {
        return Ok(());
    }
    Err(invalid("reach_numbers", "numbers of this country in digits (09012345678), or extensions"))
}

impl NewOverride {
    /// The override as of `now`, with its reason cleaned.
    ///
    /// # Errors
    /// It ends before it begins or has ended, or its reason is too long.
    pub fn checked(self, now: Timestamp) -> Result<Self, CallflowError> {
        let from = self.from.unwrap_or(now);
        if self.until.is_some_and(|until| until <= from || until <= now) {
            return Err(invalid("until", "an end in the future, after the beginning"));
        }
        let reason: String = printable(&self.reason, usize::MAX).unwrap_or_default().into();
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(invalid("reason", format!("at most {REASON_CHARS_MAX} characters")));
        }
        Ok(Self { from: Some(from), reason, ..self })
    }
}

fn check_queue(field: &'static str, name: &str) -> Result<(), CallflowError> {
    let fits = (1..=QUEUE_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let permitted = || invalid(field, format!("1 to {QUEUE_BYTES_MAX} letters, digits, '_' or '-'"));
    if fits { Ok(()) } else { Err(permitted()) }
}

fn check_sound(field: &'static str, name: &str) -> Result<(), CallflowError> {
    let fits = (1..=SOUND_BYTES_MAX).contains(&name.len())
        && !name.starts_with('/')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte));
    let permitted = || {
        invalid(
            field,
            format!(
                "a sound of the PBX without its extension: 1 to {SOUND_BYTES_MAX} letters, digits, '/', '_' or '-', for instance custom/sakura-closed"
            ),
        )
    };
    if fits { Ok(()) } else { Err(permitted()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_that_the_dialplan_reads_in_another_way() {
        let usual = CallflowFields::default();
        assert_eq!(usual.clone().checked(), Ok(usual.clone()));
        for queue in ["", "a b", "a,b", "a|b", "${X}", "受付", "a&b", &"q".repeat(41)] {
            let fields = CallflowFields { queue: queue.into(), ..usual.clone() };
            assert!(fields.checked().is_err(), "{queue}");
            let fields = CallflowFields { second_queue: Some(queue.into()), ..usual.clone() };
            assert!(fields.checked().is_err(), "{queue}");
        }
        for sound in ["", "/etc/passwd", "a..b", "a b", "a&b", "a|b", "挨拶", &"s".repeat(81)] {
            for set in [
                |fields: &mut CallflowFields, sound| fields.announcement = sound,
                |fields: &mut CallflowFields, sound| fields.closed_guidance = sound,
                |fields: &mut CallflowFields, sound| fields.holiday_guidance = sound,
                |fields: &mut CallflowFields, sound| fields.override_guidance = sound,
                |fields: &mut CallflowFields, sound| fields.overflow_guidance = sound,
                |fields: &mut CallflowFields, sound| fields.callback_guidance = sound,
                |fields: &mut CallflowFields, sound| fields.voice_guidance = sound,
                |fields: &mut CallflowFields, sound| fields.withheld_guidance = sound,
            ] {
                let mut fields = usual.clone();
                set(&mut fields, Some(sound.to_owned()));
                assert!(fields.checked().is_err(), "{sound}");
            }
        }
        for (field, wrong) in [
            ("wait_s", CallflowFields { wait_s: 0, ..usual.clone() }),
            ("wait_s", CallflowFields { wait_s: WAIT_S_MAX + 1, ..usual.clone() }),
            ("second_wait_s", CallflowFields { second_wait_s: 0, ..usual.clone() }),
            ("priority", CallflowFields { priority: 10, ..usual.clone() }),
            ("lines", CallflowFields { lines: LINES_MAX + 1, ..usual.clone() }),
            ("full_at", CallflowFields { full_at: LINES_MAX + 1, ..usual.clone() }),
            ("voice_max_s", CallflowFields { voice_max_s: VOICE_S_MIN - 1, ..usual.clone() }),
            ("voice_max_s", CallflowFields { voice_max_s: VOICE_S_MAX + 1, ..usual.clone() }),
            ("reach_s", CallflowFields { reach_s: REACH_S_MIN - 1, ..usual.clone() }),
            ("reach_s", CallflowFields { reach_s: REACH_S_MAX + 1, ..usual.clone() }),
            ("reach_numbers", CallflowFields { reach: OfferedWhen::Both, ..usual.clone() }),
            ("reach_numbers", CallflowFields { reach_numbers: vec!["1001".into(); 6], ..usual.clone() }),
        ] {
            assert!(wrong.checked().unwrap_err().to_string().starts_with(field), "{field}");
        }
    }

    #[test]
    fn nobody_is_called_at_a_number_that_costs_more() {
        for (number, fits) in [
            ("09012345678", true),
            ("0312345678", true),
            ("1001", true),
            ("", false),
            ("1", false),
            ("0120", false),
            ("0570123456", false),
            ("0990123456", false),
            ("01012125550100", false),
            ("00810312345678", false),
            ("+81312345678", false),
            ("090-1234-5678", false),
            ("9,,,1234", false),
        ] {
            let fields = CallflowFields { reach_numbers: vec![number.into()], ..CallflowFields::default() };
            assert_eq!(fields.checked().is_ok(), fits, "{number}");
        }
    }

    #[test]
    fn an_accounts_settings_are_those_of_the_template_but_where_they_differ() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let template = object(serde_json::json!({ "wait_s": 30, "closed_guidance": "a", "lines": 2 }));
        let given = object(serde_json::json!({ "wait_s": 30, "closed_guidance": null, "priority": 3 }));
        let own = own_of(&template, &given);
        assert_eq!(Value::Object(own.clone()), serde_json::json!({ "closed_guidance": null, "priority": 3 }));
        let fields = CallflowFields::over(&template, &own).unwrap();
        assert_eq!((fields.wait_s, fields.lines, fields.priority, fields.closed_guidance), (30, 2, 3, None));
        let wrong = object(serde_json::json!({ "colour": "red" }));
        assert!(CallflowFields::over(&template, &wrong).unwrap_err().to_string().contains("colour"));
        // What is complete is its own.
        let all = CallflowFields { wait_s: 7, ..CallflowFields::default() };
        assert_eq!(CallflowFields::over(&Map::new(), &all.as_object()).unwrap(), all);
    }

    #[test]
    fn an_override_ends_after_it_begins_and_not_in_the_past() {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let at = |hours: i64| now.checked_add(jiff::SignedDuration::from_hours(hours)).ok();
        let set = |from, until| NewOverride {
            account: None,
            treatment: OverrideTreatment::Closed,
            from,
            until,
            reason: "停電\u{7}".into(),
        };
        for (from, until, fits) in [
            (None, None, true),
            (None, at(1), true),
            (None, at(0), false),
            (None, at(-1), false),
            (at(2), at(3), true),
            (at(2), at(2), false),
            (at(-2), at(-1), false),
            (at(-2), at(1), true),
        ] {
            assert_eq!(set(from, until).checked(now).is_ok(), fits, "{from:?} {until:?}");
        }
        let checked = set(None, None).checked(now).unwrap();
        assert_eq!((checked.from, checked.reason.as_str()), (Some(now), "停電"));
        let long = NewOverride { reason: "あ".repeat(201), ..set(None, None) };
        assert!(long.checked(now).is_err());
    }
}
