//! The authenticated person of a command.

use smol_str::SmolStr;

use super::role::Role;
use super::viewer::Viewer;
use crate::contract::call::CallView;
use crate::ids::{Extension, RecordId};

/// The authenticated person who gives a command.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The user.
    pub user: RecordId,
    /// The user's name, for records.
    pub name: SmolStr,
    /// What the user may see, and therefore act on.
    pub viewer: Viewer,
}

impl Actor {
    /// Whether the actor is this operator, the operator's supervisor or an administrator.
    #[must_use]
    pub fn may_act_for(&self, operator: &Extension) -> bool {
        self.viewer.role() != Role::System && self.viewer.sees_operator(operator)
    }

    /// Whether the call is visible to the actor. A command about an invisible call is answered as if the call did not
    /// exist.
    #[must_use]
    pub fn sees(&self, call: &CallView) -> bool {
        self.viewer.sees_call(call)
    }
}
