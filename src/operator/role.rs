//! What a role may do.
//!
//! | permission | operator | supervisor | system | admin |
//! |---|---|---|---|---|
//! | `FollowCalls`, `AcknowledgePop`, `ReadDirectory`, `EditCustomers`, `TakeMessages` | x | x | x | x |
//! | `ReadPeople` | x | x | x | x |
//! | `ReadAudit` (supervisors: of their teams) | | x | | x |
//! | `EditDirectory`, `DeleteMessages`, `ManagePeople`, `ManageWebhooks` | | | | x |
//!
//! Which calls somebody sees is not a permission but a matter of sight: [`super::Viewer`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody is at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers calls; sees her own.
    Operator,
    /// Answers for a team; sees its calls and those that are nobody's yet.
    Supervisor,
    /// Runs the installation; sees and changes everything.
    Admin,
    /// Another program, such as a CRM; sees every call.
    System,
}

/// Something a role may do or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See calls and follow the events, as far as the viewer's sight goes.
    FollowCalls,
    /// Say that a pop was shown.
    AcknowledgePop,
    /// Answer, hold, resume, hang up and transfer calls, as far as the calls are one's own or one's team's.
    ControlCalls,
    /// Read accounts, customers and contacts, and ask for explanations.
    ReadDirectory,
    /// Make and change customers.
    EditCustomers,
    /// Make, change and delete accounts and contacts, and delete customers.
    EditDirectory,
    /// Read, write down and acknowledge messages. Whose text somebody may change: [`crate::command::Actor`].
    TakeMessages,
    /// Delete messages.
    DeleteMessages,
    /// See who the operators and supervisors are.
    ReadPeople,
    /// Read the audit trail, as far as it concerns one's own team.
    ReadAudit,
    /// See which events other systems have not taken, and send them again.
    ManageWebhooks,
    /// See all users; make, change and delete them; give and revoke tokens.
    ManagePeople,
}

impl Role {
    /// All roles.
    pub const ALL: &[Self] = &[Self::Operator, Self::Supervisor, Self::Admin, Self::System];

    /// Whether this role may do it. The only answer to that question.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::FollowCalls
            | Permission::AcknowledgePop
            | Permission::ReadDirectory
            | Permission::EditCustomers
            | Permission::TakeMessages
            | Permission::ReadPeople => true,
            Permission::ControlCalls => self != Self::System,
            Permission::ReadAudit => matches!(self, Self::Supervisor | Self::Admin),
            Permission::EditDirectory
            | Permission::DeleteMessages
            | Permission::ManagePeople
            | Permission::ManageWebhooks => self == Self::Admin,
        }
    }

    /// The role as it is on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Supervisor => "supervisor",
            Self::Admin => "admin",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of operator, supervisor, admin, system")]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_administrators_change_people_and_accounts() {
        for role in Role::ALL {
            let admin = *role == Role::Admin;
            assert_eq!(role.may(Permission::ManagePeople), admin, "{role}");
            assert_eq!(role.may(Permission::EditDirectory), admin, "{role}");
            assert!(role.may(Permission::FollowCalls), "{role}");
            assert_eq!(role.as_str().parse(), Ok(*role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
