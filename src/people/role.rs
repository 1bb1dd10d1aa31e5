//! The permissions of each role.
//!
//! | permission | operator | supervisor | system | admin |
//! |---|---|---|---|---|
//! | `FollowCalls`, `AcknowledgePop`, `ReadDirectory`, `EditCustomers`, `TakeMessages`, `WriteNotices`, `ReadPeople` | x | x | x | x |
//! | `ControlCalls` (own calls; supervisors: of their teams) | x | x | | x |
//! | `ReadStateHistory` (operators: the own; supervisors: of their teams) | x | x | | x |
//! | `ReportBounces`, `ReadBills` | | | x | x |
//! | `ReadContracts`, `ReadFaxes` | | x | x | x |
//! | `ReadAudit`, `CountOffers` (supervisors: of their teams), `ResendMessages`, `LeadTeam` | | x | | x |
//! | `EditDirectory`, `DeleteMessages`, `DeleteFaxes`, `ExportMessages` and `EditScripts` (supervisors where `[messages]` says so), `ManagePeople`, `ManageWebhooks`, `ManageBilling`, `ManageSettings`, `ServeEveryTeam` | | | | x |
//!
//! Which calls a person sees is no permission but visibility: [`super::Viewer`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The role of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers calls; sees the own calls.
    Operator,
    /// Responsible for a team; sees its calls and those without an operator.
    Supervisor,
    /// Administers the installation; sees and changes everything.
    Admin,
    /// Another program, such as a CRM; sees every call.
    System,
}

/// An action that a role may or may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See calls and receive events, within the viewer's visibility.
    FollowCalls,
    /// Acknowledge a screen pop.
    AcknowledgePop,
    /// Answer, hold, resume, hang up and transfer the own calls or the team's.
    ControlCalls,
    /// Read accounts, customers and contacts, and request explanations.
    ReadDirectory,
    /// Create and change customers.
    EditCustomers,
    /// Create, change and delete accounts and contacts, and delete customers.
    EditDirectory,
    /// Read, write and acknowledge messages. The gateway (`messages.rs`) decides who may change the text of which one.
    TakeMessages,
    /// Write, change and end the notices of accounts, and where contacts are.
    WriteNotices,
    /// See the deliveries of messages, and send a message again.
    ResendMessages,
    /// Report that a mail came back.
    ReportBounces,
    /// Delete messages.
    DeleteMessages,
    /// Export messages as a file. The installation may allow it to supervisors as well.
    ExportMessages,
    /// List faxes and take their documents.
    ReadFaxes,
    /// Delete faxes.
    DeleteFaxes,
    /// Save, publish and retire scripts. The installation may allow it to supervisors as well.
    EditScripts,
    /// See what came of the offers of scripts; supervisors: of their team.
    CountOffers,
    /// See the operators and supervisors.
    ReadPeople,
    /// Read when an operator was in which state.
    ReadStateHistory,
    /// Read the audit trail; supervisors: of their team.
    ReadAudit,
    /// See the webhook deliveries that failed, and send them again.
    ManageWebhooks,
    /// See, create, change and delete users; issue and revoke tokens.
    ManagePeople,
    /// Read what was agreed with accounts about their figures, and whether it was kept.
    ReadContracts,
    /// Read the plans and bills of accounts.
    ReadBills,
    /// Write the plans of accounts, and close bills.
    ManageBilling,
    /// Read how the installation is and how it is set.
    ManageSettings,
    /// Go beyond the rules of contacts, take over from others, test deliveries; and what the installation opens to those who
    /// lead a team.
    LeadTeam,
    /// See and change what people of every team wrote.
    ServeEveryTeam,
}

impl Permission {
    /// All permissions.
    pub const ALL: &[Self] = &[
        Self::FollowCalls,
        Self::AcknowledgePop,
        Self::ControlCalls,
        Self::ReadDirectory,
        Self::EditCustomers,
        Self::EditDirectory,
        Self::TakeMessages,
        Self::WriteNotices,
        Self::ResendMessages,
        Self::ReportBounces,
        Self::DeleteMessages,
        Self::ExportMessages,
        Self::ReadFaxes,
        Self::DeleteFaxes,
        Self::EditScripts,
        Self::CountOffers,
        Self::ReadPeople,
        Self::ReadStateHistory,
        Self::ReadAudit,
        Self::ManageWebhooks,
        Self::ManagePeople,
        Self::ReadContracts,
        Self::ReadBills,
        Self::ManageBilling,
        Self::ManageSettings,
        Self::LeadTeam,
        Self::ServeEveryTeam,
    ];
}

impl Role {
    /// All roles.
    pub const ALL: &[Self] = &[Self::Operator, Self::Supervisor, Self::Admin, Self::System];

    /// Whether this role has the permission; no other code decides this.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::FollowCalls
            | Permission::AcknowledgePop
            | Permission::ReadDirectory
            | Permission::EditCustomers
            | Permission::TakeMessages
            | Permission::WriteNotices
            | Permission::ReadPeople => true,
            Permission::ControlCalls | Permission::ReadStateHistory => self != Self::System,
            Permission::ReadAudit
            | Permission::CountOffers
            | Permission::ResendMessages
            | Permission::LeadTeam => {
                matches!(self, Self::Supervisor | Self::Admin)
            }
            Permission::ReadContracts | Permission::ReadFaxes => self != Self::Operator,
            Permission::ReportBounces | Permission::ReadBills => matches!(self, Self::System | Self::Admin),
            Permission::EditDirectory
            | Permission::DeleteMessages
            | Permission::DeleteFaxes
            | Permission::ExportMessages
            | Permission::EditScripts
            | Permission::ManagePeople
            | Permission::ManageWebhooks
            | Permission::ManageBilling
            | Permission::ManageSettings
            | Permission::ServeEveryTeam => self == Self::Admin,
        }
    }

    /// The role in the API and in the store.
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

/// The text is not the name of a role.
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
