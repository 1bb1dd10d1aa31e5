//! Caller rules: callers whom an account refuses (着信拒否), and callers who are answered before others (優先着信).
//!
//! Invariant: a rule names a number that callers show; nothing is done to a caller who withholds the number by one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::message::words;
use crate::identity::printable;
use crate::ids::RecordId;

/// Longest note of a rule, in characters.
pub const RULE_NOTE_CHARS_MAX: usize = 200;
/// Highest preference: it is added to the caller's priority in the queue.
pub const PREFERENCE_MAX: u32 = 5;

words! {
    /// What a rule does with a caller.
    CallerRuleKind {
        /// The call is refused before it is answered; its outcome is `refused`.
        Refuse = "refuse",
        /// The caller is answered before others.
        Prefer = "prefer",
    }
}

/// A rule of an account about a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallerRule {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The caller's number.
    pub number: String,
    /// What it does.
    pub rule: CallerRuleKind,
    /// How much a preferred caller gains in the queue; 0 for one who is refused.
    pub priority: u32,
    /// Why.
    pub note: String,
    /// Until when; absent: until somebody deletes it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub until: Option<Timestamp>,
    /// Who set it.
    pub by_name: String,
}

impl CallerRule {
    /// Whether it holds at this time.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

/// A rule to set. It replaces one of the same account and number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCallerRule {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The caller's number, in any form.
    pub number: String,
    /// What it does.
    pub rule: CallerRuleKind,
    /// How much a preferred caller gains in the queue, 1 to 5; 1 if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 5)]
    pub priority: Option<u32>,
    /// Why, up to 200 characters; a refusal needs one.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub note: String,
    /// Until when; absent: until somebody deletes it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// Why a rule is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct CallerRuleError {
    field: &'static str,
    problem: String,
}

impl NewCallerRule {
    /// The rule as of `now`, with its note cleaned.
    ///
    /// # Errors
    /// Names the field and what it permits.
    pub fn checked(self, now: Timestamp) -> Result<Self, CallerRuleError> {
        let invalid = |field, problem: String| Err(CallerRuleError { field, problem });
        let priority = match (self.rule, self.priority) {
            (CallerRuleKind::Refuse, None) => 0,
            (CallerRuleKind::Refuse, Some(_)) => {
                return invalid("priority", "a caller who is refused has none".to_owned());
            }
            (CallerRuleKind::Prefer, priority) => priority.unwrap_or(1),
        };
        if self.rule == CallerRuleKind::Prefer && !(1..=PREFERENCE_MAX).contains(&priority) {
            return invalid("priority", format!("1 to {PREFERENCE_MAX}"));
        }
        let note: String = printable(&self.note, usize::MAX).unwrap_or_default().into();
        if note.chars().count() > RULE_NOTE_CHARS_MAX {
            return invalid("note", format!("at most {RULE_NOTE_CHARS_MAX} characters"));
        }
        if note.is_empty() && self.rule == CallerRuleKind::Refuse {
            return invalid("note", "write why this caller is refused".to_owned());
        }
        if self.until.is_some_and(|until| until <= now) {
            return invalid("until", "a time to come".to_owned());
        }
        Ok(Self { priority: Some(priority), note, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_needs_a_reason_and_a_preference_a_priority() {
        let now = Timestamp::UNIX_EPOCH;
        let rule = |rule, priority, note: &str, until: Option<i64>| NewCallerRule {
            account: RecordId(uuid::Uuid::nil()),
            number: "0312345678".into(),
            rule,
            priority,
            note: note.into(),
            until: until.map(|second| Timestamp::from_second(second).unwrap()),
        };
        use CallerRuleKind::{Prefer, Refuse};
        for (new, expected) in [
            (rule(Refuse, None, "迷惑", Some(1)), Ok(Some(0))),
            (rule(Refuse, None, " ", None), Err("note")),
            (rule(Refuse, Some(1), "迷惑", None), Err("priority")),
            (rule(Refuse, None, &"長".repeat(201), None), Err("note")),
            (rule(Prefer, None, "", None), Ok(Some(1))),
            (rule(Prefer, Some(5), "", None), Ok(Some(5))),
            (rule(Prefer, Some(6), "", None), Err("priority")),
            (rule(Prefer, Some(0), "", None), Err("priority")),
            (rule(Prefer, None, "", Some(0)), Err("until")),
        ] {
            let found = new.clone().checked(now);
            let found = found.as_ref().map(|checked| checked.priority).map_err(|error| error.field);
            assert_eq!(found, expected, "{new:?}");
        }
    }
}
