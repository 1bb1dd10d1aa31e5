//! Audit entries of commands that the core carries out: refused supervision, requests for help, states and seats that
//! somebody sets for another person. (Sessions of supervision are in `supervision.rs`; what the gateway does by itself, in
//! `gateway/audit.rs`.)
//!
//! | entry | when |
//! |---|---|
//! | `supervision.refused` | a request to supervise, switch or stop was refused |
//! | `help.requested` | an operator asks for help, by a command or a key of the phone |
//! | `help.withdrawn` | the operator, or a supervisor, takes such a request back |
//! | `operator.state_set`, `operator.wrap_up_extended`, `operator.wrap_up_finished`, `operator.wrap_up_noted` | somebody changed another person's state |
//! | `operator.refused` | a phone was refused as a seat, or a change of another person's state was not permitted |
//!
//! Invariants: only the leader writes. Of what one person does again and again, the entries are counted
//! ([`crate::store::audit::limit`]); an administrator's are all written.

use jiff::Timestamp;
use serde_json::Value;

use super::core::Core;
use crate::contract::audit::AuditEntry;
use crate::ids::{CallId, Extension, RecordId};
use crate::journal::entry::JournalEntry;
use crate::people::actor::Actor;
use crate::people::role::Role;

/// To whom something was done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// Nobody who can be named.
    Nobody,
    /// The person at this phone.
    Phone(&'a Extension),
    /// This person.
    Person(RecordId),
}

impl Core {
    /// Writes an entry, unless the actor has caused too many equal ones.
    pub(super) fn audit(
        &mut self,
        actor: Option<&Actor>,
        action: &str,
        subject: Subject<'_>,
        call: Option<CallId>,
        details: Value,
    ) {
        if !self.deps.bus.is_leader() {
            return;
        }
        let at: Timestamp = self.clock.now();
        let roster = self.deps.people.current();
        let (subject, subject_id) = match subject {
            Subject::Nobody => (String::new(), None),
            Subject::Phone(phone) => (phone.to_string(), roster.at(phone).map(|person| person.id)),
            Subject::Person(id) => {
                let person = roster.person(id);
                let phone = person.and_then(|person| person.extension.as_ref()).map(ToString::to_string);
                (phone.or_else(|| Some(person?.name.clone())).unwrap_or_default(), Some(id))
            }
        };
        let entry = AuditEntry {
            at,
            actor: actor.map(|actor| actor.user),
            actor_name: actor.map(|actor| actor.name.to_string()).unwrap_or_default(),
            action: action.into(),
            subject,
            subject_id,
            call,
            details,
        };
        if actor.is_some_and(|actor| actor.viewer.role() == Role::Admin) {
            return self.deps.bus.record(JournalEntry::Audit(Box::new(entry)));
        }
        // What a key of a phone does is counted for each phone.
        let by = actor.map_or_else(|| entry.subject.clone(), |actor| actor.user.to_string());
        if let Some(entry) = self.audit_limit.admit(at, &format!("{action} {by}"), entry) {
            self.deps.bus.record(JournalEntry::Audit(Box::new(entry)));
        }
    }

    /// Writes the entries about what was withheld.
    pub(super) fn audit_timeout(&mut self) {
        let now = self.clock.now();
        for entry in self.audit_limit.handle_timeout(now) {
            self.deps.bus.record(JournalEntry::Audit(Box::new(entry)));
        }
    }

    /// At the end: writes what is withheld now.
    pub(super) fn finish_audit(&mut self) {
        for entry in self.audit_limit.finish() {
            self.deps.bus.record(JournalEntry::Audit(Box::new(entry)));
        }
    }
}
