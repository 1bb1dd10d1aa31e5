//! Account notices (本日の連絡事項): what holds for an account until a given time, written by the person who took the call that said so.
//!
//! Invariant: a notice has an end. What holds without one is the account's own notes, which an administrator writes.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::records::{RecordError, paragraphs};
use crate::ids::RecordId;

/// Longest text of a notice, in characters.
pub const NOTICE_CHARS_MAX: usize = 300;
/// Most notices of an account that are not over.
pub const NOTICES_PER_ACCOUNT_MAX: u32 = 20;
/// The latest end of a notice, from when it is written.
pub const NOTICE_LENGTH_MAX: SignedDuration = SignedDuration::from_hours(24 * 92);

/// What a person says about a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeFields {
    /// The account that it is about.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// What operators must know, for instance `社長は終日外出`; up to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    pub text: String,
    /// From when it holds; absent: from now on.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Until when it holds, at most 92 days from now; absent: until the end of the day on which it begins.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountNotice {
    /// The record's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The account that it is about.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// What operators must know.
    pub text: String,
    /// From when it holds.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// Until when it holds.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub until: Timestamp,
    /// The name of the person who wrote it, or changed it last.
    pub by_name: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

/// A notice's fields, checked and complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedNotice {
    pub(crate) account: RecordId,
    pub(crate) text: String,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl NoticeFields {
    /// Cleans the text and completes the times, in the time zone of the installation.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn checked(self, now: Timestamp, zone: &TimeZone) -> Result<CheckedNotice, RecordError> {
        let invalid = |field, problem: &str| RecordError { field, problem: problem.to_owned() };
        let text = paragraphs("text", &self.text, NOTICE_CHARS_MAX)?;
        if text.is_empty() {
            return Err(invalid("text", "must not be empty"));
        }
        let from = self.from.unwrap_or(now);
        let until = self.until.or_else(|| end_of_day(from.max(now), zone));
        let until = until.ok_or_else(|| invalid("from", "too far away"))?;
        if until <= from.max(now) {
            return Err(invalid("until", "write a time after from, in the future"));
        }
        if now.checked_add(NOTICE_LENGTH_MAX).is_ok_and(|latest| until > latest) {
            return Err(invalid(
                "until",
                "at most 92 days from now; what holds for longer belongs into the notes",
            ));
        }
        Ok(CheckedNotice { account: self.account, text, from, until })
    }
}

impl AccountNotice {
    /// Whether it holds at this time.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    /// What a person may change of it.
    #[must_use]
    pub fn fields(&self) -> NoticeFields {
        NoticeFields {
            account: self.account,
            text: self.text.clone(),
            from: Some(self.from),
            until: Some(self.until),
        }
    }
}

/// When the day of `at` ends in this time zone.
#[must_use]
pub fn end_of_day(at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let next = at.to_zoned(zone.clone()).date().tomorrow().ok()?;
    Some(next.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn fields(text: &str) -> NoticeFields {
        NoticeFields { account: RecordId(uuid::Uuid::nil()), text: text.to_owned(), from: None, until: None }
    }

    #[test]
    fn a_notice_without_times_holds_for_the_rest_of_the_day() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let now = at("2026-11-30T10:15:00+09:00");
        let checked = fields(" 社長は終日外出\u{202e} ").checked(now, &zone).unwrap();
        assert_eq!((checked.text.as_str(), checked.from), ("社長は終日外出", now));
        assert_eq!(checked.until, at("2026-12-01T00:00:00+09:00"));
        let later = NoticeFields { from: Some(at("2026-12-03T09:00:00+09:00")), ..fields("休業") };
        assert_eq!(later.checked(now, &zone).unwrap().until, at("2026-12-04T00:00:00+09:00"));
    }

    #[test]
    fn what_is_no_notice_is_refused_with_its_field() {
        let now = at("2026-11-30T10:15:00+09:00");
        let until = |text: &str| NoticeFields { until: Some(at(text)), ..fields("x") };
        for (fields, field) in [
            (fields("  \n "), "text"),
            (fields(&"あ".repeat(301)), "text"),
            (until("2026-11-30T10:15:00+09:00"), "until"),
            (
                NoticeFields {
                    from: Some(at("2026-12-02T00:00:00+09:00")),
                    ..until("2026-12-01T00:00:00+09:00")
                },
                "until",
            ),
            (until("2027-03-03T00:00:00+09:00"), "until"),
        ] {
            assert_eq!(fields.clone().checked(now, &TimeZone::UTC).unwrap_err().field, field, "{fields:?}");
        }
        assert!(fields(&"あ".repeat(300)).checked(now, &TimeZone::UTC).is_ok());
    }
}
