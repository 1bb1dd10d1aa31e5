//! An account and its people, as far as routes need them: when the account is open, who is there, and how each is reached.
//!
//! | a contact at a time | counts as |
//! |---|---|
//! | between `absent_from` and `absent_until` | absent |
//! | on one of their days off, in the account's time zone | absent |
//! | absent, with a deputy | the deputy, over at most [`DEPUTIES_MAX`] deputies who are absent themselves |
//! | absent, without a deputy who is there | left out, and the plan says so |
//!
//! While a contact is in one of its shifts by date, those in a shift are on call; else those of the on-call order.
//!
//! | an address | a message |
//! |---|---|
//! | suspended, or it has returned this message | does not go there; the next address of the same person gets it |
//! | closed, and says `next` | goes to the next one that is open, if there is one |
//! | closed, and says `hold`, or no other one is open | waits until it opens |

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::contract::holidays::HolidayCalendar;
use crate::contract::hours::Hours;
use crate::contract::records::{EndpointKind, OnCallShift, OutsideHours, UnansweredMinutes};
use crate::ids::RecordId;

/// Longest chain of deputies.
pub const DEPUTIES_MAX: usize = 5;
/// How far ahead the next opening is looked for, in days.
const OPENING_DAYS_MAX: i32 = 60;

/// How a person is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// By mail.
    Mail,
    /// In a chat: Slack, Teams, Chatwork, LINE WORKS (webhook or bot), Google Chat.
    Chat,
    /// By SMS.
    Sms,
    /// By fax.
    Fax,
    /// By an operator's call (電話連絡).
    Phone,
}

impl Way {
    /// The way that an endpoint of a kind is.
    #[must_use]
    pub fn of(kind: EndpointKind) -> Self {
        match kind {
            EndpointKind::Mail => Self::Mail,
            EndpointKind::Sms => Self::Sms,
            EndpointKind::Fax => Self::Fax,
            EndpointKind::Slack
            | EndpointKind::Teams
            | EndpointKind::Chatwork
            | EndpointKind::LineWorks
            | EndpointKind::LineWorksBot
            | EndpointKind::GoogleChat => Self::Chat,
        }
    }
}

/// When a person is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Absence {
    /// From this time; absent: from the beginning.
    pub from: Option<Timestamp>,
    /// Until this time; absent: there is no such absence.
    pub until: Option<Timestamp>,
    /// On these days, too.
    pub days_off: Vec<Date>,
}

/// An address at which messages arrive: a contact's own, or an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mailbox {
    /// The endpoint; absent: the contact's own address.
    pub endpoint: Option<RecordId>,
    /// The endpoint's code.
    pub code: Option<String>,
    /// What people call the endpoint.
    pub label: String,
    /// How messages go there.
    pub kind: EndpointKind,
    /// The address; of a secret one what is shown of it.
    pub address: String,
    /// Whether nothing is sent there any more.
    pub is_suspended: bool,
    /// When it may receive messages; absent: always.
    pub hours: Option<Hours>,
    /// What happens outside that time.
    pub outside: OutsideHours,
}

impl Mailbox {
    /// The earliest time from `at` on when it may receive a message.
    fn open_at(&self, at: Timestamp, calendar: &HolidayCalendar) -> Timestamp {
        let Some(hours) = self.hours.as_ref().filter(|_| self.outside != OutsideHours::Send) else {
            return at;
        };
        // The hours of an endpoint name their time zone.
        let state = hours.state(at, &TimeZone::UTC, calendar);
        if state.open { at } else { state.until.unwrap_or(at) }
    }
}

/// A contact of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The contact.
    pub id: RecordId,
    /// Its code.
    pub code: Option<String>,
    /// Its name.
    pub name: String,
    /// Whether it is in the on-call order.
    pub is_on_call: bool,
    /// When it is on call by date.
    pub shifts: Vec<OnCallShift>,
    /// Its addresses, in the order in which they are tried.
    pub mails: Vec<Mailbox>,
    /// Its number.
    pub phone: Option<String>,
    /// When it is not there.
    pub absence: Absence,
    /// Who is asked instead.
    pub deputy: Option<RecordId>,
}

/// What routes need of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// When it is open; absent: always.
    pub hours: Option<Hours>,
    /// The installation's time zone.
    pub installation_zone: TimeZone,
    /// The holidays.
    pub calendar: HolidayCalendar,
    /// Its contacts: those in the on-call order first, in that order.
    pub people: Vec<Person>,
    /// The account's own addresses, in the order in which they are tried.
    pub own: Vec<Mailbox>,
    /// Whether mails can be sent.
    pub has_mail_server: bool,
    /// How long a step waits for a confirmation that does not say so itself.
    pub unanswered_min: UnansweredMinutes,
}

impl Person {
    fn is_absent(&self, at: Timestamp, today: Date) -> bool {
        let absence = &self.absence;
        let is_away =
            absence.until.is_some_and(|until| at < until) && absence.from.is_none_or(|from| at >= from);
        is_away || absence.days_off.contains(&today)
    }
}

impl World {
    /// An account without hours and people.
    #[must_use]
    pub fn empty(installation_zone: TimeZone) -> Self {
        Self {
            hours: None,
            installation_zone,
            calendar: HolidayCalendar::default(),
            people: Vec::new(),
            own: Vec::new(),
            has_mail_server: true,
            unanswered_min: UnansweredMinutes::default(),
        }
    }

    /// The account's time zone.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        match &self.hours {
            Some(hours) => hours.zone(&self.installation_zone),
            None => self.installation_zone.clone(),
        }
    }

    /// The contacts who are on call at `at`: those in a shift, else those of the on-call order.
    pub fn on_call(&self, at: Timestamp) -> impl Iterator<Item = &Person> {
        let in_shift = move |person: &Person| OnCallShift::any_covers(&person.shifts, at);
        let by_date = self.people.iter().any(in_shift);
        self.people.iter().filter(move |person| if by_date { in_shift(person) } else { person.is_on_call })
    }

    /// The contact with this id.
    #[must_use]
    pub fn person(&self, id: RecordId) -> Option<&Person> {
        self.people.iter().find(|person| person.id == id)
    }

    /// The contact with this code.
    #[must_use]
    pub fn by_code(&self, code: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.code.as_deref() == Some(code))
    }

    /// The endpoint with this code, and the contact to whom it belongs.
    #[must_use]
    pub fn endpoint(&self, code: &str) -> Option<(&Mailbox, Option<&Person>)> {
        let of_people =
            self.people.iter().flat_map(|person| person.mails.iter().map(move |mail| (mail, Some(person))));
        let own = self.own.iter().map(|mail| (mail, None));
        of_people.chain(own).find(|(mail, _)| mail.code.as_deref() == Some(code))
    }

    /// Whether something sends messages of a kind.
    #[must_use]
    pub fn can_send(&self, kind: EndpointKind) -> bool {
        self.has_mail_server || !kind.needs_mail_server()
    }

    /// The address to which a message goes at `at`, and when it may arrive there. `left_out`: the addresses that have returned it.
    #[must_use]
    pub fn first_open<'a>(
        &self,
        mails: impl IntoIterator<Item = &'a Mailbox>,
        at: Timestamp,
        left_out: &[&str],
    ) -> Option<(&'a Mailbox, Timestamp)> {
        let mut closed = None;
        for mail in mails {
            if mail.is_suspended || !self.can_send(mail.kind) || left_out.contains(&mail.address.as_str()) {
                continue;
            }
            let opens = mail.open_at(at, &self.calendar);
            if opens <= at || mail.outside != OutsideHours::Next {
                return Some((mail, opens));
            }
            closed = closed.or(Some((mail, opens)));
        }
        closed
    }

    /// Whether the account is open.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.is_open(at, &self.installation_zone, &self.calendar))
    }

    /// Whether a contact is absent.
    #[must_use]
    pub fn is_absent(&self, person: &Person, at: Timestamp) -> bool {
        person.is_absent(at, at.to_zoned(self.zone()).date())
    }

    /// Who is asked for a contact: the contact, or a deputy who is there. `None`: all of them are absent.
    #[must_use]
    pub fn present<'a>(&'a self, person: &'a Person, at: Timestamp) -> Option<&'a Person> {
        let mut asked = person;
        for _ in 0..=DEPUTIES_MAX {
            if !self.is_absent(asked, at) {
                return Some(asked);
            }
            asked = self.person(asked.deputy?)?;
        }
        None
    }

    /// When the account opens next after `at`; `at` if it is open.
    #[must_use]
    pub fn next_opening(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_open(at) {
            return Some(at);
        }
        let until = at.checked_add(std::time::Duration::from_secs(OPENING_DAYS_MAX as u64 * 86_400)).ok()?;
        self.boundaries(at, until, &[]).into_iter().find(|time| *time > at && self.is_open(*time))
    }

    /// The times after `from`, up to `to`, at which something about this account may change: it opens or closes, a day begins, a
    /// contact leaves or returns, or one of `times` of a day comes.
    #[must_use]
    pub fn boundaries(
        &self,
        from: Timestamp,
        to: Timestamp,
        times: &[jiff::civil::Time],
    ) -> BTreeSet<Timestamp> {
        let zone = self.zone();
        let (first, last) = (from.to_zoned(zone.clone()).date(), to.to_zoned(zone.clone()).date());
        let spans = self.hours.iter().flat_map(Hours::times);
        let mails = self.people.iter().flat_map(|person| &person.mails).chain(&self.own);
        let of_mails: Vec<&Hours> = mails.filter_map(|mail| mail.hours.as_ref()).collect();
        let midnight = jiff::civil::Time::midnight();
        let times: BTreeSet<_> = spans.chain(times.iter().copied()).chain([midnight]).collect();
        let mut found = BTreeSet::new();
        for hours in of_mails {
            let zone = hours.zone(&zone);
            let first = from.to_zoned(zone.clone()).date();
            for date in first.series(jiff::ToSpan::days(1)).take_while(|date| *date <= last) {
                let at = |time: jiff::civil::Time| date.to_datetime(time).to_zoned(zone.clone()).ok();
                found.extend(hours.times().chain([midnight]).filter_map(at).map(|zoned| zoned.timestamp()));
            }
        }
        for date in first.series(jiff::ToSpan::days(1)).take_while(|date| *date <= last) {
            found.extend(times.iter().filter_map(|time| {
                date.to_datetime(*time).to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
            }));
        }
        found.extend(self.people.iter().flat_map(|p| [p.absence.from, p.absence.until]).flatten());
        found.retain(|time| *time > from && *time <= to);
        found
    }
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::*;

    pub(crate) fn id(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    pub(crate) fn mailbox(address: &str) -> Mailbox {
        Mailbox { address: address.to_owned(), ..Mailbox::default() }
    }

    /// A contact with address and number, in the on-call order.
    pub(crate) fn person(n: u128) -> Person {
        Person {
            id: id(n),
            code: Some(format!("c{n}")),
            name: format!("担当{n}"),
            is_on_call: true,
            shifts: Vec::new(),
            mails: vec![mailbox(&format!("c{n}@example.jp"))],
            phone: Some(format!("+8190000000{n:02}")),
            absence: Absence::default(),
            deputy: None,
        }
    }

    pub(crate) fn world(people: Vec<Person>) -> World {
        World {
            hours: Hours::read("月-金 09:00-18:00; 休 2026-12-01").unwrap(),
            people,
            ..World::empty(TimeZone::get("Asia/Tokyo").unwrap())
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_deputy_stands_in_and_a_circle_of_deputies_ends() {
        let mut people = vec![person(1), person(2), person(3)];
        let now = at("2026-11-30T10:00:00+09:00");
        people[0].absence.days_off = vec![jiff::civil::date(2026, 11, 30)];
        people[0].deputy = Some(id(2));
        let whose = |people: &[Person]| {
            let world = world(people.to_vec());
            world.present(&world.people[0], now).map(|person| person.id)
        };
        assert_eq!(whose(&people), Some(id(2)));
        people[1].absence.until = Some(at("2026-11-30T12:00:00+09:00"));
        assert_eq!(whose(&people), None, "the deputy is away and has none");
        people[1].deputy = Some(id(3));
        assert_eq!(whose(&people), Some(id(3)));
        people[2].absence.until = people[1].absence.until;
        people[2].deputy = Some(id(1));
        assert_eq!(whose(&people), None);
        people[1].absence.from = Some(at("2026-11-30T11:00:00+09:00"));
        assert_eq!(whose(&people), Some(id(2)), "not away yet");
    }

    #[test]
    fn the_next_opening_knows_nights_weekends_and_days_off() {
        let world = world(vec![]);
        for (now, opens) in [
            ("2026-11-27T10:00:00+09:00", "2026-11-27T10:00:00+09:00"),
            ("2026-11-27T18:00:00+09:00", "2026-11-30T09:00:00+09:00"),
            ("2026-11-30T20:00:00+09:00", "2026-12-02T09:00:00+09:00"),
        ] {
            assert_eq!(world.next_opening(at(now)), Some(at(opens)), "{now}");
        }
        let never = World { hours: Hours::read("月 09:00-09:01; 休 2026-12-07").unwrap(), ..world };
        assert_eq!(
            never.next_opening(at("2026-12-06T10:00:00+09:00")),
            Some(at("2026-12-14T09:00:00+09:00"))
        );
    }
}
