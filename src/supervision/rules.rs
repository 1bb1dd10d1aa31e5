//! Who may supervise whom.
//!
//! | person | may supervise |
//! |---|---|
//! | administrator | every operator but themselves |
//! | supervisor | the operators of the team but not themselves |
//! | operator whose call was taken over | listen on in that call |
//! | anybody else | nobody |
//!
//! Invariant: pure. The rules apply to commands ([`super::authorise`]) and, throughout a session, to every operator that
//! the session could hear.

use smol_str::SmolStr;

use super::session::MonitorTarget;
use crate::contract::supervision::{Mode, SupervisionId, Target};
use crate::ids::{CallId, Extension, RecordId};
use crate::people::role::Role;
use crate::people::viewer::Viewer;

/// A request to start a session.
#[derive(Debug, Clone)]
pub struct SupervisionRequest {
    /// The subject.
    pub target: Target,
    /// The mode.
    pub mode: Mode,
    /// The supervisor's phone; where absent, the actor's own extension.
    pub extension: Option<Extension>,
    /// The reason, in the supervisor's words.
    pub reason: Option<SmolStr>,
}

/// A session that may start.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The session's id.
    pub id: SupervisionId,
    /// The supervisor.
    pub user: RecordId,
    /// The supervisor's name.
    pub name: SmolStr,
    /// The supervisor's phone.
    pub phone: Extension,
    /// The subject.
    pub target: Target,
    /// The mode.
    pub mode: Mode,
    /// The reason, in the supervisor's words.
    pub reason: Option<SmolStr>,
    /// The channel to hear now.
    pub monitor_target: Option<MonitorTarget>,
}

/// Whether this person may supervise this operator; `released` is the operator from whom the call was taken over.
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

impl SupervisionRequest {
    /// The call, where the subject is a call.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match self.target {
            Target::Call(call) => Some(call),
            Target::Operator { .. } => None,
        }
    }
}
