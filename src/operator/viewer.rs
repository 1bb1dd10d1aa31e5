//! Sight: which events and calls somebody sees.
//!
//! | viewer | sees calls | sees audiences |
//! |---|---|---|
//! | operator | that ring at her or that she has | `All`, `Operators` that name her, her own `Desktop` |
//! | supervisor | of her team and her own; those that are nobody's (yet) | `All`, `Supervisors`, `Operators` and `SupervisorsOf` that name her or one of her team |
//! | admin, system | all | all |
//!
//! Invariant: a viewer never changes; when teams change there are new viewers, and the streams of the old ones
//! begin again with a snapshot.

use std::sync::Arc;

use super::role::Role;
use super::state::StateView;
use crate::bus::Audience;
use crate::call::view::CallView;
use crate::ids::{Extension, RecordId};

/// Somebody who looks at calls and events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    role: Role,
    /// Whose eyes these are, where they are a person's.
    user: Option<RecordId>,
    extension: Option<Extension>,
    /// Sorted; empty for everybody but supervisors.
    team: Arc<[Extension]>,
}

impl Viewer {
    /// `team` counts for supervisors only.
    #[must_use]
    pub fn new(role: Role, extension: Option<Extension>, team: impl IntoIterator<Item = Extension>) -> Self {
        let mut members: Vec<Extension> =
            if role == Role::Supervisor { team.into_iter().collect() } else { Vec::new() };
        members.sort_unstable();
        members.dedup();
        Self { role, user: None, extension, team: members.into() }
    }

    /// The same eyes, as this person's.
    #[must_use]
    pub fn of(self, user: RecordId) -> Self {
        Self { user: Some(user), ..self }
    }

    /// Whose eyes these are.
    #[must_use]
    pub fn user(&self) -> Option<RecordId> {
        self.user
    }

    /// One who sees everything: the daemon itself, an administrator, another system.
    #[must_use]
    pub fn all_seeing(role: Role) -> Self {
        debug_assert!(matches!(role, Role::Admin | Role::System), "only these see everything");
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
    pub fn sees_everything(&self) -> bool {
        matches!(self.role, Role::Admin | Role::System)
    }

    /// Whether this viewer sees what is nobody's yet.
    #[must_use]
    pub fn is_supervisor(&self) -> bool {
        self.role == Role::Supervisor
    }

    /// Whether what this operator does is in sight.
    #[must_use]
    pub fn sees_operator(&self, operator: &Extension) -> bool {
        self.sees_everything()
            || self.extension.as_ref() == Some(operator)
            || self.team.binary_search(operator).is_ok()
    }

    /// Whether an event for this audience is for this viewer.
    #[must_use]
    pub fn may_see(&self, audience: &Audience) -> bool {
        match audience {
            Audience::All => true,
            Audience::Operators(operators) => {
                self.sees_everything() || operators.iter().any(|o| self.sees_operator(o))
            }
            Audience::SupervisorsOf(operators) => {
                self.sees_everything()
                    || self.is_supervisor() && operators.iter().any(|o| self.sees_operator(o))
            }
            Audience::Supervisors => self.sees_everything() || self.is_supervisor(),
            Audience::Desktop(operator) => self.extension.as_ref() == Some(operator),
        }
    }

    /// Whether a call that now looks like this is in sight.
    #[must_use]
    pub fn sees_call(&self, call: &CallView) -> bool {
        self.sees_call_of(call.operators())
    }

    /// Whether a call that concerns these operators now is in sight.
    pub(crate) fn sees_call_of<'a>(&self, operators: impl Iterator<Item = &'a Extension>) -> bool {
        let mut operators = operators.peekable();
        if operators.peek().is_none() {
            return self.sees_everything() || self.is_supervisor();
        }
        operators.any(|operator| self.sees_operator(operator))
    }

    /// Whether an operator who is now so is in sight. Who sits nowhere is nobody's team's: every supervisor sees her.
    #[must_use]
    pub fn sees_state(&self, view: &StateView) -> bool {
        self.user == Some(view.id)
            || view
                .extension
                .as_ref()
                .map_or(self.sees_everything() || self.is_supervisor(), |e| self.sees_operator(e))
    }

    /// Whose supervisor this viewer is; empty for everybody else.
    #[must_use]
    pub fn team(&self) -> &[Extension] {
        &self.team
    }

    /// The extensions whose calls are in sight; none for those who see everything anyway.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &Extension> {
        let own = self.extension.as_ref().filter(|own| self.team.binary_search(own).is_err());
        own.into_iter().chain(self.team.iter()).filter(|_| !self.sees_everything())
    }
}
