//! Whom a step of a route reaches at a time, and why it reaches others not.
//!
//! Invariant: a person is reached once in a step, however often the step names them. Whom a step cannot reach is in its notes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::condition::MessageFacts;
use super::document::{Outside, Recipient, Step, Until};
use super::world::{Person, Way, World};
use crate::ids::RecordId;

/// How a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A mail.
    Mail,
    /// An operator calls.
    Phone,
    /// The supervisors are alarmed.
    Supervisors,
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
    /// The mail address or the number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The name of the contact for whom this one stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// Not before this time: the account is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

impl Target {
    fn supervisors() -> Self {
        Self {
            kind: TargetKind::Supervisors,
            contact: None,
            name: String::new(),
            address: String::new(),
            instead_of: None,
            not_before: None,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
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

/// Whom `step` reaches at `at`.
pub(super) fn resolve(step: &Step, facts: &MessageFacts, world: &World, at: Timestamp) -> Resolved {
    let mut resolved = Resolved::default();
    let mut resolver = Resolver { step, facts, world, at, notes: Vec::new() };
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

/// Whom the built-in route reaches: the contact whom the message names, even if absent; else the first one in the on-call order
/// with an address, one who is there before one who is not.
pub(super) fn resolve_built_in(facts: &MessageFacts, world: &World, at: Timestamp) -> Resolved {
    let mut resolved = Resolved::default();
    if !world.has_mail_server {
        resolved.notes.push(Note::NoMailServer);
        return resolved;
    }
    let named = facts.contact.and_then(|id| world.person(id));
    let target = |person: &Person, instead_of: Option<&Person>| Target {
        kind: TargetKind::Mail,
        contact: Some(person.id),
        name: person.name.clone(),
        address: person.mail.clone().unwrap_or_default(),
        instead_of: instead_of.map(|person| person.name.clone()),
        not_before: None,
    };
    let found = if let Some(named) = named {
        let present = world.present(named, at).filter(|person| person.mail.is_some());
        let asked = present.unwrap_or(named);
        asked.mail.is_some().then(|| target(asked, (asked.id != named.id).then_some(named)))
    } else if facts.contact.is_some() {
        None
    } else {
        let mut reachable = world.people.iter().filter(|person| person.is_on_call && person.mail.is_some());
        let first = reachable.clone().next();
        let present = reachable.find(|person| !world.is_absent(person, at));
        present.or(first).map(|person| target(person, None))
    };
    match (found, named) {
        (Some(found), _) => resolved.targets.push(found),
        (None, Some(named)) => resolved.notes.push(Note::NoAddress { name: named.name.clone() }),
        (None, None) if facts.contact.is_some() => resolved.notes.push(Note::NobodyNamed),
        (None, None) => {
            let first = world.people.iter().find(|person| person.is_on_call);
            let without = |person: &Person| Note::NoAddress { name: person.name.clone() };
            resolved.notes.push(first.map_or(Note::NobodyOnCall, without));
        }
    }
    resolved
}

struct Resolver<'a> {
    step: &'a Step,
    facts: &'a MessageFacts,
    world: &'a World,
    at: Timestamp,
    notes: Vec<Note>,
}

impl Resolver<'_> {
    /// Adds whom `recipient` stands for to `targets`.
    fn add(&mut self, recipient: &Recipient, via: &[Way], targets: &mut Vec<Target>) {
        let world = self.world;
        match recipient {
            Recipient::Supervisors => push(targets, Target::supervisors()),
            Recipient::Named => match self.facts.contact.and_then(|id| world.person(id)) {
                Some(person) => self.add_person(person, via, targets),
                None => self.notes.push(Note::NobodyNamed),
            },
            Recipient::Contact(code) => match world.by_code(code) {
                Some(person) => self.add_person(person, via, targets),
                None => self.notes.push(Note::UnknownContact { contact: code.clone() }),
            },
            Recipient::OnCall | Recipient::Account => {
                let before = targets.len();
                let mut found = false;
                for person in world.people.iter().filter(|person| person.is_on_call) {
                    if world.is_absent(person, self.at) {
                        self.notes.push(Note::Absent { name: person.name.clone() });
                        continue;
                    }
                    found = true;
                    self.add_person(person, via, targets);
                    if *recipient == Recipient::Account && targets.len() > before {
                        break;
                    }
                }
                if !found {
                    self.notes.push(Note::NobodyOnCall);
                }
            }
        }
    }

    /// Adds a contact, or who stands in, with the first way of `via` that exists.
    fn add_person(&mut self, person: &Person, via: &[Way], targets: &mut Vec<Target>) {
        let Some(asked) = self.world.present(person, self.at) else {
            self.notes.push(Note::Absent { name: person.name.clone() });
            return;
        };
        let mut lacks_server = false;
        let way = via.iter().find_map(|way| {
            let address = asked.address(*way)?;
            if *way == Way::Mail && !self.world.has_mail_server {
                lacks_server = true;
                return None;
            }
            Some((*way, address))
        });
        let Some((way, address)) = way else {
            let name = asked.name.clone();
            self.notes.push(if lacks_server { Note::NoMailServer } else { Note::NoAddress { name } });
            return;
        };
        let not_before = match self.step.outside {
            Outside::Send => None,
            _ if self.world.is_open(self.at) => None,
            Outside::Next => {
                self.notes.push(Note::Closed);
                return;
            }
            Outside::Hold => self.world.next_opening(self.at),
        };
        let kind = match way {
            Way::Mail => TargetKind::Mail,
            Way::Phone => TargetKind::Phone,
        };
        let instead_of = (asked.id != person.id).then(|| person.name.clone());
        let (contact, name, address) = (Some(asked.id), asked.name.clone(), address.to_owned());
        push(targets, Target { kind, contact, name, address, instead_of, not_before });
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

    fn step(text: &str) -> Step {
        let text = format!("format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\n{text}");
        Document::read(&text).unwrap().routes.remove(0).steps.remove(0)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
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
            let resolved = resolve(&step(text), facts, &world, at);
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
        assert_eq!(reached("to = [\"supervisors\"]", &nobody, day).0, ["Supervisors "]);
        let night = at("2026-11-30T20:00:00+09:00");
        assert_eq!(reached("to = [\"account\"]\noutside = \"next\"", &nobody, night).0, [""; 0]);
        let held = resolve(&step("to = [\"account\"]\noutside = \"hold\""), &nobody, &world, night);
        assert_eq!(held.targets[0].not_before, Some(at("2026-12-02T09:00:00+09:00")));
        assert_eq!(held.targets[0].contact, Some(id(1)), "back in the evening");
        let unserved = World { has_mail_server: false, ..world };
        assert_eq!(
            resolve(&step("to = [\"contact:c2\"]"), &nobody, &unserved, day).notes,
            [Note::NoMailServer]
        );
    }

    #[test]
    fn the_built_in_route_does_what_messages_did_before() {
        let day = at("2026-11-30T10:00:00+09:00");
        let mut people = vec![person(1), person(2), person(3)];
        people[0].mail = None;
        let reached = |people: &[Person], contact| {
            let facts = MessageFacts { contact, ..MessageFacts::default() };
            let resolved = resolve_built_in(&facts, &world(people.to_vec()), day);
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
