//! When a route applies: an inline table, in which every key must hold and a list means any of its values.
//!
//! | key | holds when |
//! |---|---|
//! | `urgency`, `reason`, `action`, `mark` | the message has (one of) these |
//! | `hours` | the account is `open` or `closed` when the message is sent |
//! | `day` | it is this day of the week, in the account's time zone |
//! | `time` | it is within these times of the day, for instance `"18:00-09:00"`, which crosses midnight |
//! | `named` | the message names a contact (`true`), or nobody (`false`) |
//! | `contact` | the message names the contact with (one of) these codes |

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use jiff::civil::Time;
use serde::de::value::StrDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::world::World;
use crate::contract::hours::Day;
use crate::contract::message::{Action, Mark, MessageFields, Urgency};
use crate::ids::RecordId;

/// What routes need of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageFacts {
    /// The contact whom it names.
    #[serde(default)]
    pub contact: Option<RecordId>,
    /// How urgent it is.
    #[serde(default)]
    pub urgency: Urgency,
    /// Why the caller called.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the caller expects.
    #[serde(default)]
    pub action: Action,
    /// A complaint, or thanks.
    #[serde(default)]
    pub mark: Option<Mark>,
}

impl From<&MessageFields> for MessageFacts {
    fn from(fields: &MessageFields) -> Self {
        Self {
            contact: fields.contact,
            urgency: fields.urgency,
            reason: fields.reason.clone(),
            action: fields.action,
            mark: fields.mark,
        }
    }
}

/// When a route applies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the table above")]
pub struct When {
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub urgency: Vec<Urgency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursState>,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub day: Vec<Day>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Daily>,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub reason: Vec<String>,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub action: Vec<Action>,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub mark: Vec<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<bool>,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
}

/// Whether the account is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoursState {
    /// It is.
    Open,
    /// It is not.
    Closed,
}

/// A span of each day, which may cross midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Daily {
    from: Time,
    to: Time,
}

impl Daily {
    fn contains(self, time: Time) -> bool {
        let (after, before) = (time >= self.from, time < self.to);
        if self.to <= self.from { after || before } else { after && before }
    }

    /// Its two ends.
    #[must_use]
    pub fn ends(self) -> [Time; 2] {
        [self.from, self.to]
    }
}

impl TryFrom<String> for Daily {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let clock = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
            Time::new(if (hour, minute) == (24, 0) { 0 } else { hour }, minute, 0, 0).ok()
        };
        let span =
            text.split_once('-').and_then(|(from, to)| Some(Self { from: clock(from)?, to: clock(to)? }));
        span.ok_or_else(|| format!("{text:?} is no span of a day: write it as \"18:00-09:00\""))
    }
}

impl From<Daily> for String {
    fn from(daily: Daily) -> Self {
        format!("{}-{}", daily.from.strftime("%H:%M"), daily.to.strftime("%H:%M"))
    }
}

impl When {
    /// Whether it always applies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it applies to a message at `at`.
    #[must_use]
    pub fn holds(&self, facts: &MessageFacts, world: &World, at: Timestamp) -> bool {
        let local = at.to_zoned(world.zone());
        let is_in = |empty: bool, is_in: bool| empty || is_in;
        let contact = facts.contact.and_then(|id| world.person(id));
        let code = contact.and_then(|contact| contact.code.as_deref());
        is_in(self.urgency.is_empty(), self.urgency.contains(&facts.urgency))
            && self.hours.is_none_or(|hours| (hours == HoursState::Open) == world.is_open(at))
            && is_in(self.day.is_empty(), self.day.iter().any(|day| day.weekday() == local.weekday()))
            && self.time.is_none_or(|time| time.contains(local.time()))
            && is_in(self.reason.is_empty(), facts.reason.as_ref().is_some_and(|r| self.reason.contains(r)))
            && is_in(self.action.is_empty(), self.action.contains(&facts.action))
            && is_in(self.mark.is_empty(), facts.mark.is_some_and(|mark| self.mark.contains(&mark)))
            && self.named.is_none_or(|named| named == contact.is_some())
            && is_in(self.contact.is_empty(), code.is_some_and(|code| self.contact.iter().any(|c| c == code)))
    }
}

/// A value, or a list of values.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word or a list of words")
        }

        fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(StrDeserializer::<E>::new(word))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                values.push(value);
            }
            if values.is_empty() {
                return Err(serde::de::Error::custom(
                    "the list is empty, so it never holds: leave the key out",
                ));
            }
            Ok(values)
        }
    }

    deserializer.deserialize_any(OneOrMany(PhantomData))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::contract::hours::Hours;

    fn holds(when: &str, facts: &MessageFacts, at: &str) -> bool {
        let when: When = toml::from_str(when).unwrap();
        let mut world = World::empty(TimeZone::get("Asia/Tokyo").unwrap());
        world.hours = Hours::read("月-金 09:00-18:00").unwrap();
        when.holds(facts, &world, at.parse().unwrap())
    }

    #[test]
    fn every_key_must_hold_and_a_list_means_any() {
        let urgent = MessageFacts {
            urgency: Urgency::Urgent,
            reason: Some("claim".into()),
            mark: Some(Mark::Complaint),
            ..MessageFacts::default()
        };
        // A Friday.
        let (day, night) = ("2026-11-27T10:00:00+09:00", "2026-11-27T22:00:00+09:00");
        for (when, at, expected) in [
            ("", day, true),
            ("urgency = 'urgent'", day, true),
            ("urgency = ['low', 'normal']", day, false),
            ("urgency = 'urgent'\nhours = 'closed'", day, false),
            ("urgency = 'urgent'\nhours = 'closed'", night, true),
            ("day = ['sat', 'sun']", day, false),
            ("day = 'fri'", day, true),
            ("time = '18:00-09:00'", night, true),
            ("time = '18:00-09:00'", day, false),
            ("time = '09:00-10:00'", day, false),
            ("reason = ['claim', 'order']", day, true),
            ("reason = 'order'", day, false),
            ("mark = 'thanks'", day, false),
            ("action = 'none'", day, true),
            ("named = true", day, false),
            ("named = false", day, true),
            ("contact = 'doctor'", day, false),
        ] {
            assert_eq!(holds(when, &urgent, at), expected, "{when} at {at}");
        }
        assert!(toml::from_str::<When>("urgency = []").is_err());
        assert!(toml::from_str::<When>("time = '18-9'").is_err());
    }
}
