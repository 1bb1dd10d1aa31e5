//! The fields of a message as a JSON merge patch, for the OpenAPI document: each may be absent, and `null` resets it.
//!
//! Invariant: the names are those of [`MessageFields`](crate::contract::message::MessageFields), which reads the patched
//! document.

use utoipa::ToSchema;
use uuid::Uuid;

use crate::contract::message::{
    Action, CallBack, FailedTransfer, FollowUp, Mark, Offer, Privacy, ScriptAnswer, ScriptVersion, Sender,
    Urgency,
};

/// The fields of a message that a change sets: a JSON merge patch (RFC 7396).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct MessagePatch {
    /// The text; it cannot be reset.
    text: Option<String>,
    /// The contact of the account it is for.
    contact: Option<Uuid>,
    /// Why the caller called.
    reason: Option<String>,
    /// One line about the message; `null`: made of the reason and the action.
    subject: Option<String>,
    /// Who left the message; its members are patched one by one.
    from: Option<Sender>,
    /// Whom the caller asked for, if the account has no such contact.
    for_text: Option<String>,
    /// What the caller expects.
    action: Option<Action>,
    /// Where and when to call back; its members are patched one by one.
    call_back: Option<CallBack>,
    /// How urgent it is.
    urgency: Option<Urgency>,
    /// A complaint, or thanks.
    mark: Option<Mark>,
    /// The message is not delivered before this time; `null` releases it.
    #[schema(value_type = Option<String>, format = DateTime)]
    hold_until: Option<String>,
    /// What is to be done later.
    follow_up: Option<FollowUp>,
    /// The transfer that failed.
    transfer: Option<FailedTransfer>,
    /// The script by which the operator asked.
    script: Option<ScriptVersion>,
    /// The answers to the script's questions, all of them.
    answers: Option<Vec<ScriptAnswer>>,
    /// What was offered to the caller, all of it.
    offers: Option<Vec<Offer>>,
    /// How much of it leaves the house.
    privacy: Option<Privacy>,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;
    use crate::contract::message::MessageFields;

    #[test]
    fn a_patch_has_the_fields_of_a_message() {
        let names = |schema: serde_json::Value| {
            let mut names: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
            names.sort_unstable();
            names
        };
        let schema =
            |of: utoipa::openapi::RefOr<utoipa::openapi::Schema>| names(serde_json::to_value(of).unwrap());
        assert_eq!(schema(MessagePatch::schema()), schema(MessageFields::schema()));
    }
}
