//! Visibility: which calls and events a person sees.
//!
//! | viewer | sees calls | sees audiences |
//! |---|---|---|
//! | operator | that ring at the operator's extension or that the operator has | `All`, `Operators` with that extension, `Person` of the operator, its own `Desktop` |
//! | supervisor | of the team and the supervisor's own; calls that nobody has had yet or that wait for an operator again; calls that left the team's last operator | `All`, `Supervisors`, `Operators` and `SupervisorsOf` with an extension of the team or the supervisor's own, `Person` and `SupervisorsOfPeople` with a member of the team, its own `Desktop` |
//! | admin, system | all | all, of `Desktop` only its own |
//!
//! A live call is seen through the phones at which it is now, and a phone is somebody's only while that person sits there
//! ([`crate::operators`] decides who may sit where). Everything that stays (a person's state, history, messages, a call that
//! has left its operator) belongs to the person, whatever phone that person used or somebody else uses now.
//!
//! Invariant: a viewer never changes. When a team changes, new viewers replace the old ones, and the streams of the old
//! ones start again with a snapshot.

use std::sync::Arc;

use super::role::Role;
use crate::contract::call::CallView;
use crate::contract::event::{Audience, Event, VisibilityLoss};
use crate::contract::operator::StateView;
use crate::ids::{Extension, RecordId};

/// The visibility of one person or system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    role: Role,
    /// The person, where the viewer belongs to one.
    user: Option<RecordId>,
    extension: Option<Extension>,
    /// The extensions of a supervisor's team, sorted; empty for other roles.
    team: Arc<[Extension]>,
    /// The people of a supervisor's team, sorted; empty for other roles.
    members: Arc<[RecordId]>,
}

impl Viewer {
    /// A viewer of this role; only supervisors use `team`.
    #[must_use]
    pub fn new(role: Role, extension: Option<Extension>, team: impl IntoIterator<Item = Extension>) -> Self {
        let mut members: Vec<Extension> =
            if role == Role::Supervisor { team.into_iter().collect() } else { Vec::new() };
        members.sort_unstable();
        members.dedup();
        Self { role, user: None, extension, team: members.into(), members: Arc::default() }
    }

    /// The same visibility, and that of the people of the team; only supervisors use it.
    #[must_use]
    pub fn with_members(self, people: impl IntoIterator<Item = RecordId>) -> Self {
        let mut members: Vec<RecordId> =
            if self.role == Role::Supervisor { people.into_iter().collect() } else { Vec::new() };
        members.sort_unstable();
        members.dedup();
        Self { members: members.into(), ..self }
    }

    /// The same visibility, as this person's.
    #[must_use]
    pub fn for_user(self, user: RecordId) -> Self {
        Self { user: Some(user), ..self }
    }

    /// The person to whom the viewer belongs.
    #[must_use]
    pub fn user(&self) -> Option<RecordId> {
        self.user
    }

    /// A viewer without restriction: the daemon itself, an administrator, another system.
    #[must_use]
    pub fn unrestricted(role: Role) -> Self {
        debug_assert!(matches!(role, Role::Admin | Role::System), "only these roles are unrestricted");
        Self { role, user: None, extension: None, team: Arc::default(), members: Arc::default() }
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The viewer's own extension.
    #[must_use]
    pub fn extension(&self) -> Option<&Extension> {
        self.extension.as_ref()
    }

    /// Whether nothing is hidden from this viewer.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        matches!(self.role, Role::Admin | Role::System)
    }

    /// Whether the viewer is a supervisor, who also sees calls and operators without an extension.
    #[must_use]
    pub fn is_supervisor(&self) -> bool {
        self.role == Role::Supervisor
    }

    /// Whether the operator at this extension is visible.
    #[must_use]
    pub fn sees_operator(&self, operator: &Extension) -> bool {
        self.is_unrestricted()
            || self.extension.as_ref() == Some(operator)
            || self.team.binary_search(operator).is_ok()
    }

    /// Whether what belongs to this person is visible: the viewer's own, that of the team, or everything.
    #[must_use]
    pub fn sees_person(&self, person: RecordId) -> bool {
        self.is_unrestricted() || self.user == Some(person) || self.members.binary_search(&person).is_ok()
    }

    /// Whether an event for this audience is visible.
    #[must_use]
    pub fn may_see(&self, audience: &Audience) -> bool {
        match audience {
            Audience::All => true,
            Audience::Operators(operators) => {
                self.is_unrestricted() || operators.iter().any(|o| self.sees_operator(o))
            }
            Audience::SupervisorsOf(operators) => {
                self.is_unrestricted()
                    || self.is_supervisor() && operators.iter().any(|o| self.sees_operator(o))
            }
            Audience::Supervisors => self.is_unrestricted() || self.is_supervisor(),
            Audience::Person(person) => self.sees_person(*person),
            Audience::SupervisorsOfPeople(people) => self.supervises_any(people),
            Audience::Desktop(operator) => self.extension.as_ref() == Some(operator),
        }
    }

    /// Whether the viewer gets this event: the viewer is in its audience, or loses sight of a call by it.
    #[must_use]
    pub fn may_receive(&self, event: &Event) -> bool {
        self.may_see(event.audience()) || event.visibility_loss().is_some_and(|loss| self.loses_sight(loss))
    }

    /// Whether the viewer saw the call before and does not see it now.
    fn loses_sight(&self, loss: &VisibilityLoss) -> bool {
        self.sees_call_of(loss.before().iter(), loss.left_before())
            && !loss.now().is_some_and(|now| self.sees_call_of(now.iter(), loss.left_now()))
    }

    /// Whether a call with this view is visible.
    #[must_use]
    pub fn sees_call(&self, call: &CallView) -> bool {
        self.sees_call_of(call.operators(), call.left())
    }

    /// Whether a call that involves these operators is visible. `left` are the people who had a call that involves nobody
    /// now.
    pub(crate) fn sees_call_of<'a>(
        &self,
        operators: impl Iterator<Item = &'a Extension>,
        left: &[RecordId],
    ) -> bool {
        let mut operators = operators.peekable();
        if operators.peek().is_none() {
            return if left.is_empty() {
                self.is_unrestricted() || self.is_supervisor()
            } else {
                self.supervises_any(left)
            };
        }
        operators.any(|operator| self.sees_operator(operator))
    }

    /// Whether one of these people is of the supervisor's team.
    fn supervises_any(&self, people: &[RecordId]) -> bool {
        self.is_unrestricted()
            || self.is_supervisor() && people.iter().any(|person| self.sees_person(*person))
    }

    /// Whether an operator with this view is visible: the viewer's own view, and those of the team.
    #[must_use]
    pub fn sees_state(&self, view: &StateView) -> bool {
        self.sees_person(view.id)
    }

    /// The people whose history, states and messages are visible; none for an unrestricted viewer.
    pub(crate) fn visible_people(&self) -> impl Iterator<Item = RecordId> {
        let own = self.user.filter(|own| self.members.binary_search(own).is_err());
        own.into_iter().chain(self.members.iter().copied()).filter(|_| !self.is_unrestricted())
    }

    /// The extensions of a supervisor's team; empty for other roles.
    #[must_use]
    pub fn team(&self) -> &[Extension] {
        &self.team
    }

    /// The extensions whose calls are visible; none for an unrestricted viewer.
    pub(crate) fn visible_extensions(&self) -> impl Iterator<Item = &Extension> {
        let own = self.extension.as_ref().filter(|own| self.team.binary_search(own).is_err());
        own.into_iter().chain(self.team.iter()).filter(|_| !self.is_unrestricted())
    }
}
