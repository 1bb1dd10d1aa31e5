//! What people ask of operators' states. Who may is decided here, what comes of it in `floor.rs`.
//!
//! | who | may set, extend and finish for |
//! |---|---|
//! | operator | herself |
//! | supervisor | herself and her team |
//! | administrator | everybody |
//! | system | nobody |

use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::floor::Wanted;
use super::role::Role;
use super::state::{ActorKind, By, Phone, StateView};
use crate::command::Actor;
use crate::config::Choice;
use crate::ids::{CallId, Extension, RecordId};

/// What is asked, for whom, and from where.
#[derive(Debug, Clone)]
pub struct Command {
    /// For whom.
    pub user: RecordId,
    /// With which sign-in.
    pub session: RecordId,
    /// At which desktop, as it calls itself.
    pub desktop: Option<SmolStr>,
    /// What.
    pub asked: Asked,
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A state.
    Set(Wanted),
    /// More time for after-call work.
    Extend {
        /// After which call.
        call: CallId,
        /// How much.
        seconds: u32,
        /// What for.
        reason: String,
    },
    /// The end of after-call work.
    Finish {
        /// After which call.
        call: CallId,
        /// What came of it.
        disposition: String,
        /// More about it.
        notes: Option<String>,
    },
    /// What there is to choose from.
    Options,
}

/// What there is to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperatorOptions)]
pub struct Options {
    /// Why somebody may be not ready; any short word where empty.
    pub not_ready_reasons: Vec<Choice>,
    /// What may have come of a call; any short word where empty.
    pub dispositions: Vec<Choice>,
    /// Length of after-call work where the account says nothing, in seconds.
    pub wrap_up_s: u32,
    /// Most seconds that one extension adds.
    pub wrap_up_extend_s_max: u32,
    /// Whether after-call work goes on until a disposition is given.
    pub disposition_required: bool,
    /// The phones that the PBX has told of, by extension.
    pub seats: Vec<Seat>,
}

/// A phone where somebody may sit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Seat {
    /// Its extension.
    #[schema(value_type = String)]
    pub extension: Extension,
    /// Whether it can be called.
    pub phone: Phone,
    /// Whether somebody has logged in there.
    pub taken: bool,
}

impl Command {
    /// Whether this actor may ask it for an operator who now looks like this.
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

    /// Who made the change that comes of it.
    #[must_use]
    pub fn by(&self, actor: &Actor) -> By {
        By {
            actor: ActorKind::Person,
            user: Some(actor.user),
            name: Some(actor.name.clone()),
            session: Some(self.session),
            desktop: self.desktop.clone(),
        }
    }
}
