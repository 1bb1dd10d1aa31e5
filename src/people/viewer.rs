//! Visibility: which calls and events a person sees.
//!
//! | viewer | sees calls | sees audiences |
//! |---|---|---|
//! | operator | that ring at the operator's extension or that the operator has | `All`, `Operators` with that extension, its own `Desktop` |
//! | supervisor | of the team and the supervisor's own; calls without an operator (yet) | `All`, `Supervisors`, `Operators` and `SupervisorsOf` with an extension of the team or the supervisor's own, its own `Desktop` |
//! | admin, system | all | all, of `Desktop` only its own |
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
}

impl Viewer {
    /// A viewer of this role; only supervisors use `team`.
    #[must_use]
    pub fn new(role: Role, extension: Option<Extension>, team: impl IntoIterator<Item = Extension>) -> Self {
        let mut members: Vec<Extension> =
            if role == Role::Supervisor { team.into_iter().collect() } else { Vec::new() };
        members.sort_unstable();
        members.dedup();
        Self { role, user: None, extension, team: members.into() }
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
        Self { role, user: None, extension: None, team: Arc::default() }
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
        self.sees_call_of(loss.before().iter())
            && !loss.now().is_some_and(|now| self.sees_call_of(now.iter()))
    }

    /// Whether a call with this view is visible.
    #[must_use]
    pub fn sees_call(&self, call: &CallView) -> bool {
        self.sees_call_of(call.operators())
    }

    /// Whether a call that involves these operators is visible.
    pub(crate) fn sees_call_of<'a>(&self, operators: impl Iterator<Item = &'a Extension>) -> bool {
        let mut operators = operators.peekable();
        if operators.peek().is_none() {
            return self.is_unrestricted() || self.is_supervisor();
        }
        operators.any(|operator| self.sees_operator(operator))
    }

    /// Whether an operator with this view is visible. An operator without an extension belongs to no team here: every
    /// supervisor sees that operator.
    #[must_use]
    pub fn sees_state(&self, view: &StateView) -> bool {
        self.user == Some(view.id)
            || view
                .extension
                .as_ref()
                .map_or(self.is_unrestricted() || self.is_supervisor(), |e| self.sees_operator(e))
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
