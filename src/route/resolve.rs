//! Whom a step of a route reaches at a time, and why it reaches others not.
//!
//! Invariant: a person is reached once in a step, however often the step names them. Whom a step cannot reach is in its notes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::condition::MessageFacts;
use super::document::{Outside, Recipient, Step, Until};
use super::world::{Mailbox, Person, Way, World};
use crate::contract::records::EndpointKind;
use crate::ids::RecordId;

/// How a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A mail.
    Mail,
    /// A chat.
    Chat,
    /// An SMS.
    Sms,
    /// A fax.
    Fax,
    /// An operator calls.
    Phone,
    /// The operator who took the message is alarmed.
    Taker,
    /// The supervisors are alarmed.
    Supervisors,
}

impl TargetKind {
    /// Whether it is the account that is reached, and not a person of the answering service.
    #[must_use]
    pub fn is_of_account(self) -> bool {
        self.is_delivery() || self == Self::Phone
    }

    /// Whether it is reached by a delivery.
    #[must_use]
    pub fn is_delivery(self) -> bool {
        matches!(self, Self::Mail | Self::Chat | Self::Sms | Self::Fax)
    }

    /// The kind of target that an endpoint of a kind is.
    #[must_use]
    pub fn of(kind: EndpointKind) -> Self {
        match Way::of(kind) {
            Way::Mail => Self::Mail,
            Way::Chat => Self::Chat,
            Way::Sms => Self::Sms,
            Way::Fax => Self::Fax,
            Way::Phone => Self::Phone,
        }
    }
}

/// One recipient of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How.
    pub kind: TargetKind,
    /// The contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<RecordId>,
    /// The contact's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of a delivery: over what.
    #[serde(default, skip_serializing_if = "is_mail")]
    pub channel: EndpointKind,
    /// The address or the number; of a secret address what is shown of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The endpoint; absent: the contact's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<RecordId>,
    /// What people call the endpoint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The name of the contact for whom this one stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// Not before this time: the account or the endpoint is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

fn is_mail(kind: &EndpointKind) -> bool {
    *kind == EndpointKind::Mail
}

impl Target {
    /// A person of the answering service, without an address.
    fn inside(kind: TargetKind) -> Self {
        Self {
            kind,
            channel: EndpointKind::Mail,
            contact: None,
            name: String::new(),
            address: String::new(),
            endpoint: None,
            label: String::new(),
            instead_of: None,
            not_before: None,
        }
    }

    /// A call to a contact, or to a number of nobody known.
    #[must_use]
    pub fn phone(contact: Option<RecordId>, number: Option<String>) -> Self {
        let address = number.unwrap_or_default();
        Self { contact, address, ..Self::inside(TargetKind::Phone) }
    }

    fn mail(mail: &Mailbox, person: Option<&Person>, (at, opens): (Timestamp, Timestamp)) -> Self {
        Self {
            kind: TargetKind::of(mail.kind),
            channel: mail.kind,
            contact: person.map(|person| person.id),
            name: person.map(|person| person.name.clone()).unwrap_or_default(),
            address: mail.address.clone(),
            endpoint: mail.endpoint,
            label: mail.label.clone(),
            instead_of: None,
            not_before: (opens > at).then_some(opens),
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.address == other.address
    }
}

/// Why a step does not reach somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Note {
    /// The message names no contact, or one that was deleted.
    NobodyNamed,
    /// No contact has this code.
    UnknownContact {
        /// The code.
        contact: String,
    },
    /// No endpoint has this code.
    UnknownEndpoint {
        /// The code.
        endpoint: String,
    },
    /// Each address is suspended, or has returned the message.
    AddressSuspended {
        /// The name of the contact, or the label of the endpoint.
        name: String,
    },
    /// The contact is absent, and nobody stands in.
    Absent {
        /// Its name.
        name: String,
    },
    /// The contact has neither of the addresses that the step may use.
    NoAddress {
        /// Its name.
        name: String,
    },
    /// The on-call order is empty, or nobody in it is there.
    NobodyOnCall,
    /// The account is closed, and the step leaves its recipients out.
    Closed,
    /// No mail server is configured.
    NoMailServer,
}

/// Whom a step reaches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Resolved {
    /// Those who are asked.
    pub(super) targets: Vec<Target>,
    /// Those who get a copy.
    pub(super) copies: Vec<Target>,
    /// Who is not reached.
    pub(super) notes: Vec<Note>,
}

/// When a step begins, and which addresses have returned the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) at: Timestamp,
    pub(super) left_out: &'a [&'a str],
}

/// Whom `step` reaches at a moment.
pub(super) fn resolve(step: &Step, facts: &MessageFacts, world: &World, now: Moment<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    let mut resolver = Resolver { step, facts, world, now, notes: Vec::new() };
    for recipient in &step.to {
        resolver.add(recipient, &step.via, &mut resolved.targets);
    }
    for recipient in &step.also {
        resolver.add(recipient, &[Way::Mail], &mut resolved.copies);
    }
    let targets = &resolved.targets;
    resolved.copies.retain(|copy| targets.iter().all(|target| !target.is_same(copy)));
    resolved.notes = resolver.notes;
    resolved
}

/// How `step` reaches a contact whose address has returned the message; `None` if there is no other way.
pub(super) fn resolve_again(
    step: &Step,
    facts: &MessageFacts,
    world: &World,
    person: RecordId,
    now: Moment<'_>,
) -> Option<Target> {
    let mut resolver = Resolver { step, facts, world, now, notes: Vec::new() };
    let mut targets = Vec::new();
    resolver.add_person(world.person(person)?, &step.via, &mut targets);
    targets.pop()
}

/// Whom the built-in route reaches: the first address of the contact whom the message names, even if absent; else the first one
/// of the contacts in the on-call order, those who are there before those who are not, and then of the account itself.
pub(super) fn resolve_built_in(facts: &MessageFacts, world: &World, now: Moment<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    let named = facts.contact.and_then(|id| world.person(id));
    let people: Vec<&Person> = match (named, facts.contact) {
        (Some(named), _) => {
            let deputy = world.present(named, now.at).filter(|person| person.id != named.id);
            deputy.into_iter().chain([named]).collect()
        }
        (None, Some(_)) => Vec::new(),
        (None, None) => {
            let on_call = || world.on_call(now.at);
            let (absent, present) =
                on_call().partition::<Vec<_>, _>(|person| world.is_absent(person, now.at));
            present.into_iter().chain(absent).collect()
        }
    };
    let own = world.own.iter().filter(|_| facts.contact.is_none());
    let of_people = people.iter().flat_map(|person| person.mails.iter().map(|mail| (mail, Some(*person))));
    let all: Vec<(&Mailbox, Option<&Person>)> = of_people.chain(own.map(|mail| (mail, None))).collect();
    if let Some((found, opens)) = world.first_open(all.iter().map(|(mail, _)| *mail), now.at, now.left_out) {
        let person = all.iter().find(|(mail, _)| std::ptr::eq(*mail, found)).and_then(|(_, person)| *person);
        let mut target = Target::mail(found, person, (now.at, opens));
        target.instead_of = named
            .filter(|named| person.is_some_and(|person| person.id != named.id))
            .map(|named| named.name.clone());
        resolved.targets.push(target);
        return resolved;
    }
    if !world.has_mail_server {
        resolved.notes.push(Note::NoMailServer);
        return resolved;
    }
    let first = people.last().filter(|_| named.is_some()).or(people.first());
    let name = first.map(|person| person.name.clone());
    resolved.notes.push(match (name, all.first()) {
        (name, Some((mail, _))) => {
            Note::AddressSuspended { name: name.unwrap_or_else(|| mail.label.clone()) }
        }
        (Some(name), None) => Note::NoAddress { name },
        (None, None) if facts.contact.is_some() => Note::NobodyNamed,
        (None, None) => Note::NobodyOnCall,
    });
    resolved
}

struct Resolver<'a> {
    step: &'a Step,
    facts: &'a MessageFacts,
    world: &'a World,
    now: Moment<'a>,
    notes: Vec<Note>,
}

impl Resolver<'_> {
    /// Adds whom `recipient` stands for to `targets`.
    fn add(&mut self, recipient: &Recipient, via: &[Way], targets: &mut Vec<Target>) {
        let world = self.world;
        match recipient {
            Recipient::Supervisors => push(targets, Target::inside(TargetKind::Supervisors)),
            Recipient::Taker => push(targets, Target::inside(TargetKind::Taker)),
            Recipient::Named => match self.facts.contact.and_then(|id| world.person(id)) {
                Some(person) => self.add_person(person, via, targets),
                None => self.notes.push(Note::NobodyNamed),
            },
            Recipient::Contact(code) => match world.by_code(code) {
                Some(person) => self.add_person(person, via, targets),
                None => self.notes.push(Note::UnknownContact { contact: code.clone() }),
            },
            Recipient::Endpoint(code) => match world.endpoint(code) {
                Some((mail, person)) => self.add_mail([mail], person, targets),
                None => self.notes.push(Note::UnknownEndpoint { endpoint: code.clone() }),
            },
            Recipient::OnCall | Recipient::Account => {
                let before = targets.len();
                let mut found = false;
                for person in world.on_call(self.now.at) {
                    if world.is_absent(person, self.now.at) {
                        self.notes.push(Note::Absent { name: person.name.clone() });
                        continue;
                    }
                    found = true;
                    self.add_person(person, via, targets);
                    if *recipient == Recipient::Account && targets.len() > before {
                        break;
                    }
                }
                let of_way = |way: &Way| {
                    let way = *way;
                    world.own.iter().filter(move |mail| Way::of(mail.kind) == way)
                };
                let own: Vec<&Mailbox> = via.iter().flat_map(of_way).collect();
                if targets.len() == before && *recipient == Recipient::Account && !own.is_empty() {
                    self.add_mail(own, None, targets);
                } else if !found {
                    self.notes.push(Note::NobodyOnCall);
                }
            }
        }
    }

    /// Adds a contact, or who stands in, with the first way of `via` that exists.
    fn add_person(&mut self, person: &Person, via: &[Way], targets: &mut Vec<Target>) {
        let world = self.world;
        let Some(asked) = world.present(person, self.now.at) else {
            self.notes.push(Note::Absent { name: person.name.clone() });
            return;
        };
        let instead_of = (asked.id != person.id).then(|| person.name.clone());
        let (mut lacks_server, mut has_address) = (false, false);
        for way in via {
            match way {
                Way::Mail | Way::Chat | Way::Sms | Way::Fax => {
                    let of_way: Vec<&Mailbox> =
                        asked.mails.iter().filter(|mail| Way::of(mail.kind) == *way).collect();
                    has_address |= !of_way.is_empty();
                    lacks_server |= of_way.iter().any(|mail| !world.can_send(mail.kind));
                    let found = world.first_open(of_way, self.now.at, self.now.left_out);
                    let Some((mail, opens)) = found else { continue };
                    let target = Target::mail(mail, Some(asked), (self.now.at, opens));
                    self.add_target(Target { instead_of, ..target }, mail.hours.is_some(), targets);
                    return;
                }
                Way::Phone => {
                    let Some(number) = &asked.phone else { continue };
                    let target = Target {
                        contact: Some(asked.id),
                        name: asked.name.clone(),
                        address: number.clone(),
                        instead_of,
                        ..Target::inside(TargetKind::Phone)
                    };
                    self.add_target(target, false, targets);
                    return;
                }
            }
        }
        let name = asked.name.clone();
        self.notes.push(match (lacks_server, has_address) {
            (true, _) => Note::NoMailServer,
            (false, true) => Note::AddressSuspended { name },
            (false, false) => Note::NoAddress { name },
        });
    }

    /// Adds the first of `mails`, which are no contact's own.
    fn add_mail<'m>(
        &mut self,
        mails: impl IntoIterator<Item = &'m Mailbox> + Clone,
        person: Option<&Person>,
        targets: &mut Vec<Target>,
    ) {
        if mails.clone().into_iter().all(|mail| !self.world.can_send(mail.kind)) {
            self.notes.push(Note::NoMailServer);
            return;
        }
        let found = self.world.first_open(mails.clone(), self.now.at, self.now.left_out);
        if let Some((mail, opens)) = found {
            let target = Target::mail(mail, person, (self.now.at, opens));
            self.add_target(target, mail.hours.is_some(), targets);
        } else {
            let name = mails.into_iter().next().map(|mail| mail.label.clone()).unwrap_or_default();
            self.notes.push(Note::AddressSuspended { name });
        }
    }

    /// Adds a target, unless it is outside the hours and the step leaves such ones out. An endpoint with hours of its own has those
    /// instead of the account's.
    fn add_target(&mut self, target: Target, has_hours: bool, targets: &mut Vec<Target>) {
        let (at, outside) = (self.now.at, self.step.outside);
        let is_closed = if has_hours { target.not_before.is_some() } else { !self.world.is_open(at) };
        let not_before = match outside {
            Outside::Next if is_closed => {
                self.notes.push(Note::Closed);
                return;
            }
            Outside::Hold if is_closed && !has_hours => self.world.next_opening(at),
            _ => target.not_before,
        };
        push(targets, Target { not_before, ..target });
    }
}

fn push(targets: &mut Vec<Target>, target: Target) {
    if targets.iter().all(|known| !known.is_same(&target)) {
        targets.push(target);
    }
}

impl Step {
    /// Whether what happened to a recipient is all that the step wants of it.
    pub(super) fn is_met_by(&self, is_sent: bool, is_delivered: bool) -> bool {
        match self.until {
            Until::Sent => is_sent || is_delivered,
            Until::Delivered => is_delivered,
            Until::Acknowledged => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::super::world::tests::{id, person, world};
    use super::*;
    use crate::contract::records::OnCallShift;

    fn step(text: &str) -> Step {
        let text = format!("format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\n{text}");
        Document::read(&text).unwrap().routes.remove(0).steps.remove(0)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_shift_by_date_goes_before_the_on_call_list() {
        let mut people = vec![person(1), person(2), person(3)];
        let shift = |from: &str, until: &str| OnCallShift { from: at(from), until: at(until) };
        people[2].is_on_call = false;
        people[2].shifts = vec![shift("2026-12-31T18:00:00+09:00", "2027-01-01T09:00:00+09:00")];
        let world = world(people);
        let names = |time: &str| {
            let found = world.on_call(at(time));
            found.map(|person| person.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("2026-12-31T17:59:59+09:00"), ["担当1", "担当2"]);
        assert_eq!(names("2026-12-31T18:00:00+09:00"), ["担当3"]);
        assert_eq!(names("2027-01-01T08:59:59+09:00"), ["担当3"]);
        assert_eq!(names("2027-01-01T09:00:00+09:00"), ["担当1", "担当2"]);
        let now = Moment { at: at("2026-12-31T20:00:00+09:00"), left_out: &[] };
        let resolved =
            resolve(&step("to = [\"on-call\"]\nvia = [\"mail\"]"), &MessageFacts::default(), &world, now);
        let addresses: Vec<String> = resolved.targets.into_iter().map(|target| target.address).collect();
        assert_eq!(addresses, ["c3@example.jp"]);
        let built_in = resolve_built_in(&MessageFacts::default(), &world, now);
        assert_eq!(built_in.targets[0].contact, Some(id(3)));
    }

    #[test]
    fn a_step_reaches_who_is_there_by_the_first_way_that_exists() {
        let mut people = vec![person(1), person(2), person(3), person(4)];
        people[0].absence.until = Some(at("2026-11-30T12:00:00+09:00"));
        people[0].deputy = Some(id(4));
        people[1].phone = None;
        people[3].is_on_call = false;
        let world = world(people);
        let day = at("2026-11-30T10:00:00+09:00");
        let reached = |text: &str, facts: &MessageFacts, at| {
            let resolved = resolve(&step(text), facts, &world, Moment { at, left_out: &[] });
            let names = |targets: Vec<Target>| -> Vec<String> {
                targets.into_iter().map(|t| format!("{:?} {}", t.kind, t.address)).collect()
            };
            (names(resolved.targets), names(resolved.copies), resolved.notes)
        };
        let nobody = MessageFacts::default();
        let named = MessageFacts { contact: Some(id(1)), ..MessageFacts::default() };
        let (targets, _, notes) = reached("to = [\"on-call\"]\nvia = [\"phone\", \"mail\"]", &nobody, day);
        assert_eq!(targets, ["Mail c2@example.jp", "Phone +819000000003"]);
        assert_eq!(notes, [Note::Absent { name: "担当1".into() }]);
        let (targets, copies, notes) = reached(
            "to = [\"named\", \"contact:c4\", \"contact:x\"]\nalso = [\"contact:c4\", \"account\"]",
            &named,
            day,
        );
        assert_eq!(
            (targets, copies),
            (vec!["Mail c4@example.jp".to_owned()], vec!["Mail c2@example.jp".to_owned()])
        );
        assert_eq!(notes[0], Note::UnknownContact { contact: "x".into() });
        assert_eq!(reached("to = [\"named\"]", &nobody, day).2, [Note::NobodyNamed]);
        assert_eq!(
            reached("to = [\"contact:c2\"]\nvia = [\"phone\"]", &nobody, day).2,
            [Note::NoAddress { name: "担当2".into() }]
        );
        assert_eq!(reached("to = [\"taker\", \"supervisors\"]", &nobody, day).0, ["Taker ", "Supervisors "]);
        let night = at("2026-11-30T20:00:00+09:00");
        assert_eq!(reached("to = [\"account\"]\noutside = \"next\"", &nobody, night).0, [""; 0]);
        let at_night = Moment { at: night, left_out: &[] };
        let held = resolve(&step("to = [\"account\"]\noutside = \"hold\""), &nobody, &world, at_night);
        assert_eq!(held.targets[0].not_before, Some(at("2026-12-02T09:00:00+09:00")));
        assert_eq!(held.targets[0].contact, Some(id(1)), "back in the evening");
        let unserved = World { has_mail_server: false, ..world };
        assert_eq!(
            resolve(&step("to = [\"contact:c2\"]"), &nobody, &unserved, Moment { at: day, left_out: &[] })
                .notes,
            [Note::NoMailServer]
        );
    }

    #[test]
    fn an_endpoint_has_hours_of_its_own_and_gives_way_to_one_that_is_open() {
        use crate::contract::hours::Hours;
        use crate::contract::records::OutsideHours;
        let hours = |text: &str| {
            let mut hours = Hours::read(text).unwrap();
            hours.as_mut().unwrap().time_zone = Some("Asia/Tokyo".to_owned());
            hours
        };
        let mailbox = |code: &str, outside| Mailbox {
            endpoint: Some(id(50)),
            code: Some(code.to_owned()),
            label: code.to_owned(),
            kind: EndpointKind::Mail,
            address: format!("{code}@example.jp"),
            is_suspended: false,
            hours: hours("月-金 09:00-12:00"),
            outside,
        };
        let mut world = world(vec![person(1)]);
        world.people[0].mails.insert(0, mailbox("first", OutsideHours::Next));
        world.own = vec![mailbox("desk", OutsideHours::Hold), mailbox("open", OutsideHours::Send)];
        let reached = |text: &str, at| {
            let resolved =
                resolve(&step(text), &MessageFacts::default(), &world, Moment { at, left_out: &[] });
            let first = resolved.targets.first().map(|target| (target.address.clone(), target.not_before));
            first.ok_or(resolved.notes)
        };
        let (morning, noon) = (at("2026-11-30T10:00:00+09:00"), at("2026-11-30T13:00:00+09:00"));
        let tomorrow = Some(at("2026-12-01T09:00:00+09:00"));
        for (to, at, expected) in [
            ("contact:c1", morning, Ok(("first@example.jp".to_owned(), None))),
            ("contact:c1", noon, Ok(("c1@example.jp".to_owned(), None))),
            ("endpoint:first", noon, Ok(("first@example.jp".to_owned(), tomorrow))),
            ("endpoint:desk", noon, Ok(("desk@example.jp".to_owned(), tomorrow))),
            ("endpoint:open", noon, Ok(("open@example.jp".to_owned(), None))),
            ("endpoint:x", noon, Err(vec![Note::UnknownEndpoint { endpoint: "x".into() }])),
        ] {
            assert_eq!(reached(&format!("to = [\"{to}\"]"), at), expected, "{to} at {at}");
        }
        let next = reached("to = [\"endpoint:desk\"]\noutside = \"next\"", noon);
        assert_eq!(next, Err(vec![Note::Closed]));
        world.people[0].mails.iter_mut().for_each(|mail| mail.is_suspended = true);
        let moment = Moment { at: noon, left_out: &["open@example.jp"] };
        let resolved = resolve(&step("to = [\"account\"]"), &MessageFacts::default(), &world, moment);
        assert_eq!(resolved.targets[0].address, "desk@example.jp", "the account's own are the last");
        assert_eq!(resolved.notes, [Note::AddressSuspended { name: "担当1".into() }]);
    }

    #[test]
    fn a_chat_is_a_way_of_its_own_and_needs_no_mail_server() {
        let room = |kind: EndpointKind, address: &str| Mailbox {
            endpoint: Some(id(60)),
            code: Some("room".to_owned()),
            kind,
            address: address.to_owned(),
            ..Mailbox::default()
        };
        let mut world = world(vec![person(1)]);
        world.people[0].mails.push(room(EndpointKind::Slack, "hooks.slack.com/…abcd (0a1b2c3d)"));
        world.people[0].mails.push(room(EndpointKind::Sms, "+819000000001"));
        world.own = vec![room(EndpointKind::Chatwork, "123")];
        let day = at("2026-11-30T10:00:00+09:00");
        let reached = |text: &str, world: &World| {
            let now = Moment { at: day, left_out: &[] };
            let resolved = resolve(&step(text), &MessageFacts::default(), world, now);
            let first = resolved.targets.first().map(|target| (target.kind, target.channel));
            first.ok_or(resolved.notes)
        };
        let no_address = Err(vec![Note::NoAddress { name: "担当1".into() }]);
        let mail = Ok((TargetKind::Mail, EndpointKind::Mail));
        let chat = Ok((TargetKind::Chat, EndpointKind::Slack));
        assert_eq!(reached("to = [\"contact:c1\"]", &world), mail);
        assert_eq!(reached("to = [\"contact:c1\"]\nvia = [\"chat\", \"mail\"]", &world), chat);
        assert_eq!(
            reached("to = [\"contact:c1\"]\nvia = [\"sms\"]", &world),
            Ok((TargetKind::Sms, EndpointKind::Sms))
        );
        let unserved = World { has_mail_server: false, ..world.clone() };
        assert_eq!(reached("to = [\"contact:c1\"]\nvia = [\"mail\", \"chat\"]", &unserved), chat);
        assert_eq!(reached("to = [\"contact:c1\"]", &unserved), Err(vec![Note::NoMailServer]));
        let now = Moment { at: day, left_out: &[] };
        let built_in = resolve_built_in(&MessageFacts::default(), &unserved, now);
        assert_eq!(built_in.targets[0].channel, EndpointKind::Slack);
        world.people[0].mails.clear();
        assert_eq!(reached("to = [\"contact:c1\"]\nvia = [\"chat\"]", &world), no_address);
        let own = Ok((TargetKind::Chat, EndpointKind::Chatwork));
        assert_eq!(reached("to = [\"account\"]\nvia = [\"mail\", \"chat\"]", &world), own);
        assert_eq!(reached("to = [\"endpoint:room\"]", &unserved), chat);
    }

    #[test]
    fn the_built_in_route_does_what_messages_did_before() {
        let day = at("2026-11-30T10:00:00+09:00");
        let mut people = vec![person(1), person(2), person(3)];
        people[0].mails.clear();
        let reached = |people: &[Person], contact| {
            let facts = MessageFacts { contact, ..MessageFacts::default() };
            let resolved =
                resolve_built_in(&facts, &world(people.to_vec()), Moment { at: day, left_out: &[] });
            resolved.targets.first().map(|target| target.contact.unwrap()).ok_or(resolved.notes)
        };
        assert_eq!(reached(&people, None), Ok(id(2)));
        assert_eq!(reached(&people, Some(id(3))), Ok(id(3)));
        assert_eq!(reached(&people, Some(id(1))), Err(vec![Note::NoAddress { name: "担当1".into() }]));
        assert_eq!(reached(&people, Some(id(9))), Err(vec![Note::NobodyNamed]));
        people[1].absence.until = Some(day + jiff::SignedDuration::from_hours(1));
        assert_eq!(reached(&people, None), Ok(id(3)));
        assert_eq!(reached(&people, Some(id(2))), Ok(id(2)), "nobody stands in");
        people[1].deputy = Some(id(3));
        assert_eq!(reached(&people, Some(id(2))), Ok(id(3)));
        people.iter_mut().for_each(|person| person.is_on_call = false);
        assert_eq!(reached(&people, None), Err(vec![Note::NobodyOnCall]));
    }
}
