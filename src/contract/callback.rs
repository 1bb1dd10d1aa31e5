//! Callers who hung up before anybody answered, to be called back: what an operator or supervisor does about it.
//!
//! | state | meaning | by |
//! |---|---|---|
//! | `open` | nobody is at it | - |
//! | `taken` | a person calls back | that person, or a supervisor for another |
//! | `done` | the caller was called back, or needs no call | a person; a caller who called again and was answered is off the list by that alone |
//!
//! Invariant: a caller who withholds the number is on no list.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use crate::ids::{CallId, RecordId};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// Nobody is at it.
    #[default]
    Open,
    /// A person calls back.
    Taken,
    /// It needs nothing more.
    Done,
}

impl CallbackState {
    /// The wire text of the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Taken => "taken",
            Self::Done => "done",
        }
    }

    /// The state with this wire text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Taken, Self::Done].into_iter().find(|state| state.as_str() == text)
    }
}

/// What somebody said about a call that was abandoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackMark {
    /// The call.
    pub call: CallId,
    /// How far it is.
    pub state: CallbackState,
    /// The person who said so.
    pub by: RecordId,
    /// That person's name.
    pub by_name: String,
    /// When.
    pub at: Timestamp,
}

/// A caller who is to be called back.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Callback {
    /// The caller's last call that nobody answered.
    #[schema(value_type = uuid::Uuid)]
    pub call: CallId,
    /// The account that it was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub account: Option<RecordId>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The caller's number as a key.
    #[schema(value_type = String)]
    pub caller: SmolStr,
    /// The name of the customer; absent if nobody, or more than one customer, has the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// When that call reached the service.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub offered_at: Timestamp,
    /// How long the caller waited then, in milliseconds.
    pub waited_ms: i64,
    /// How many calls of this caller to this account nobody answered.
    pub times: u32,
    /// How far it is.
    pub state: CallbackState,
    /// Who said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_name: Option<String>,
    /// When.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}
