//! The simulator over the next [`CHECK_DAYS`] days: at which times a message would reach nobody, and what a step can never reach.
//!
//! Between two boundaries (the account opens or closes, a day begins, a contact leaves or returns, a condition's time comes) the plan
//! is the same, so the boundaries are all that is looked at: each with a normal and an urgent message, for each contact and for
//! nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use serde::Serialize;

use super::condition::MessageFacts;
use super::document::{Document, Recipient};
use super::plan::plan;
use super::resolve::Note;
use super::world::World;
use crate::contract::message::Urgency;

/// How far ahead routes are checked.
pub const CHECK_DAYS: u32 = 14;
/// Most contacts for whom messages are simulated; an account with more has its first ones checked.
const CONTACTS_MAX: usize = 50;

/// Something that an administrator should change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Finding {
    /// At these times a message reaches nobody.
    NobodyReached {
        /// From this time.
        from: Timestamp,
        /// Until this time, or the end of the check.
        until: Timestamp,
        /// How urgent the message is.
        urgency: Urgency,
        /// The contact whom it names; absent: nobody, or anybody whom the account has.
        #[serde(skip_serializing_if = "Option::is_none")]
        contact: Option<String>,
        /// The route.
        route: String,
        /// Why.
        notes: Vec<Note>,
    },
    /// A route names an endpoint that the account does not have.
    UnknownEndpoint {
        /// The route.
        route: String,
        /// The code.
        endpoint: String,
    },
    /// A route names a contact that the account does not have.
    UnknownContact {
        /// The route.
        route: String,
        /// The code.
        contact: String,
    },
}

/// What is wrong with an account's routes from `now` on. The findings are in the order of time.
#[must_use]
pub fn check(documents: &[&Document], world: &World, now: Timestamp) -> Vec<Finding> {
    let own = documents.iter().find(|document| !document.routes.is_empty());
    let mut findings: Vec<Finding> = own.iter().flat_map(|document| unknown_codes(document, world)).collect();
    let end = now.checked_add(Duration::from_secs(u64::from(CHECK_DAYS) * 86_400)).unwrap_or(Timestamp::MAX);
    let times: Vec<Time> = own
        .iter()
        .flat_map(|document| &document.routes)
        .filter_map(|route| route.when.time)
        .flat_map(super::condition::Daily::ends)
        .collect();
    let mut boundaries: Vec<Timestamp> = world.boundaries(now, end, &times).into_iter().collect();
    boundaries.insert(0, now);
    boundaries.retain(|at| *at < end);
    let contacts = world.people.iter().take(CONTACTS_MAX).map(Some).chain([None]);
    let mut holes: BTreeMap<(Timestamp, usize), Finding> = BTreeMap::new();
    let mut order = 0;
    for contact in contacts {
        for urgency in [Urgency::Normal, Urgency::Urgent] {
            let facts =
                MessageFacts { contact: contact.map(|person| person.id), urgency, ..MessageFacts::default() };
            let mut open: Option<Finding> = None;
            for (index, at) in boundaries.iter().enumerate() {
                let until = boundaries.get(index + 1).copied().unwrap_or(end);
                let plan = plan(documents, &facts, world, *at);
                let hole = (!plan.reaches_somebody()).then(|| Finding::NobodyReached {
                    from: *at,
                    until,
                    urgency,
                    contact: contact.map(|person| person.name.clone()),
                    route: plan.route.clone(),
                    notes: plan.steps.iter().flat_map(|step| step.notes.clone()).collect(),
                });
                match (&mut open, hole) {
                    (Some(known), Some(hole)) if known.goes_on_with(&hole) => known.extend_to(until),
                    (known, hole) => {
                        order += 1;
                        let ended = std::mem::replace(known, hole);
                        holes.extend(ended.map(|ended| ((ended.from(), order), ended)));
                    }
                }
            }
            order += 1;
            holes.extend(open.map(|hole| ((hole.from(), order), hole)));
        }
    }
    findings.extend(holes.into_values());
    findings
}

impl Finding {
    fn from(&self) -> Timestamp {
        match self {
            Self::NobodyReached { from, .. } => *from,
            Self::UnknownContact { .. } | Self::UnknownEndpoint { .. } => Timestamp::MIN,
        }
    }

    fn goes_on_with(&self, next: &Self) -> bool {
        match (self, next) {
            (
                Self::NobodyReached { route, notes, .. },
                Self::NobodyReached { route: next_route, notes: next_notes, .. },
            ) => (route, notes) == (next_route, next_notes),
            _ => false,
        }
    }

    fn extend_to(&mut self, end: Timestamp) {
        if let Self::NobodyReached { until, .. } = self {
            *until = end;
        }
    }
}

/// The codes that routes name and no contact or endpoint has.
fn unknown_codes(document: &Document, world: &World) -> Vec<Finding> {
    let mut found = Vec::new();
    for route in &document.routes {
        let digest = route.digest.as_ref().and_then(|name| document.digest(name));
        let of_digest = digest.into_iter().flat_map(|digest| &digest.to);
        let recipients =
            route.steps.iter().flat_map(|step| step.to.iter().chain(&step.also)).chain(of_digest);
        let missing = recipients.clone().filter_map(|recipient| match recipient {
            Recipient::Endpoint(code) if world.endpoint(code).is_none() => Some(code.clone()),
            _ => None,
        });
        for endpoint in missing {
            let finding = Finding::UnknownEndpoint { route: route.name.clone(), endpoint };
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        let codes = recipients.filter_map(|recipient| match recipient {
            Recipient::Contact(code) => Some(code),
            _ => None,
        });
        for code in codes.chain(&route.when.contact) {
            let finding = Finding::UnknownContact { route: route.name.clone(), contact: code.clone() };
            if world.by_code(code).is_none() && !found.contains(&finding) {
                found.push(finding);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::{person, world};
    use super::*;

    #[test]
    fn a_hole_has_its_beginning_and_its_end() {
        let text = "format = 1\n[[route]]\nname = \"night\"\nwhen = { hours = \"closed\", urgency = \"urgent\" }\n\
            [[route.step]]\nto = [\"on-call\"]\nvia = [\"phone\"]\n[[route.step]]\nto = [\"contact:c7\", \"endpoint:e7\"]\n\
            [[route]]\nname = \"usual\"\n[[route.step]]\nto = [\"account\"]";
        let document = Document::read(text).unwrap();
        let mut person = person(1);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        person.absence.from = Some(at("2026-12-02T20:00:00+09:00"));
        person.absence.until = Some(at("2026-12-03T08:00:00+09:00"));
        let now = at("2026-11-30T10:00:00+09:00");
        let findings = check(&[&document], &world(vec![person]), now);
        let unknown = Finding::UnknownContact { route: "night".into(), contact: "c7".into() };
        assert!(findings[..2].contains(&unknown), "{findings:?}");
        let unknown = Finding::UnknownEndpoint { route: "night".into(), endpoint: "e7".into() };
        assert_eq!(findings.iter().filter(|finding| **finding == unknown).count(), 1);
        let holes: Vec<_> = findings[2..]
            .iter()
            .map(|finding| match finding {
                Finding::NobodyReached { from, until, urgency, contact, route, .. } => {
                    (*from, *until, *urgency, contact.is_some(), route.as_str())
                }
                Finding::UnknownContact { .. } | Finding::UnknownEndpoint { .. } => panic!("{finding:?}"),
            })
            .collect();
        let (from, until) = (at("2026-12-02T20:00:00+09:00"), at("2026-12-03T08:00:00+09:00"));
        assert_eq!(
            holes,
            [
                (from, until, Urgency::Normal, true, "usual"),
                (from, until, Urgency::Urgent, true, "night"),
                (from, until, Urgency::Normal, false, "usual"),
                (from, until, Urgency::Urgent, false, "night"),
            ]
        );
    }

    #[test]
    fn an_account_whom_somebody_always_answers_for_has_no_findings() {
        let now = "2026-11-30T10:00:00+09:00".parse().unwrap();
        assert_eq!(check(&[], &world(vec![person(1), person(2)]), now), []);
        assert_eq!(check(&[], &world(vec![]), now).len(), 2, "a normal and an urgent message for nobody");
    }
}
