//! Commands about operators' states: who may give them. `registry.rs` carries them out.
//!
//! | actor | may set, extend, note and finish for |
//! |---|---|
//! | operator | themselves |
//! | supervisor | themselves and their team |
//! | administrator | every operator |
//! | system | nobody |
//!
//! Who may sit at which phone ([`authorise_seat`]); nobody sits at a phone where somebody else is logged in:
//!
//! | the phone | who may make it an operator's seat |
//! |---|---|
//! | the operator's own extension | each person who may set the operator's state, also while the phone has a call |
//! | another person's own extension | that person's supervisor or an administrator, while the phone has no call |
//! | nobody's own extension (a shared phone) | each person who may set the operator's state, while the phone has no call |
//!
//! Why: with the seat go the phone's calls, pops and queue memberships. A call belongs to the person at whose phone it is.
//!
//! The operator concerned may look up the choices ([`Request::Options`]) without these rules, as may every actor.

use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::registry::StateRequest;
use crate::contract::choice::Choice;
use crate::contract::operator::{ActorKind, ChangedBy, Phone, StateView};
use crate::contract::refusal::Refusal;
use crate::ids::{CallId, Extension, RecordId};
use crate::people::actor::Actor;
use crate::people::role::Role;

/// A command about one operator's state.
#[derive(Debug, Clone)]
pub struct Command {
    /// The operator concerned.
    pub user: RecordId,
    /// The sign-in of the actor.
    pub session: RecordId,
    /// The actor's desktop, by the name it gives itself.
    pub desktop: Option<SmolStr>,
    /// The request.
    pub request: Request,
}

/// What a command requests.
#[derive(Debug, Clone)]
pub enum Request {
    /// Set the state.
    Set(StateRequest),
    /// Extend after-call work.
    Extend {
        /// The call.
        call: CallId,
        /// Added time in seconds.
        seconds: u32,
        /// The reason.
        reason: String,
    },
    /// End after-call work with a disposition.
    Finish {
        /// The call.
        call: CallId,
        /// The disposition of the call.
        disposition: String,
        /// Notes with the disposition.
        notes: Option<String>,
    },
    /// Store notes on a call whose after-call work ended by its time.
    Note {
        /// The call.
        call: CallId,
        /// The notes.
        notes: String,
    },
    /// Look up the choices.
    Options,
}

/// The choices for operator states and after-call work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperatorOptions)]
pub struct Options {
    /// Reasons for `not_ready`; any short text where empty.
    pub not_ready_reasons: Vec<Choice>,
    /// Dispositions of a call; any short text where empty.
    pub dispositions: Vec<Choice>,
    /// Length of after-call work where the account sets none, in seconds.
    pub wrap_up_s: u32,
    /// Most seconds that one extension of after-call work adds.
    pub wrap_up_extend_s_max: u32,
    /// Whether after-call work continues until a disposition is given.
    pub disposition_required: bool,
    /// The phones that the PBX has reported, by extension.
    pub seats: Vec<Seat>,
}

/// A phone at which an operator may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Seat {
    /// Its extension.
    #[schema(value_type = String)]
    pub extension: Extension,
    /// Whether it can be called.
    pub phone: Phone,
    /// Whether an operator is logged in there.
    pub taken: bool,
}

impl Command {
    /// Whether the actor may give this command for the operator with this view.
    #[must_use]
    pub fn is_allowed(&self, actor: &Actor, view: &StateView) -> bool {
        match actor.viewer.role() {
            Role::System => false,
            Role::Admin => true,
            _ if actor.user == self.user => true,
            Role::Supervisor => actor.viewer.sees_state(view),
            Role::Operator => false,
        }
    }

    /// The cause of the changes that the command makes.
    #[must_use]
    pub fn by(&self, actor: &Actor) -> ChangedBy {
        ChangedBy {
            actor: ActorKind::Person,
            user: Some(actor.user),
            name: Some(actor.name.clone()),
            session: Some(self.session),
            desktop: self.desktop.clone(),
        }
    }
}

/// What the decision about a seat reads of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatFacts {
    /// The person whose own extension it is.
    pub owner: Option<RecordId>,
    /// Whether a call of any direction rings or is active there.
    pub is_in_use: bool,
}

/// Decides whether the actor may make a phone the seat of the operator `user`; the table is in the module header.
///
/// # Errors
/// [`Refusal`]: the phone is another person's, or has a call.
pub fn authorise_seat(actor: &Actor, user: RecordId, facts: SeatFacts) -> Result<(), Refusal> {
    if facts.owner == Some(user) {
        return Ok(());
    }
    let may_lend = match (actor.viewer.role(), facts.owner) {
        (Role::System, _) => false,
        (Role::Admin, _) | (_, None) => true,
        (Role::Supervisor, Some(owner)) => actor.viewer.sees_person(owner),
        (Role::Operator, Some(owner)) => owner == actor.user,
    };
    if !may_lend {
        return Err(Refusal::NotPermitted(
            "this is another person's phone; only that person's supervisor or an administrator may let somebody else \
             use it",
        ));
    }
    if facts.is_in_use {
        return Err(Refusal::StateConflict("this phone has a call now; try again when the call is over"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::people::roster::{Person, Roster};

    /// Team 100: operators 1, 2 and supervisors 3, 4; team 200: operator 5, supervisor 6. Operator 7 and supervisor 8 have
    /// no team; 9 is an administrator, 10 a program.
    fn roster() -> Roster {
        use Role::{Admin, Operator, Supervisor, System};
        let people = [
            (1, Operator, Some(100)),
            (2, Operator, Some(100)),
            (3, Supervisor, Some(100)),
            (4, Supervisor, Some(100)),
            (5, Operator, Some(200)),
            (6, Supervisor, Some(200)),
            (7, Operator, None),
            (8, Supervisor, None),
            (9, Admin, None),
            (10, System, None),
        ];
        let person = |(n, role, team): (u128, Role, Option<u128>)| Person {
            id: id(n),
            name: format!("person {n}"),
            kana: String::new(),
            role,
            // Odd people are at their phones; the others have none now, wherever they were before.
            extension: (n % 2 == 1).then(|| Extension::parse(&(1000 + n).to_string()).unwrap()),
            team: team.map(id),
        };
        Roster::new(people.map(person), [])
    }

    fn id(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    /// Every actor, every operator, every owner of the phone, in use and not, against the table of the header, written in
    /// other words: by teams, not by viewers.
    #[test]
    fn a_seat_is_ones_own_or_idle_and_lent_by_its_owners_supervisor() {
        let roster = roster();
        let team = |n: u128| roster.person(id(n)).unwrap().team;
        let leads = |actor: u128, other: u128| {
            let is_supervisor = roster.person(id(actor)).unwrap().role == Role::Supervisor;
            is_supervisor && (actor == other || team(actor).is_some() && team(actor) == team(other))
        };
        for actor in 1..=10 {
            let viewer = roster.viewer(id(actor)).unwrap().clone();
            let by = Actor { user: id(actor), name: "x".into(), viewer };
            for operator in 1..=9 {
                for owner in (0..=9).map(|owner| (owner > 0).then_some(owner)) {
                    for is_in_use in [false, true] {
                        let facts = SeatFacts { owner: owner.map(id), is_in_use };
                        let answer = authorise_seat(&by, id(operator), facts);
                        let lends = actor == 9
                            || actor != 10 && owner.is_none_or(|owner| owner == actor || leads(actor, owner));
                        let expected = if owner == Some(operator) {
                            "yes"
                        } else if !lends {
                            "not permitted"
                        } else if is_in_use {
                            "conflict"
                        } else {
                            "yes"
                        };
                        let is = match answer {
                            Ok(()) => "yes",
                            Err(Refusal::NotPermitted(_)) => "not permitted",
                            Err(Refusal::StateConflict(_)) => "conflict",
                            Err(other) => panic!("{other}"),
                        };
                        assert_eq!(
                            is, expected,
                            "{actor} seats {operator} at the phone of {owner:?}, {is_in_use}"
                        );
                    }
                }
            }
        }
    }

    /// Whose state an actor may set: a supervisor the team's, at whatever phone, and nobody else's without one.
    #[test]
    fn teams_belong_to_people_and_not_to_phones() {
        let roster = roster();
        for actor in 1..=10_u128 {
            let viewer = roster.viewer(id(actor)).unwrap().clone();
            let by = Actor { user: id(actor), name: "x".into(), viewer };
            for operator in 1..=8_u128 {
                let command =
                    Command { user: id(operator), session: id(99), desktop: None, request: Request::Options };
                let expected = match actor {
                    10 => false,
                    9 => true,
                    3 | 4 => (1..=4).contains(&operator),
                    6 => (5..=6).contains(&operator),
                    _ => actor == operator,
                };
                // The phone that the view names is no reason to see a person.
                for extension in [None, Extension::parse("1001").ok(), Extension::parse("1005").ok()] {
                    let view = StateView::unknown(id(operator), "x".into(), extension);
                    assert_eq!(command.is_allowed(&by, &view), expected, "{actor} for {operator}: {view:?}");
                }
            }
        }
    }
}
