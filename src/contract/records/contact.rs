//! Contacts: the people of an account to whom calls and messages go.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{NumberUse, StoredNumber, invalid, numbers, optional, required, single_line};
use super::search::contact_search_text;
use super::{EndpointKind, Language, RecordError, yes};
use crate::ids::RecordId;
use crate::mail::MailAddress;
use crate::numbers::NumberPlan;

/// Highest position in an on-call order.
pub const ON_CALL_ORDER_MAX: u32 = 1_000;
/// Shortest and longest ring time of a contact, in seconds.
pub const RING_S: std::ops::RangeInclusive<u32> = 5..=120;

/// Most days off of a contact.
pub const CONTACT_DAYS_OFF_MAX: usize = 400;

/// Most shifts of a contact: two a day for a year and more.
pub const ON_CALL_SHIFTS_MAX: usize = 800;

/// A time during which a contact is on call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnCallShift {
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub from: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub until: Timestamp,
}

impl OnCallShift {
    /// Whether one of the shifts covers `at`.
    #[must_use]
    pub fn any_covers(shifts: &[Self], at: Timestamp) -> bool {
        shifts.iter().any(|shift| (shift.from..shift.until).contains(&at))
    }
}

/// Those of an account's contacts who are on call at `at`, in the order in which they are given: who is in a shift by date; where
/// nobody is, who has a place in the on-call list.
pub fn on_call_at(contacts: &[Contact], at: Timestamp) -> impl Iterator<Item = &Contact> {
    let in_shift = move |contact: &Contact| OnCallShift::any_covers(&contact.fields.on_call_shifts, at);
    let by_date = contacts.iter().any(in_shift);
    contacts.iter().filter(
        move |contact| {
            if by_date { in_shift(contact) } else { contact.fields.on_call_order.is_some() }
        },
    )
}

/// The fields of a contact that a person sets.
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
    /// The person's role in the company.
    #[serde(default)]
    pub role: String,
    /// The number that calls for this contact go to.
    #[serde(default)]
    pub number: Option<String>,
    /// The address that messages for this contact go to.
    #[serde(default)]
    pub email: Option<String>,
    /// The position in the on-call list, from 1; absent: not on the list.
    #[serde(default)]
    pub on_call_order: Option<u32>,
    /// The contact must press 1 before a caller is connected, so that no voicemail box answers the call.
    #[serde(default = "yes")]
    pub accept_by_key: bool,
    /// How long the contact's phone rings for a transfer, in seconds; absent: the installation's.
    #[serde(default)]
    pub ring_s: Option<u32>,
    /// From when the contact is absent; absent with `absent_until`: already now.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub absent_from: Option<Timestamp>,
    /// Until when the contact is absent: messages go to the deputy meanwhile.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub absent_until: Option<Timestamp>,
    /// The contact of the same account who receives messages instead of this one while this one is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub deputy: Option<RecordId>,
    /// When the contact is on call by date; at most 800 times. While a contact of the account is in such a time, those who are
    /// take the place of the on-call list, in its order; at other times the list holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_call_shifts: Vec<OnCallShift>,
    /// Days on which the contact is absent, in the account's time zone; at most 400.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub days_off: Vec<Date>,
    /// No caller is transferred to this contact: operators take a message. A supervisor may go beyond it.
    #[serde(default)]
    pub no_transfer: bool,
    /// Callers must not learn this contact's number; the page hides it.
    #[serde(default)]
    pub do_not_tell: bool,
    /// The language of what this contact is sent, where the endpoint has none; absent: the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// How this contact is reached, in the order of preference, for instance `chatwork`, then `mail`: endpoints of these kinds come
    /// before the others, which follow by their priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoint_order: Vec<EndpointKind>,
}

/// Where a contact is, as the contact or the company said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// At work (在席).
    In,
    /// Out of the office (外出).
    Out,
    /// In a meeting (会議).
    Meeting,
    /// Not to be reached (不在, 休み).
    Away,
}

impl PresenceState {
    /// All states.
    pub const ALL: &[Self] = &[Self::In, Self::Out, Self::Meeting, Self::Away];

    /// The wire text of the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Meeting => "meeting",
            Self::Away => "away",
        }
    }

    /// The state with this wire text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == text)
    }
}

/// What somebody said about where a contact is. It holds until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Presence {
    /// Where the contact is.
    pub state: PresenceState,
    /// Until when that holds.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub until: Timestamp,
    /// The name of the person who wrote it down.
    pub by_name: String,
    /// When it was written down.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
}

/// A contact: a person of the account to whom a call or message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Contact {
    /// The record's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The fields that a person sets.
    #[serde(flatten)]
    pub fields: ContactFields,
    /// Where the contact is, as the last operator wrote it down; it may be over. The absence of the fields above is apart
    /// from it, and decides where messages go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
    /// When the record was created.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When the record was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

/// A contact's fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedContact {
    pub(crate) fields: ContactFields,
    pub(crate) number: Option<StoredNumber>,
    /// What a search by text compares; nothing while it is not known whole.
    pub(crate) search: Option<String>,
    /// Of a row of an import: the code of the deputy, who may be further down in the file.
    pub(crate) deputy_code: Option<String>,
}

impl ContactFields {
    /// Fields with only a name.
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
            absent_from: None,
            absent_until: None,
            deputy: None,
            on_call_shifts: Vec::new(),
            days_off: Vec::new(),
            no_transfer: false,
            do_not_tell: false,
            language: None,
            endpoint_order: Vec::new(),
        }
    }

    /// Cleans the text and parses the number.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn checked(mut self, plan: &NumberPlan) -> Result<CheckedContact, RecordError> {
        self.code = optional("code", self.code)?;
        self.name = required("name", &self.name)?;
        self.kana = single_line("kana", &self.kana)?;
        self.role = single_line("role", &self.role)?;
        self.email = optional("email", self.email)?;
        if let Some(email) = &self.email {
            let address = email.parse::<MailAddress>();
            self.email = Some(address.map_err(|error| invalid("email", error.to_string()))?.to_string());
        }
        if self.on_call_order.is_some_and(|order| order == 0 || order > ON_CALL_ORDER_MAX) {
            return Err(invalid("on_call_order", format!("from 1 to {ON_CALL_ORDER_MAX}")));
        }
        if self.ring_s.is_some_and(|seconds| !RING_S.contains(&seconds)) {
            return Err(invalid("ring_s", format!("from {} to {} seconds", RING_S.start(), RING_S.end())));
        }
        if self.absent_from.is_some() && self.absent_until.is_none_or(|until| Some(until) <= self.absent_from)
        {
            return Err(invalid("absent_until", "write a time after absent_from".to_owned()));
        }
        if self.days_off.len() > CONTACT_DAYS_OFF_MAX {
            return Err(invalid("days_off", format!("at most {CONTACT_DAYS_OFF_MAX} days")));
        }
        if self.on_call_shifts.len() > ON_CALL_SHIFTS_MAX {
            return Err(invalid("on_call_shifts", format!("at most {ON_CALL_SHIFTS_MAX} times")));
        }
        if self.on_call_shifts.iter().any(|shift| shift.until <= shift.from) {
            return Err(invalid("on_call_shifts", "write an end after the beginning".to_owned()));
        }
        let kinds: BTreeSet<EndpointKind> = self.endpoint_order.iter().copied().collect();
        if kinds.len() < self.endpoint_order.len() {
            return Err(invalid("endpoint_order", "write each kind once".to_owned()));
        }
        self.on_call_shifts.sort_unstable();
        self.on_call_shifts.dedup();
        self.days_off.sort_unstable();
        self.days_off.dedup();
        let mut texts: Vec<String> = self.number.take().into_iter().collect();
        let number = numbers("number", &mut texts, 1, (NumberUse::Subscriber, plan))?.pop();
        self.number = texts.pop();
        let search = Some(contact_search_text(&self, plan));
        Ok(CheckedContact { fields: self, number, search, deputy_code: None })
    }
}
