//! How a supervision looks from outside: in events, records and under `/v1/supervisions`.
//!
//! Invariant: its field names are part of the public contract; they change only by addition.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::session::{Mode, Session, State, SupervisionId, Target};
use crate::ids::{CallId, Extension, RecordId};

/// One supervision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SupervisionView {
    /// Its name.
    #[schema(value_type = uuid::Uuid)]
    pub id: SupervisionId,
    /// What the supervisor does.
    pub mode: Mode,
    /// How far it has come.
    pub state: State,
    /// The operator who is heard, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub operator: Option<Extension>,
    /// The call that is heard, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub call: Option<CallId>,
    /// Whether it goes on with the operator's next call.
    pub follow: bool,
    /// Who supervises.
    #[schema(value_type = uuid::Uuid)]
    pub supervisor: RecordId,
    /// Her name.
    pub supervisor_name: String,
    /// Her phone.
    #[schema(value_type = String)]
    pub extension: Extension,
    /// Why, in her words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The account that the call is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The caller, as far as may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::wire::as_time")]
    pub started_at: Timestamp,
    /// When she first heard somebody.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::wire::as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Timestamp>,
}

impl From<&Session> for SupervisionView {
    /// Without account and caller, which the machine does not know.
    fn from(session: &Session) -> Self {
        Self {
            id: session.id,
            mode: session.mode,
            state: session.state,
            operator: session.operator.clone(),
            call: session.call,
            follow: matches!(session.target, Target::Operator { follow: true, .. }),
            supervisor: session.user,
            supervisor_name: session.name.to_string(),
            extension: session.phone.clone(),
            reason: session.why.as_ref().map(ToString::to_string),
            account: None,
            caller: None,
            started_at: session.since,
            heard_at: session.heard_since,
        }
    }
}
