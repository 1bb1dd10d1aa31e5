//! What happens to a call at a time, for people: the same rules and steps that are compiled for the PBX.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::schedule::HORIZON_DAYS;
use super::{Because, Ending, Letter, OnCallPerson, Rules, Step, steps_of};
use crate::contract::callflow::CallflowFields;
use crate::ids::RecordId;

/// What happens to a call of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallflowThen {
    /// The treatment.
    pub treatment: Letter,
    /// What decides it.
    pub because: Because,
    /// When it changes next; absent where that is not within 35 days.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// What the PBX does, in this order.
    pub steps: Vec<Step>,
}

/// From when on a treatment holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallflowChange {
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
    /// The treatment.
    pub treatment: Letter,
    /// What decides it.
    pub because: Because,
}

impl CallflowThen {
    /// What happens at `at` to a call of an account with these rules and this callflow. `takes_voice` and
    /// `on_call`: as for [`steps_of`].
    #[must_use]
    pub fn at(
        at: Timestamp,
        rules: &Rules<'_>,
        account: RecordId,
        fields: Option<&CallflowFields>,
        (takes_voice, on_call): (bool, &[OnCallPerson]),
    ) -> Self {
        let treatment = rules.at(at);
        let later = at.saturating_add(SignedDuration::from_hours(24 * HORIZON_DAYS)).unwrap_or(at);
        let is_next = |change: &&super::Change| change.treatment.letter != treatment.letter;
        let until = rules.changes(at, later).iter().find(is_next).map(|change| change.at);
        let steps =
            steps_of(account, fields, takes_voice, on_call).remove(&treatment.letter).unwrap_or_default();
        Self { treatment: treatment.letter, because: treatment.because, until, steps }
    }

    /// The same for a caller whom the account refuses.
    #[must_use]
    pub fn refused(then: Option<Self>) -> Self {
        let treatment = then.map_or(Letter::Open, |then| then.treatment);
        let steps = vec![Step::End { outcome: Ending::Refused }];
        Self { treatment, because: Because::CallerRule, until: None, steps }
    }
}

impl From<super::Change> for CallflowChange {
    fn from(change: super::Change) -> Self {
        Self { at: change.at, treatment: change.treatment.letter, because: change.treatment.because }
    }
}
