//! Guidance that somebody of an account recorded by telephone and that callers do not hear yet (確認待ちの録音).
//!
//! | the account's callflow says (`recorded_guidance`) | callers hear a recording |
//! |---|---|
//! | `now` | from the next call on |
//! | `next_closing` | from the next time on at which the account closes; while it is closed, they hear the one before |
//! | `confirmed` | when an administrator has heard and confirmed it |
//!
//! Invariant: an account has at most one that waits, the last; an answer to it names the recording that was heard.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::message::words;
use crate::ids::RecordId;

words! {
    /// From when on callers hear guidance that was recorded by telephone.
    #[derive(Default)]
    RecordedGuidance {
        /// From the next call on.
        #[default]
        Now = "now",
        /// From the next time on at which the account closes.
        NextClosing = "next_closing",
        /// When an administrator has confirmed it.
        Confirmed = "confirmed",
    }
}

/// A recording that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GuidanceDraft {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// Its code and name.
    pub account_name: String,
    /// The id of the sound, which can be played.
    #[schema(value_type = uuid::Uuid)]
    pub sound: RecordId,
    /// What callflows name.
    pub name: String,
    /// How long it is, in milliseconds.
    pub ms: u64,
    /// From when on callers hear it, as the callflow said when it was recorded.
    pub used_from: RecordedGuidance,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub recorded_at: Timestamp,
}

/// Which recording somebody confirms.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmGuidance {
    /// The id of the sound that was heard.
    #[schema(value_type = uuid::Uuid)]
    pub sound: RecordId,
}
