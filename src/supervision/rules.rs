//! Who may supervise whom.
//!
//! | who | may |
//! |---|---|
//! | administrator | supervise every operator but herself |
//! | supervisor | supervise the operators of her team, but not herself |
//! | operator whose call was taken over | listen on in that call |
//! | anybody else | nothing |
//!
//! Invariant: pure; what is refused here is written into the audit trail by whoever asked.

use smol_str::SmolStr;

use super::session::{Mode, Place, SupervisionId, Target};
use crate::ids::{CallId, Extension, RecordId};
use crate::operator::{Role, Viewer};

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whom.
    pub target: Target,
    /// How.
    pub mode: Mode,
    /// At which phone; the actor's own where it is not said.
    pub extension: Option<Extension>,
    /// Why, in her words.
    pub why: Option<SmolStr>,
}

/// A session that may begin.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its name.
    pub id: SupervisionId,
    /// Who.
    pub user: RecordId,
    /// Her name.
    pub name: SmolStr,
    /// At which phone.
    pub phone: Extension,
    /// Whom.
    pub target: Target,
    /// How.
    pub mode: Mode,
    /// Why.
    pub why: Option<SmolStr>,
    /// Where the target is now.
    pub place: Option<Place>,
}

/// Whether this person may supervise this operator; `released` names the operator from whom the call was taken.
#[must_use]
pub fn may_supervise(
    viewer: &Viewer,
    operator: &Extension,
    mode: Mode,
    released: Option<&Extension>,
) -> bool {
    let own = viewer.extension();
    if own == Some(operator) {
        return false;
    }
    match viewer.role() {
        Role::Admin => true,
        Role::Supervisor => viewer.sees_operator(operator),
        Role::Operator => mode == Mode::Listen && released.is_some() && released == own,
        Role::System => false,
    }
}

/// The call that a command is about, where it names one.
impl Wanted {
    /// The call named.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match self.target {
            Target::Call(call) => Some(call),
            Target::Operator { .. } => None,
        }
    }
}
