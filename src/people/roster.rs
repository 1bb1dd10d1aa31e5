//! The roster: users and teams, in memory, as read from the store last.
//!
//! Invariants: a [`Roster`] is complete and never changes; [`People`] replaces it as a whole. A stream of a person whose
//! visibility changed cannot be resumed from before the change ([`People::may_resume`]), because its events were filtered
//! by the old visibility; it starts again with a snapshot.
//!
//! Order of a change: first every person concerned is barred from resuming at all, then the new roster takes effect, then
//! the position of the latest event is read and stored: these people may resume from later events only.
//! Without the bar, a stream could be resumed between the new roster and that position and keep events of the old
//! visibility.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::role::Role;
use super::viewer::Viewer;
use crate::contract::event_id::EventId;
use crate::identity::printable;
use crate::ids::{Extension, RecordId};

/// Longest name, reading, team or label, in characters.
pub const PERSON_TEXT_CHARS_MAX: usize = 80;

/// The text is not allowed as a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} must be 1 to {PERSON_TEXT_CHARS_MAX} printable characters, without marks that hide or reorder text"
)]
pub struct PersonTextError(String);

/// Checks and trims a name, reading, team or label. A text with other characters is refused, not cleaned, because people
/// sign in with the name that they typed.
///
/// # Errors
/// The text is empty, too long or has characters that are not printable; the error names `field`.
pub fn person_text(field: &str, text: &str) -> Result<String, PersonTextError> {
    match printable(text, PERSON_TEXT_CHARS_MAX) {
        Some(kept) if kept == text.trim() => Ok(kept.to_string()),
        _ => Err(PersonTextError(field.to_owned())),
    }
}

/// A group of operators with its supervisors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The record.
    pub id: RecordId,
    /// Its name.
    pub name: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The record.
    pub id: RecordId,
    /// The name, with which the person also signs in.
    pub name: String,
    /// Its reading.
    pub kana: String,
    /// The role.
    pub role: Role,
    /// The extension where the person answers; in the current roster the seat, where there is one.
    pub extension: Option<Extension>,
    /// The team that the person belongs to or supervises.
    pub team: Option<RecordId>,
}

/// All users and teams at one time.
#[derive(Debug, Default)]
pub struct Roster {
    people: HashMap<RecordId, Entry>,
    by_extension: HashMap<Extension, RecordId>,
    teams: HashMap<RecordId, Team>,
}

#[derive(Debug)]
struct Entry {
    person: Arc<Person>,
    viewer: Viewer,
}

impl Roster {
    /// A roster of these people. Of two with the same extension, the first one has it.
    #[must_use]
    pub fn new(people: impl IntoIterator<Item = Person>, teams: impl IntoIterator<Item = Team>) -> Self {
        let people: Vec<Arc<Person>> = people.into_iter().map(Arc::new).collect();
        let mut teams_of_people: HashMap<RecordId, (Vec<Extension>, Vec<RecordId>)> = HashMap::new();
        let mut by_extension = HashMap::new();
        for person in &people {
            if let Some(extension) = &person.extension {
                by_extension.entry(extension.clone()).or_insert(person.id);
            }
            if let Some(team) = person.team {
                let (extensions, members) = teams_of_people.entry(team).or_default();
                extensions.extend(person.extension.clone());
                members.push(person.id);
            }
        }
        let entry = |person: Arc<Person>| {
            let team = person.team.and_then(|t| teams_of_people.get(&t)).cloned();
            let (extensions, members) = team.unwrap_or_default();
            let viewer = Viewer::new(person.role, person.extension.clone(), extensions);
            let viewer = viewer.for_user(person.id).with_members(members);
            (person.id, Entry { person, viewer })
        };
        let people = people.into_iter().map(entry).collect();
        Self { people, by_extension, teams: teams.into_iter().map(|team| (team.id, team)).collect() }
    }

    /// The person with this record.
    #[must_use]
    pub fn person(&self, id: RecordId) -> Option<&Arc<Person>> {
        self.people.get(&id).map(|entry| &entry.person)
    }

    /// The person who answers at this extension.
    #[must_use]
    pub fn at(&self, extension: &Extension) -> Option<&Arc<Person>> {
        self.by_extension.get(extension).and_then(|id| self.person(*id))
    }

    /// The person with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Person>> {
        self.people.values().map(|entry| &entry.person).find(|person| person.name == name)
    }

    /// The visibility of this person.
    #[must_use]
    pub fn viewer(&self, id: RecordId) -> Option<&Viewer> {
        self.people.get(&id).map(|entry| &entry.viewer)
    }

    /// The team with this record.
    #[must_use]
    pub fn team(&self, id: RecordId) -> Option<&Team> {
        self.teams.get(&id)
    }

    /// All people, in no order.
    pub fn everybody(&self) -> impl Iterator<Item = &Arc<Person>> {
        self.people.values().map(|entry| &entry.person)
    }

    /// The same people at their seats. A person whose own extension is another person's seat has no extension.
    #[must_use]
    fn at_seats(&self, seats: &HashMap<RecordId, Extension>) -> Self {
        let place = |person: &Arc<Person>| {
            let mut person = Person::clone(person);
            let taken = |home: &Extension| seats.iter().any(|(who, seat)| *who != person.id && seat == home);
            match seats.get(&person.id) {
                Some(seat) => person.extension = Some(seat.clone()),
                None if person.extension.as_ref().is_some_and(taken) => person.extension = None,
                None => {}
            }
            person
        };
        let mut people: Vec<Person> = self.everybody().map(place).collect();
        people.sort_unstable_by_key(|person| person.id);
        Self::new(people, self.teams.values().cloned())
    }

    /// The operators and supervisors without an extension whom `viewer` may see, by name.
    #[must_use]
    pub fn without_extension(&self, viewer: &Viewer) -> Vec<Arc<Person>> {
        let works = |person: &&Arc<Person>| {
            person.extension.is_none() && matches!(person.role, Role::Operator | Role::Supervisor)
        };
        let seen = |person: &&Arc<Person>| viewer.sees_person(person.id);
        let mut found: Vec<_> = self.everybody().filter(works).filter(seen).cloned().collect();
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Operators and supervisors with an extension that `viewer` may see, by extension.
    #[must_use]
    pub fn operators(&self, viewer: &Viewer) -> Vec<Arc<Person>> {
        let mut found: Vec<_> = self.by_extension.iter().filter(|(e, _)| viewer.sees_operator(e)).collect();
        found.sort_unstable();
        found.into_iter().filter_map(|(_, id)| self.person(*id)).cloned().collect()
    }
}

impl Roster {
    /// A digest of every person's visibility; equal for rosters in which all people see the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut visibilities: Vec<String> =
            self.people.iter().map(|(id, entry)| format!("{id} {:?}", entry.viewer)).collect();
        visibilities.sort_unstable();
        let digest = Sha256::digest(visibilities.join("\n"));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether people, visibility and teams are the same.
    fn is_same_as(&self, other: &Self) -> bool {
        let same = |(id, entry): (&RecordId, &Entry)| {
            other.people.get(id).is_some_and(|o| o.person == entry.person && o.viewer == entry.viewer)
        };
        self.people.len() == other.people.len() && self.teams == other.teams && self.people.iter().all(same)
    }
}

/// The current roster. Cheap to clone; all clones share it.
#[derive(Debug, Clone)]
pub struct People {
    roster: watch::Sender<Arc<Roster>>,
    seats: Arc<Mutex<Seats>>,
    /// People whose visibility changed: the latest event that may have been filtered by the old visibility; `None` until that
    /// event is known.
    changed: Arc<Mutex<HashMap<RecordId, Option<EventId>>>>,
}

/// The stored roster and the seats.
#[derive(Debug)]
struct Seats {
    stored: Arc<Roster>,
    by_user: HashMap<RecordId, Extension>,
}

impl People {
    /// Starts with this roster; no seat is taken.
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        let stored = Arc::new(roster);
        let seats = Seats { stored: Arc::clone(&stored), by_user: HashMap::new() };
        Self {
            roster: watch::Sender::new(stored),
            seats: Arc::new(Mutex::new(seats)),
            changed: Arc::default(),
        }
    }

    /// The roster as stored: all people at their own extensions.
    #[must_use]
    pub fn stored(&self) -> Arc<Roster> {
        Arc::clone(&self.lock_seats().stored)
    }

    /// Sets the seat of `user` (`None`: the own extension again); `head` returns the latest event.
    pub fn set_seat(&self, user: RecordId, seat: Option<Extension>, head: impl FnOnce() -> EventId) {
        let mut seats = self.lock_seats();
        match seat {
            Some(seat) => seats.by_user.insert(user, seat),
            None => seats.by_user.remove(&user),
        };
        self.install(seats.stored.at_seats(&seats.by_user), head);
    }

    fn lock_seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock()
    }

    /// The current roster: all people at their seats.
    #[must_use]
    pub fn current(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// Replaces the stored roster, if anything differs; `head` returns the latest event.
    pub fn replace(&self, roster: Roster, head: impl FnOnce() -> EventId) {
        let mut seats = self.lock_seats();
        seats.stored = Arc::new(roster);
        self.install(seats.stored.at_seats(&seats.by_user), head);
    }

    fn install(&self, roster: Roster, head: impl FnOnce() -> EventId) {
        let mut concerned = Vec::new();
        self.roster.send_if_modified(|present| {
            if present.is_same_as(&roster) {
                return false;
            }
            let changed = |(id, entry): &(&RecordId, &Entry)| present.viewer(**id) != Some(&entry.viewer);
            concerned = roster.people.iter().filter(changed).map(|(id, _)| *id).collect();
            // Before the new roster is visible, and so before a stream with the new visibility can start.
            self.changed().extend(concerned.iter().map(|id| (*id, None)));
            *present = Arc::new(roster);
            true
        });
        if !concerned.is_empty() {
            // From here on no stream delivers an event that was filtered by the old visibility.
            let head = head();
            self.changed().extend(concerned.into_iter().map(|id| (id, Some(head.clone()))));
        }
    }

    /// Whether the events up to `after` were filtered by the present visibility of `id`.
    #[must_use]
    pub fn may_resume(&self, id: RecordId, after: &EventId) -> bool {
        match self.changed().get(&id) {
            None => true,
            Some(None) => false,
            Some(Some(last)) => after.is_after(last),
        }
    }

    /// Wakes when the roster changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    fn changed(&self) -> MutexGuard<'_, HashMap<RecordId, Option<EventId>>> {
        self.changed.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn person(n: u128, role: Role, extension: Option<&str>, team: Option<u128>) -> Person {
        Person {
            id: RecordId(Uuid::from_u128(n)),
            name: format!("person {n}"),
            kana: String::new(),
            role,
            extension: extension.map(|e| Extension::parse(e).unwrap()),
            team: team.map(|t| RecordId(Uuid::from_u128(t))),
        }
    }

    fn extension(text: &str) -> Extension {
        Extension::parse(text).unwrap()
    }

    #[test]
    fn a_supervisor_sees_the_own_team_and_no_other() {
        let roster = Roster::new(
            [
                person(1, Role::Operator, Some("1001"), Some(100)),
                person(2, Role::Operator, Some("1002"), Some(200)),
                person(3, Role::Supervisor, Some("2001"), Some(100)),
                person(4, Role::Admin, None, None),
                person(5, Role::Operator, Some("1005"), None),
            ],
            [],
        );
        let seen = |n: u128| -> Vec<String> {
            let viewer = roster.viewer(RecordId(Uuid::from_u128(n))).unwrap();
            roster
                .operators(viewer)
                .iter()
                .filter_map(|p| p.extension.as_ref())
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(seen(1), ["1001"]);
        assert_eq!(seen(3), ["1001", "2001"]);
        assert_eq!(seen(4), ["1001", "1002", "1005", "2001"]);
        assert_eq!(seen(5), ["1005"]);
        assert_eq!(roster.at(&extension("1002")).unwrap().id, RecordId(Uuid::from_u128(2)));
    }

    #[test]
    fn a_stream_is_not_resumed_from_before_a_change_of_visibility() {
        let operator = || person(1, Role::Operator, Some("1001"), Some(100));
        let people = People::new(Roster::new([operator(), person(3, Role::Supervisor, None, Some(100))], []));
        let event = |n: u64| EventId::parse(&format!("a-{n}")).unwrap();
        let may = |n: u128, after: u64| people.may_resume(RecordId(Uuid::from_u128(n)), &event(after));
        assert!(may(1, 0) && may(3, 0));
        let joined = || person(2, Role::Operator, Some("1002"), Some(100));
        let everybody = || [operator(), joined(), person(3, Role::Supervisor, None, Some(100))];
        people.replace(Roster::new(everybody(), []), || {
            assert!(!may(3, 9), "the event is not known yet");
            event(7)
        });
        assert!(may(1, 0), "the operator's visibility is the same");
        assert_eq!(
            [(3, 6), (3, 7), (3, 8), (2, 7)].map(|(n, after)| may(n, after)),
            [false, false, true, false]
        );
        people.replace(Roster::new(everybody(), []), || panic!("nothing has changed"));
        assert!(may(3, 8));
    }
}
