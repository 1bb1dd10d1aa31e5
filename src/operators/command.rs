//! Commands about operators' states: who may give them. `registry.rs` carries them out.
//!
//! | actor | may set, extend and finish for |
//! |---|---|
//! | operator | themselves |
//! | supervisor | themselves and their team |
//! | administrator | every operator |
//! | system | nobody |
//!
//! The operator concerned may look up the choices ([`Request::Options`]) without these rules, as may every actor.

use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::registry::StateRequest;
use crate::contract::choice::Choice;
use crate::contract::operator::{ActorKind, ChangedBy, Phone, StateView};
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
