//! Who of an account is on call when, for the step `reach`.
//!
//! | at a time | who is called, in the order of the on-call list |
//! |---|---|
//! | a contact is in a shift by date | the contacts who are in one |
//! | else | the contacts with a place in the list |
//!
//! Contacts who take no calls (`no_transfer`), or whose number may not be dialled for the account, are left out, as with a
//! transfer to `on-call`.
//!
//! The list of each time becomes a *variant* of a treatment: `c` is the treatment with the list, `c1` and so on are those with
//! shifts. At the end of the schedule the list holds.
//!
//! Invariant: pure. A contact's number goes to the PBX and nowhere else: it is in no JSON.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::schedule::{minute_after, minute_of, timestamp};
use crate::contract::records::{Account, Contact, OnCallShift, on_call_at};
use crate::ids::RecordId;
use crate::numbers::{Number, NumberKind, NumberPlan};

/// Most people who are called for one call: contacts on call, then numbers.
pub const ON_CALL_MAX: usize = 5;
/// Most lists of an account beside the usual one; the usual one holds in further times.
pub const VARIANTS_MAX: usize = 30;

/// A contact who is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CallflowContact)]
pub struct OnCallPerson {
    /// The contact.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The contact's name.
    pub name: String,
    /// As it is dialled.
    #[serde(skip)]
    pub number: String,
    /// How long the phone rings, where the contact has a time of its own.
    #[serde(skip)]
    pub ring_s: Option<u32>,
    /// Whether the contact may have to press 1.
    #[serde(skip)]
    pub accept: bool,
}

/// The contacts of an account who may be called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnCall {
    contacts: Vec<Contact>,
    people: Vec<OnCallPerson>,
}

/// The lists of an account, and from which minute on each holds. The first is the usual one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Variants {
    pub(super) lists: Vec<Vec<OnCallPerson>>,
    /// Minutes since 1970, the first at the base, each with the place of its list.
    pub(super) changes: Vec<(i64, u8)>,
}

impl OnCall {
    /// Of the contacts of an account, in the order of its on-call list.
    #[must_use]
    pub fn of(account: &Account, contacts: Vec<Contact>, plan: &NumberPlan) -> Self {
        let opened = &account.fields.extra_numbers;
        let dialled = |contact: &Contact| {
            let number = Number::read(contact.fields.number.as_deref()?, plan)?;
            let is_phone = number.kind() == NumberKind::Extension;
            let number = match is_phone {
                true => number.key().to_owned(),
                false => number.permitted_dial_string(plan, opened)?.to_string(),
            };
            Some(OnCallPerson {
                id: contact.id,
                name: contact.fields.name.clone(),
                number,
                ring_s: contact.fields.ring_s,
                accept: contact.fields.accept_by_key && account.fields.accept_by_key && !is_phone,
            })
        };
        let found = contacts.into_iter().filter(|contact| !contact.fields.no_transfer);
        let (contacts, people) =
            found.filter_map(|contact| dialled(&contact).map(|person| (contact, person))).unzip();
        Self { contacts, people }
    }

    /// Who is called at this time.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Vec<OnCallPerson> {
        let called = on_call_at(&self.contacts, at).filter_map(|contact| self.person(contact.id));
        called.take(ON_CALL_MAX).cloned().collect()
    }

    fn person(&self, id: RecordId) -> Option<&OnCallPerson> {
        self.people.iter().find(|person| person.id == id)
    }

    fn usual(&self) -> Vec<OnCallPerson> {
        let listed = self.contacts.iter().filter(|contact| contact.fields.on_call_order.is_some());
        listed.filter_map(|contact| self.person(contact.id)).take(ON_CALL_MAX).cloned().collect()
    }

    /// The lists from a minute since 1970 until another one.
    pub(super) fn variants(&self, base: i64, end: i64) -> Variants {
        let mut minutes = BTreeSet::from([base]);
        let shifts = self.contacts.iter().flat_map(|contact| &contact.fields.on_call_shifts);
        for OnCallShift { from, until } in shifts {
            minutes.extend([minute_of(*from), minute_after(*from), minute_after(*until)]);
        }
        let mut variants = Variants { lists: vec![self.usual()], changes: Vec::new() };
        for minute in minutes.range(base..end) {
            let list = self.at(timestamp(*minute));
            let known = variants.lists.iter().position(|one| *one == list);
            let place = known.unwrap_or_else(|| {
                if variants.lists.len() > VARIANTS_MAX {
                    return 0;
                }
                variants.lists.push(list);
                variants.lists.len() - 1
            });
            // There are few.
            let place = u8::try_from(place).unwrap_or(0);
            if variants.changes.last().is_none_or(|(_, last)| *last != place) {
                variants.changes.push((*minute, place));
            }
        }
        variants
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;
    use crate::contract::records::{AccountFields, ContactFields};

    fn account() -> Account {
        let moment = Timestamp::UNIX_EPOCH;
        let id = RecordId(Uuid::from_u128(7));
        Account { id, fields: AccountFields::default(), created_at: moment, changed_at: moment }
    }

    fn contact(n: u128, number: &str, order: Option<u32>, shifts: &[(i64, i64)]) -> Contact {
        let at = |minute: i64| timestamp(minute);
        let mut fields = ContactFields::named(account().id, &format!("当番{n}"));
        (fields.number, fields.on_call_order) = (Some(number.into()), order);
        fields.on_call_shifts =
            shifts.iter().map(|(from, until)| OnCallShift { from: at(*from), until: at(*until) }).collect();
        let moment = Timestamp::UNIX_EPOCH;
        let id = RecordId(Uuid::from_u128(n));
        Contact { id, fields, presence: None, created_at: moment, changed_at: moment }
    }

    fn on_call(contacts: Vec<Contact>) -> OnCall {
        let mut account = account();
        account.fields.accept_by_key = true;
        OnCall::of(&account, contacts, &NumberPlan::default())
    }

    fn numbers(list: &[OnCallPerson]) -> Vec<&str> {
        list.iter().map(|person| person.number.as_str()).collect()
    }

    #[test]
    fn shifts_take_the_place_of_the_list_and_who_takes_no_calls_is_in_neither() {
        let mut lawyer = contact(3, "09033334444", Some(3), &[]);
        lawyer.fields.no_transfer = true;
        let all = on_call(vec![
            contact(1, "090-1111-2222", Some(1), &[]),
            contact(2, "1003", Some(2), &[(100, 200), (150, 300)]),
            lawyer,
            // Not a number that may be dialled.
            contact(4, "0570123456", Some(4), &[]),
            contact(5, "0312345678", None, &[(180, 200)]),
        ]);
        let variants = all.variants(50, 1_000);
        let lists: Vec<_> = variants.lists.iter().map(|list| numbers(list)).collect();
        assert_eq!(lists, [vec!["09011112222", "1003"], vec!["1003"], vec!["1003", "0312345678"]]);
        assert_eq!(variants.changes, [(50, 0), (100, 1), (180, 2), (200, 1), (300, 0)]);
        // At every minute the list is the one of that minute.
        for minute in 50..400 {
            let place = variants.changes.iter().rev().find(|(from, _)| *from <= minute).unwrap().1;
            assert_eq!(variants.lists[usize::from(place)], all.at(timestamp(minute)), "{minute}");
        }
        let person = &all.at(timestamp(60))[0];
        assert!(person.accept, "a public number presses 1");
        assert!(!all.at(timestamp(60))[1].accept, "a phone of the PBX does not");
        let json = serde_json::to_string(person).unwrap();
        assert!(json.contains("当番1") && !json.contains("1111"), "{json}");
    }

    #[test]
    fn a_shift_that_begins_within_a_minute_and_more_lists_than_are_kept() {
        let mut one = contact(1, "09011112222", None, &[(100, 200)]);
        one.fields.on_call_shifts[0].from += SignedDuration::from_secs(30);
        let variants = on_call(vec![one]).variants(0, 300);
        assert_eq!(variants.changes, [(0, 0), (101, 1), (200, 0)]);
        let many: Vec<_> = (0..40_u32)
            .map(|n| {
                let from = i64::from(n) * 10;
                contact(u128::from(n) + 1, &format!("090111122{n:02}"), None, &[(from, from + 10)])
            })
            .collect();
        let variants = on_call(many).variants(0, 500);
        assert_eq!(variants.lists.len(), VARIANTS_MAX + 1);
        assert_eq!(variants.changes.last(), Some(&(300, 0)));
    }
}
