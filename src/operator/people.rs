//! Who is who: users and teams, in memory, as they were when last read.
//!
//! Invariant: a [`Roster`] is complete and never changes; [`People`] replaces it as a whole. Whose sight has
//! changed cannot resume a stream from before the change ([`People::may_resume`]): what it had was filtered for
//! other eyes, so it begins again with a snapshot. To leave no gap between the change and the event that marks
//! it, nobody concerned may resume at all until the new roster is in force and that event is known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::role::Role;
use super::viewer::Viewer;
use crate::bus::EventId;
use crate::identity::printable;
use crate::ids::{Extension, RecordId};

/// Longest name, reading, team or label, in characters.
pub const PERSON_TEXT_CHARS_MAX: usize = 80;

/// The text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} must be 1 to {PERSON_TEXT_CHARS_MAX} printable characters, without marks that hide or reorder text"
)]
pub struct PersonTextError(String);

/// A name, reading, team or label, trimmed. Refused rather than cleaned: people sign in with what they typed.
///
/// # Errors
/// It is empty, too long, or holds something that is not shown; `field` says what it was meant for.
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

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The record.
    pub id: RecordId,
    /// The name colleagues know.
    pub name: String,
    /// Its reading.
    pub kana: String,
    /// What they are.
    pub role: Role,
    /// The extension they answer at.
    pub extension: Option<Extension>,
    /// The team they belong to or supervise.
    pub team: Option<RecordId>,
}

/// Everybody at one time.
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
    /// Everybody. A later person with the same extension does not displace an earlier one.
    #[must_use]
    pub fn new(people: impl IntoIterator<Item = Person>, teams: impl IntoIterator<Item = Team>) -> Self {
        let people: Vec<Arc<Person>> = people.into_iter().map(Arc::new).collect();
        let mut members: HashMap<RecordId, Vec<Extension>> = HashMap::new();
        let mut by_extension = HashMap::new();
        for person in &people {
            let Some(extension) = &person.extension else { continue };
            by_extension.entry(extension.clone()).or_insert(person.id);
            if let Some(team) = person.team {
                members.entry(team).or_default().push(extension.clone());
            }
        }
        let entry = |person: Arc<Person>| {
            let team = person.team.and_then(|t| members.get(&t)).cloned().unwrap_or_default();
            let viewer = Viewer::new(person.role, person.extension.clone(), team).of(person.id);
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

    /// Who answers at this extension.
    #[must_use]
    pub fn at(&self, extension: &Extension) -> Option<&Arc<Person>> {
        self.by_extension.get(extension).and_then(|id| self.person(*id))
    }

    /// Who signs in by this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Person>> {
        self.people.values().map(|entry| &entry.person).find(|person| person.name == name)
    }

    /// The eyes of this person.
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

    /// The same people where some sit elsewhere; who owns an extension where somebody else sits has none.
    #[must_use]
    fn seated(&self, seats: &HashMap<RecordId, Extension>) -> Self {
        let sit = |person: &Arc<Person>| {
            let mut person = Person::clone(person);
            let taken = |home: &Extension| seats.iter().any(|(who, seat)| *who != person.id && seat == home);
            match seats.get(&person.id) {
                Some(seat) => person.extension = Some(seat.clone()),
                None if person.extension.as_ref().is_some_and(taken) => person.extension = None,
                None => {}
            }
            person
        };
        let mut people: Vec<Person> = self.everybody().map(sit).collect();
        people.sort_unstable_by_key(|person| person.id);
        Self::new(people, self.teams.values().cloned())
    }

    /// Operators and supervisors without an extension that `viewer` may see: who sits nowhere now.
    #[must_use]
    pub fn unseated(&self, viewer: &Viewer) -> Vec<Arc<Person>> {
        let works = |person: &&Arc<Person>| {
            person.extension.is_none() && matches!(person.role, Role::Operator | Role::Supervisor)
        };
        let team = viewer.user().and_then(|user| self.person(user)).and_then(|person| person.team);
        let seen = |person: &&Arc<Person>| {
            viewer.sees_everything()
                || viewer.user() == Some(person.id)
                || viewer.is_supervisor() && team.is_some() && person.team == team
        };
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
    /// A text that is the same for rosters in which everybody sees the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut eyes: Vec<String> =
            self.people.iter().map(|(id, entry)| format!("{id} {:?}", entry.viewer)).collect();
        eyes.sort_unstable();
        let digest = Sha256::digest(eyes.join("\n"));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether it says the same about everybody.
    fn is_like(&self, other: &Self) -> bool {
        let same = |(id, entry): (&RecordId, &Entry)| {
            other.people.get(id).is_some_and(|o| o.person == entry.person && o.viewer == entry.viewer)
        };
        self.people.len() == other.people.len() && self.teams == other.teams && self.people.iter().all(same)
    }
}

/// The present roster. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct People {
    roster: watch::Sender<Arc<Roster>>,
    seating: Arc<Mutex<Seating>>,
    /// Whose sight has changed: the latest event they may have had with their old eyes, once it is known.
    changed: Arc<Mutex<HashMap<RecordId, Option<EventId>>>>,
}

/// Everybody at their own extensions, and who sits elsewhere.
#[derive(Debug)]
struct Seating {
    own: Arc<Roster>,
    seats: HashMap<RecordId, Extension>,
}

impl People {
    /// Begins with this roster.
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        let own = Arc::new(roster);
        let seating = Seating { own: Arc::clone(&own), seats: HashMap::new() };
        Self {
            roster: watch::Sender::new(own),
            seating: Arc::new(Mutex::new(seating)),
            changed: Arc::default(),
        }
    }

    /// Everybody at their own extensions, whoever sits where.
    #[must_use]
    pub fn at_home(&self) -> Arc<Roster> {
        Arc::clone(&self.seating().own)
    }

    /// `user` sits at `seat` from now on, or at her own extension again; `head` tells the latest event.
    pub fn sit(&self, user: RecordId, seat: Option<Extension>, head: impl FnOnce() -> EventId) {
        let mut seating = self.seating();
        match seat {
            Some(seat) => seating.seats.insert(user, seat),
            None => seating.seats.remove(&user),
        };
        self.put(seating.own.seated(&seating.seats), head);
    }

    fn seating(&self) -> MutexGuard<'_, Seating> {
        self.seating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody, now.
    #[must_use]
    pub fn current(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// Puts `roster` in the place of the present one, if anything differs; `head` tells the latest event.
    pub fn replace(&self, roster: Roster, head: impl FnOnce() -> EventId) {
        let mut seating = self.seating();
        seating.own = Arc::new(roster);
        self.put(seating.own.seated(&seating.seats), head);
    }

    fn put(&self, roster: Roster, head: impl FnOnce() -> EventId) {
        let mut concerned = Vec::new();
        self.roster.send_if_modified(|present| {
            if present.is_like(&roster) {
                return false;
            }
            let changed = |(id, entry): &(&RecordId, &Entry)| present.viewer(**id) != Some(&entry.viewer);
            concerned = roster.people.iter().filter(changed).map(|(id, _)| *id).collect();
            // Before the new roster can be seen, and so before anybody can come with new eyes.
            self.changed().extend(concerned.iter().map(|id| (*id, None)));
            *present = Arc::new(roster);
            true
        });
        if !concerned.is_empty() {
            // From here on no stream hands out an event for old eyes.
            let head = head();
            self.changed().extend(concerned.into_iter().map(|id| (id, Some(head.clone()))));
        }
    }

    /// Whether what `id` had up to the event `after` was seen with the eyes of now.
    #[must_use]
    pub fn may_resume(&self, id: RecordId, after: &EventId) -> bool {
        match self.changed().get(&id) {
            None => true,
            Some(None) => false,
            Some(Some(last)) => after.is_after(last),
        }
    }

    /// Wakes when people change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    fn changed(&self) -> MutexGuard<'_, HashMap<RecordId, Option<EventId>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_supervisor_sees_her_team_and_nobody_elses() {
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
    fn a_stream_is_not_resumed_from_before_a_change_of_sight() {
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
        assert!(may(1, 0), "her eyes are the same");
        assert_eq!(
            [(3, 6), (3, 7), (3, 8), (2, 7)].map(|(n, after)| may(n, after)),
            [false, false, true, false]
        );
        people.replace(Roster::new(everybody(), []), || panic!("nothing has changed"));
        assert!(may(3, 8));
    }
}
