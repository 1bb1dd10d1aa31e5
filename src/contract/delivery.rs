//! Deliveries: how a message reaches a person of the account.
//!
//! A delivery is one message to one recipient over one channel, so its state is that recipient's alone. [`Delivery`] is its
//! record; [`MessageDelivery`] is what the message itself shows of all its deliveries.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::RecordId;

/// The state of a delivery. `delivery/machine.rs` has the table of its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageDeliveryRecordState)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It waits until it may be sent.
    Held,
    /// It is sent at `next_at`, for the first time or again.
    Queued,
    /// A daemon is sending it.
    Sending,
    /// The next system has taken it. That is no proof that a person has read it.
    Sent,
    /// The recipient's system has proved that it has it.
    Delivered,
    /// The recipient's system has refused it for good.
    Bounced,
    /// It was not taken until its time was over.
    Failed,
    /// It is no longer wanted.
    Cancelled,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Delivered,
        Self::Bounced,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == value)
    }

    /// Whether nothing more is sent unless a person asks for it.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Held | Self::Queued | Self::Sending)
    }
}

/// The delivery of a message as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageDeliveryState {
    /// Nothing sends the message; `reason` says why. A person must pass it on.
    None,
    /// It waits until it may be sent.
    Held,
    /// It will be sent, or is being sent.
    Queued,
    /// The next system has taken it.
    Sent,
    /// The recipient's system has proved that it has it.
    Delivered,
    /// Nobody has received it.
    Failed,
}

impl MessageDeliveryState {
    const ALL: [Self; 6] = [Self::None, Self::Held, Self::Queued, Self::Sent, Self::Delivered, Self::Failed];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == value)
    }
}

/// Why nothing sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnroutedReason {
    /// The configuration names no mail server (`[mail]`).
    NoMailServer,
    /// The message names no contact, and the account has none in its on-call order.
    NoContact,
    /// The contact has no mail address, or one that no server takes.
    NoAddress,
    /// Each address is suspended, or has returned this content: the recipient's system said that it is gone.
    AddressSuspended,
    /// The account's route reaches nobody at this time.
    NoRecipient,
}

impl UnroutedReason {
    const ALL: [Self; 5] =
        [Self::NoMailServer, Self::NoContact, Self::NoAddress, Self::AddressSuspended, Self::NoRecipient];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMailServer => "no_mail_server",
            Self::NoContact => "no_contact",
            Self::NoAddress => "no_address",
            Self::NoRecipient => "no_recipient",
            Self::AddressSuspended => "address_suspended",
        }
    }

    /// The reason with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == value)
    }
}

/// The state of the route of a message. `route/dispatch.rs` has the table of its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageRouteState)]
#[serde(rename_all = "lowercase")]
pub enum DispatchState {
    /// Somebody is asked, or will be.
    Running,
    /// What the route waits for has happened, without a confirmation.
    Settled,
    /// The last step is over, and nobody has confirmed.
    Unanswered,
    /// The last step is over, and nobody was reached.
    Unreached,
    /// A person has confirmed.
    Answered,
    /// The message was corrected or withdrawn.
    Cancelled,
}

impl DispatchState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Settled, Self::Unanswered, Self::Unreached, Self::Answered, Self::Cancelled];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Settled => "settled",
            Self::Unanswered => "unanswered",
            Self::Unreached => "unreached",
            Self::Answered => "answered",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == value)
    }
}

/// How far the route of a message is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MessageRoute)]
pub struct RouteProgress {
    /// The name of the route.
    pub name: String,
    /// The step that runs or ran last, from 1.
    pub step: u32,
    /// Its state.
    pub state: DispatchState,
    /// When the next person is asked, or the next step begins, unless somebody confirms.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub next_at: Option<Timestamp>,
}

/// What a message shows of its deliveries. It names no address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessageDelivery {
    /// The state of all deliveries together.
    pub state: MessageDeliveryState,
    /// Why nothing sends the message; only with the state `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<UnroutedReason>,
    /// When it is sent next.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub next_at: Option<Timestamp>,
    /// What the mail server said last, if it did not take the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How far the route is that the account or the installation has for the message; absent: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteProgress>,
    /// Who gets it and when as long as nobody confirms, in one Japanese sentence; only in the answer that saved the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

impl Default for MessageDelivery {
    fn default() -> Self {
        Self {
            state: MessageDeliveryState::None,
            reason: None,
            next_at: None,
            last_error: None,
            route: None,
            plan: None,
        }
    }
}

/// Why nothing is sent to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AddressSuspension)]
pub struct Suspension {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub since: Timestamp,
    /// What the recipient's system said.
    pub why: String,
}

/// A delivery, as it is stored and served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MessageDeliveryRecord)]
pub struct Delivery {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    pub message: RecordId,
    /// The message's account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The contact who receives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
    /// The endpoint to which it goes; absent: the contact's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub endpoint: Option<RecordId>,
    /// How it is sent: `mail`.
    pub channel: String,
    /// What it goes over: `main` (the mail server, which faxes go over, too) or the server of the account (`mail_host`); while that
    /// refuses all mails, urgent ones go over the backup. Else the channel.
    pub server: String,
    /// Where it is sent; empty after `retention.deliveries_days`.
    pub address: String,
    /// Its state.
    pub state: DeliveryState,
    /// The number of attempts that the recipient's system answered or that were cut off.
    pub attempts: u32,
    /// Whether an attempt was cut off so late that the recipient may have it already. A repeat has the same `Message-ID`.
    pub maybe_sent: bool,
    /// What the server said last, or why it could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The status code in what the server said (RFC 3463), for instance `5.1.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How many deliveries of this revision to this address there were before: each time that a person sends the message
    /// again is one.
    pub again: u32,
    /// The revision of the message that it carries.
    pub revision: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When its state last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
    /// When it is sent next.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub next_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_their_text() {
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for state in MessageDeliveryState::ALL {
            assert_eq!(MessageDeliveryState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for state in DispatchState::ALL {
            assert_eq!(DispatchState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for reason in UnroutedReason::ALL {
            assert_eq!(UnroutedReason::parse(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
